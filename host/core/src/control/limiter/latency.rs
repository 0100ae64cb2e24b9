//! Latency as the limiter compares it: the mean of its logarithm, with its standard error.
//!
//! Answers take from milliseconds to a minute, so that neither a minimum nor an arithmetic mean means anything. Means
//! of logarithms can be compared: twice as slow is the same difference anywhere, and one slow answer among many moves
//! little. Everything here is in natural logarithms of seconds, and every comparison goes with how far chance alone
//! would go.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The shortest latency that is measured: shorter ones count as this.
const SHORTEST_S: f64 = 1e-4;
/// The least variance: equal latencies are no proof that the next one is equal.
const LEAST_VARIANCE: f64 = 1e-4;
/// From so many samples on, the baseline's variance is used for every comparison.
const SETTLED: f64 = 50.0;
/// The variance that is assumed before the baseline has settled.
const ASSUMED_VARIANCE: f64 = 0.1;
/// The fewest and the most samples for a comparison.
pub(super) const FEWEST_SAMPLES: f64 = 16.0;
const MOST_SAMPLES: f64 = 256.0;

/// Latencies of some time, summed up. Counts are not whole after [`Sample::fade_to`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Sample {
    #[serde(rename = "n")]
    count: f64,
    #[serde(rename = "s")]
    sum: f64,
    #[serde(rename = "q")]
    squares: f64,
}

impl Sample {
    pub(super) fn add(&mut self, latency: Duration) {
        let log = latency.as_secs_f64().max(SHORTEST_S).ln();
        self.count += 1.0;
        self.sum += log;
        self.squares += log * log;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    /// These without `part`, which was merged into them.
    pub(super) fn without(&self, part: &Self) -> Self {
        Self { count: self.count - part.count, sum: self.sum - part.sum, squares: self.squares - part.squares }
    }

    /// Weigh no more than so many samples, so that new ones count.
    pub(super) fn fade_to(&mut self, most: f64) {
        if self.count > most {
            let share = most / self.count;
            *self = Self { count: most, sum: self.sum * share, squares: self.squares * share };
        }
    }

    pub(super) fn count(&self) -> f64 {
        self.count
    }

    pub(super) fn mean(&self) -> f64 {
        self.sum / self.count.max(1.0)
    }

    fn variance(&self) -> f64 {
        if self.count < 2.0 {
            return LEAST_VARIANCE;
        }
        (self.squares / self.count - self.mean().powi(2)).max(LEAST_VARIANCE)
    }
}

/// The normal latency of this API at the level that is held: slow to move, slower upwards than downwards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Baseline {
    mean: f64,
    variance: f64,
    /// The number of samples that it stands for; 0 if nothing is known yet.
    #[serde(rename = "n")]
    count: f64,
}

impl Baseline {
    pub(super) fn of(sample: &Sample) -> Self {
        Self { mean: sample.mean(), variance: sample.variance(), count: sample.count }
    }

    pub(super) fn is_known(&self) -> bool {
        self.count > 0.0
    }

    /// By how much a sample is slower than normal.
    pub(super) fn rise(&self, sample: &Sample) -> f64 {
        sample.mean() - self.mean
    }

    /// How far a sample's mean lies from normal by chance.
    pub(super) fn doubt(&self, sample: &Sample) -> f64 {
        standard_error(self.variance_beside(sample), sample.count, self.count)
    }

    /// How far the means of two samples lie apart by chance.
    pub(super) fn doubt_between(&self, one: &Sample, other: &Sample) -> f64 {
        standard_error(self.variance_beside(one), one.count, other.count)
    }

    fn settled_variance(&self) -> Option<f64> {
        (self.count > SETTLED).then_some(self.variance)
    }

    fn variance_beside(&self, sample: &Sample) -> f64 {
        self.settled_variance().unwrap_or_else(|| sample.variance())
    }

    /// How many samples it takes to see whether latency follows the level, where the levels' logarithms differ by
    /// `distance`.
    pub(super) fn samples_needed(&self, distance: f64) -> f64 {
        let variance = self.settled_variance().unwrap_or(ASSUMED_VARIANCE);
        (2.0 * 4.0 * variance / (0.5 * distance).powi(2)).clamp(FEWEST_SAMPLES, MOST_SAMPLES)
    }

    /// Learn from the last window; `all` is everything since the level was reached.
    pub(super) fn learn(&mut self, window: &Sample, all: &Sample) {
        if window.count <= 0.0 {
            return;
        }
        let weight = if all.mean() < self.mean { self.count.min(200.0) } else { 2_000.0 };
        self.mean += window.count / (window.count + weight) * (window.mean() - self.mean);
        self.variance += window.count / (window.count + self.count.min(500.0)) * (window.variance() - self.variance);
        self.count = (self.count + window.count).min(2_000.0);
    }

    /// Take what was measured for the new normal: it is not our doing.
    pub(super) fn adopt(&mut self, sample: &Sample) {
        self.mean = sample.mean();
        self.count = 100.0;
    }
}

fn standard_error(variance: f64, one: f64, other: f64) -> f64 {
    (variance * (1.0 / one.max(1.0) + 1.0 / other.max(1.0))).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(milliseconds: &[u64]) -> Sample {
        let mut sample = Sample::default();
        milliseconds.iter().for_each(|latency| sample.add(Duration::from_millis(*latency)));
        sample
    }

    #[test]
    fn a_factor_is_the_same_difference_at_any_latency() {
        let (fast, slow) =
            (sample(&[5, 10]).mean() - sample(&[10, 20]).mean(), sample(&[35_000]).mean() - sample(&[70_000]).mean());
        assert!((fast - slow).abs() < 1e-12 && (fast + 2.0_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn what_was_merged_can_be_taken_out_again() {
        let (part, mut whole) = (sample(&[10, 30]), sample(&[20, 40, 80]));
        let before = whole;
        whole.merge(&part);
        let rest = whole.without(&part);
        assert!((rest.mean() - before.mean()).abs() < 1e-12 && (rest.variance() - before.variance()).abs() < 1e-12);
    }

    #[test]
    fn fading_keeps_the_mean_and_the_variance() {
        let whole = sample(&[10, 20, 40, 80, 160, 320]);
        let mut faded = whole;
        faded.fade_to(2.0);
        assert!((faded.count() - 2.0).abs() < 1e-12);
        assert!((faded.mean() - whole.mean()).abs() < 1e-12 && (faded.variance() - whole.variance()).abs() < 1e-12);
    }

    #[test]
    fn finer_differences_and_noisier_latency_need_more_samples() {
        let quiet = Baseline { mean: 0.0, variance: 0.01, count: 100.0 };
        let noisy = Baseline { variance: 0.4, ..quiet };
        assert!(noisy.samples_needed(0.25) > quiet.samples_needed(0.25));
        assert!(noisy.samples_needed(0.1) >= noisy.samples_needed(0.5));
        assert_eq!(noisy.samples_needed(0.001), MOST_SAMPLES);
    }

    #[test]
    fn the_baseline_follows_a_faster_api_sooner_than_a_slower_one() {
        let start = Baseline::of(&sample(&[100; 60]));
        let (mut faster, mut slower) = (start, start);
        faster.learn(&sample(&[50; 20]), &sample(&[50; 20]));
        slower.learn(&sample(&[200; 20]), &sample(&[200; 20]));
        assert!((start.mean - faster.mean) > 5.0 * (slower.mean - start.mean));
    }
}
