//! Stable ids: the same name gives the same id, in every process and on every day.
//!
//! For what an API wants an id of, such as an idempotency key or a reference of your own. Both functions are a few
//! hundred bytes of code; no crate comes into the component.

/// The namespace of RFC 9562 for names that are URLs.
pub const NAMESPACE_URL: [u8; 16] =
    [0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8];

/// The UUID of version 5 (RFC 9562, section 5.5) of a name in a namespace, in lower case with hyphens.
///
/// ```
/// use damper_sdk::ids;
///
/// let id = ids::uuid_v5(ids::NAMESPACE_URL, "https://www.example.com/");
/// assert_eq!(id, "3d3ed9d2-aa3d-5fa6-90e8-ed662e90f559");
/// ```
#[must_use]
pub fn uuid_v5(namespace: [u8; 16], name: impl AsRef<[u8]>) -> String {
    let digest = sha1(&[&namespace, name.as_ref()].concat());
    let mut text = String::with_capacity(36);
    for (position, byte) in digest.into_iter().take(16).enumerate() {
        if matches!(position, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        push_hex(
            &mut text,
            match position {
                6 => byte & 0x0f | 0x50,
                8 => byte & 0x3f | 0x80,
                _ => byte,
            },
        );
    }
    text
}

/// The SHA-256 of some bytes, in lower-case hexadecimal.
///
/// ```
/// use damper_sdk::ids;
///
/// let digest = ids::sha256_hex("abc");
/// assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
/// ```
#[must_use]
pub fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    let mut text = String::with_capacity(64);
    for byte in sha256(bytes.as_ref()) {
        push_hex(&mut text, byte);
    }
    text
}

fn push_hex(text: &mut String, byte: u8) {
    for digit in [byte >> 4, byte & 0x0f] {
        text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
    }
}

/// The message, padded as both digests want it, in words of 32 bits.
fn padded_words(message: &[u8]) -> Vec<u32> {
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend((message.len() as u64).wrapping_mul(8).to_be_bytes());
    padded.chunks_exact(4).map(|word| word.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))).collect()
}

/// FIPS 180-4, section 6.1.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in padded_words(message).chunks_exact(16) {
        let mut words = block.to_vec();
        for t in 16..80 {
            let mixed = [3, 8, 14, 16].iter().fold(0, |mixed, back| mixed ^ word_at(&words, t - back));
            words.push(mixed.rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (t, word) in words.iter().enumerate() {
            let (mixed, constant) = match t {
                0..20 => (b & c | !b & d, 0x5a82_7999),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => (b & c | b & d | c & d, 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let next = [mixed, e, constant, *word].iter().fold(a.rotate_left(5), |sum, part| sum.wrapping_add(*part));
            (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
        }
        add(&mut state, [a, b, c, d, e]);
    }
    to_bytes(state)
}

#[rustfmt::skip]
const SHA256_CONSTANTS: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// FIPS 180-4, section 6.2.
fn sha256(message: &[u8]) -> [u8; 32] {
    let mut state: [u32; 8] =
        [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
    for block in padded_words(message).chunks_exact(16) {
        let mut words = block.to_vec();
        for t in 16..64 {
            let (early, late) = (word_at(&words, t - 15), word_at(&words, t - 2));
            let early = early.rotate_right(7) ^ early.rotate_right(18) ^ (early >> 3);
            let late = late.rotate_right(17) ^ late.rotate_right(19) ^ (late >> 10);
            let sum = word_at(&words, t - 16).wrapping_add(early).wrapping_add(word_at(&words, t - 7));
            words.push(sum.wrapping_add(late));
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
        for (word, constant) in words.iter().zip(SHA256_CONSTANTS) {
            let rotated = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let chosen = e & f ^ !e & g;
            let first = h.wrapping_add(rotated).wrapping_add(chosen).wrapping_add(constant).wrapping_add(*word);
            let rotated = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let second = rotated.wrapping_add(a & b ^ a & c ^ b & c);
            (a, b, c, d, e, f, g, h) = (first.wrapping_add(second), a, b, c, d.wrapping_add(first), e, f, g);
        }
        add(&mut state, [a, b, c, d, e, f, g, h]);
    }
    to_bytes(state)
}

fn word_at(words: &[u32], position: usize) -> u32 {
    words.get(position).copied().unwrap_or_default()
}

fn add<const WORDS: usize>(state: &mut [u32; WORDS], other: [u32; WORDS]) {
    for (word, added) in state.iter_mut().zip(other) {
        *word = word.wrapping_add(added);
    }
}

fn to_bytes<const WORDS: usize, const BYTES: usize>(state: [u32; WORDS]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (byte, value) in bytes.iter_mut().zip(state.into_iter().flat_map(u32::to_be_bytes)) {
        *byte = value;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180's examples, and the lengths around the end of a block.
    #[test]
    fn digests_are_those_of_the_standard() {
        assert_eq!(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        assert_eq!(sha256_hex(two_blocks), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
        let million = "a".repeat(1_000_000);
        assert_eq!(sha256_hex(million), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
        let around_a_block = [
            (55, "d5e285683cd4efc02d021a5c62014694958901005d6f71e89e0989fac77e4072"),
            (56, "04c26261370ee7541549d16dee320c723e3fd14671e66a099afe0a377c16888e"),
            (63, "75220b47218278e656f2013bb8f0c455a25eaf01e86c64924e9d48d89776d6f2"),
            (64, "7ce100971f64e7001e8fe5a51973ecdfe1ced42befe7ee8d5fd6219506b5393c"),
        ];
        for (length, digest) in around_a_block {
            assert_eq!(sha256_hex("x".repeat(length)), digest, "{length}");
        }
    }

    #[test]
    fn names_have_the_uuids_of_the_standard() {
        let mut dns = NAMESPACE_URL;
        dns[3] = 0x10;
        assert_eq!(uuid_v5(dns, "www.example.com"), "2ed6657d-e927-568b-95e1-2665a8aea6a2", "RFC 9562, A.4");
        assert_eq!(uuid_v5(NAMESPACE_URL, "ä\n€"), "5dca6e5a-3589-5d94-9207-943ae967a6b3");
        assert_eq!(uuid_v5(NAMESPACE_URL, "x".repeat(64)), "9d07bf9d-4264-5f1e-9682-bc55c8180b46");
    }
}
