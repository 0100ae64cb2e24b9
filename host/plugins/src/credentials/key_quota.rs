//! The daily quota of one key: its requests are reserved in a store that all processes share, and taken one by one
//! right before they are sent.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use damper_core::clock::WallClock;
use damper_core::control::window::Window;
use damper_core::day::Day;
use damper_core::key_usage::{KeyDay, KeyReservation, KeyUsageStore, MemoryKeyUsage};
use damper_core::ledger::LedgerError;
use jiff::Timestamp;
use tokio::time::Instant;

use super::key_share::KeyShare;
use crate::grants::KeyLimit;
use crate::lock::lock;

/// The longest time that the store may take to reserve requests.
const LONGEST_RESERVATION: Duration = Duration::from_secs(5);
/// The longest time that it may take to return some, at the end of a batch.
const LONGEST_RETURN: Duration = Duration::from_secs(2);
/// The most reservations in a row: other processes may be faster each time.
const MOST_RESERVATIONS: u32 = 8;

/// The store in which the processes of a provider count the requests of keys that have a daily quota, and the clock for
/// their days.
#[derive(Clone)]
pub struct KeyCounting {
    store: Arc<dyn KeyUsageStore>,
    clock: WallClock,
}

impl KeyCounting {
    /// Requests are counted in this store. `clock` says which day it is.
    #[must_use]
    pub fn new(store: Arc<dyn KeyUsageStore>, clock: WallClock) -> Self {
        Self { store, clock }
    }

    /// Requests are counted in this process alone, and forgotten at its end.
    pub(crate) fn in_process() -> Self {
        Self::new(Arc::<MemoryKeyUsage>::default(), WallClock::System)
    }
}

impl fmt::Debug for KeyCounting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCounting").finish_non_exhaustive()
    }
}

/// The quota of one key.
#[derive(Debug)]
pub(crate) struct KeyQuota {
    counting: KeyCounting,
    provider: String,
    limit: KeyLimit,
    window: Window,
    share: Mutex<KeyShare>,
    /// Held while requests are reserved or returned.
    store_access: tokio::sync::Mutex<()>,
    /// Whether the store failed when it was last used.
    has_failed: AtomicBool,
}

/// Why no request may be sent with a key now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum QuotaRefusal {
    /// The day's quota is spent, or other processes are faster. [`KeyQuota::wait`] says for how long.
    Spent,
    /// The store fails, for this reason: nobody knows what is left.
    Uncounted(String),
}

/// The right to send one request with a key on one day. Dropped before it is used, it goes back to the process's share.
#[derive(Debug)]
pub(crate) struct KeyPermit {
    quota: Arc<KeyQuota>,
    day: Day,
    is_sent: AtomicBool,
}

impl KeyPermit {
    /// Whether it is still the day of the request.
    pub(crate) fn is_of_today(&self) -> bool {
        self.quota.window.day(self.quota.now()) == self.day
    }

    /// The request is about to be sent: it counts, whatever becomes of it.
    pub(crate) fn mark_sent(&self) {
        self.is_sent.store(true, Ordering::Release);
    }
}

impl Drop for KeyPermit {
    fn drop(&mut self) {
        if !*self.is_sent.get_mut() {
            self.quota.lock_share().put_back(self.day);
        }
    }
}

impl KeyQuota {
    pub(super) fn new(counting: &KeyCounting, provider: &str, limit: &KeyLimit, window: &Window) -> Self {
        Self {
            counting: counting.clone(),
            provider: provider.to_owned(),
            limit: limit.clone(),
            window: window.clone(),
            share: Mutex::new(KeyShare::new(limit.daily_quota.get())),
            store_access: tokio::sync::Mutex::default(),
            has_failed: AtomicBool::new(false),
        }
    }

    /// The number of requests in a day.
    pub(crate) fn daily_quota(&self) -> u64 {
        self.limit.daily_quota.get()
    }

