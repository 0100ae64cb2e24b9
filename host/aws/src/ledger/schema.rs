//! The schema of the table: every item, key, attribute and lifetime on one screen, and how keys and values are written.
//!
//! One table, on demand, `pk` (text) and `sk` (text); its time-to-live attribute is `ttl`.
//!
//! | item | `pk` | `sk` | lifetime |
//! | --- | --- | --- | --- |
//! | row: one identity on one day | `r#PROVIDER#IDENTITY` | the day, `YYYY-MM-DD` | `ttl`: [`ROW_LIFETIME`] after its last claim |
//! | slots: who may have how many requests in flight | `c#PROVIDER` | `slots` | for good |
//! | the control item | `c#PROVIDER` | `control` | for good |
//! | a credential's token, sealed, and who requests the next one | `c#PROVIDER` | `token#CREDENTIAL` | `ttl`: [`TOKEN_LIFETIME`] after the token is of no use |
//! | the requests of one key with a daily quota on one day | `c#PROVIDER` | `usage#DAY#KEY`: a digest of the name of the key's place | `ttl`: [`KEY_USAGE_LIFETIME`] after the day's date began in UTC |
//! | parked entry: one whose item waits for long, with which the stream is done | `p#PROVIDER` | `DUE#ENTRY`: microseconds since 1970 in twenty digits, the entry | until it has ended or is parked until another time |
//!
//! A row's attributes by state (`-`: not there). Every row has `v`, raised by each write, `by`, `n` and `ttl`, too:
//!
//! | `st` | `owner` | `lease` | `due` | `by` | `ab` | `err` |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | `INFLIGHT` | who claims | when it expires | - | the entry it is claimed for | owners whose claims expired, or - | - |
//! | `RETRY` | - | - | when it is due | the entry it was tried for | - | what went wrong |
//! | `DONE` | who fetched | - | - | the entry it was fetched for | - | - |
//! | `DEAD` | who gave up | - | - | the entry that was given up on | - | what went wrong |
//!
//! `n` counts attempts, `g` redrives, `np` polls. `rs` is the resume state of an item that was not ready; it stays,
//! with `np`, until the row is `DONE` or `DEAD`. Times are whole microseconds since 1970 in UTC, `ttl` seconds. `ab` is
//! JSON. The slots item has `v` and `slots`, JSON: owner to `[share, until]`. The control item has `v` and `item`,
//! JSON. A token has `v`, `sealed`, `exp`, and while somebody requests the next one `owner` and `until`. A key's usage
//! has `req`, the requests that are sent or reserved, and `v`, raised by each return of reserved ones. A parked entry
//! has `sq`, its name in the stream, `arr`, when it came in, and `bytes`, its payload: at most 64 KiB, for a larger one
//! is no item and becomes a dead letter at once. It has no `ttl`: it is all that there is of an entry that has not
//! ended. `max_item_age` bounds its life, since it is taken up each time that it is due. A row's `ttl` outlasts each
//! wait, which is a day at the most; only a provider that is stopped for longer than [`ROW_LIFETIME`] forgets the
//! attempts of what is parked.
//!
//! # Costs
//! | a record is | read units | write units |
//! | --- | --- | --- |
//! | claimed and fetched, or claimed and released | 0 | 2 |
//! | delivered again and done, as a batch is that was left in part | 0.5 | 0 |
//! | claimed though it is done | 0 | 1 |
//! | claimed on a later day than it arrived | 1 more | 0 |
//! | taken over from an owner whose claim expired | 0 | 1 more |
//! | parked and taken up again, besides its claims | 1 and its size in 4 KB | 2, more if it is larger than 1 KB |
//! | not ready, besides its claim | 0 | 1 for each KB of the row, and 1 for each KB of every later write of the row |
//! | looked for by a tick, though nothing is due | 1 | 0 |
//!
//! A process reads a token once, for 1 unit for each 4 KB. A new token takes two writes, of 1 unit for each KB of it.
//! Requests of a key with a daily quota take a write of 1 unit for each reservation, which is a fiftieth of the quota
//! and 50 requests at the most, and for each call that has some left 1 unit and 0.5 read units to return them.
//!
//! A write costs one unit for each started kilobyte of the larger of the item before and after, also where its
//! condition refuses it. A row is about 150 bytes, its provider's name and its identity, and up to [`ERROR_BYTES`] of
//! error: with an identity of more than about 850 bytes (600 after a failure) every write costs two units, and with the
//! longest, of 1,900 bytes, three. Each crash in a row adds about 60 bytes to `ab`. `host/aws/tests/it/ledger.rs`
//! measures the writes against ministack, which counts by AWS's published rules, and all of it against DynamoDB Local
//! where somebody has it; DynamoDB itself has not been asked.
//!
//! DynamoDB deletes what is past its `ttl` within days, not at once: nothing here depends on it.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use damper_core::day::Day;
use damper_core::item::{Identity, SequenceNumber};
use damper_core::ledger::LedgerError;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// How long a row is kept after its last claim. It has to outlast the stream's retention: what was trimmed comes never
/// again.
pub const ROW_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long a token's item is kept after the token is of no use: longer than any lease.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the count of a key's day is kept after the day's date began in UTC. A clock that is set back goes on from
/// the counts of its days.
pub const KEY_USAGE_LIFETIME: Duration = Duration::from_secs(35 * 24 * 60 * 60);
/// The longest error text that is stored, in bytes; a longer one is truncated.
pub const ERROR_BYTES: usize = 256;

