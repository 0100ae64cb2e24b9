//! Sealing of what is stored with a key that comes from a credential's secret: who cannot read the secret cannot read
//! what is stored, and a changed secret makes it unreadable.
//!
//! A sealed text is a format number, a salt, a nonce, and the text encrypted with AES-256-GCM (NIST SP 800-38D). The
//! key is HKDF-SHA256 (RFC 5869) of the secret and the salt, so each text has a key of its own. The context is
//! authenticated and not stored: what is sealed for one endpoint cannot be opened for another.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::grants::{Secret, TokenEndpoint};

/// The first byte of a sealed text.
const FORMAT: u8 = 1;
const SALT_BYTES: usize = 16;
const HEADER_BYTES: usize = 1 + SALT_BYTES + NONCE_LEN;
/// The purpose of the key: the same secret gives no other purpose the same key.
const PURPOSE: &[u8] = b"damper: sealed token";

/// What a sealed text belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SealContext(Vec<u8>);

impl SealContext {
    /// The credential's names and all that decides which token it gets. Each part has its length before it, so that no
    /// two contexts are the same bytes.
    pub(super) fn new(provider: &str, credential: &str, endpoint: &TokenEndpoint) -> Self {
        let TokenEndpoint { url, scopes, audience, .. } = endpoint;
        let audience = audience.as_deref().unwrap_or_default();
        let scopes = scopes.iter().map(String::as_str);
        let parts = [provider, credential, url.as_str(), audience].into_iter().chain(scopes);
        Self(parts.flat_map(|part| (part.len() as u64).to_be_bytes().into_iter().chain(part.bytes())).collect())
    }
}

/// Seals a text; none if the system has no random numbers.
pub(super) fn seal(secret: &Secret, context: &SealContext, text: &[u8]) -> Option<Vec<u8>> {
    let mut header = [0; HEADER_BYTES];
    let (format, random) = header.split_first_mut()?;
    *format = FORMAT;
    SystemRandom::new().fill(random).ok()?;
    let (key, nonce) = derive_key(secret, &header)?;
    let mut sealed = Zeroizing::new(text.to_vec());
    // The text is encrypted in place; the tag is added apart, so that no copy of the text is left by a growing buffer.
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&context.0), &mut sealed).ok()?;
    Some([&header[..], &sealed, tag.as_ref()].concat())
}

/// Opens a text that was sealed with this secret for this context; none where it was not, whatever the bytes are.
pub(super) fn open(secret: &Secret, context: &SealContext, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (header, encrypted) = sealed.split_first_chunk::<HEADER_BYTES>()?;
    if header.first() != Some(&FORMAT) {
        return None;
    }
    let (key, nonce) = derive_key(secret, header)?;
    let mut text = Zeroizing::new(encrypted.to_vec());
    let length = key.open_in_place(nonce, Aad::from(&context.0), &mut text).ok()?.len();
    text.truncate(length);
    Some(text)
}

fn derive_key(secret: &Secret, header: &[u8; HEADER_BYTES]) -> Option<(LessSafeKey, Nonce)> {
    let (salt, nonce) = header.get(1..)?.split_at_checked(SALT_BYTES)?;
    let derived = Salt::new(HKDF_SHA256, salt).extract(secret.expose().as_bytes());
    let key = UnboundKey::from(derived.expand(&[PURPOSE], &AES_256_GCM).ok()?);
    Some((LessSafeKey::new(key), Nonce::try_assume_unique_for_key(nonce).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grants::ClientAuth;

    fn context(provider: &str, credential: &str, scopes: &[&str], audience: Option<&str>) -> SealContext {
        let endpoint = TokenEndpoint {
            url: "https://auth.test/token".parse().unwrap(),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            client_auth: ClientAuth::Basic,
            audience: audience.map(str::to_owned),
        };
        SealContext::new(provider, credential, &endpoint)
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_secret_and_context_alone() {
        let (secret, ours) = (Secret::new("id:hunter2"), context("demo", "login", &["a", "b"], None));
        let sealed = seal(&secret, &ours, b"t0ken").unwrap();
        assert_eq!(open(&secret, &ours, &sealed).unwrap().as_slice(), b"t0ken");
        assert!(open(&Secret::new("id:hunter3"), &ours, &sealed).is_none());
        for other in [
            context("demo2", "login", &["a", "b"], None),
            context("demo", "logi", &["n", "a", "b"], None),
            context("demo", "login", &["a b"], None),
            context("demo", "login", &["a"], None),
            context("demo", "login", &["a", "b"], Some("x")),
        ] {
            assert!(other != ours && open(&secret, &other, &sealed).is_none());
        }
    }

    #[test]
    fn the_same_text_is_never_sealed_to_the_same_bytes_and_shows_nothing() {
        let (secret, context) = (Secret::new("id:hunter2"), context("demo", "login", &[], None));
        let [one, other] = [(); 2].map(|()| seal(&secret, &context, b"t0ken-t0ken").unwrap());
        assert_ne!(one, other);
        assert_ne!(one[HEADER_BYTES..], other[HEADER_BYTES..]);
        assert!(!one.windows(5).any(|part| part == b"t0ken"));
    }

    #[test]
    fn bytes_that_were_changed_or_cut_do_not_open() {
        let (secret, context) = (Secret::new("id:hunter2"), context("demo", "login", &[], None));
        let sealed = seal(&secret, &context, b"t0ken").unwrap();
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(open(&secret, &context, &changed).is_none(), "byte {index}");
            assert!(open(&secret, &context, &sealed[..index]).is_none(), "the first {index} bytes");
        }
    }
}
