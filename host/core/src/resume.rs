//! The resume state of an item that is not ready: what the component needs to go on, such as the API's order number.
//!
//! The component returns it with the failure `not-ready`, the ledger keeps it with the item, and the next call of the
//! item gets it back, in whichever process that call runs.

use bytes::Bytes;

/// The longest resume state of an item, in bytes.
pub const MAX_RESUME_BYTES: usize = 4 * 1024;

/// The ledger's entry for an item that was not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeState {
    /// How often the item was not ready.
    pub polls: u32,
    /// The bytes that the component returned last, at most [`MAX_RESUME_BYTES`].
    pub bytes: Bytes,
}
