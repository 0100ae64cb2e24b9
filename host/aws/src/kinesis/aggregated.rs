//! Records that the Kinesis Producer Library has packed together.
//!
//! ```text
//! F3 89 9A C2 | AggregatedRecord (protobuf) | MD5 of the protobuf, 16 bytes
//!
//! AggregatedRecord { repeated string partition_key_table = 1; repeated string explicit_hash_key_table = 2;
//!                    repeated Record records = 3; }
//! Record           { uint64 partition_key_index = 1; uint64 explicit_hash_key_index = 2; bytes data = 3;
//!                    repeated Tag tags = 4; }
//! ```
//!
//! (awslabs/amazon-kinesis-producer, `aggregation-format.md`.) Only the data is wanted, so this reads the few shapes of
//! protobuf that there are, and copies nothing.

use bytes::Bytes;
use md5::{Digest, Md5};

const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
const DIGEST_BYTES: usize = 16;
/// `AggregatedRecord.records` and `Record.data`.
const DATA_FIELD: u64 = 3;

/// The items in an aggregated record; `None` where it is none, or is damaged, or holds none.
#[must_use]
pub fn unpack(record: &Bytes) -> Option<Vec<Bytes>> {
    let end = record.len().checked_sub(DIGEST_BYTES).filter(|end| *end > MAGIC.len())?;
    if record.get(..MAGIC.len())? != MAGIC {
        return None;
    }
    let message = record.slice(MAGIC.len()..end);
    if Md5::digest(&message)[..] != *record.get(end..)? {
        return None;
    }
    let items =
        read_data_fields(&message)?.iter().map(|item| read_data_fields(item)?.pop()).collect::<Option<Vec<_>>>()?;
    Some(items).filter(|items| !items.is_empty())
}

/// The byte strings of a message's field 3, in order; `None` where it is no message.
fn read_data_fields(message: &Bytes) -> Option<Vec<Bytes>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < message.len() {
        let tag = read_varint(message, &mut at)?;
        match tag & 7 {
            0 => drop(read_varint(message, &mut at)?),
            1 => at = skip_bytes(message, at, 8)?,
            2 => {
                let length = usize::try_from(read_varint(message, &mut at)?).ok()?;
                let end = skip_bytes(message, at, length)?;
                if tag >> 3 == DATA_FIELD {
                    found.push(message.slice(at..end));
                }
                at = end;
            }
            5 => at = skip_bytes(message, at, 4)?,
            _ => return None,
        }
    }
    Some(found)
}

fn skip_bytes(message: &Bytes, at: usize, bytes: usize) -> Option<usize> {
    at.checked_add(bytes).filter(|end| *end <= message.len())
}

/// A number of seven bits a byte, the lowest first.
fn read_varint(message: &Bytes, at: &mut usize) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *message.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write_varint(mut value: u64, out: &mut Vec<u8>) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    fn write_bytes(field: u64, bytes: &[u8], out: &mut Vec<u8>) {
        write_varint(field << 3 | 2, out);
        write_varint(bytes.len() as u64, out);
        out.extend_from_slice(bytes);
    }

    /// As the producer library packs them: one partition key, and each record's index of it before its data.
    pub(in crate::kinesis) fn pack(items: &[&[u8]]) -> Vec<u8> {
        let mut message = Vec::new();
        write_bytes(1, b"a partition key", &mut message);
        for item in items {
            let mut record = vec![1 << 3, 0];
            write_bytes(3, item, &mut record);
            write_bytes(4, b"a tag", &mut record);
            write_bytes(3, &record, &mut message);
        }
        seal(&message)
    }

    fn seal(message: &[u8]) -> Vec<u8> {
        [&MAGIC[..], message, &Md5::digest(message)[..]].concat()
    }

    #[test]
    fn what_was_packed_elsewhere_is_unpacked() {
        // Written out by hand from the format's description: keys "k"; records {0, "one"} and {0, "two"}.
        let message = b"\x0a\x01k\x1a\x07\x08\x00\x1a\x03one\x1a\x07\x08\x00\x1a\x03two";
        let record = Bytes::from(seal(message));
        assert_eq!(unpack(&record).unwrap(), [&b"one"[..], b"two"]);
    }

    #[test]
    fn what_is_not_aggregated_is_left_alone() {
        let cases: [&[u8]; 5] =
            [b"", &MAGIC, b"{\"id\":\"a\"}", b"\xf3\x89\x9a\xc2 but this is only long enough", b"\xf3"];
        for record in cases {
            assert_eq!(unpack(&Bytes::copy_from_slice(record)), None);
        }
        assert_eq!(unpack(&seal(b"").into()), None, "nothing inside");
        assert_eq!(unpack(&seal(b"\x1a\x02\x08\x00").into()), None, "a record without data");
    }

    proptest! {
        #[test]
        fn whatever_is_packed_comes_out_in_order(
            items in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..20),
        ) {
            let slices: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(unpack(&pack(&slices).into()).unwrap(), slices);
        }

        #[test]
        fn no_message_makes_it_panic(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack(&seal(&message).into());
        }

        #[test]
        fn any_flipped_bit_is_noticed(bit in 0_usize..8, at in any::<prop::sample::Index>()) {
            let mut record = pack(&[b"one", b"two"]);
            let at = at.index(record.len());
            record[at] ^= 1 << bit;
            prop_assert_eq!(unpack(&record.into()), None);
        }
    }
}
