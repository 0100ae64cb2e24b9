//! Kinesis, both ways: items are fed into a provider's stream, and what a batch holds becomes entries.
//!
//! A producer may pack many items into one Kinesis record (KPL aggregation, see [`aggregated`]). Its entries are named
//! `SEQUENCE/INDEX`, all others `SEQUENCE`; [`record_of`] names the Kinesis record behind either, which is what a
//! batch's response has to name.

pub mod aggregated;
mod feed;

use bytes::Bytes;
use damper_core::item::{Entry, SequenceNumber};
use jiff::Timestamp;

pub use feed::{FeedError, FeedSummary, Feeder};

/// One record of a Kinesis batch, as it was delivered.
#[derive(Debug, Clone)]
pub struct KinesisRecord {
    /// Its sequence number.
    pub sequence: String,
    /// When it came into the stream.
    pub arrived: Timestamp,
    /// Its bytes.
    pub data: Bytes,
}

/// The entries of a batch, in order. A record that looks aggregated and is damaged is one entry as it is.
///
/// ```
/// use damper_aws::kinesis::{KinesisRecord, entries, record_of};
///
/// let record = KinesisRecord {
///     sequence: "4963".to_owned(),
///     arrived: "2026-11-22T10:00:00Z".parse()?,
///     data: r#"{"id":"42"}"#.into(),
/// };
/// let entries = entries([record]);
/// assert_eq!(entries.len(), 1);
/// assert_eq!(entries[0].payload, r#"{"id":"42"}"#);
///
/// // An entry of an aggregated record is named by its index; a batch's response names the Kinesis record.
/// assert_eq!(record_of(&entries[0].sequence), "4963");
/// assert_eq!(record_of(&"4963/7".into()), "4963");
/// # Ok::<(), jiff::Error>(())
/// ```
#[must_use]
pub fn entries(records: impl IntoIterator<Item = KinesisRecord>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for KinesisRecord { sequence, arrived, data } in records {
        match aggregated::unpack(&data) {
            Some(items) => entries.extend(items.into_iter().enumerate().map(|(index, payload)| Entry {
                sequence: SequenceNumber::from(format!("{sequence}/{index}").as_str()),
                arrived,
                payload,
            })),
            None => entries.push(Entry { sequence: SequenceNumber::from(sequence.as_str()), arrived, payload: data }),
        }
    }
    entries
}

/// The sequence number of the Kinesis record that an entry came in.
#[must_use]
pub fn record_of(entry: &SequenceNumber) -> &str {
    entry.0.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sequence: &str, data: Bytes) -> KinesisRecord {
        KinesisRecord { sequence: sequence.to_owned(), arrived: Timestamp::UNIX_EPOCH, data }
    }

    #[test]
    fn items_of_one_record_have_names_that_lead_back_to_it() {
        let packed = aggregated::tests::pack(&[b"a", b"b"]);
        let records = [record("7", Bytes::from_static(b"x")), record("8", packed.into())];
        let entries = entries(records);
        let read: Vec<_> = entries.iter().map(|entry| (&*entry.sequence.0, &entry.payload[..])).collect();
        assert_eq!(read, [("7", &b"x"[..]), ("8/0", b"a"), ("8/1", b"b")]);
        assert_eq!(entries.iter().map(|entry| record_of(&entry.sequence)).collect::<Vec<_>>(), ["7", "8", "8"]);
    }

    #[test]
    fn a_damaged_record_is_one_entry_as_it_is() {
        let mut packed = aggregated::tests::pack(&[b"a", b"b"]);
        let last = packed.len() - 1;
        packed[last] ^= 1;
        let entries = entries([record("8", packed.clone().into())]);
        assert_eq!(entries.len(), 1);
        assert_eq!((&*entries[0].sequence.0, &entries[0].payload[..]), ("8", &packed[..]));
    }
}
