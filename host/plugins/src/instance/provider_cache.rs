//! A provider's cache between its calls, for session logins and tokens: in memory and bounded (`cache-get`,
//! `cache-put`).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::lock::lock;
use crate::memory::BudgetShare;

/// The longest key, in bytes.
pub(crate) const MAX_KEY_BYTES: usize = 256;
/// The largest value, in bytes.
pub(crate) const MAX_VALUE_BYTES: usize = 64 * 1024;
/// The most that one provider stores, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// The overhead of an entry beside its key and value.
const ENTRY_BYTES: usize = 128;

/// The values that a provider's cache holds at one moment, to go on with in another [`Plugin`](crate::Plugin) of the
/// same component: each with its key and the rest of its lifetime.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CachedValues(Vec<(String, Vec<u8>, Duration)>);

impl CachedValues {
    /// These texts, for the longest time that tests need.
    pub fn of_texts<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let value = |(key, text): (&str, &str)| (key.to_owned(), text.into(), Duration::from_hours(1));
        Self(texts.into_iter().map(value).collect())
    }
}

impl fmt::Debug for CachedValues {
    // Values may be sessions and tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, ..)| key)).finish()
    }
}

/// One provider's cache.
#[derive(Debug)]
pub(crate) struct ProviderCache {
    entries: Mutex<Entries>,
    /// The provider's share of the host's memory for components.
    share: Arc<BudgetShare>,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<String, Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    until: Instant,
}

impl ProviderCache {
    /// An empty cache.
    pub(crate) fn new(share: Arc<BudgetShare>) -> Self {
        Self { entries: Mutex::default(), share }
    }

    /// The value of a key, if it has not expired.
    pub(crate) fn get(&self, key: &str, now: Instant) -> Option<Vec<u8>> {
        let entries = self.lock_entries();
        entries.by_key.get(key).filter(|entry| entry.until > now).map(|entry| entry.value.clone())
    }

    /// Stores a value for its lifetime. A value that is too large, has no lifetime, or exceeds the process's memory is
    /// not stored; the previous value is removed in any case.
    pub(crate) fn put(&self, key: String, value: Vec<u8>, lifetime: Duration, now: Instant) {
        let mut entries = self.lock_entries();
        let before = entries.bytes;
        entries.remove(&key);
        let bytes = size(&key, &value);
        let is_kept = key.len() <= MAX_KEY_BYTES && value.len() <= MAX_VALUE_BYTES && !lifetime.is_zero();
        if is_kept {
            entries.make_room(bytes, now);
        }
        self.share.release(before - entries.bytes);
        if is_kept && self.share.try_acquire(bytes) {
            // A lifetime that the clock cannot count becomes thirty years.
            let until = now.checked_add(lifetime).unwrap_or_else(|| now + Duration::from_hours(24 * 365 * 30));
            entries.bytes += bytes;
            entries.by_key.insert(key, Entry { value, until });
        }
    }

    /// All values that have not expired.
    pub(crate) fn values(&self, now: Instant) -> CachedValues {
        let entries = self.lock_entries();
        let fresh = entries.by_key.iter().filter(|(_, entry)| entry.until > now);
        CachedValues(fresh.map(|(key, entry)| (key.clone(), entry.value.clone(), entry.until - now)).collect())
    }

    /// Stores values of another cache.
    pub(crate) fn restore(&self, values: &CachedValues, now: Instant) {
        for (key, value, lifetime) in &values.0 {
            self.put(key.clone(), value.clone(), *lifetime, now);
        }
    }

    /// Removes a key.
    pub(crate) fn remove(&self, key: &str) {
        let mut entries = self.lock_entries();
        let before = entries.bytes;
        entries.remove(key);
        self.share.release(before - entries.bytes);
    }

    /// Removes everything.
    pub(crate) fn clear(&self) {
        let mut entries = self.lock_entries();
        self.share.release(std::mem::take(&mut *entries).bytes);
    }