    /// The time until the key may be used, as far as it is known.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        let time = self.now();
        let is_spent = self.lock_share().is_spent(self.window.day(time), now);
        if is_spent { self.time_until_next_day(time) } else { Duration::ZERO }
    }

    /// Takes one request of today. Requests are reserved if none is left in the process's share, by a task of its own:
    /// a fetch that is given up meanwhile loses none.
    pub(crate) async fn take(self: &Arc<Self>) -> Result<KeyPermit, QuotaRefusal> {
        let day = self.window.day(self.now());
        if self.lock_share().take(day) {
            return Ok(self.permit(day));
        }
        let this = Arc::clone(self);
        let reserving = tokio::spawn(async move { this.reserve_and_take().await });
        reserving.await.unwrap_or_else(|_| Err(QuotaRefusal::Uncounted("the process is stopping".to_owned())))
    }

    /// Returns what is reserved and not sent, so that other processes can send it. If the store fails, it counts as
    /// sent.
    pub(crate) async fn return_unsent(&self) {
        let _access = self.store_access.lock().await;
        let unsent = self.lock_share().take_unsent();
        let Some((day, requests)) = unsent else { return };
        let key = self.key(day);
        let returned = self.within_time(LONGEST_RETURN, async {
            let usage = self.counting.store.read_key_usage(key).await?;
            self.counting.store.return_requests(key, requests, usage.version).await
        });
        if returned.await != Ok(true) {
            tracing::debug!(provider = %self.provider, requests, "unsent requests of a key could not be returned: they count as sent");
        }
    }

    async fn reserve_and_take(self: &Arc<Self>) -> Result<KeyPermit, QuotaRefusal> {
        let _access = self.store_access.lock().await;
        for _ in 0..MOST_RESERVATIONS {
            let day = self.window.day(self.now());
            let wanted = {
                let mut share = self.lock_share();
                // Another fetch may have reserved some meanwhile.
                if share.take(day) {
                    return Ok(self.permit(day));
                }
                share.next_reservation(Instant::now())
            };
            let Some(wanted) = wanted else { return Err(QuotaRefusal::Spent) };
            let reserving = self.counting.store.reserve_requests(self.key(day), wanted, self.daily_quota());
            let answer = self.within_time(LONGEST_RESERVATION, reserving);
            let KeyReservation { is_granted, usage } = answer.await.map_err(QuotaRefusal::Uncounted)?;
            let mut share = self.lock_share();
            if is_granted {
                share.on_granted(day, wanted, usage.requests);
            } else {
                share.on_refused(day, usage.requests, Instant::now());
            }
        }
        Err(QuotaRefusal::Spent)
    }

    fn permit(self: &Arc<Self>, day: Day) -> KeyPermit {
        KeyPermit { quota: Arc::clone(self), day, is_sent: AtomicBool::new(false) }
    }

    fn key(&self, day: Day) -> KeyDay<'_> {
        KeyDay { provider: &self.provider, key: &self.limit.counted_as, day }
    }

    fn now(&self) -> Timestamp {
        self.counting.clock.now()
    }

    fn time_until_next_day(&self, time: Timestamp) -> Duration {
        Duration::try_from(self.window.day_ends(time).duration_since(time)).unwrap_or_default()
    }

    /// The store's answer. An operator hears of the first failure in a row.
    async fn within_time<T>(
        &self,
        longest: Duration,
        answer: impl Future<Output = Result<T, LedgerError>>,
    ) -> Result<T, String> {
        let failure = match tokio::time::timeout(longest, answer).await {
            Ok(Ok(value)) => {
                self.has_failed.store(false, Ordering::Relaxed);
                return Ok(value);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the store did not answer in time".to_owned(),
        };
        if !self.has_failed.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                provider = %self.provider,
                failure,
                "the requests of a key with a daily quota cannot be counted; until they can, none is sent"
            );
        }
        Err(failure)
    }

    fn lock_share(&self) -> MutexGuard<'_, KeyShare> {
        lock(&self.share)
    }
}

#[cfg(test)]
mod tests;
