//! One record of a stream, and the order of sequence numbers.

use std::cmp::Ordering;
use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;

/// A record's number within its shard: a decimal number of up to 128 digits, ordered as a number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SequenceNumber(String);

impl SequenceNumber {
    /// The number as the stream writes it.
    #[must_use]
    pub fn new(digits: impl Into<String>) -> Self {
        Self(digits.into())
    }

    /// The number as the stream writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mine, theirs) = (self.0.trim_start_matches('0'), other.0.trim_start_matches('0'));
        // Equal numbers that are written differently stay apart, so that the order agrees with equality.
        (mine.len(), mine, &self.0).cmp(&(theirs.len(), theirs, &other.0))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// One record of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the shard.
    pub sequence: SequenceNumber,
    /// The key that orders records among each other.
    pub partition_key: String,
    /// The content.
    pub data: Bytes,
    /// When the stream got it.
    pub arrived: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_are_ordered_as_numbers() {
        let mut numbers = ["10", "9", "0009", "49590338271490256608559692538361571095921575989136588898", "100"]
            .map(SequenceNumber::new)
            .to_vec();
        numbers.sort();
        let sorted: Vec<_> = numbers.iter().map(SequenceNumber::as_str).collect();
        assert_eq!(sorted, ["0009", "9", "10", "100", "49590338271490256608559692538361571095921575989136588898"]);
    }
}
