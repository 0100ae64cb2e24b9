//! Signatures in a registry: found by the digest of the artifact, and only those that hold.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use damper_registry::signature::{PublicKey, find_signature};
use damper_registry::{Access, Digest, RegistryError};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use crate::fake_registry::{FakeRegistry, Step, endless};

/// A key that signs as cosign does.
pub(crate) struct Signer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Signer {
    pub(crate) fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
        Self { pair, random }
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        let prefix = STANDARD.decode("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE").unwrap();
        let der = [&prefix[..26], self.pair.public_key().as_ref()].concat();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
        PublicKey::from_pem(&pem).unwrap()
    }

    /// A payload that names an artifact, edited, and its signature.
    fn sign(&self, artifact: Digest, edit: impl FnOnce(&mut Value)) -> (String, String) {
        let mut payload = json!({"critical": {
            "identity": {"docker-reference": "elsewhere"}, "image": {"docker-manifest-digest": artifact.to_string()},
            "type": "cosign container image signature"}, "optional": null});
        edit(&mut payload);
        let payload = payload.to_string();
        let signature = STANDARD.encode(self.pair.sign(&self.random, payload.as_bytes()).unwrap());
        (payload, signature)
    }

    /// Signs an artifact in a registry.
    pub(crate) fn sign_in(&self, fake: &FakeRegistry, artifact: Digest) {
        put_signatures(fake, artifact, &[self.sign(artifact, |_| ())]);
    }
}

fn put_signatures(fake: &FakeRegistry, artifact: Digest, signed: &[(String, String)]) {
    let mut state = fake.state.lock().unwrap();
    let layers: Vec<Value> = signed
        .iter()
        .map(|(payload, signature)| {
            let digest = Digest::of(payload.as_bytes()).to_string();
            state.blobs.insert(digest.clone(), payload.clone().into());
            json!({"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "digest": digest,
                "size": payload.len(), "annotations": {"dev.cosignproject.cosign/signature": signature}})
        })
        .collect();
    let manifest =
        json!({"schemaVersion": 2, "config": {"mediaType": "x", "digest": "y", "size": 1}, "layers": layers});
    state.manifests.insert(format!("{}.sig", artifact.file_stem()), manifest.to_string().into());
}

async fn verify(fake: &FakeRegistry, artifact: Digest, keys: &[PublicKey]) -> Result<String, RegistryError> {
    let registry = fake.open(Access::Pull);
    find_signature(&registry, &fake.reference("1.0.0"), artifact, keys).await.map(|(_, key)| key.fingerprint())
}

#[tokio::test]
async fn an_artifact_that_is_signed_with_the_key_is_told_from_all_others() {
    let (fake, ours, theirs) = (FakeRegistry::start().await, Signer::new(), Signer::new());
    let artifact = fake.put("1.0.0", b"x").digest;
    let keys = [theirs.public_key(), ours.public_key()];
    let problem = async |fake: &FakeRegistry| verify(fake, artifact, &keys[1..]).await.unwrap_err().to_string();
    assert!(problem(&fake).await.ends_with(":1.0.0: there is no signature"));
    theirs.sign_in(&fake, artifact);
    assert!(problem(&fake).await.contains("none of its 1 signatures holds: it was not made with the key"));
    put_signatures(&fake, artifact, &[theirs.sign(artifact, |_| ()), ours.sign(artifact, |_| ())]);
    assert_eq!(verify(&fake, artifact, &keys[1..]).await.unwrap(), keys[1].fingerprint());
    assert_eq!(verify(&fake, artifact, &keys[..1]).await.unwrap(), keys[0].fingerprint());
    assert!(verify(&fake, artifact, &[]).await.unwrap_err().hint().unwrap().contains("--key"));
}

#[tokio::test]
async fn a_signature_for_anything_else_does_not_hold() {
    let (fake, signer) = (FakeRegistry::start().await, Signer::new());
    let artifact = fake.put("1.0.0", b"x").digest;
    let keys = [signer.public_key()];
    let other = signer.sign(Digest::of(b"another"), |_| ());
    let purpose = signer.sign(artifact, |payload| payload["critical"]["type"] = json!("atomic container signature"));
    let nameless = signer.sign(artifact, |payload| payload["critical"] = json!({}));
    let (payload, _) = signer.sign(artifact, |_| ());
    let (_, signature) = signer.sign(artifact, |payload| payload["optional"] = json!({"x": 1}));
    for (signed, problem) in [
        (other, "another artifact"),
        (purpose, "another purpose"),
        (nameless, "names no artifact"),
        ((payload.clone(), signature), "not made with the key"),
        ((payload.clone(), "no base64!".to_owned()), "no signature in Base64"),
    ] {
        put_signatures(&fake, artifact, &[signed]);
        let error = verify(&fake, artifact, &keys).await.unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[tokio::test]
async fn hostile_signatures_end() {
    let (fake, signer) = (FakeRegistry::start().await, Signer::new());
    let artifact = fake.put("1.0.0", b"x").digest;
    let keys = [signer.public_key()];
    let signed = signer.sign(artifact, |_| ());
    put_signatures(&fake, artifact, &vec![signed.clone(); 33]);
    assert!(verify(&fake, artifact, &keys).await.unwrap_err().to_string().contains("more than 32"));
    put_signatures(
        &fake,
        artifact,
        &[signer.sign(artifact, |payload| payload["optional"] = json!("x".repeat(70_000)))],
    );
    assert!(verify(&fake, artifact, &keys).await.unwrap_err().to_string().contains("more than 65536 bytes"));
    put_signatures(&fake, artifact, &[signed]);
    fake.intercept(|seen| if seen.path.contains("/blobs/") { Step::Answer(endless(200)) } else { Step::Pass });
    assert!(verify(&fake, artifact, &keys).await.is_err());
    let tag = format!("{}.sig", artifact.file_stem());
    for manifest in ["", "[]", r#"{"schemaVersion":2,"layers":[{"digest":"x","size":0}]}"#] {
        fake.state.lock().unwrap().manifests.insert(tag.clone(), manifest.into());
        assert!(verify(&fake, artifact, &keys).await.is_err());
    }
}
