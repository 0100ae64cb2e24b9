//! How a call goes: why it starts nothing more, and whether it was of use.

use crate::pipeline::report::Stopped;

/// The status of a call.
#[derive(Debug, Default)]
pub(super) struct CallStatus {
    /// Why nothing more is started.
    pub(super) stopped: Option<Stopped>,
    /// Whether this call has raised an alarm.
    pub(super) is_alarmed: bool,
    /// Whether an entry has ended.
    pub(super) has_progressed: bool,
}

impl CallStatus {
    /// Nothing more is started; the first reason stands.
    pub(super) fn stop(&mut self, why: Stopped) {
        self.stopped.get_or_insert(why);
    }

    /// Whether the breaker is open for an operator, also where this call was stopped for another reason before.
    pub(super) fn needs_operator(&self) -> bool {
        self.is_alarmed || self.stopped == Some(Stopped::BreakerOpen)
    }
}