    fn lock_entries(&self) -> MutexGuard<'_, Entries> {
        lock(&self.entries)
    }
}

impl Drop for ProviderCache {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Entries {
    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.by_key.remove(key) {
            self.bytes -= size(key, &entry.value);
        }
    }

    /// Removes expired entries, and then those that expire soonest, until there is room.
    fn make_room(&mut self, bytes: usize, now: Instant) {
        if self.bytes + bytes <= MAX_BYTES {
            return;
        }
        self.by_key.retain(|_, entry| entry.until > now);
        self.bytes = self.by_key.iter().map(|(key, entry)| size(key, &entry.value)).sum();
        while self.bytes + bytes > MAX_BYTES {
            let soonest = self.by_key.iter().min_by_key(|(_, entry)| entry.until).map(|(key, _)| key.clone());
            let Some(key) = soonest else { return };
            self.remove(&key);
        }
    }
}

fn size(key: &str, value: &[u8]) -> usize {
    key.len() + value.len() + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryBudget;

    const HOUR: Duration = Duration::from_hours(1);

    fn cache() -> ProviderCache {
        ProviderCache::new(MemoryBudget::new(1 << 30, 1).share())
    }

    #[test]
    fn what_is_kept_takes_room_and_gives_it_back() {
        let (budget, now) = (MemoryBudget::new(4 << 20, 1), Instant::now());
        let cache = ProviderCache::new(budget.share());
        for index in 0..200_u32 {
            cache.put((index % 70).to_string(), vec![0; (index as usize % 7) << 13], HOUR * (index % 5), now);
            assert_eq!(budget.used_bytes(), cache.lock_entries().bytes);
        }
        cache.remove("1");
        cache.put("x".into(), vec![0; MAX_VALUE_BYTES + 1], HOUR, now);
        assert_eq!(budget.used_bytes(), cache.lock_entries().bytes);
        assert_ne!(budget.used_bytes(), 0);
        drop(cache);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn nothing_is_kept_where_the_process_has_no_room() {
        let now = Instant::now();
        let cache = ProviderCache::new(MemoryBudget::new(1_000, 1).share());
        cache.put("large".into(), vec![0; 1_000], HOUR, now);
        cache.put("small".into(), vec![0; 10], HOUR, now);
        assert_eq!((cache.get("large", now), cache.get("small", now)), (None, Some(vec![0; 10])));
    }

    #[test]
    fn a_value_lasts_as_long_as_it_was_put_for() {
        let (cache, now) = (cache(), Instant::now());
        cache.put("token".into(), b"x".to_vec(), HOUR, now);
        assert_eq!(cache.get("token", now + HOUR / 2), Some(b"x".to_vec()));
        assert_eq!(cache.get("token", now + HOUR), None);
        cache.put("token".into(), b"y".to_vec(), Duration::MAX, now);
        assert_eq!(cache.get("token", now + HOUR), Some(b"y".to_vec()));
        cache.clear();
        assert_eq!(cache.get("token", now), None);
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let (cache, now) = (cache(), Instant::now());
        cache.put("k".repeat(MAX_KEY_BYTES + 1), Vec::new(), HOUR, now);
        cache.put("v".into(), vec![0; MAX_VALUE_BYTES + 1], HOUR, now);
        cache.put("z".into(), Vec::new(), Duration::ZERO, now);
        assert_eq!(cache.lock_entries().by_key.len(), 0);
    }

    #[test]
    fn the_whole_is_bounded_and_the_soonest_to_end_goes_first() {
        let (cache, now) = (cache(), Instant::now());
        for index in 0..100_u32 {
            cache.put(index.to_string(), vec![0; MAX_VALUE_BYTES], HOUR * (index + 1), now);
        }
        assert!(cache.lock_entries().bytes <= MAX_BYTES);
        assert_eq!(cache.get("0", now), None);
        assert!(cache.get("99", now).is_some());
    }
}
