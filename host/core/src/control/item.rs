//! The control item: the state that all processes of a provider share, as it is stored. Nothing is decided here: the
//! policies import it.
//!
//! The item also holds the nonces of its latest changes ([`RecentChanges`]). A writer whose answer was lost reads the
//! item again and finds its nonce there, and so does a writer whose own repeated write was refused.

mod governor;
mod stop;

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::control::crashes::Crashes;
use crate::control::quota::Usage;
use crate::control::rebase::Rebase;
use crate::item::SequenceNumber;
use crate::random::RandomSource;

pub use governor::{Disabled, Governor, Pending, Seen};
pub use stop::{OpenedBy, ProviderStop};

/// A provider's control item: the state that all of its processes share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Control {
    /// Raised by every write; a write holds only if no other process wrote since the read.
    pub version: u64,
    /// Whether the API may be called.
    pub breaker: ProviderStop,
    /// How many more items may become dead letters without an alarm: the rest of an operator's grant, without the
    /// shares that processes have taken ([`GrantShare`](crate::control::failure_monitor::GrantShare)).
    pub dead_letters_allowed: u32,
    /// Raised by each grant, so that a share of an earlier one is not given back to it.
    pub dead_letters_grant: u64,
    /// The limiter's state, as it was saved last.
    pub limiter: Option<SavedLimiter>,
    /// The slow loop's memory.
    pub governor: Governor,
    /// The requests of today.
    pub usage: Usage,
    /// The ids with which a failing API was tried, the latest last: they may be the only ones that fail.
    pub probed: Vec<String>,
    /// Unfinished entries behind which others have ended, the latest last: a batch that holds one is delivered again.
    pub unfinished: Vec<SequenceNumber>,
    /// The changes that were written last.
    pub recent_changes: RecentChanges,
    /// A hint on the parked entries.
    pub parked: ParkedHint,
    /// Processes that died while the component ran.
    pub crashes: Crashes,
    /// The component that fetched last, as the process that saved its limiter last runs it.
    pub component: Option<RunningComponent>,
}

/// The component that a provider's processes run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningComponent {
    /// The component's name.
    pub name: String,
    /// The component's version.
    pub version: String,
    /// The component's digest, as `sha256:...`.
    pub digest: String,
}

/// How many changes an item remembers: a writer finds its own while fewer others have been written since.
pub const MOST_RECENT_CHANGES: usize = 16;

/// A random name of one change of a control item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChangeNonce(String);

impl ChangeNonce {
    /// A new nonce, drawn from `random`: 40 random bits.
    #[must_use]
    pub fn generate(random: &RandomSource) -> Self {
        Self(format!("{:010x}", random.bits() & 0xff_ffff_ffff))
    }
}

/// The nonces of the changes that were written last, the latest last: at most [`MOST_RECENT_CHANGES`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecentChanges(VecDeque<ChangeNonce>);

impl RecentChanges {
    /// Note a change that is about to be written. The oldest one makes room.
    pub fn note(&mut self, nonce: ChangeNonce) {
        let too_many = self.0.len().saturating_sub(MOST_RECENT_CHANGES - 1);
        self.0.drain(..too_many);
        self.0.push_back(nonce);
    }

    /// Whether a change was written, and at most so many others since.
    #[must_use]
    pub fn contains(&self, nonce: &ChangeNonce) -> bool {
        self.0.contains(nonce)
    }
}

/// A hint on the entries that are parked in the ledger, written by the calls that parked them: it saves reads. A tick
/// reads the parked entries themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ParkedHint {
    /// How many entries.
    pub count: u64,
    /// When the first is due; `None`: nothing is parked.
    pub next_due: Option<Timestamp>,
}

impl ParkedHint {
    /// Whether something is due at `now`.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.next_due.is_some_and(|due| due <= now)
    }
}

/// A limiter's state, so that the next invocation, and the next process, go on where this one ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedLimiter {
    /// When it was saved.
    pub at: Timestamp,
    /// The same in the time of the limiter that saved it, in which the state's instants are; `None`: the time since
    /// 1970.
    #[serde(default)]
    pub elapsed: Option<Duration>,
    /// The limit then, for display.
    pub limit: u32,
    /// Until when nothing may start because the API sent Retry-After.
    pub gate: Option<Timestamp>,
    /// The state, in the limiter's own form.
    pub state: serde_json::Value,
}

impl SavedLimiter {
    /// This, after what was kept before: where the limiter's breaker is open its limit is 0, and the level before still
    /// counts.
    #[must_use]
    pub fn after(self, before: Option<Self>) -> Self {
        let limit = if self.limit > 0 { self.limit } else { before.map_or(1, |before| before.limit) };
        Self { limit, ..self }
    }

    /// The [`Rebase`] that moves the state's instants to a time in which it is `elapsed` when the wall clock says
    /// `now`. A state that was saved in the future, before the clock was set back, counts as saved just now.
    #[must_use]
    pub fn rebase(&self, elapsed: Duration, now: Timestamp) -> Rebase {
        let since_1970 = || Duration::try_from(self.at.duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default();
        let age = Duration::try_from(now.duration_since(self.at)).unwrap_or_default();
        Rebase::new(elapsed, self.elapsed.unwrap_or_else(since_1970).saturating_add(age))
    }

    /// Until when nothing may start at `now` because the API sent Retry-After. A state that was saved in the future is
    /// ignored: the clock was set back, and the limiter itself keeps the time to wait.
    #[must_use]
    pub fn gate(&self, now: Timestamp) -> Option<Timestamp> {
        self.gate.filter(|gate| self.at <= now && *gate > now)
    }
}

impl Control {
    /// Whether an operator is needed before the API may be called.
    #[must_use]
    pub fn needs_operator(&self) -> bool {
        matches!(self.breaker, ProviderStop::Open { by: OpenedBy::Operator | OpenedBy::Config, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_remembered_until_sixteen_others_were_written() {
        let random = RandomSource::from_seed(1);
        let mut changes = RecentChanges::default();
        let ours = ChangeNonce::generate(&random);
        assert!(!changes.contains(&ours));
        changes.note(ours.clone());
        for _ in 1..MOST_RECENT_CHANGES {
            changes.note(ChangeNonce::generate(&random));
            assert!(changes.contains(&ours));
        }
        changes.note(ChangeNonce::generate(&random));
        assert!(!changes.contains(&ours));
        assert_eq!(changes.0.len(), MOST_RECENT_CHANGES);
    }

    #[test]
    fn an_item_that_an_older_release_wrote_is_read() {
        let old = r#"{"version":3,"dead_letters_allowed":7}"#;
        let read: Control = serde_json::from_str(old).unwrap();
        assert_eq!(read, Control { version: 3, dead_letters_allowed: 7, ..Control::default() });
        let mut written = read;
        written.recent_changes.note(ChangeNonce::generate(&RandomSource::from_seed(1)));
        let json = serde_json::to_string(&written).unwrap();
        assert_eq!(serde_json::from_str::<Control>(&json).unwrap(), written);
    }
}
