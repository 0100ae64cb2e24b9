//! Registries and clients that others wrote take what is pushed and give what is pulled.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use damper_registry::pull::{pull, resolve};
use damper_registry::push::{PushOutcome, push};
use damper_registry::{Access, Digest, Reference, Registry};
use damper_stand_ins::RunningRegistry;
use oci_client::client::{Client, ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::manifest::OciImageManifest;
use oci_client::secrets::RegistryAuth;

use crate::fake_registry::{FakeRegistry, MAX_BYTES, artifact, options};

const CONTENT: &[u8] = b"\0asm a component";

/// Push, push again, pull by tag and by digest; returns the reference.
async fn push_and_pull(address: &str) -> Reference {
    let reference = Reference::parse(&format!("oci://{address}/providers/gleif:1.0.0")).unwrap();
    let registry = Registry::open(&reference, Access::Push, &options()).unwrap();
    let (ours, content) = (artifact(CONTENT), Bytes::from_static(CONTENT));
    assert_eq!(push(&registry, &reference, &ours, &content, false).await.unwrap(), PushOutcome::New);
    assert_eq!(push(&registry, &reference, &ours, &content, false).await.unwrap(), PushOutcome::Unchanged);
    let other = artifact(b"\0asm another");
    assert!(push(&registry, &reference, &other, &Bytes::from_static(b"\0asm another"), false).await.is_err());
    for reference in [reference.clone(), reference.with_digest(ours.digest)] {
        let resolved = resolve(&registry, &reference, MAX_BYTES).await.unwrap();
        assert_eq!((resolved.manifest, resolved.component.digest), (ours.digest, Digest::of(CONTENT)));
        assert_eq!(pull(&registry, &reference, &resolved).await.unwrap(), CONTENT);
    }
    reference
}

/// The library that `wkg` and others are made of reads what was pushed.
async fn read_with_oci_client(address: &str) {
    let config = ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() };
    let client = Client::try_from(config).unwrap();
    let reference: oci_client::Reference = format!("{address}/providers/gleif:1.0.0").parse().unwrap();
    let pulled = client.pull(&reference, &RegistryAuth::Anonymous, vec!["application/wasm"]).await.unwrap();
    assert_eq!(pulled.digest, Some(artifact(CONTENT).digest.to_string()));
    assert_eq!(pulled.config.media_type, "application/vnd.wasm.config.v0+json");
    let [layer] = pulled.layers.as_slice() else { panic!("{} layers", pulled.layers.len()) };
    assert_eq!((&*layer.data, &*layer.media_type), (CONTENT, "application/wasm"));
}

