//! Records that the Kinesis Producer Library has packed together.

use bytes::Bytes;
use md5::{Digest, Md5};

use crate::kinesis::aggregated::unpack;

/// The items that are unpacked are parts of the record, in order and without overlap: no record grows. The bytes are
/// taken as a whole record, and as the message within a record whose digest is right.
pub fn kpl(data: &[u8]) {
    check(&Bytes::copy_from_slice(data));
    let sealed = [&b"\xF3\x89\x9A\xC2"[..], data, &Md5::digest(data)[..]].concat();
    check(&sealed.into());
}

fn check(record: &Bytes) {
    let Some(items) = unpack(record) else { return };
    assert!(!items.is_empty());
    let mut before = record.as_ptr() as usize;
    for item in items.iter().filter(|item| !item.is_empty()) {
        let start = item.as_ptr() as usize;
        assert!(start >= before, "items overlap, or are out of order");
        before = start + item.len();
    }
    assert!(before <= record.as_ptr() as usize + record.len(), "an item lies outside of the record");
}
