//! The conditions of an API at one time: its latency, its capacity, and its refusals.
//!
//! The same keys describe the API at first and each change of it: what a change does not name stays as it was.

use std::time::Duration;

use serde::Deserialize;

use crate::random::Random;
use crate::units::{duration, duration_if_any, number};

/// The conditions of an API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Conditions {
    /// How long it takes to answer one call alone; 200 ms where nothing is said.
    pub latency: Option<Latency>,
    /// The limit on calls in flight, above which it refuses more.
    pub concurrency: Option<Cap>,
    /// The limit on calls in a second, above which it refuses more.
    pub rate: Option<Rate>,
    /// The limit on calls in a window of time, above which it refuses more.
    pub window: Option<Window>,
    /// How many calls it works at; the others wait in line.
    pub workers: Option<Workers>,
    /// From how many calls at once on it gets slower.
    pub knee: Option<Knee>,
    /// How calls at once slow each other down.
    pub contention: Option<Contention>,
    /// The share of answers that are errors, 0 to 1, taken at random.
    pub error_rate: Option<f64>,
    /// Refusals that come at random, whatever was sent before.
    pub whims: Option<Whims>,
    /// Whether it is down.
    pub outage: Option<Outage>,
    /// The number of refusals after which it bans its client.
    pub patience: Option<Patience>,
    /// By how much everything takes longer than `latency` says; 1 where nothing is said.
    pub slowdown: Option<f64>,
}

/// How long an answer takes: log-normal around a median.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Half of all answers take less.
    #[serde(deserialize_with = "duration")]
    pub median: Duration,
    /// The deviation of the latency's natural logarithm; 0 is constant, 0.3 a well-kept API, 1.5 a heavy tail.
    #[serde(default)]
    pub sigma: f64,
    /// No answer takes less.
    #[serde(default, deserialize_with = "duration")]
    pub shortest: Duration,
    /// No answer takes more.
    #[serde(default = "an_hour", deserialize_with = "duration")]
    pub longest: Duration,
}

/// A cap on calls at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cap {
    /// The most calls that are worked at in parallel; more are refused with a 429.
    pub limit: u32,
    /// The value of Retry-After; left out, there is none.
    #[serde(default, deserialize_with = "duration_if_any")]
    pub retry_after: Option<Duration>,
    /// Whether more calls are dropped without a word instead of refused.
    #[serde(default)]
    pub drops: bool,
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Tokens that come in a second; a call takes one.
    pub per_second: f64,
    /// Tokens that the bucket holds, and holds at first.
    pub burst: f64,
    /// Whether a 429 says in Retry-After, in whole seconds, when the next token comes.
    #[serde(default)]
    pub retry_after: bool,
}

/// A window of time in which so many calls are allowed; the next one begins when it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Calls in a window; more are refused with a 429 whose Retry-After is the time left, in whole seconds.
    pub calls: u32,
    /// How long a window is.
    #[serde(deserialize_with = "duration")]
    pub every: Duration,
}

/// Refusals with a 429 at random.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whims {
    /// The share of calls that is refused, 0 to 1.
    pub share: f64,
    /// The value of Retry-After; left out, there is none.
    #[serde(default, deserialize_with = "duration_if_any")]
    pub retry_after: Option<Duration>,
}

/// A pool of workers with one line before it, first come, first served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workers {
    /// Workers, each at one call.
    pub count: u32,
}

/// A latency knee: up to `at` calls at once latency is what it is alone, beyond it grows as `(n / at) ^ power`. With a
/// power of 1 goodput stays what it is at the knee (processor sharing), above that it falls.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knee {
    /// Calls at once where the knee is.
    pub at: f64,
    /// How steep it is beyond.
    pub power: f64,
}

/// Neil Gunther's Universal Scalability Law (*Guerrilla Capacity Planning*, 2007): `n` calls at once each take
/// `1 + sigma (n - 1) + kappa n (n - 1)` times as long as one alone, so that goodput is greatest at
/// `sqrt((1 - sigma) / kappa)`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contention {
    /// The share of the work that only one call can do at a time, 0 to 1.
    pub sigma: f64,
    /// The cost of keeping each pair of calls consistent.
    pub kappa: f64,
}