/// It pushes as `wkg` does, and we read that. It cannot push to crane's registry, whose responses have no Location.
async fn push_with_oci_client(address: &str) {
    let config = ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() };
    let client = Client::try_from(config).unwrap();
    let described = serde_json::json!({
        "created": "2026-11-29T12:00:00.123456789Z", "author": null, "architecture": "wasm", "os": "wasip2",
        "layerDigests": [Digest::of(CONTENT).to_string()],
        "component": {"exports": ["fetch-record"], "imports": [], "target": null},
    });
    let config = Config::new(described.to_string(), "application/vnd.wasm.config.v0+json".to_owned(), None);
    let layers = [ImageLayer::new(CONTENT.to_vec(), "application/wasm".to_owned(), None)];
    let manifest = OciImageManifest::build(&layers, &config, None);
    let theirs: oci_client::Reference = format!("{address}/providers/gleif:theirs").parse().unwrap();
    client.push(&theirs, &layers, config, &RegistryAuth::Anonymous, Some(manifest)).await.unwrap();
    let reference = Reference::parse(&format!("oci://{address}/providers/gleif:theirs")).unwrap();
    let registry = Registry::open(&reference, Access::Pull, &options()).unwrap();
    let resolved = resolve(&registry, &reference, MAX_BYTES).await.unwrap();
    assert_eq!(pull(&registry, &reference, &resolved).await.unwrap(), CONTENT);
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn another_client_reads_what_is_pushed() {
    let fake = FakeRegistry::start().await;
    let address = fake.address.to_string();
    push_and_pull(&address).await;
    read_with_oci_client(&address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_of_others_takes_and_gives_components() {
    let Some(crane) = damper_stand_ins::crane() else { return };
    let registry = RunningRegistry::start_crane(crane).unwrap();
    push_and_pull(&registry.address).await;
    read_with_oci_client(&registry.address).await;
    let name = format!("{}/providers/gleif", registry.address);
    let ours = artifact(CONTENT);
    assert_eq!(run(Command::new(crane).args(["digest", &format!("{name}:1.0.0")])).trim(), ours.digest.to_string());
    let blob = run(Command::new(crane).args(["blob", &format!("{name}@{}", ours.component)]));
    assert_eq!(blob.as_bytes(), CONTENT);
}

/// `make test-registry`: with CNCF's own registry, and with wkg and cosign where they are on the path.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "CNCF's registry takes minutes to build: make test-registry"]
async fn cncf_distribution_takes_and_gives_components() {
    let Some(program) = damper_stand_ins::distribution() else { return };
    let folder = tempfile::tempdir().unwrap();
    let registry = RunningRegistry::start_distribution(program, folder.path()).unwrap();
    let reference = push_and_pull(&registry.address).await;
    read_with_oci_client(&registry.address).await;
    push_with_oci_client(&registry.address).await;
    exchange_with_wkg(&registry.address, folder.path()).await;
    sign_with_cosign(&reference, folder.path()).await;
}

/// `wkg` pulls what we pushed, and we pull what it pushed.
async fn exchange_with_wkg(address: &str, folder: &Path) {
    if Command::new("wkg").arg("--version").output().is_err() {
        eprintln!("not run: wkg is not on the path (cargo install wkg)");
        return;
    }
    let component = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/components/sdk-0.1.0-rust.wasm");
    let content = Bytes::from(std::fs::read(component).unwrap());
    let open = |text: String| {
        let reference = Reference::parse(&text).unwrap();
        (Registry::open(&reference, Access::Push, &options()).unwrap(), reference)
    };
    let (registry, reference) = open(format!("oci://{address}/ours:1.0.0"));
    push(&registry, &reference, &artifact(&content), &content, false).await.unwrap();
    let wkg = |arguments: &[&str]| run(Command::new("wkg").args(arguments).current_dir(folder));
    wkg(&["oci", "pull", "--insecure", address, &format!("{address}/ours:1.0.0"), "-o", "ours.wasm"]);
    assert_eq!(std::fs::read(folder.join("ours.wasm")).unwrap(), content);
    wkg(&["oci", "push", "--insecure", address, &format!("{address}/theirs:1.0.0"), "ours.wasm"]);
    let (registry, reference) = open(format!("oci://{address}/theirs:1.0.0"));
    let resolved = resolve(&registry, &reference, 64 << 20).await.unwrap();
    assert_eq!(resolved.component.digest, Digest::of(&content));
    assert_eq!(pull(&registry, &reference, &resolved).await.unwrap(), content);
    eprintln!("wkg pulled what was pushed, and the reverse");
}

/// A signature of the real cosign is found, and holds.
async fn sign_with_cosign(reference: &Reference, folder: &Path) {
    if Command::new("cosign").arg("version").output().is_err() {
        eprintln!("not run: cosign is not on the path (go install github.com/sigstore/cosign/v2/cmd/cosign@v2.6.5)");
        return;
    }
    let ours = artifact(CONTENT).digest;
    let cosign = |arguments: &[&str]| {
        run(Command::new("cosign")
            .args(arguments)
            .current_dir(folder)
            .env("COSIGN_PASSWORD", "")
            .env("COSIGN_YES", "true"))
    };
    cosign(&["generate-key-pair"]);
    let name = format!("{}/{}@{ours}", reference.host(), reference.repository());
    let tags_alone = ["--tlog-upload=false", "--new-bundle-format=false", "--use-signing-config=false"];
    cosign(&[&["sign", "--key", "cosign.key"], tags_alone.as_slice(), &[&*name]].concat());
    let key = std::fs::read_to_string(folder.join("cosign.pub")).unwrap();
    let keys = [damper_registry::signature::PublicKey::from_pem(&key).unwrap()];
    let registry = Registry::open(reference, Access::Pull, &options()).unwrap();
    damper_registry::signature::find_signature(&registry, reference, ours, &keys).await.unwrap();
    eprintln!("a signature of cosign holds");
}
