//! A run as a chart: the worker's events and readings on their way into the recorder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use damper_runner::Worker;
use damper_sim::live::{LiveReading, LiveRecorder};

use crate::error::CliError;

/// Records one provider's run as it happens.
pub(super) struct ChartRecorder {
    worker: Arc<Worker>,
    recorder: LiveRecorder,
}

impl ChartRecorder {
    pub(super) fn new(worker: Arc<Worker>) -> Self {
        worker.progress().watch();
        Self { worker, recorder: LiveRecorder::default() }
    }

    /// Record the events since the last call.
    pub(super) async fn record_events(&mut self) {
        let mapping = self.worker.mapping().await;
        let pending = self.worker.counts().await.ok().map(|counts| counts.pending);
        let batch_size = mapping.map(|mapping| if mapping.enabled { mapping.batch_size } else { 0 });
        let reading = LiveReading { limiter: self.worker.reading(), batch_size, pending };
        self.recorder.record_events(self.worker.progress().take_events(), &reading);
    }

    /// Write the chart into a folder; returns where.
    ///
    /// # Errors
    /// If it cannot be drawn or written.
    pub(super) fn write(self, folder: &Path) -> Result<PathBuf, CliError> {
        let name = self.worker.name();
        let svg = self.recorder.svg(&format!("{name}: this run, over its seconds"));
        let svg = svg.map_err(|error| CliError::internal("draw the chart", error))?;
        let path = folder.join(format!("{name}.svg"));
        std::fs::write(&path, svg).map_err(CliError::file("write the chart", &path))?;
        Ok(path)
    }
}