/// How an API treats clients that ignore its refusals: after more than `refusals` refusals within a time it refuses
/// everything for a while, as GitHub's secondary rate limits, Cloudflare's ban of clients that Discord refused too
/// often, and SEC EDGAR do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patience {
    /// The number of refusals that are tolerated.
    pub refusals: u32,
    /// Within this time.
    #[serde(deserialize_with = "duration")]
    pub within: Duration,
    /// For so long everything is refused after that.
    #[serde(deserialize_with = "duration")]
    pub shut_out: Duration,
}

/// Whether an API is down, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outage {
    /// It is up.
    #[default]
    None,
    /// Every call is answered with an error, at once.
    Errors,
    /// No call is ever answered.
    BlackHole,
}

impl Conditions {
    /// These conditions where `change` says nothing, else what it says.
    #[must_use]
    pub fn with_change(&self, change: &Self) -> Self {
        Self {
            latency: change.latency.or(self.latency),
            concurrency: change.concurrency.or(self.concurrency),
            rate: change.rate.or(self.rate),
            workers: change.workers.or(self.workers),
            knee: change.knee.or(self.knee),
            contention: change.contention.or(self.contention),
            error_rate: change.error_rate.or(self.error_rate),
            window: change.window.or(self.window),
            whims: change.whims.or(self.whims),
            outage: change.outage.or(self.outage),
            patience: change.patience.or(self.patience),
            slowdown: change.slowdown.or(self.slowdown),
        }
    }

    /// The most calls in a second, in the long run.
    #[must_use]
    pub fn per_second(&self) -> Option<f64> {
        let rate = self.rate.map(|rate| rate.per_second);
        let window =
            self.window.map(|window| f64::from(window.calls) / window.every.as_secs_f64().max(f64::MIN_POSITIVE));
        [rate, window].into_iter().flatten().reduce(f64::min)
    }

    /// How long one call alone takes.
    #[must_use]
    pub fn latency(&self) -> Latency {
        self.latency.unwrap_or(Latency {
            median: Duration::from_millis(200),
            sigma: 0.0,
            shortest: Duration::ZERO,
            longest: an_hour(),
        })
    }

    /// The share of errors.
    #[must_use]
    pub fn error_rate(&self) -> f64 {
        self.error_rate.unwrap_or_default()
    }

    /// Whether it is down.
    #[must_use]
    pub fn outage(&self) -> Outage {
        self.outage.unwrap_or_default()
    }

    /// How many times as long as alone a call takes that is one of `at_once`.
    #[must_use]
    pub fn stretch(&self, at_once: u32) -> f64 {
        let calls = number(u64::from(at_once));
        let knee = self.knee.map_or(1.0, |knee| (calls / knee.at).max(1.0).powf(knee.power));
        let contention = self.contention.map_or(1.0, |contention| {
            let others = (calls - 1.0).max(0.0);
            1.0 + contention.sigma * others + contention.kappa * calls * others
        });
        knee * contention * self.slowdown.unwrap_or(1.0)
    }

    /// The number of calls in flight with the most goodput at the least latency, if there is any limit; 0 when it is
    /// down.
    #[must_use]
    pub fn best_in_flight(&self) -> Option<f64> {
        if self.outage() != Outage::None {
            return Some(0.0);
        }
        let cap = self.concurrency.map(|cap| f64::from(cap.limit));
        let workers = self.workers.map(|workers| f64::from(workers.count));
        let knee = self.knee.map(|knee| knee.at);
        let contention = self.contention.map(|law| ((1.0 - law.sigma) / law.kappa).max(1.0).sqrt());
        [cap, workers, knee, contention].into_iter().flatten().reduce(f64::min)
    }
}

impl Latency {
    /// One answer's time, in seconds.
    pub fn draw(&self, random: &mut Random) -> f64 {
        let median = self.median.as_secs_f64();
        let drawn = if self.sigma > 0.0 { median * (self.sigma * random.normal()).exp() } else { median };
        drawn.max(self.shortest.as_secs_f64()).min(self.longest.as_secs_f64())
    }
}

fn an_hour() -> Duration {
    Duration::from_secs(3_600)
}
