//! Records a run while it happens.

use std::time::Duration;

use damper_core::control::admission::{LimiterSnapshot, Outcome};

use super::figures::percentile;
use super::{Drop, Record, Second, Totals};
use crate::api::{Outage, Plan};

/// A run's writer.
#[derive(Debug)]
pub struct Recorder {
    record: Record,
    second: Second,
    latencies: Vec<f64>,
    in_flight: i64,
    /// Up to when the current second's in-flight time is summed.
    summed_to: Duration,
    /// When the API is down, from and until.
    outages: Vec<(Duration, Option<Duration>)>,
}

impl Recorder {
    /// A writer of a run against an API that follows `plan`.
    #[must_use]
    pub fn new(plan: &Plan, clients: usize) -> Self {
        let capacities = plan.capacities();
        let mut drops = Vec::new();
        let mut outages: Vec<(Duration, Option<Duration>)> = Vec::new();
        let mut before = None;
        for capacity in capacities {
            let bears = capacity.in_flight.unwrap_or(f64::INFINITY);
            if before.is_some_and(|before| bears < before) && bears > 0.0 {
                drops.push(Drop { at: capacity.from, bears, reduced_after: None });
            }
            before = Some(bears);
            let down = capacity.outage != Outage::None;
            match outages.last_mut() {
                Some((_, until @ None)) if !down => *until = Some(capacity.from),
                Some((_, None)) => {}
                _ if down => outages.push((capacity.from, None)),
                _ => {}
            }
        }
        let record = Record { clients: vec![Totals::default(); clients], drops, ..Record::default() };
        Self {
            record,
            second: Second::default(),
            latencies: Vec::new(),
            in_flight: 0,
            summed_to: Duration::ZERO,
            outages,
        }
    }

    /// A call was sent by `client`; `above` its cap or not.
    pub fn record_sent(&mut self, now: Duration, client: usize, above: bool) {
        self.advance_to(now);
        self.second.sent += 1;
        self.record.above_cap += u64::from(above);
        if let Some(totals) = self.record.clients.get_mut(client) {
            totals.sent += 1;
        }
        if self.outages.iter().any(|(from, until)| *from <= now && until.is_none_or(|until| now < until)) {
            self.record.sent_into_outage += 1;
        }
    }

    /// A call of `client` ended.
    pub fn record_end(&mut self, now: Duration, client: usize, latency: Duration, outcome: Outcome) {
        self.advance_to(now);
        let Some(totals) = self.record.clients.get_mut(client) else { return };
        let (in_second, in_all) = match outcome {
            Outcome::Ok => {
                self.latencies.push(latency.as_secs_f64());
                (&mut self.second.ok, &mut totals.ok)
            }
            Outcome::Throttled { .. } => (&mut self.second.throttled, &mut totals.throttled),
            Outcome::Failed => (&mut self.second.failed, &mut totals.failed),
            Outcome::TimedOut => (&mut self.second.timed_out, &mut totals.timed_out),
        };
        *in_second += 1;
        *in_all += 1;
    }

    /// Adds `change` to the number of permits in use.
    pub fn change_in_flight(&mut self, now: Duration, change: i64) {
        self.advance_to(now);
        self.in_flight += change;
        self.note_reductions(now);
    }

    /// Records the reading of a client's algorithm, at the begin of a second.
    pub fn record_reading(&mut self, now: Duration, reading: &LimiterSnapshot) {
        self.advance_to(now);
        self.second.limit = self.second.limit.saturating_add(reading.limit);
        self.second.breaker.get_or_insert(reading.breaker);
        self.second.rate = self.second.rate.or(reading.rate);
    }

    /// Records the mapping's batch size and the pending items, at the begin of a second.
    pub fn record_batch(&mut self, now: Duration, batch_size: Option<u32>, pending: Option<u64>) {
        self.advance_to(now);
        (self.second.batch_size, self.second.pending) = (batch_size, pending);
    }

    /// An algorithm wanted a completion although nothing was in flight.
    pub fn record_stuck(&mut self) {
        self.record.stuck += 1;
    }

    /// The run is over.
    #[must_use]
    pub fn finish(mut self, duration: Duration) -> Record {
        // An event that was recorded a moment late ends the run a moment late.
        self.advance_to(duration.max(self.summed_to));
        self.record.duration = duration;
        self.record.latencies.sort_by(f64::total_cmp);
        self.record
    }

    /// Time goes on.
    fn advance_to(&mut self, now: Duration) {
        loop {
            let ends = Duration::from_secs(self.record.seconds.len() as u64 + 1);
            if now < ends {
                self.sum_up(now);
                return;
            }
            self.sum_up(ends);
            self.latencies.sort_by(f64::total_cmp);
            let mut second = std::mem::take(&mut self.second);
            (second.p50, second.p99) = (percentile(&self.latencies, 0.5), percentile(&self.latencies, 0.99));
            self.record.latencies.append(&mut self.latencies);
            self.record.seconds.push(second);
            self.note_reductions(ends);
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "permits are few")]
    fn sum_up(&mut self, now: Duration) {
        self.second.in_flight += self.in_flight as f64 * (now - self.summed_to).as_secs_f64();
        self.summed_to = now;
    }

    #[allow(clippy::cast_precision_loss, reason = "permits are few")]
    fn note_reductions(&mut self, now: Duration) {
        let in_flight = self.in_flight as f64;
        for drop in &mut self.record.drops {
            if drop.at <= now && drop.reduced_after.is_none() && in_flight <= 1.5 * drop.bears {
                drop.reduced_after = Some(now - drop.at);
            }
        }
    }
}
