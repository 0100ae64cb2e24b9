//! Files that are a provider, and all those that are none.

use proptest::prelude::*;
use wasm_encoder::{
    Component, ComponentExportKind, ComponentExportSection, ComponentImportSection, ComponentTypeRef,
    ComponentTypeSection, CustomSection, InstanceType, Module, ModuleSection,
};

use super::*;

const MANIFEST: &str = "name = \"gleif\"\nversion = \"0.3.0\"\n[egress]\nhosts = [\"api.gleif.org\"]\n";
const CONTRACT: &[&str] = &["damper:provider/types@0.1.0", "damper:provider/http@0.1.0", "wasi:io/poll@0.2.6"];

/// A component as far as its framing goes; no engine would take it.
fn component(imports: &[&str], export: Option<&str>) -> Vec<u8> {
    let mut component = Component::new();
    let mut module = Module::new();
    let stamp = br#"{"wit":"0.1.0","sdk":"0.1.0","language":"rust"}"#;
    module.section(&CustomSection { name: sections::STAMP_SECTION.into(), data: stamp.as_slice().into() });
    component.section(&ModuleSection(&module));
    let mut types = ComponentTypeSection::new();
    types.instance(&InstanceType::new());
    component.section(&types);
    let mut section = ComponentImportSection::new();
    for import in imports {
        section.import(*import, ComponentTypeRef::Instance(0));
    }
    component.section(&section);
    if let Some(export) = export {
        let mut exports = ComponentExportSection::new();
        exports.export(export, ComponentExportKind::Func, 0, None);
        component.section(&exports);
    }
    component.finish()
}

fn provider(imports: &[&str]) -> Vec<u8> {
    embed_manifest(&component(imports, Some(EXPORT)), MANIFEST).unwrap()
}

fn refusal(bytes: Vec<u8>) -> String {
    ComponentFile::from_bytes("x.wasm", bytes).unwrap_err().to_string()
}

#[test]
fn a_provider_tells_what_it_is() {
    let file = ComponentFile::from_bytes("x.wasm", provider(CONTRACT)).unwrap();
    assert_eq!(file.manifest.name, "gleif");
    assert_eq!(file.manifest_text, MANIFEST);
    assert_eq!(file.stamp.unwrap().language, "rust");
    assert_eq!(file.imports, CONTRACT);
    assert_eq!(file.exports, [EXPORT]);
    assert_eq!(file.contract, HOST_CONTRACT);
    assert!(file.digest.starts_with("sha256:") && file.digest.len() == 71, "{}", file.digest);
}

#[test]
fn a_manifest_takes_the_place_of_the_one_before() {
    let newer = MANIFEST.replace("0.3.0", "0.4.0");
    let replaced = embed_manifest(&provider(CONTRACT), &newer).unwrap();
    assert_eq!(replaced, embed_manifest(&component(CONTRACT, Some(EXPORT)), &newer).unwrap());
    assert_eq!(ComponentFile::from_bytes("x.wasm", replaced).unwrap().manifest.version, "0.4.0");
}

#[test]
fn a_stamp_of_the_outermost_component_takes_the_place_of_the_one_within() {
    let ours = SdkStamp { wit: "0.1.0".to_owned(), sdk: "0.2.0".to_owned(), language: "js".to_owned() };
    let stamped = embed_stamp(&provider(CONTRACT), &ours).unwrap();
    assert_eq!(ComponentFile::from_bytes("x.wasm", stamped.clone()).unwrap().stamp.as_ref(), Some(&ours));
    assert_eq!(embed_stamp(&stamped, &ours).unwrap(), stamped, "there is one");
    assert!(embed_stamp(b"#!/bin/sh", &ours).is_err());
}

#[test]
fn only_python_imports_sockets_that_lead_nowhere() {
    let with_sockets = provider(&[CONTRACT[0], "wasi:sockets/tcp@0.2.9", "wasi:sockets/ip-name-lookup@0.2.9"]);
    let stamp =
        |language: &str| SdkStamp { wit: "0.1.0".to_owned(), sdk: "0.1.0".to_owned(), language: language.to_owned() };
    let read = |bytes: Vec<u8>| ComponentFile::from_bytes("x.wasm", bytes);
    assert!(read(embed_stamp(&with_sockets, &stamp("python")).unwrap()).is_ok());
    for language in ["rust", "js", ""] {
        let error = read(embed_stamp(&with_sockets, &stamp(language)).unwrap()).unwrap_err();
        assert!(error.to_string().contains("wasi:sockets/tcp@0.2.9"), "{error}");
    }
    let others = ["wasi:sockets/tcp@0.3.0", "wasi:socketsx/tcp@0.2.0", "wasi:http/types@0.2.0"];
    for import in others {
        assert!(read(embed_stamp(&provider(&[CONTRACT[0], import]), &stamp("python")).unwrap()).is_err(), "{import}");
    }
}

