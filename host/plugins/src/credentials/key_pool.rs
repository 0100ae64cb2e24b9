//! Several keys of one credential: whose turn it is, and which rest because an API refused them. Decisions only; the
//! state is this process's. Not here: the quotas of keys, which hold over all processes (`key_quota`).

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::lock::lock;

/// The rest of a key that the API does not accept, while it accepts another one.
pub(crate) const REFUSED_REST: Duration = Duration::from_mins(10);
/// The rest of a key whose rate limit is used up, if the API does not say for how long.
const THROTTLED_REST: Duration = Duration::from_secs(10);

/// The keys of one credential, by their numbers from 0.
#[derive(Debug)]
pub(crate) struct KeyPool {
    count: usize,
    state: Mutex<PoolState>,
}

#[derive(Debug, Default)]
struct PoolState {
    /// The key whose turn is next.
    next: usize,
    /// By key, the end of its rest.
    rests: Vec<Option<Instant>>,
}

/// The meaning of a response for the key of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyVerdict {
    /// The API accepts it.
    Accepted,
    /// Nothing.
    Unknown,
    /// Its rate limit is used up for so long.
    Throttled(Duration),
    /// The API does not accept the key, or the request. If it accepts the request with another key, it was the key.
    Suspect,
}

impl KeyVerdict {
    /// The verdict of a response's status, with its Retry-After.
    pub(crate) fn of(status: u16, retry_after: impl FnOnce() -> Option<Duration>) -> Self {
        match status {
            429 => Self::Throttled(retry_after().unwrap_or(THROTTLED_REST)),
            401 | 403 => Self::Suspect,
            500.. => Self::Unknown,
            _ => Self::Accepted,
        }
    }
}

impl KeyPool {
    pub(super) fn new(count: usize) -> Self {
        Self { count, state: Mutex::new(PoolState { next: 0, rests: vec![None; count] }) }
    }

    /// Whether there is one key only, which never rests.
    pub(crate) fn is_single(&self) -> bool {
        self.count < 2
    }

    /// The next key in turn that does not rest, whose quota is not spent and that was not tried; else the time until
    /// one may be used. `quota_wait`: the time until a key's quota begins anew, zero if it is not spent.
    pub(crate) fn pick(
        &self,
        tried: &[usize],
        now: Instant,
        quota_wait: impl Fn(usize) -> Duration,
    ) -> Result<usize, Duration> {
        if self.is_single() {
            return Ok(0);
        }
        let mut state = self.lock_state();
        let in_turn = (state.next..self.count).chain(0..state.next).filter(|key| !tried.contains(key));
        let waits = in_turn.map(|key| (state.wait(key, now).max(quota_wait(key)), key));
        // The first of those that wait for the shortest time.
        match waits.min_by_key(|(wait, _)| *wait) {
            Some((Duration::ZERO, key)) => {
                state.next = (key + 1) % self.count;
                Ok(key)
            }
            Some((wait, _)) => Err(wait),
            None => Err(THROTTLED_REST),
        }
    }

    /// Whether a key that was not tried may be used now.
    pub(crate) fn has_other(&self, tried: &[usize], now: Instant, quota_wait: impl Fn(usize) -> Duration) -> bool {
        self.waits(now, quota_wait).enumerate().any(|(key, wait)| !tried.contains(&key) && wait.is_zero())
    }

    /// The time until any key may be used.
    pub(crate) fn shortest_wait(&self, now: Instant, quota_wait: impl Fn(usize) -> Duration) -> Duration {
        self.waits(now, quota_wait).min().unwrap_or_default()
    }

    /// The time until each key may be used.
    fn waits(&self, now: Instant, quota_wait: impl Fn(usize) -> Duration) -> impl Iterator<Item = Duration> {
        let waits: Vec<_> = {
            let state = self.lock_state();
            (0..self.count).map(|key| state.wait(key, now)).collect()
        };
        waits.into_iter().enumerate().map(move |(key, wait)| wait.max(quota_wait(key)))
    }