pub(super) const IN_FLIGHT: &str = "INFLIGHT";
pub(super) const RETRY: &str = "RETRY";
pub(super) const DONE: &str = "DONE";
pub(super) const DEAD: &str = "DEAD";

/// The sort keys of a provider's slots and of its control item, which share a partition.
pub(super) const SLOTS_SORT: &str = "slots";
pub(super) const CONTROL_SORT: &str = "control";

/// An item as the SDK has it.
pub(super) type Attributes = HashMap<String, AttributeValue>;

/// The key of an item.
#[derive(Debug, Clone, Copy)]
pub(super) enum Key<'a> {
    /// An identity on a day.
    Row { provider: &'a str, identity: &'a Identity, day: Day },
    /// A provider's slots.
    Slots { provider: &'a str },
    /// A provider's control item.
    Control { provider: &'a str },
    /// A credential's token.
    Token { provider: &'a str, credential: &'a str },
    /// The requests of a key on a day.
    Usage { provider: &'a str, key: &'a str, day: Day },
    /// An entry that waits until its item is due.
    Parked { provider: &'a str, due: Timestamp, entry: &'a SequenceNumber },
}

impl Key<'_> {
    pub(super) fn partition(&self) -> String {
        match self {
            Self::Row { provider, identity, .. } => row_partition(provider, identity),
            Self::Slots { provider }
            | Self::Control { provider }
            | Self::Token { provider, .. }
            | Self::Usage { provider, .. } => format!("c#{provider}"),
            Self::Parked { provider, .. } => Self::parked_partition(provider),
        }
    }

    /// The partition of all that is parked of a provider.
    pub(super) fn parked_partition(provider: &str) -> String {
        format!("p#{provider}")
    }

    pub(super) fn attributes(&self) -> Attributes {
        let sort = match self {
            Self::Row { day, .. } => day.to_string(),
            Self::Slots { .. } => SLOTS_SORT.to_owned(),
            Self::Control { .. } => CONTROL_SORT.to_owned(),
            Self::Token { credential, .. } => format!("token#{credential}"),
            Self::Usage { key, day, .. } => format!("usage#{day}#{key}"),
            Self::Parked { due, entry, .. } => format!("{:020}#{entry}", micros(*due)),
        };
        HashMap::from([("pk".to_owned(), text(self.partition())), ("sk".to_owned(), text(sort))])
    }
}

/// Above the sort keys of what is parked until `due`, and below those of what is parked for longer.
pub(super) fn parked_until(due: Timestamp) -> String {
    format!("{:020}$", micros(due))
}

/// Microseconds since 1970; nothing is parked until an earlier time.
fn micros(time: Timestamp) -> i64 {
    time.as_microsecond().max(0)
}

/// The partition of all of an identity's rows. A provider's name holds no `#`.
pub(super) fn row_partition(provider: &str, identity: &Identity) -> String {
    format!("r#{provider}#{identity}")
}

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(super) fn time(value: Timestamp) -> AttributeValue {
    number(value.as_microsecond())
}

/// An error text, cut at a character.
pub(super) fn error_text(message: &str) -> AttributeValue {
    text(message.get(..message.floor_char_boundary(ERROR_BYTES)).unwrap_or_default())
}

/// When a row that is claimed now may be forgotten, in seconds.
pub(super) fn time_to_live(now: Timestamp, lifetime: Duration) -> AttributeValue {
    number(now.saturating_add(lifetime).unwrap_or(Timestamp::MAX).as_second())
}

/// When what belongs to a day may be forgotten, in seconds.
pub(super) fn day_to_live(day: Day, lifetime: Duration) -> AttributeValue {
    let begins = day.0.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |day| day.timestamp());
    time_to_live(begins, lifetime)
}

pub(super) fn unreadable(what: &'static str, message: impl ToString) -> LedgerError {
    LedgerError::Unreadable { what, message: message.to_string() }
}

pub(super) fn read_text<'a>(item: &'a Attributes, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

pub(super) fn read_number(item: &Attributes, name: &str) -> Option<i64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// How large an item is to DynamoDB, in bytes: names and values; numbers count at most half their digits and one.
pub(super) fn size(item: &Attributes) -> usize {
    let value = |value: &AttributeValue| match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => digits.len() / 2 + 2,
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        _ => 1,
    };
    item.iter().map(|(name, attribute)| name.len() + value(attribute)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parked_entries_lie_by_their_due_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let key = |second, entry: &str| {
            let entry = SequenceNumber::from(entry);
            let key = Key::Parked { provider: "demo", due: at(second), entry: &entry }.attributes();
            key["sk"].as_s().unwrap().clone()
        };
        assert!(key(9, "99") < key(10, "1") && key(10, "zz") < parked_until(at(10)));
        assert!(parked_until(at(10)) < key(11, ""), "the next second");
        assert!(key(999, "1") < key(1_800_000_000, "1"));
    }

    #[test]
    fn an_error_text_is_cut_at_a_character() {
        let cut = error_text(&"ä".repeat(200));
        assert_eq!(cut.as_s().unwrap().len(), ERROR_BYTES);
        let cut = error_text(&format!("x{}", "ä".repeat(200)));
        assert_eq!(cut.as_s().unwrap().len(), ERROR_BYTES - 1);
    }
}
