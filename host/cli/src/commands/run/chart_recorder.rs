//! A run as a chart: what was in flight and what was allowed, what came back and how fast, second by second.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use damper_core::control::admission::LimiterSnapshot;
use damper_core::pipeline::progress::EventKind;
use damper_runner::Worker;
use damper_sim::api::{Conditions, Plan};
use damper_sim::chart;
use damper_sim::record::Recorder;
use tokio::time::Instant;

use crate::error::CliError;

/// Records one provider's run as it happens.
pub(super) struct ChartRecorder {
    worker: Arc<Worker>,
    recorder: Recorder,
    began: Instant,
    /// The time of the latest event; none may come before it.
    latest: Duration,
    /// The second at whose begin limiter and mapping were read last.
    read: Option<u64>,
}

impl ChartRecorder {
    pub(super) fn new(worker: Arc<Worker>) -> Self {
        worker.progress().watch();
        let recorder = Recorder::new(&unknown_plan(), 1);
        Self { worker, recorder, began: Instant::now(), latest: Duration::ZERO, read: None }
    }

    /// Record the events since the last call.
    pub(super) async fn record_events(&mut self) {
        let mapping = self.worker.mapping().await;
        let pending = self.worker.counts().await.ok().map(|counts| counts.pending);
        let batch_size = mapping.map(|mapping| if mapping.enabled { mapping.batch_size } else { 0 });
        let reading = self.worker.reading();
        let now = self.began.elapsed();
        for event in self.worker.progress().take_events() {
            let at = event.at.saturating_duration_since(self.began);
            self.advance_to(at, &reading, batch_size, pending);
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
        self.advance_to(now, &reading, batch_size, pending);
    }

    /// Write the chart into a folder; returns where.
    ///
    /// # Errors
    /// If it cannot be drawn or written.
    pub(super) fn write(self, folder: &Path) -> Result<PathBuf, CliError> {
        let name = self.worker.name().to_owned();
        let record = self.recorder.finish(self.latest);
        let svg = chart::svg(&format!("{name}: this run, over its seconds"), &unknown_plan(), &record)
            .map_err(|error| CliError::unexpected("draw the chart", error))?;
        let path = folder.join(format!("{name}.svg"));
        std::fs::write(&path, svg).map_err(CliError::file("write the chart", &path))?;
        Ok(path)
    }

    /// Time goes on; limiter and mapping are read once a second.
    fn advance_to(&mut self, now: Duration, reading: &LimiterSnapshot, batch_size: Option<u32>, pending: Option<u64>) {
        self.latest = self.latest.max(now);
        if self.read != Some(self.latest.as_secs()) {
            self.read = Some(self.latest.as_secs());
            self.recorder.record_reading(self.latest, reading);
            self.recorder.record_batch(self.latest, batch_size, pending);
        }
    }
}

/// The capacity of a real API is not known.
fn unknown_plan() -> Plan {
    Plan::new(Conditions::default(), &[])
}
