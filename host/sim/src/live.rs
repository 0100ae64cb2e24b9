//! A real run as a chart, over its seconds: the requests in flight, the limit, the outcomes and their latency. The
//! program that runs the provider hands in what it sees.

use std::time::Duration;

use damper_core::control::admission::LimiterSnapshot;
use damper_core::pipeline::progress::{Event, EventKind};
use tokio::time::Instant;

use crate::api::{Conditions, Plan};
use crate::chart::{self, ChartError};
use crate::record::Recorder;

/// Records one provider's run as it happens.
pub struct LiveRecorder {
    recorder: Recorder,
    began: Instant,
    /// The time of the latest event; none may come before it.
    latest: Duration,
    /// The second at whose begin limiter and mapping were read last.
    read: Option<u64>,
}

/// The state of a run at one moment.
#[derive(Debug, Clone)]
pub struct LiveReading {
    /// The limiter.
    pub limiter: LimiterSnapshot,
    /// Entries of a batch: 0 while the mapping is off, `None` if it was not read.
    pub batch_size: Option<u32>,
    /// Entries that are left, if they were counted.
    pub pending: Option<u64>,
}

impl Default for LiveRecorder {
    fn default() -> Self {
        let recorder = Recorder::new(&unknown_plan(), 1);
        Self { recorder, began: Instant::now(), latest: Duration::ZERO, read: None }
    }
}

impl LiveRecorder {
    /// Record the events since the last call.
    pub fn record_events(&mut self, events: Vec<Event>, reading: &LiveReading) {
        let now = self.began.elapsed();
        for event in events {
            self.advance_to(event.at.saturating_duration_since(self.began), reading);
            match event.kind {
                EventKind::Sent => {
                    self.recorder.record_sent(self.latest, 0, false);
                    self.recorder.change_in_flight(self.latest, 1);
                }
                EventKind::Ended { latency, outcome } => {
                    self.recorder.change_in_flight(self.latest, -1);
                    // Outcomes that say nothing about the API, such as a trap, are not drawn.
                    if let Some(outcome) = outcome {
                        self.recorder.record_end(self.latest, 0, latency, outcome);
                    }
                }
            }
        }
        self.advance_to(now, reading);
    }

    /// The chart.
    ///
    /// # Errors
    /// If it cannot be drawn.
    pub fn svg(self, title: &str) -> Result<String, ChartError> {
        chart::svg(title, &unknown_plan(), &self.recorder.finish(self.latest))
    }

    /// Time goes on; limiter and mapping are taken once a second.
    fn advance_to(&mut self, now: Duration, reading: &LiveReading) {
        self.latest = self.latest.max(now);
        if self.read != Some(self.latest.as_secs()) {
            self.read = Some(self.latest.as_secs());
            self.recorder.record_reading(self.latest, &reading.limiter);
            self.recorder.record_batch(self.latest, reading.batch_size, reading.pending);
        }
    }
}

/// The capacity of a real API is not known.
fn unknown_plan() -> Plan {
    Plan::new(Conditions::default(), &[])
}
