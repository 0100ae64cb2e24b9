//! Damper's promises, and the report of a broken one.

use std::fmt;
use std::time::Duration;

/// A promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// fed = fetched + skipped + dead letters + pending, and what has ended has a record or a letter.
    Books,
    /// At most one record of an identity and a day in the sink.
    OneRecordADay,
    /// Requests in flight at an API are at most its cap.
    Cap,
    /// Requests of a day are at most the quota.
    Quota,
    /// Nothing is sent while the window is closed.
    Window,
    /// A stored and finished item is not fetched again that day.
    NoRefetch,
    /// Once faults have ended, all work ends.
    Progress,
    /// No process calls the ports in a busy loop, and no batch is delivered endlessly.
    BusyLoop,
    /// A provider is stopped only where that has a cause.
    AlarmHasCause,
    /// An item is given up on only where that has a cause.
    LetterHasCause,
    /// An operator's grant is spent by dead letters alone.
    Grant,
    /// A few refusals at random do not slow everything down.
    Pace,
    /// Two shards that have to share a slot both go on.
    Sharing,
    /// Items that wait hold no others back.
    Waiting,
    /// A poll names an order of its own item.
    Resume,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Books => "fed = fetched + skipped + dead letters + pending",
            Self::OneRecordADay => "at most one record of an identity and a day",
            Self::Cap => "in flight at an API <= cap",
            Self::Quota => "requests of a day <= quota",
            Self::Window => "nothing is sent while the window is closed",
            Self::NoRefetch => "what is stored and finished is not fetched again that day",
            Self::Progress => "with faults ended all work ends",
            Self::BusyLoop => "nobody calls without waiting",
            Self::AlarmHasCause => "every alarm has a cause",
            Self::LetterHasCause => "every dead letter has a cause",
            Self::Grant => "a grant is spent by dead letters alone",
            Self::Pace => "a few refusals at random do not slow everything down",
            Self::Sharing => "shards that share a slot both go on",
            Self::Waiting => "items that wait hold no others back",
            Self::Resume => "a poll names an order of its own item",
        })
    }
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// When, from the beginning.
    pub at: Duration,
    /// By what.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t={:.3}s broken: {}: {}", self.at.as_secs_f64(), self.invariant, self.what)
    }
}
