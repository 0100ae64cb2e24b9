//! A record's seconds, drawn together into as many points as a chart can show.

use std::time::Duration;

use damper_core::control::admission::BreakerStatus;

use crate::api::{Outage, Plan};
use crate::record::{Record, Second};
use crate::units::number;

/// The most points of a line.
const MOST: usize = 600;

/// A stretch of time in a chart.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Point {
    /// Its begin, in seconds.
    pub(super) begins: f64,
    /// Its end, in seconds.
    pub(super) ends: f64,
    pub(super) bears: Option<f64>,
    pub(super) limit: f64,
    pub(super) in_flight: f64,
    /// In a second, as are the next two.
    pub(super) ok: f64,
    pub(super) throttled: f64,
    pub(super) failed: f64,
    /// In seconds: the middle of the stretch's medians, and the highest 99th percentile.
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
    pub(super) batch_size: Option<f64>,
    pub(super) is_down: bool,
    pub(super) breaker_state: BreakerState,
}

/// The breaker's most restrictive state in a stretch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum BreakerState {
    #[default]
    Closed,
    HalfOpen,
    Open,
}

pub(super) fn points(plan: &Plan, record: &Record) -> Vec<Point> {
    let length = record.seconds.len().div_ceil(MOST).max(1);
    let starts = (0..).step_by(length);
    record.seconds.chunks(length).zip(starts).map(|(seconds, start)| point(plan, seconds, start)).collect()
}

fn point(plan: &Plan, seconds: &[Second], start: u64) -> Point {
    let count = number(seconds.len() as u64).max(1.0);
    let begins = number(start);
    let mean = |value: fn(&Second) -> f64| seconds.iter().map(value).sum::<f64>() / count;
    let conditions = plan.at(Duration::from_secs(start));
    let mut medians: Vec<f64> = seconds.iter().filter_map(|second| second.p50).collect();
    medians.sort_by(f64::total_cmp);
    Point {
        begins,
        ends: begins + count,
        bears: conditions.best_in_flight(),
        limit: mean(|second| f64::from(second.limit)),
        in_flight: mean(|second| second.in_flight),
        ok: mean(|second| f64::from(second.ok)),
        throttled: mean(|second| f64::from(second.throttled)),
        failed: mean(|second| f64::from(second.failed) + f64::from(second.timed_out)),
        p50: medians.get(medians.len() / 2).copied(),
        p99: seconds.iter().filter_map(|second| second.p99).reduce(f64::max),
        batch_size: seconds.first().and_then(|second| second.batch_size).map(f64::from),
        is_down: conditions.outage() != Outage::None,
        breaker_state: seconds.iter().map(breaker_state).max().unwrap_or_default(),
    }
}

fn breaker_state(second: &Second) -> BreakerState {
    match second.breaker {
        Some(BreakerStatus::Open { .. }) => BreakerState::Open,
        Some(BreakerStatus::HalfOpen { .. }) => BreakerState::HalfOpen,
        Some(BreakerStatus::Closed) | None => BreakerState::Closed,
    }
}
