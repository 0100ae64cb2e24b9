//! Figures of a run.

use std::time::Duration;

use super::{Record, Second, Totals};
use crate::units::number;

/// How long goodput has to hold for an API to count as used again.
const HELD_FOR: usize = 5;
/// How much of what the oracle gets.
const USED_AGAIN: f64 = 0.9;

impl Record {
    /// All clients together.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.clients.iter().fold(Totals::default(), |sum, each| Totals {
            sent: sum.sent + each.sent,
            ok: sum.ok + each.ok,
            throttled: sum.throttled + each.throttled,
            failed: sum.failed + each.failed,
            timed_out: sum.timed_out + each.timed_out,
        })
    }

    /// Good answers in a second.
    #[must_use]
    pub fn goodput(&self) -> f64 {
        number(self.totals().ok) / self.duration.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Refusals for a thousand good answers.
    #[must_use]
    pub fn throttled_per_thousand(&self) -> f64 {
        1_000.0 * number(self.totals().throttled) / number(self.totals().ok.max(1))
    }

    /// The mean latency of good answers, in seconds.
    #[must_use]
    pub fn mean_latency(&self) -> f64 {
        self.latencies.iter().sum::<f64>() / number(self.latencies.len().max(1) as u64)
    }

    /// A percentile of all good answers' latencies, in seconds; `share` from 0 to 1.
    #[must_use]
    pub fn latency(&self, share: f64) -> Option<f64> {
        percentile(&self.latencies, share)
    }

    /// How evenly the clients share the API, see [`jain`].
    #[must_use]
    pub fn fairness(&self) -> f64 {
        jain(&self.clients.iter().map(|client| number(client.ok)).collect::<Vec<_>>())
    }

    /// Good answers in a second between two times, in the mean.
    #[must_use]
    pub fn goodput_between(&self, from: Duration, until: Duration) -> f64 {
        let seconds = self.between(from, until);
        number(seconds.iter().map(|second| u64::from(second.ok)).sum()) / number(seconds.len().max(1) as u64)
    }

    /// How long after `since` it took until goodput, over five seconds, was nine tenths of `goodput` again. `None`:
    /// never before `until`.
    #[must_use]
    pub fn recovered_after(&self, since: Duration, until: Duration, goodput: f64) -> Option<Duration> {
        let wanted = USED_AGAIN * goodput * number(HELD_FOR as u64);
        let good = |window: &[Second]| number(window.iter().map(|second| u64::from(second.ok)).sum()) >= wanted;
        let first = self.between(since, until).windows(HELD_FOR).position(good)?;
        Some(Duration::from_secs(first as u64 + 1))
    }

    fn between(&self, from: Duration, until: Duration) -> &[Second] {
        let index = |at: Duration| usize::try_from(at.as_secs()).unwrap_or(usize::MAX).min(self.seconds.len());
        self.seconds.get(index(from)..index(until).max(index(from))).unwrap_or_default()
    }
}

/// Raj Jain's index of fairness (DEC-TR-301, 1984): 1 where all have the same, `1/n` where one has everything.
#[must_use]
pub fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    if squares == 0.0 { 1.0 } else { sum * sum / (number(shares.len() as u64) * squares) }
}

/// The value below which `share` of the sorted values lie; nearest rank.
#[must_use]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the number of values")]
pub fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share.clamp(0.0, 1.0) * number(sorted.len() as u64)).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fairness_is_one_for_equals_and_a_share_for_one_who_has_all() {
        assert!((jain(&[5.0, 5.0, 5.0]) - 1.0).abs() < 1e-12);
        assert!((jain(&[9.0, 0.0, 0.0]) - 1.0 / 3.0).abs() < 1e-12);
        assert!((jain(&[0.0, 0.0]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values = [1.0, 2.0, 3.0, 4.0];
        assert_eq!([0.0, 0.5, 0.51, 0.99].map(|share| percentile(&values, share)), [1.0, 2.0, 3.0, 4.0].map(Some));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn recovery_is_when_five_good_seconds_begin() {
        let ok = |ok| Second { ok, ..Second::default() };
        let seconds = [10, 10, 0, 0, 0, 5, 10, 10, 10, 10, 10, 10].map(ok).to_vec();
        let record = Record { seconds, duration: Duration::from_secs(12), ..Record::default() };
        let recovered = |until| record.recovered_after(Duration::from_secs(2), Duration::from_secs(until), 10.0);
        assert_eq!(recovered(12), Some(Duration::from_secs(4)), "the second at half is a tenth short over five");
        assert_eq!(recovered(8), None);
    }
}
