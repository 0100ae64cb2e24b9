use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn info() -> ComponentInfo {
    ComponentInfo {
        name: "gleif".to_owned(),
        version: "1.2.0".to_owned(),
        description: "Legal entities".to_owned(),
        imports: vec!["damper:provider/http@0.1.0".to_owned()],
        exports: vec!["fetch-record".to_owned()],
    }
}

fn manifest(edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value = serde_json::from_slice(&Artifact::of(b"wasm", &info()).unwrap().manifest).unwrap();
    edit(&mut value);
    serde_json::to_vec(&value).unwrap()
}

fn refusal(edit: impl FnOnce(&mut Value)) -> String {
    find_component(&manifest(edit), 64).unwrap_err().to_string()
}

#[test]
fn a_component_becomes_the_layout_of_the_cncf() {
    let artifact = Artifact::of(b"wasm", &info()).unwrap();
    let config: Value = serde_json::from_slice(&artifact.config).unwrap();
    assert_eq!(
        config,
        json!({
            "created": "1970-01-01T00:00:00Z", "architecture": "wasm", "os": "wasip2",
            "layerDigests": [Digest::of(b"wasm").to_string()],
            "component": {"exports": ["fetch-record"], "imports": ["damper:provider/http@0.1.0"]},
        })
    );
    let manifest: Value = serde_json::from_slice(&artifact.manifest).unwrap();
    assert_eq!(
        manifest,
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.wasm.config.v0+json",
                "digest": Digest::of(&artifact.config).to_string(), "size": artifact.config.len(),
            },
            "layers": [{"mediaType": "application/wasm", "digest": Digest::of(b"wasm").to_string(), "size": 4}],
            "annotations": {
                "org.opencontainers.image.title": "gleif",
                "org.opencontainers.image.version": "1.2.0",
                "org.opencontainers.image.description": "Legal entities",
            },
        })
    );
}

#[test]
fn the_same_component_is_the_same_artifact() {
    let (first, second) = (Artifact::of(b"wasm", &info()).unwrap(), Artifact::of(b"wasm", &info()).unwrap());
    assert_eq!(first, second);
    assert_eq!(first.digest, Digest::of(&first.manifest));
    assert_ne!(first.digest, Artifact::of(b"other", &info()).unwrap().digest);
}

#[test]
fn the_component_is_found() {
    let found = find_component(&manifest(|_| ()), 64).unwrap();
    assert_eq!((found.digest, found.bytes), (Digest::of(b"wasm"), 4));
    assert_eq!(found.version.as_deref(), Some("1.2.0"));
    // Other tools write no annotations, and more keys.
    let bare = manifest(|value| {
        value.as_object_mut().unwrap().remove("annotations");
        value["artifactType"] = json!("x");
    });
    assert_eq!(find_component(&bare, 64).unwrap().version, None);
}

#[test]
fn other_artifacts_are_named() {
    let typed = |media_type: &str| refusal(|value| value["config"]["mediaType"] = json!(media_type));
    assert!(
        typed("application/vnd.oci.image.config.v1+json").starts_with("this is a container image, not a component")
    );
    assert!(typed("application/vnd.docker.container.image.v1+json").starts_with("this is a container image"));
    assert!(typed("application/vnd.cncf.helm.config.v1+json").starts_with("this is a Helm chart"));
    assert!(typed("application/\u{1b}[2J").contains("another artifact, not a component"));
    assert!(!typed("application/\u{1b}[2J").contains('\u{1b}'));
    assert!(refusal(|value| value["mediaType"] = json!(INDEX_TYPES[0])).starts_with("this is an index"));
    assert!(refusal(|value| value["layers"] = json!([])).contains("0 layers"));
    assert!(refusal(|value| value["layers"][0]["mediaType"] = json!("text/plain")).contains("one of type text/plain"));
    let doubled = |value: &mut Value| value["layers"] = json!([value["layers"][0], value["layers"][0]]);
    assert!(refusal(doubled).contains("2 layers"));
}

#[test]
fn hostile_manifests_are_refused() {
    assert!(refusal(|value| value["layers"][0]["size"] = json!(65)).contains("65 bytes, and at most 64"));
    assert!(refusal(|value| value["layers"][0]["size"] = json!(-1)).contains("cannot be read"));
    assert!(refusal(|value| value["layers"][0]["digest"] = json!("sha256:../../etc")).contains("digest of its layer"));
    assert!(refusal(|value| value["schemaVersion"] = json!(1)).contains("schema has version 1"));
    let deep = format!("{{\"schemaVersion\":2,\"x\":{}", "[".repeat(100_000));
    assert!(matches!(find_component(deep.as_bytes(), 64), Err(ArtifactError::Malformed(_))));
    let long = vec![b' '; MAX_MANIFEST_BYTES + 1];
    assert!(matches!(find_component(&long, 64), Err(ArtifactError::Malformed(_))));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(find_component(&bytes, 64).is_err());
    }
}
