//! Signatures with a secret that stays in the host.
//!
//! The credential is one of kind `hmac` in provider.toml. An API that wants a signed request gets its header so:
//!
//! ```
//! use damper_sdk::prelude::*;
//!
//! # fn f(request: &FetchRequest) -> Result<http::Response, Failure> {
//! let signature = sign::hmac_sha256("api", format!("GET\n/v1/things\n{}", request.day))?;
//! let answer = http::get("https://api.example.org/v1/things")
//!     .header("X-Signature", signature.hex())
//!     .send()?;
//! # Ok(answer) }
//! # let mut api = damper_sdk::testing::Api::new();
//! # api.signature("api", [0xab]);
//! # api.get("https://api.example.org/v1/things").header("X-Signature", "ab").answers(200, "");
//! # api.run(|| f(&FetchRequest::new("1"))).unwrap();
//! ```

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::{Failure, backend};

/// How to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC (RFC 2104) with SHA-256.
    HmacSha256,
    /// HMAC (RFC 2104) with SHA-512.
    HmacSha512,
}

/// Why the host gave no signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignError {
    /// The manifest names no such credential, or it is not of kind `hmac`.
    NoSuchCredential(String),
    /// The operator bound no secret to it.
    NoSecret(String),
}

/// A missing secret is the operator's to mend: `unauthorized`. A credential that the manifest does not name is the
/// provider's mistake: `other("config")`.
impl From<SignError> for Failure {
    fn from(error: SignError) -> Self {
        match error {
            SignError::NoSuchCredential(name) => {
                Failure::other("config", format!("provider.toml has no credential `{name}` of kind hmac"))
            }
            SignError::NoSecret(name) => {
                Failure::unauthorized(format!("no secret is bound to the credential `{name}`; bind one in damper.toml"))
            }
        }
    }
}

/// A signature's bytes, and the ways in which APIs want them written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature(Vec<u8>);

impl Signature {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Signature(bytes)
    }

    /// The raw bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// In lower-case hexadecimal.
    pub fn hex(&self) -> String {
        self.0
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .filter_map(|digit| char::from_digit(digit.into(), 16))
            .collect()
    }

    /// In base64 with padding.
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.0)
    }

    /// In base64url without padding.
    pub fn base64_url(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.0)
    }
}

/// Signs with HMAC-SHA-256.
///
/// # Errors
///
/// [`SignError`], where the credential is not there or has no secret.
pub fn hmac_sha256(credential: &str, payload: impl AsRef<[u8]>) -> Result<Signature, SignError> {
    backend::sign(credential, Algorithm::HmacSha256, payload.as_ref())
}

/// Signs with HMAC-SHA-512.
///
/// # Errors
///
/// [`SignError`], where the credential is not there or has no secret.
pub fn hmac_sha512(credential: &str, payload: impl AsRef<[u8]>) -> Result<Signature, SignError> {
    backend::sign(credential, Algorithm::HmacSha512, payload.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FailureKind;

    #[test]
    fn writes_a_signature_as_apis_want_it() {
        let signature = Signature::new(vec![0x00, 0xff, 0x0a]);
        assert_eq!(signature.hex(), "00ff0a");
        assert_eq!(signature.base64(), "AP8K");
        assert_eq!(Signature::new(vec![0xfb, 0xff]).base64_url(), "-_8");
    }

    #[test]
    fn a_missing_secret_stops_the_provider() {
        let failure = Failure::from(SignError::NoSecret("api".to_owned()));
        assert_eq!(failure.kind, FailureKind::Unauthorized);
    }
}
