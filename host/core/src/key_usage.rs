//! The port to the counts of requests by key and day: they hold a key's daily quota over all processes.
//!
//! ```text
//!             reserve: all or nothing                      spend, request by request
//!   QUOTA ---------------------------------> RESERVED ---------------------------------> SENT
//!     ^                                          |
//!     +------------------------------------------+
//!              return: what was not sent
//! ```
//!
//! A process reserves requests before it sends them, and the count includes what is reserved. A reservation whose
//! answer is lost counts requests that nobody sends; a crash does the same. None of this sends one too many. Not here:
//! keys, and how many requests a process reserves at a time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::day::Day;
use crate::ledger::LedgerError;

/// Counts the requests of each key on each day. Every method may be called by any number of processes at once.
///
/// A count is kept for at least 31 days, by the dates of the days and not by a clock: where a clock is set back to a
/// day, that day goes on from its own count.
#[async_trait]
pub trait KeyUsageStore: Send + Sync {
    /// Counts `requests` more, if no more than `quota` are counted then; otherwise none. Durable when it returns. If it
    /// fails, they may be counted nevertheless, once or more often.
    async fn reserve_requests(&self, key: KeyDay<'_>, requests: u64, quota: u64)
    -> Result<KeyReservation, LedgerError>;

    /// The count of a key's day, as the last write left it.
    async fn read_key_usage(&self, key: KeyDay<'_>) -> Result<KeyUsage, LedgerError>;

    /// Takes reserved requests that are not sent off the count, if its version is still `version`, and raises the
    /// version by one. Durable when it returns. `false`: the version is another by now. Another process returned
    /// requests first, or this call arrived twice because its first response was lost: it must not be repeated.
    async fn return_requests(&self, key: KeyDay<'_>, requests: u64, version: u64) -> Result<bool, LedgerError>;
}

/// The name of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyDay<'a> {
    /// The provider's name.
    pub provider: &'a str,
    /// The name under which the key is counted, at most 64 bytes; no part of the key.
    pub key: &'a str,
    /// The provider's day.
    pub day: Day,
}

/// A count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyUsage {
    /// The requests of the day, those that are reserved included. [`u64::MAX`] if the count cannot be read: then
    /// nothing is left of the day.
    pub requests: u64,
    /// Raised each time that requests are returned.
    pub version: u64,
}

/// The answer to a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyReservation {
    /// Whether the requests are counted, and may be sent.
    pub is_granted: bool,
    /// The count after it.
    pub usage: KeyUsage,
}

/// Counts in memory, for a process that has no store: they are gone with it.
#[derive(Debug, Default)]
pub struct MemoryKeyUsage {
    counts: Mutex<BTreeMap<(String, String, Day), KeyUsage>>,
}

impl MemoryKeyUsage {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String, Day), KeyUsage>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl KeyUsageStore for MemoryKeyUsage {
    async fn reserve_requests(
        &self,
        key: KeyDay<'_>,
        requests: u64,
        quota: u64,
    ) -> Result<KeyReservation, LedgerError> {
        let mut counts = self.lock();
        let usage = counts.entry(names(key)).or_default();
        let sum = usage.requests.checked_add(requests).filter(|sum| *sum <= quota);
        usage.requests = sum.unwrap_or(usage.requests);
        Ok(KeyReservation { is_granted: sum.is_some(), usage: *usage })
    }

    async fn read_key_usage(&self, key: KeyDay<'_>) -> Result<KeyUsage, LedgerError> {
        Ok(self.lock().get(&names(key)).copied().unwrap_or_default())
    }

    async fn return_requests(&self, key: KeyDay<'_>, requests: u64, version: u64) -> Result<bool, LedgerError> {
        let mut counts = self.lock();
        let Some(usage) = counts.get_mut(&names(key)).filter(|usage| usage.version == version) else {
            return Ok(false);
        };
        let Some(left) = usage.requests.checked_sub(requests) else { return Ok(false) };
        *usage = KeyUsage { requests: left, version: version.saturating_add(1) };
        Ok(true)
    }
}

fn names(key: KeyDay<'_>) -> (String, String, Day) {
    (key.provider.to_owned(), key.key.to_owned(), key.day)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::key_usage_contract::KeyUsageStores;

    async fn fresh() -> KeyUsageStores {
        let store = Arc::new(MemoryKeyUsage::default());
        KeyUsageStores { one: store.clone(), other: store, keep: Box::new(()) }
    }

    crate::key_usage_contract!(fresh);
}
