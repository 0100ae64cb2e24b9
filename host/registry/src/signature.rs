//! Keyed signatures as cosign makes them
//! (<https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>): ECDSA on P-256 with SHA-256.
//!
//! The signature of an artifact is in the registry, under a tag made of the artifact's digest. Its payload names that
//! digest, and the signature is over the payload. Nothing but the operator's public key is trusted: no certificate, no
//! transparency log, no time. The signature of a file (`cosign sign-blob`) is a file of its own.
//!
//! Who holds the private key can sign any content; a signature does not say that a version is the newest.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use damper_core::escape::escape_text;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::artifact::AnyManifest;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::reference::Reference;
use crate::registry::Registry;
pub use crate::signature_error::SignatureError;

/// The longest file of a public key or of a signature, in bytes.
pub const MAX_FILE_BYTES: usize = 64 << 10;
const MAX_PAYLOAD_BYTES: u64 = 64 << 10;
/// The longest signature in Base64; real ones have some 96 bytes.
const MAX_SIGNATURE_BYTES: usize = 1_024;
/// The most signatures of one artifact that are looked at.
const MAX_SIGNATURES: usize = 32;
const PAYLOAD_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ANNOTATION: &str = "dev.cosignproject.cosign/signature";
const CLAIM_TYPE: &str = "cosign container image signature";
const PEM_BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const PEM_END: &str = "-----END PUBLIC KEY-----";
/// What stands before the point in the `SubjectPublicKeyInfo` of a key on P-256 (RFC 5480): both algorithms, and a bit
/// string of 65 bytes.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const POINT_BYTES: usize = 65;

/// A public key on P-256.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey([u8; POINT_BYTES]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.fingerprint())
    }
}

impl PublicKey {
    /// Reads the PEM file that `cosign generate-key-pair` writes.
    ///
    /// # Errors
    /// If it is no public key, or one of another kind.
    pub fn from_pem(pem: &str) -> Result<Self, SignatureError> {
        if pem.len() > MAX_FILE_BYTES {
            return Err(SignatureError::Key("the file is too long"));
        }
        if pem.contains("PRIVATE KEY") {
            return Err(SignatureError::Key("it is a private key, which stays with the one who signs"));
        }
        let body = pem.split_once(PEM_BEGIN).and_then(|(_, rest)| rest.split_once(PEM_END));
        let (body, rest) = body.ok_or(SignatureError::Key("it is no PEM file with a PUBLIC KEY"))?;
        if rest.contains(PEM_BEGIN) {
            return Err(SignatureError::Key("it has more than one key; give each in a file of its own"));
        }
        let body: String = body.chars().filter(|character| !character.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(body).map_err(|_| SignatureError::Key("its Base64 is damaged"))?;
        let point = der.strip_prefix(&P256_PREFIX).and_then(|point| <[u8; POINT_BYTES]>::try_from(point).ok());
        let point = point.ok_or(SignatureError::Key("it is not an ECDSA key on P-256"))?;
        if point.first() != Some(&4) {
            return Err(SignatureError::Key("its point is not in the uncompressed form"));
        }
        Ok(Self(point))
    }

    /// The SHA-256 of the key in DER, which tools show to tell keys apart.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        Digest::of(&[P256_PREFIX.as_slice(), &self.0].concat()).to_string()
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, self.0).verify(message, signature).is_ok()
    }
}

/// A payload and its signature: with a key, and without the registry, it proves that an artifact is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedPayload {
    /// The payload, as JSON.
    payload: String,
    /// The signature, in Base64.
    signature: String,
}

#[derive(Deserialize)]
struct SimpleSigning {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: SignedImage,
    #[serde(rename = "type")]
    claim_type: String,
}

#[derive(Deserialize)]
struct SignedImage {
    #[serde(rename = "docker-manifest-digest")]
    manifest: String,
}

