//! What a registry and an operator's key file say of a component: manifests, references, keys, signatures.

use damper_registry::artifact::find_component;
use damper_registry::signature::{PublicKey, SignedPayload, verify_file};
use damper_registry::{Digest, Reference};

use crate::message::check_message;

const MAX_BYTES: u64 = 64 << 20;
/// A key whose private half nobody has kept.
const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEoIIKAEtixQ1gRlyYpm8OpzPN+i0o
CqqdzP3yDBQxTUYIeyI73p2USf0D4SxdInYFno/wPWuOiJL1NF0HGIb3Aw==
-----END PUBLIC KEY-----
";

/// A manifest names at most one component of an allowed size; a reference is written back as it was read; no input is a
/// valid signature of something that it was not made for.
pub fn artifact(data: &[u8]) {
    match find_component(data, MAX_BYTES) {
        Ok(component) => assert!(component.bytes <= MAX_BYTES),
        Err(error) => check_message(&error.to_string()),
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Reference::parse(text) {
        Ok(reference) => {
            assert_eq!(reference.to_string(), text);
            assert!(reference.repository().split('/').all(|part| !part.starts_with('.')), "{text:?}");
        }
        Err(error) => check_message(&error.to_string()),
    }
    let keys: Vec<PublicKey> = PublicKey::from_pem(KEY).into_iter().collect();
    assert_eq!(keys.len(), 1);
    assert!(verify_file(b"never signed", text, &keys).is_err());
    if let Ok(signed) = serde_json::from_str::<SignedPayload>(text) {
        assert!(signed.verify(Digest::of(b"never signed"), &keys).is_err());
    }
    match PublicKey::from_pem(text) {
        Ok(key) => assert!(key.fingerprint().parse::<Digest>().is_ok()),
        Err(error) => check_message(&error.to_string()),
    }
}
