//! Measures an invocation's work for a provider: started before the work, printed after it as lines of metrics.

use std::sync::Arc;

use damper_core::pipeline::Pipeline;
use jiff::Timestamp;

use crate::metrics::{self, CounterSnapshot, Invocation, ProviderStatus};

/// One provider's counters, from some moment on.
pub(crate) struct Meter {
    pipeline: Arc<Pipeline>,
    before: CounterSnapshot,
}

impl Meter {
    /// Starts measuring. Earlier events are discarded: they belong to other invocations.
    pub(crate) fn begin(pipeline: &Arc<Pipeline>) -> Self {
        let progress = pipeline.progress();
        progress.watch();
        progress.take_events();
        Self { pipeline: Arc::clone(pipeline), before: CounterSnapshot::of(&progress) }
    }

    /// Writes what has happened since, and how the provider stands now.
    pub(crate) fn print(self, now: Timestamp, invocation: Invocation) {
        let manifest = self.pipeline.manifest();
        // As the invocation itself has read or written it last: nobody pays for another read.
        let Some(control) = self.pipeline.cached_control() else {
            tracing::warn!(provider = manifest.name, "no metrics are written: the control item was not read");
            return;
        };
        let progress = self.pipeline.progress();
        let delta = self.before.delta_to(&CounterSnapshot::of(&progress), &progress.take_events());
        let today = manifest.window.day(now);
        let status = ProviderStatus::of(&control, self.pipeline.limiter_snapshot(), today, manifest.limits.daily_quota);
        let component = self.pipeline.running_component();
        for line in metrics::format_lines((&manifest.name, &component), now, invocation, &delta, status) {
            println!("{line}");
        }
    }
}
