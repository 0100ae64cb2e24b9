//! The resources that a call used.

use std::time::Duration;

/// The resources that a call used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// The most memory that its instance had, in bytes.
    pub peak_memory_bytes: u64,
    /// The instructions that it ran, where a [metered host](crate::PluginHost::with_metering) ran it to its end.
    pub instructions: Option<u64>,
    /// How long it computed, by the clock: a busy machine makes this longer.
    pub computed: Duration,
    /// How long it waited for a clock, without a request: `sleep` of its language.
    pub slept: Duration,
}