#[test]
fn what_is_no_provider_is_refused_with_what_to_do() {
    let newer = ["damper:provider/types@0.1.0", "damper:provider/http@0.2.0"];
    let cases: Vec<(Vec<u8>, &[&str])> = vec![
        (Vec::new(), &["x.wasm is not WebAssembly", "damper build"]),
        (b"#!/bin/sh".to_vec(), &["not WebAssembly"]),
        (Module::new().finish(), &["core WebAssembly module", "damper build"]),
        (vec![0; MAX_COMPONENT_BYTES + 1], &["larger than 64 MiB"]),
        (component(CONTRACT, None), &["it exports nothing", "damper new"]),
        (
            component(&["wasi:http/types@0.2.0"], Some("wasi:http/incoming-handler@0.2.0")),
            &["wasi:http/incoming-handler"],
        ),
        (component(&["wasi:io/poll@0.2.0"], Some(EXPORT)), &["no interface of damper:provider"]),
        (component(CONTRACT, Some(EXPORT)), &["no manifest inside", "damper build"]),
        (provider(&newer), &["gleif 0.3.0 (x.wasm)", "0.2.0", "0.1.0 to 0.1.0", "update damper"]),
        (provider(&["damper:provider/http@0.0.9"]), &["gleif 0.3.0", "0.0.9", "an SDK for 0.1.0"]),
        (
            provider(&[CONTRACT[0], "wasi:sockets/tcp@0.2.0", "wasi:http/outgoing-handler@0.2.0"]),
            &["gleif 0.3.0", "wasi:sockets/tcp@0.2.0", "wasi:http/outgoing-handler@0.2.0"],
        ),
        (provider(&[CONTRACT[0], "damper:provider/files@0.1.0"]), &["damper:provider/files"]),
        (provider(&[CONTRACT[0], "wasi:io/poll@0.3.0"]), &["wasi:io/poll@0.3.0"]),
        (provider(&[CONTRACT[0], "\u{1b}[2Jevil"]), &["\\u{1b}[2Jevil"]),
    ];
    for (bytes, parts) in cases {
        let message = refusal(bytes);
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in: {message}");
        }
    }
}

#[test]
fn a_bad_manifest_is_named_with_its_line() {
    let mut bytes = component(CONTRACT, Some(EXPORT));
    let manifest = MANIFEST.replace("[egress]", "colour = 1\n[egress]");
    assert!(embed_manifest(&bytes, &manifest).is_err());
    bytes = sections::with_section(&bytes, sections::MANIFEST_SECTION, manifest.as_bytes()).unwrap();
    let message = refusal(bytes);
    assert!(message.contains("colour") && message.contains("line 3"), "{message}");
}

#[test]
fn an_unreadable_file_is_named() {
    let message = ComponentFile::read("/no/such/file.wasm".as_ref()).unwrap_err().to_string();
    assert!(message.starts_with("cannot read /no/such/file.wasm"), "{message}");
    assert!(ComponentFile::read("/".as_ref()).is_err());
}

#[test]
fn a_truncated_component_is_damaged() {
    let whole = provider(CONTRACT);
    for length in 8..whole.len() {
        // A cut between two sections leaves a shorter component; it lacks something then.
        assert!(ComponentFile::from_bytes("x.wasm", whole[..length].to_vec()).is_err(), "{length}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), framed in any::<bool>()) {
        let bytes = if framed { [b"\0asm\x0d\0\x01\0".as_slice(), &bytes].concat() } else { bytes };
        let _ = embed_manifest(&bytes, MANIFEST);
        prop_assert!(ComponentFile::from_bytes("x.wasm", bytes).is_err());
    }

    #[test]
    fn mutated_components_never_panic(edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = provider(CONTRACT);
        for (index, byte) in edits {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        let _ = embed_manifest(&bytes, MANIFEST);
        let _ = ComponentFile::from_bytes("x.wasm", bytes);
    }
}