    /// Lets a key rest for so long. A longer rest stays.
    pub(crate) fn rest(&self, key: usize, time: Duration, now: Instant) {
        if let Some(rest) = self.lock_state().rests.get_mut(key) {
            *rest = (*rest).max(Some(now + time));
        }
    }

    fn lock_state(&self) -> MutexGuard<'_, PoolState> {
        lock(&self.state)
    }
}

impl PoolState {
    fn wait(&self, key: usize, now: Instant) -> Duration {
        let rest = self.rests.get(key).copied().flatten();
        rest.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn unlimited(_key: usize) -> Duration {
        Duration::ZERO
    }

    #[test]
    fn keys_are_used_in_turn() {
        let (pool, now) = (KeyPool::new(3), Instant::now());
        let picked: Vec<_> = (0..5).map(|_| pool.pick(&[], now, unlimited).unwrap()).collect();
        assert_eq!(picked, [0, 1, 2, 0, 1]);
        assert_eq!(pool.pick(&[2, 0], now, unlimited), Ok(1), "of those that were not tried");
        assert_eq!(KeyPool::new(1).pick(&[0], now, unlimited), Ok(0), "one alone is always used");
    }

    #[test]
    fn a_key_that_rests_is_left_out_until_its_rest_is_over() {
        let (pool, now) = (KeyPool::new(2), Instant::now());
        pool.rest(0, 9 * SECOND, now);
        pool.rest(0, SECOND, now);
        assert_eq!([pool.pick(&[], now, unlimited), pool.pick(&[], now, unlimited)], [Ok(1), Ok(1)]);
        assert!(!pool.has_other(&[1], now, unlimited));
        pool.rest(1, 5 * SECOND, now);
        assert_eq!(pool.pick(&[], now, unlimited), Err(5 * SECOND), "the shortest wait");
        assert_eq!(pool.pick(&[], now + 5 * SECOND, unlimited), Ok(1));
        assert_eq!(pool.pick(&[1], now + 9 * SECOND, unlimited), Ok(0));
        assert!(pool.has_other(&[1], now + 9 * SECOND, unlimited));
    }

    #[test]
    fn keys_whose_quota_is_left_come_first() {
        let (pool, now) = (KeyPool::new(3), Instant::now());
        let is_spent = |spent: [u64; 3]| move |key: usize| SECOND * u32::try_from(spent[key]).unwrap();
        let picked: Vec<_> = (0..4).map(|_| pool.pick(&[], now, is_spent([0, 60, 0])).unwrap()).collect();
        assert_eq!(picked, [0, 2, 0, 2]);
        assert!(!pool.has_other(&[0, 2], now, is_spent([0, 60, 0])));
        pool.rest(0, 90 * SECOND, now);
        pool.rest(1, 30 * SECOND, now);
        assert_eq!(pool.pick(&[], now, is_spent([60, 60, 99])), Err(60 * SECOND), "rest and quota");
        assert_eq!(pool.shortest_wait(now, is_spent([0, 0, 0])), Duration::ZERO);
        assert_eq!(pool.shortest_wait(now, is_spent([60, 80, 99])), 80 * SECOND);
    }

    #[test]
    fn a_status_says_something_about_the_key_or_nothing() {
        for (status, expected) in [
            (200, KeyVerdict::Accepted),
            (404, KeyVerdict::Accepted),
            (401, KeyVerdict::Suspect),
            (403, KeyVerdict::Suspect),
            (429, KeyVerdict::Throttled(THROTTLED_REST)),
            (503, KeyVerdict::Unknown),
        ] {
            assert_eq!(KeyVerdict::of(status, || None), expected, "{status}");
        }
        assert_eq!(KeyVerdict::of(429, || Some(SECOND)), KeyVerdict::Throttled(SECOND));
    }
}
