//! What an invocation did for a provider: begun before its work, told after it as lines of metrics.

use std::sync::Arc;

use damper_core::pipeline::Pipeline;
use jiff::Timestamp;

use crate::metrics::{self, Counted, Invocation, Standing};

/// One provider's counters, from some moment on.
pub(crate) struct Meter {
    pipeline: Arc<Pipeline>,
    before: Counted,
}

impl Meter {
    /// Counts from now on. Whatever happened before is not this invocation's.
    pub(crate) fn begin(pipeline: &Arc<Pipeline>) -> Self {
        let progress = pipeline.progress();
        progress.watch();
        progress.take_events();
        Self { pipeline: Arc::clone(pipeline), before: Counted::of(&progress) }
    }

    /// Writes what has happened since, and how the provider stands now.
    pub(crate) fn tell(self, now: Timestamp, invocation: Invocation) {
        let manifest = self.pipeline.manifest();
        // As the invocation itself has read or written it last: nobody pays for another read.
        let Some(control) = self.pipeline.cached_control() else {
            tracing::warn!(provider = manifest.name, "no metrics: the control item was not read");
            return;
        };
        let progress = self.pipeline.progress();
        let happened = self.before.until(&Counted::of(&progress), &progress.take_events());
        let today = manifest.window.day(now);
        let standing = Standing::of(&control, self.pipeline.limiter_snapshot(), today, manifest.limits.daily_quota);
        for line in metrics::lines(&manifest.name, now, invocation, &happened, standing) {
            println!("{line}");
        }
    }
}
