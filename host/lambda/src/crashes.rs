//! Processes of this sandbox that died while a component ran. Lambda starts another process in the same sandbox then, and keeps its
//! temporary folder, where the marks lie.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use damper_core::control::crashes::Crash;
use damper_core::fetcher::Fetcher;
use damper_plugins::{AbandonedMarks, ExecutionMarks, Plugin, read_abandoned_marks};

/// The marks of this process, and those of processes that died.
pub(crate) struct Crashes {
    /// None: they cannot be kept.
    pub(crate) marks: Option<Arc<ExecutionMarks>>,
    left: Mutex<Vec<AbandonedMarks>>,
}

impl Crashes {
    /// Reads what was left behind in this folder, and marks this process there.
    pub(crate) fn open(folder: &Path) -> Self {
        let unusable = |error: &std::io::Error| {
            tracing::warn!(folder = %folder.display(), %error, "a crash cannot be traced to a component: its marks cannot be kept");
        };
        let left = read_abandoned_marks(folder).inspect_err(unusable).unwrap_or_default();
        let marks = ExecutionMarks::create(folder).inspect_err(unusable).ok().map(Arc::new);
        Self { marks, left: Mutex::new(left) }
    }

    /// The processes that died while this component ran.
    pub(crate) fn find_crashes(&self, plugin: &Plugin) -> Vec<Crash> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let crash = |left: &AbandonedMarks| {
            let running = left.running.iter().find(|running| running.component == plugin.marked_component())?;
            let component = plugin.digest().to_owned();
            Some(Crash { process: left.process.clone(), component, item: running.item.name() })
        };
        left.iter().filter_map(crash).collect()
    }

    /// Removes a provider's leftover marks; call it after they are recorded in the ledger.
    pub(crate) fn forget_provider(&self, provider: &str) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain_mut(|left| {
            left.running.retain(|running| !running.component.is_of(provider));
            if left.running.is_empty()
                && let Err(error) = left.forget()
            {
                tracing::debug!(process = left.process, %error, "the marks of an earlier process were not removed");
            }
            !left.running.is_empty()
        });
    }
}
