//! Entries that are kept until their items are due, by ledgers that do so.

use super::{at, letter};
use crate::item::{Entry, SequenceNumber};
use crate::ledger::{Ledger, LongWaits, Parked};

fn parked_entry(sequence: &str, due: u64) -> Parked {
    // Any bytes, and a name as Kinesis gives it to a record of an aggregate.
    let entry = Entry { sequence: SequenceNumber::from(sequence), arrived: at(1), payload: letter("", "").payload };
    Parked { entry, due: at(due) }
}

fn does_not_park(ledger: &dyn Ledger) -> bool {
    ledger.long_waits() != LongWaits::Parked
}

/// The entries that are due at `now`, at most `most`, by name and time; and when the next is due.
async fn due(ledger: &dyn Ledger, provider: &str, now: u64, most: usize) -> (Vec<(String, u64)>, Option<u64>) {
    let seconds = |due: jiff::Timestamp| due.duration_since(at(0)).as_secs() as u64;
    let read = ledger.read_parked(provider, at(now), most).await.unwrap();
    let entries = read.due.iter().map(|parked| (parked.entry.sequence.to_string(), seconds(parked.due)));
    (entries.collect(), read.next_due.map(seconds))
}

fn names(entries: &[(&str, u64)]) -> Vec<(String, u64)> {
    entries.iter().map(|(name, due)| ((*name).to_owned(), *due)).collect()
}

/// See the name.
pub async fn parked_entries_come_when_they_are_due(ledger: &dyn Ledger) {
    if does_not_park(ledger) {
        return;
    }
    let provider = "parked-due";
    assert_eq!(due(ledger, provider, 1_000, 9).await, (Vec::new(), None));
    let entries = [parked_entry("49/0", 60), parked_entry("7", 30), parked_entry("8", 90), parked_entry("9", 60)];
    assert_eq!(ledger.park(provider, &entries).await.unwrap(), 4);
    assert_eq!(due(ledger, provider, 29, 9).await, (Vec::new(), Some(30)));
    assert_eq!(due(ledger, provider, 60, 9).await, (names(&[("7", 30), ("49/0", 60), ("9", 60)]), Some(90)));
    assert_eq!(due(ledger, provider, 60, 1).await, (names(&[("7", 30)]), Some(60)), "the rest is due, too");
    assert_eq!(due(ledger, provider, 60, 3).await.1, Some(90), "as many as are due");
    assert_eq!(due(ledger, provider, 90, 9).await.1, None);
    assert_eq!(due(ledger, "parked-due-not", 90, 9).await, (Vec::new(), None), "of another provider");
    let read = ledger.read_parked(provider, at(30), 9).await.unwrap().due.remove(0).entry;
    assert_eq!((read.arrived, read.payload), (at(1), letter("", "").payload));
}

/// See the name.
pub async fn parking_twice_keeps_one(ledger: &dyn Ledger) {
    if does_not_park(ledger) {
        return;
    }
    let provider = "parked-twice";
    assert_eq!(ledger.park(provider, &[parked_entry("1", 30)]).await.unwrap(), 1);
    assert_eq!(
        ledger.park(provider, &[parked_entry("1", 30), parked_entry("2", 30)]).await.unwrap(),
        1,
        "one of them is new"
    );
    assert_eq!(due(ledger, provider, 30, 9).await, (names(&[("1", 30), ("2", 30)]), None));
}

/// See the name.
pub async fn parked_entries_are_forgotten_by_name_and_time(ledger: &dyn Ledger) {
    if does_not_park(ledger) {
        return;
    }
    let provider = "parked-gone";
    ledger.park(provider, &[parked_entry("1", 30), parked_entry("1", 60), parked_entry("2", 30)]).await.unwrap();
    ledger.unpark(provider, &[parked_entry("1", 30), parked_entry("3", 30), parked_entry("2", 60)]).await.unwrap();
    assert_eq!(due(ledger, provider, 90, 9).await, (names(&[("2", 30), ("1", 60)]), None));
    ledger.unpark(provider, &[parked_entry("1", 60), parked_entry("2", 30)]).await.unwrap();
    ledger.unpark(provider, &[parked_entry("1", 60)]).await.unwrap();
    assert_eq!(due(ledger, provider, 90, 9).await, (Vec::new(), None));
}

/// See the name. More than one answer of DynamoDB holds.
pub async fn many_large_parked_entries_are_read(ledger: &dyn Ledger) {
    if does_not_park(ledger) {
        return;
    }
    let provider = "parked-large";
    let large = |number: u64| {
        let parked = parked_entry(&format!("{number:03}"), 30);
        Parked { entry: Entry { payload: vec![b'x'; 60 * 1024].into(), ..parked.entry }, ..parked }
    };
    let entries: Vec<Parked> = (0..40).map(large).collect();
    assert_eq!(ledger.park(provider, &entries).await.unwrap(), 40);
    let (read, next) = due(ledger, provider, 30, 30).await;
    assert_eq!((read.len(), next), (30, Some(30)));
    assert_eq!(due(ledger, provider, 30, 100).await.0.len(), 40);
}
