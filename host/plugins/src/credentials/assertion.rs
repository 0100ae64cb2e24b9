//! A key that signs assertions: JSON Web Tokens (RFC 7519) for which a token endpoint returns a token (RFC 7523). The
//! algorithm follows from the key: RS256 for RSA, ES256 for a curve P-256 (RFC 7518, section 3.1).

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::json;

use super::{certificate, secret_spellings};
use crate::digest::hexadecimal;

/// The lifetime of an assertion. Some servers accept no more than three minutes.
const LIFETIME: Duration = Duration::from_mins(2);

/// Who asks for a token, and the key that proves it.
pub(crate) struct AssertionKey {
    names: Names,
    pair: KeyPair,
}

enum KeyPair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
}

/// The secret's text: a JSON object. The second names are those of a key file for a service account of Google.
#[derive(Deserialize)]
struct KeyFile {
    #[serde(flatten)]
    names: Names,
    private_key: String,
}

#[derive(Deserialize)]
struct Names {
    issuer: Option<String>,
    client_email: Option<String>,
    subject: Option<String>,
    #[serde(alias = "private_key_id")]
    key_id: Option<String>,
}

impl AssertionKey {
    /// Reads a secret, else says what is wrong with it, as the end of a sentence.
    pub(crate) fn read(text: &str) -> Result<Self, &'static str> {
        // The parser's own error could quote the secret.
        let KeyFile { names, private_key } = serde_json::from_str(text)
            .map_err(|_| "is not a JSON object with `issuer` and `private_key`, a key in PEM")?;
        if names.issuer().is_empty() {
            return Err("has no `issuer`: name the one who signs, as the API knows it");
        }
        Ok(Self { names, pair: KeyPair::read(&private_key)? })
    }

    /// A signed assertion for this audience; none if the key cannot sign.
    pub(crate) fn sign(&self, audience: &str, scope: &str, now: Timestamp) -> Option<String> {
        let mut id = [0; 16];
        let random = SystemRandom::new();
        random.fill(&mut id).ok()?;
        let seconds = now.as_second();
        let ends = seconds.saturating_add(i64::try_from(LIFETIME.as_secs()).ok()?);
        let mut header = json!({ "alg": self.pair.algorithm(), "typ": "JWT" });
        let issuer = self.names.issuer();
        let mut claims =
            json!({ "iss": issuer, "aud": audience, "iat": seconds, "exp": ends, "jti": hexadecimal(&id) });
        let set = |object: &mut serde_json::Value, key: &str, value: Option<&str>| {
            if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
                object.insert(key.to_owned(), value.into());
            }
        };
        set(&mut header, "kid", self.names.key_id.as_deref());
        set(&mut claims, "sub", self.names.subject());
        set(&mut claims, "scope", Some(scope).filter(|scope| !scope.is_empty()));
        let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let signature = self.pair.sign(signed.as_bytes(), &random)?;
        Some(format!("{signed}.{}", BASE64.encode(signature)))
    }
}

impl Names {
    fn issuer(&self) -> &str {
        self.issuer.as_deref().or(self.client_email.as_deref()).unwrap_or_default()
    }

    /// Whom the token stands for. RFC 7523 wants it, and Google takes it for somebody else than the account itself.
    fn subject(&self) -> Option<&str> {
        self.subject.as_deref().or(self.issuer.as_deref())
    }
}

impl KeyPair {
    fn read(pem: &str) -> Result<Self, &'static str> {
        let wrong = "has a `private_key` that is neither an RSA key of at least 2048 bits nor a P-256 key";
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| "has a `private_key` that is not PEM of a key without a password")?;
        match &key {
            PrivateKeyDer::Pkcs8(key) => {
                let key = key.secret_pkcs8_der();
                let p256 = || {
                    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key, &SystemRandom::new())
                        .map(Self::P256)
                };
                RsaKeyPair::from_pkcs8(key).map(Self::Rsa).or_else(|_| p256()).map_err(|_| wrong)
            }
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()).map(Self::Rsa).map_err(|_| wrong),
            _ => Err("has a `private_key` in an old form: convert it with `openssl pkcs8 -topk8 -nodes`"),
        }
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
        }
    }

    fn sign(&self, message: &[u8], random: &SystemRandom) -> Option<Vec<u8>> {
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, random, message, &mut signature).ok()?;
                Some(signature)
            }
            Self::P256(pair) => Some(pair.sign(random, message).ok()?.as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for AssertionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssertionKey").field("issuer", &self.names.issuer()).finish_non_exhaustive()
    }
}