impl SignedPayload {
    /// Checks that this signs the artifact of this digest with one of the keys. Returns the key.
    ///
    /// # Errors
    /// If it does not.
    pub fn verify<'a>(&self, artifact: Digest, keys: &'a [PublicKey]) -> Result<&'a PublicKey, SignatureError> {
        if keys.is_empty() {
            return Err(SignatureError::NoKey);
        }
        let invalid = |last| SignatureError::Invalid { count: 1, last };
        let signature = decode(&self.signature).ok_or(invalid("it is no signature in Base64"))?;
        let signer = keys.iter().find(|key| key.verifies(self.payload.as_bytes(), &signature));
        let signer = signer.ok_or(invalid("it was not made with the key"))?;
        // Only what is signed is read.
        let SimpleSigning { critical } =
            serde_json::from_str(&self.payload).map_err(|_| invalid("its payload names no artifact"))?;
        if critical.claim_type != CLAIM_TYPE {
            return Err(invalid("it was made for another purpose"));
        }
        if critical.image.manifest != artifact.to_string() {
            return Err(invalid("it was made for another artifact"));
        }
        Ok(signer)
    }
}

/// Checks the signature of a file, as `cosign sign-blob` writes it. Returns the key.
///
/// # Errors
/// If it does not hold.
pub fn verify_file<'a>(
    content: &[u8],
    signature: &str,
    keys: &'a [PublicKey],
) -> Result<&'a PublicKey, SignatureError> {
    if keys.is_empty() {
        return Err(SignatureError::NoKey);
    }
    let signature = decode(signature.trim()).ok_or_else(|| {
        SignatureError::Malformed("it is no signature in Base64, as `cosign sign-blob` writes it".to_owned())
    })?;
    let signer = keys.iter().find(|key| key.verifies(content, &signature));
    signer.ok_or(SignatureError::Invalid { count: 1, last: "it was not made with the key, or for another file" })
}

/// Finds a signature of an artifact in its registry that holds. Returns it for later checks, and the key.
///
/// # Errors
/// If there is none that holds, or the registry fails.
pub async fn find_signature<'a>(
    registry: &Registry,
    reference: &Reference,
    artifact: Digest,
    keys: &'a [PublicKey],
) -> Result<(SignedPayload, &'a PublicKey), RegistryError> {
    let refuse = |problem| RegistryError::Signature { subject: reference.to_string(), problem };
    if keys.is_empty() {
        return Err(refuse(SignatureError::NoKey));
    }
    let tag = format!("{}.sig", artifact.file_stem());
    let Some((manifest, _)) = registry.fetch_manifest(&tag).await? else {
        return Err(refuse(SignatureError::Unsigned));
    };
    let malformed = |problem: String| refuse(SignatureError::Malformed(problem));
    let manifest = AnyManifest::parse(&manifest).map_err(|error| malformed(error.to_string()))?;
    let layers: Vec<_> = manifest.layers.iter().filter(|layer| layer.media_type == PAYLOAD_TYPE).collect();
    if layers.len() > MAX_SIGNATURES {
        return Err(malformed(format!("there are more than {MAX_SIGNATURES}")));
    }
    let mut last = SignatureError::Unsigned;
    for layer in &layers {
        let signature = layer.annotations.as_ref().and_then(|annotations| annotations.get(ANNOTATION));
        let digest = layer.digest.parse().map_err(|_| malformed(escape_text(&layer.digest)))?;
        if layer.size > MAX_PAYLOAD_BYTES {
            return Err(malformed(format!("its payload has more than {MAX_PAYLOAD_BYTES} bytes")));
        }
        let payload = registry.fetch_blob(digest, layer.size).await?.and_then(|it| String::from_utf8(it).ok());
        let (Some(payload), Some(signature)) = (payload, signature.cloned()) else {
            last = SignatureError::Invalid { count: layers.len(), last: "its payload or signature is missing" };
            continue;
        };
        let signed = SignedPayload { payload, signature };
        match signed.verify(artifact, keys) {
            Ok(key) => return Ok((signed, key)),
            Err(SignatureError::Invalid { last: problem, .. }) => {
                last = SignatureError::Invalid { count: layers.len(), last: problem };
            }
            Err(error) => last = error,
        }
    }
    Err(refuse(last))
}

fn decode(signature: &str) -> Option<Vec<u8>> {
    STANDARD.decode(signature).ok().filter(|_| signature.len() <= MAX_SIGNATURE_BYTES)
}

#[cfg(test)]
mod tests;
