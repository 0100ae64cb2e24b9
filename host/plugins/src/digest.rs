//! SHA-256 digests and hexadecimal digits, as names and messages show them.

use sha2::{Digest, Sha256};

/// The SHA-256 of some bytes, as `sha256:...`.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hexadecimal(&Sha256::digest(bytes)))
}

/// Two lower-case digits for each byte.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