/// Every text of a secret that must not be written, beside the secret itself: the key and its lines.
pub(super) fn spellings(text: &str) -> Vec<String> {
    let Ok(KeyFile { private_key, .. }) = serde_json::from_str(text) else { return Vec::new() };
    let mut spellings = certificate::spellings(&private_key);
    spellings.extend(secret_spellings::secret_spellings(&private_key));
    spellings
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use ring::signature::{ECDSA_P256_SHA256_FIXED, KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use serde_json::Value;

    use super::*;

    /// A key for tests alone, made with `openssl genpkey -algorithm RSA`.
    const RSA: &str = include_str!("assertion/test-key.pem");

    fn secret(names: &Value, private_key: &str) -> String {
        let mut object = names.clone();
        object["private_key"] = private_key.into();
        object.to_string()
    }

    fn p256() -> String {
        let der = rcgen::KeyPair::generate().unwrap().serialize_der();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
    }

    fn parts(assertion: &str) -> (Value, Value, String, Vec<u8>) {
        let (signed, signature) = assertion.rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let read = |text: &str| serde_json::from_slice(&BASE64.decode(text).unwrap()).unwrap();
        (read(header), read(claims), signed.to_owned(), BASE64.decode(signature).unwrap())
    }

    #[test]
    fn an_assertion_is_signed_as_its_key_says() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let names = json!({ "issuer": "the-app", "subject": "ann", "key_id": "k1", "more": 1 });
        for (pem, algorithm) in [(RSA, "RS256"), (&*p256(), "ES256")] {
            let key = AssertionKey::read(&secret(&names, pem)).unwrap();
            let sign = || key.sign("https://auth.test/token", "read write", now).unwrap();
            let (header, claims, signed, signature) = parts(&sign());
            assert_eq!(header, json!({ "alg": algorithm, "typ": "JWT", "kid": "k1" }));
            assert_eq!(
                (&claims["iss"], &claims["sub"], &claims["aud"], &claims["scope"]),
                (&json!("the-app"), &json!("ann"), &json!("https://auth.test/token"), &json!("read write"))
            );
            assert_eq!((&claims["iat"], &claims["exp"]), (&json!(1_767_225_600), &json!(1_767_225_720)));
            assert_ne!(claims["jti"], parts(&sign()).1["jti"], "each is used once");
            let verified = match &key.pair {
                KeyPair::Rsa(pair) => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public().as_ref())
                    .verify(signed.as_bytes(), &signature),
                KeyPair::P256(pair) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref())
                    .verify(signed.as_bytes(), &signature),
            };
            assert!(verified.is_ok(), "{algorithm}");
            assert_eq!(format!("{key:?}"), "AssertionKey { issuer: \"the-app\", .. }");
        }
    }

    #[test]
    fn the_subject_is_the_issuer_unless_it_is_named() {
        let subject = |names: Value| {
            let key = AssertionKey::read(&secret(&names, &p256())).unwrap();
            let (header, claims, ..) = parts(&key.sign("https://auth.test", "", Timestamp::UNIX_EPOCH).unwrap());
            assert_eq!(claims.get("scope"), None);
            (header["kid"].clone(), claims["iss"].clone(), claims["sub"].clone())
        };
        assert_eq!(subject(json!({ "issuer": "a" })), (Value::Null, json!("a"), json!("a")));
        let google = json!({ "type": "service_account", "client_email": "a@b.test", "private_key_id": "7" });
        assert_eq!(subject(google), (json!("7"), json!("a@b.test"), Value::Null));
        assert_eq!(subject(json!({ "client_email": "a@b.test", "subject": "c" })).2, json!("c"));
    }

    #[test]
    fn what_is_no_key_is_told_without_it() {
        let issuer = json!({ "issuer": "a" });
        let sec1 = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\n";
        for (text, expected) in [
            ("hunter2".to_owned(), "is not a JSON object"),
            (json!({ "issuer": "a" }).to_string(), "is not a JSON object"),
            (secret(&json!({}), RSA), "has no `issuer`"),
            (secret(&issuer, "hunter2"), "is not PEM"),
            (secret(&issuer, sec1), "openssl pkcs8"),
            (secret(&issuer, &RSA.replacen("MII", "AII", 1)), "neither an RSA key"),
        ] {
            let problem = AssertionKey::read(&text).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
    }

    #[test]
    fn the_lines_of_a_key_are_secret() {
        let text = secret(&json!({ "issuer": "the-app" }), RSA);
        let spellings = spellings(&text);
        let line = RSA.lines().nth(3).unwrap();
        assert!(spellings.iter().any(|spelling| spelling == line));
        assert!(!spellings.iter().any(|spelling| spelling == "the-app"), "an issuer is no secret");
    }
}
