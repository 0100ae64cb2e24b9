//! Files that are a provider, and all those that are none.

use proptest::prelude::*;
use wasm_encoder::{
    BlockType, CodeSection, Component, ComponentExportKind, ComponentExportSection, ComponentImportSection,
    ComponentInstanceSection, ComponentTypeRef, ComponentTypeSection, CoreTypeSection, CustomSection, Function,
    FunctionSection, InstanceSection, InstanceType, Instruction, MemorySection, MemoryType, Module, ModuleArg,
    ModuleSection, ModuleType, NestedComponentSection, RefType, TableSection, TableType, TypeSection, ValType,
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
fn names_of_parts_are_left_out_and_nothing_else() {
    let plain = provider(CONTRACT);
    let named = sections::with_section(&plain, sections::NAMES_SECTION, b"names").unwrap();
    assert_ne!(named, plain);
    assert_eq!(strip_part_names(&named).unwrap(), plain);
    assert_eq!(strip_part_names(&plain).unwrap(), plain);
    assert!(strip_part_names(b"no component").is_err());
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
    let long = format!("damper:provider/http@0.2.0-{}", "x".repeat(10_000));
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
        (provider(&[&long]), &["no interface of damper:provider"]),
    ];
    for (bytes, parts) in cases {
        let message = refusal(bytes);
        assert!(message.len() < 1_000, "{message}");
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
    fn mutated_components_never_panic(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = provider(CONTRACT);
        for (index, byte) in edits {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        let _ = embed_manifest(&bytes, MANIFEST);
        let _ = ComponentFile::from_bytes("x.wasm", bytes);
    }
}

/// A core module with so many functions, memories and tables.
fn module(functions: u32, memories: u32, tables: u32) -> Module {
    let mut module = Module::new();
    let mut types = TypeSection::new();
    types.ty().function([], []);
    module.section(&types);
    let mut section = FunctionSection::new();
    (0..functions).for_each(|_| {
        section.function(0);
    });
    module.section(&section);
    let mut section = TableSection::new();
    (0..tables).for_each(|_| {
        let element_type = RefType::FUNCREF;
        section.table(TableType { element_type, table64: false, minimum: 1, maximum: None, shared: false });
    });
    module.section(&section);
    let mut section = MemorySection::new();
    (0..memories).for_each(|_| {
        section.memory(MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None });
    });
    module.section(&section);
    let mut code = CodeSection::new();
    (0..functions).for_each(|_| {
        code.function(&function(&[], 0, 0));
    });
    module.section(&code);
    module
}

/// A function with these locals, blocks within blocks, and so many further instructions.
fn function(locals: &[u32], nesting: u32, instructions: u32) -> Function {
    let mut function = Function::new(locals.iter().map(|count| (*count, ValType::I32)));
    (0..nesting).for_each(|_| {
        function.instruction(&Instruction::Block(BlockType::Empty));
    });
    (0..instructions).for_each(|_| {
        function.instruction(&Instruction::Nop);
    });
    (0..=nesting).for_each(|_| {
        function.instruction(&Instruction::End);
    });
    function
}

/// A component of this module, instantiated so often.
fn instantiate(module: &Module, times: u32) -> Component {
    let mut component = Component::new();
    component.section(&ModuleSection(module));
    let mut instances = InstanceSection::new();
    (0..times).for_each(|_| {
        instances.instantiate(0, std::iter::empty::<(&str, ModuleArg)>());
    });
    component.section(&instances);
    component
}

/// This component within another one, which instantiates it so often.
fn nest(inner: &Component, times: u32) -> Component {
    let mut outer = Component::new();
    outer.section(&NestedComponentSection(inner));
    let mut instances = ComponentInstanceSection::new();
    (0..times).for_each(|_| {
        instances.instantiate(0, std::iter::empty::<(&str, ComponentExportKind, u32)>());
    });
    outer.section(&instances);
    outer
}

fn excess_of(component: Component) -> String {
    match structure::check_instance(&component.finish()) {
        Err(structure::StructureError::Excess(excess)) => excess.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_an_instance_needs_is_counted_through_all_components() {
    let inner = instantiate(&module(10, 1, 1), 2);
    let cost = structure::check_instance(&nest(&inner, 2).finish()).unwrap();
    let counted = (cost.core_instances, cost.memories, cost.tables, cost.bytes);
    assert_eq!(counted, (4, 4, 4, 4 * 10 * 32));
}

#[test]
fn an_instance_of_too_much_is_refused_and_says_of_what() {
    let plain = module(0, 0, 0);
    assert!(structure::check_instance(&instantiate(&plain, 64).finish()).is_ok());
    for (component, expected) in [
        (instantiate(&plain, 65), "modules in an instance: 65, and at most 64"),
        (instantiate(&module(0, 5, 0), 1), "memories in an instance: 5, and at most 4"),
        (instantiate(&module(0, 1, 0), 5), "memories in an instance: 5, and at most 4"),
        (instantiate(&module(0, 0, 17), 1), "tables in an instance: 17, and at most 16"),
        (instantiate(&module(2_000, 0, 0), 40), "bytes that the host keeps for an instance"),
        ((0..20).fold(plain_component(), |inner, _| nest(&inner, 1)), "components within components"),
    ] {
        let said = excess_of(component);
        assert!(said.contains(expected), "{said}");
    }
}

fn plain_component() -> Component {
    instantiate(&module(0, 0, 0), 1)
}

/// Each component instantiates the one inside twice: 2^14 modules from a file of a kilobyte.
#[test]
fn instances_that_double_are_counted_and_not_made() {
    let doubled = (0..14).fold(plain_component(), |inner, _| nest(&inner, 2));
    assert!(excess_of(doubled).starts_with("modules in an instance: 128"));
}

/// The cost of an imported module is unknown.
#[test]
fn a_module_that_is_imported_is_refused() {
    let mut component = Component::new();
    let mut types = CoreTypeSection::new();
    types.ty().module(&ModuleType::new());
    component.section(&types);
    let mut imports = ComponentImportSection::new();
    imports.import("a-module", ComponentTypeRef::Module(0));
    component.section(&imports);
    let mut instances = InstanceSection::new();
    instances.instantiate(0, std::iter::empty::<(&str, ModuleArg)>());
    component.section(&instances);
    assert!(excess_of(component).contains("too many to count"));
}

#[cfg(feature = "compile")]
#[test]
fn code_that_a_compiler_would_drown_in_is_refused_before_it_is_compiled() {
    let with = |functions: &[Function]| {
        let mut module = Module::new();
        let mut types = TypeSection::new();
        types.ty().function([], []);
        module.section(&types);
        let mut section = FunctionSection::new();
        let mut code = CodeSection::new();
        functions.iter().for_each(|function| {
            section.function(0);
            code.function(function);
        });
        module.section(&section).section(&code);
        instantiate(&module, 1).finish()
    };
    let usual = with(&[function(&[1_000, 1_000], 3_000, 1_000)]);
    assert!(check_code("x.wasm", &usual).is_ok());
    let many: Vec<_> = (0..201).map(|_| function(&[2_000], 0, 0)).collect();
    for (bytes, expected) in [
        (with(&[function(&[1_000, 1_001], 0, 0)]), "locals of a function: 2001, and at most 2000"),
        (with(&many), "locals of all functions together: 402000"),
        (with(&[function(&[], 3_001, 0)]), "blocks within blocks: 3001, and at most 3000"),
        (with(&[function(&[], 0, 3 << 20)]), "bytes of a function's code"),
    ] {
        let said = check_code("x.wasm", &bytes).unwrap_err().to_string();
        assert!(said.contains(expected) && said.starts_with("x.wasm would cost too much"), "{said}");
    }
}

proptest! {
    /// Counting ends without a panic for every file.
    #[test]
    fn counting_ends_with_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in any::<usize>()) {
        let mut component = (0..3).fold(plain_component(), |inner, _| nest(&inner, 2)).finish();
        let at = at % component.len();
        component.splice(at.., bytes);
        let _ = structure::check_instance(&component).is_ok();
        #[cfg(feature = "compile")]
        let _ = code::check(&component).is_ok();
    }
}
