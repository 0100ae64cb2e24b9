//! How much of a call's requests is logged.

use damper_core::bundle::{MAX_BODY_BYTES, MAX_EXCHANGES};

/// The most requests of a call that are noted for a person.
const MAX_LOG_ENTRIES: usize = 1_000;

/// The part of its requests that a call logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CaptureLevel {
    /// The first requests with the beginnings of their bodies, for the bundle of a dead letter.
    Bundle,
    /// All requests without headers and bodies, for a person.
    Trace,
    /// All requests, whole.
    Whole,
}

impl CaptureLevel {
    /// The most bytes of a body that are logged. None: neither bodies nor headers are logged.
    pub(crate) fn max_body_bytes(self) -> Option<usize> {
        match self {
            Self::Bundle => Some(MAX_BODY_BYTES),
            Self::Trace => None,
            Self::Whole => Some(usize::MAX),
        }
    }

    /// The most requests that are logged.
    pub(crate) fn max_requests(self) -> usize {
        if self == Self::Bundle { MAX_EXCHANGES } else { MAX_LOG_ENTRIES }
    }
}
