//! Stable ids: the same text gives the same id, in each attempt and each language. For an idempotency key, or a record
//! without an id. A random one would be another in each attempt, and the API would take the retry for another order.
//!
//! ```
//! use damper_sdk::{Failure, ids};
//!
//! let key = ids::uuid_v5(ids::NAMESPACE_DNS, "www.example.com")?;
//! assert_eq!(key, "2ed6657d-e927-568b-95e1-2665a8aea6a2");
//! assert!(ids::sha256_hex("abc").starts_with("ba7816bf8f01cfea"));
//! # Ok::<(), Failure>(())
//! ```

use std::fmt::Write;

use crate::Failure;
use crate::text::short;

/// The namespace of domain names (RFC 9562, section 6.6).
pub const NAMESPACE_DNS: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
/// The namespace of URLs.
pub const NAMESPACE_URL: &str = "6ba7b811-9dad-11d1-80b4-00c04fd430c8";
/// The namespace of ISO's object identifiers.
pub const NAMESPACE_OID: &str = "6ba7b812-9dad-11d1-80b4-00c04fd430c8";

/// The lengths of a UUID's groups of digits.
const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
/// SHA-256's initial state (FIPS 180-4, section 5.3.3).
#[rustfmt::skip]
const SHA256_INITIAL: [u32; 8] = [
    0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
];
/// SHA-1's initial state (section 5.3.1).
const SHA1_INITIAL: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
/// SHA-256's constants (section 4.2.2).
#[rustfmt::skip]
const SHA256_ROUNDS: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// The UUID of a name in a namespace, which is a UUID itself (RFC 9562, version 5, by SHA-1).
///
/// # Errors
///
/// `other("invalid-namespace")` where the namespace is none.
pub fn uuid_v5(namespace: &str, name: &str) -> Result<String, Failure> {
    let mut message = uuid_bytes(namespace).ok_or_else(|| {
        let shown = short(namespace);
        let reason = format!("the namespace `{shown}` is not a UUID, such as {NAMESPACE_URL}");
        Failure::other("invalid-namespace", reason)
    })?;
    message.extend_from_slice(name.as_bytes());
    let [a, b, c, d, _] = digest(&message, SHA1_INITIAL, compress_sha1);
    let b = b & 0xffff_0fff | 0x5000;
    let c = c & 0x3fff_ffff | 0x8000_0000;
    Ok(format!("{a:08x}-{:04x}-{:04x}-{:04x}-{:04x}{d:08x}", b >> 16, b & 0xffff, c >> 16, c & 0xffff))
}

/// SHA-256 (FIPS 180-4) of text in UTF-8 or of bytes, in lower-case hexadecimal.
pub fn sha256_hex(value: impl AsRef<[u8]>) -> String {
    digest(value.as_ref(), SHA256_INITIAL, compress_sha256).iter().fold(String::new(), |mut text, word| {
        let _ = write!(text, "{word:08x}");
        text
    })
}

/// The 16 bytes of a UUID as it is written, with its hyphens.
fn uuid_bytes(uuid: &str) -> Option<Vec<u8>> {
    if !uuid.split('-').map(str::len).eq(GROUPS) {
        return None;
    }
    let digits: Option<Vec<u32>> = uuid.chars().filter(|c| *c != '-').map(|digit| digit.to_digit(16)).collect();
    let (pairs, _) = digits.as_deref()?.as_chunks::<2>();
    pairs.iter().map(|[high, low]| u8::try_from(high * 16 + low).ok()).collect()
}

/// Pads a message (FIPS 180-4, section 5.1.1) and lets `compress` make a new state of each block.
fn digest<const N: usize>(message: &[u8], initial: [u32; N], compress: fn([u32; N], &[u32]) -> [u32; N]) -> [u32; N] {
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend_from_slice(&(message.len() as u64 * 8).to_be_bytes());
    let (words, _) = padded.as_chunks::<4>();
    let words: Vec<u32> = words.iter().map(|word| u32::from_be_bytes(*word)).collect();
    words.chunks_exact(16).fold(initial, compress)
}

/// Adds a block's result to the state before it.
fn add<const N: usize>(state: [u32; N], result: [u32; N]) -> [u32; N] {
    let mut sums = result.into_iter();
    state.map(|word| word.wrapping_add(sums.next().unwrap_or_default()))
}

/// A message schedule: the block's words, and further ones, each made of the words so many places before it.
fn schedule(block: &[u32], length: usize, next: impl Fn(&dyn Fn(usize) -> u32) -> u32) -> Vec<u32> {
    let mut words = block.to_vec();
    while words.len() < length {
        let before = |places: usize| words.get(words.len() - places).copied().unwrap_or_default();
        let word = next(&before);
        words.push(word);
    }
    words
}

fn compress_sha1(state: [u32; 5], block: &[u32]) -> [u32; 5] {
    let words = schedule(block, 80, |before| (before(3) ^ before(8) ^ before(14) ^ before(16)).rotate_left(1));
    let [mut a, mut b, mut c, mut d, mut e] = state;
    for (round, word) in words.into_iter().enumerate() {
        let (f, k) = match round {
            0..20 => (b & c | !b & d, 0x5a82_7999),
            20..40 => (b ^ c ^ d, 0x6ed9_eba1),
            40..60 => (b & c | b & d | c & d, 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6_u32),
        };
        let t = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k).wrapping_add(word);
        (e, d, c, b, a) = (d, c, b.rotate_left(30), a, t);
    }
    add(state, [a, b, c, d, e])
}

fn compress_sha256(state: [u32; 8], block: &[u32]) -> [u32; 8] {
    let words = schedule(block, 64, |before| {
        let (x, y) = (before(15), before(2));
        let s0 = x.rotate_right(7) ^ x.rotate_right(18) ^ x >> 3;
        let s1 = y.rotate_right(17) ^ y.rotate_right(19) ^ y >> 10;
        before(16).wrapping_add(s0).wrapping_add(before(7)).wrapping_add(s1)
    });
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
    for (word, round) in words.into_iter().zip(SHA256_ROUNDS) {
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = e & f ^ !e & g;
        let t1 = h.wrapping_add(s1).wrapping_add(choice).wrapping_add(round).wrapping_add(word);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let t2 = s0.wrapping_add(a & b ^ a & c ^ b & c);
        (h, g, f, e, d, c, b, a) = (g, f, e, d.wrapping_add(t1), c, b, a, t1.wrapping_add(t2));
    }
    add(state, [a, b, c, d, e, f, g, h])
}
