//! Temporary.
use bytes::Bytes;
use damper_core::item::{Entry, SequenceNumber};
use jiff::Timestamp;
pub(crate) fn unpack(sequence: &str, arrived: Timestamp, payload: Bytes) -> Vec<Entry> {
    vec![Entry { sequence: sequence.into(), arrived, payload }]
}
pub(crate) fn sequence_of(sequence: &SequenceNumber) -> &str {
    &sequence.0
}
