//! The control item: what all processes that work for a provider share, the breaker's truth among it.
//!
//! ```text
//!             the limiter's breaker opened (by = breaker)
//!   CLOSED ------------------------------------------------> OPEN
//!      ^                 it closed again                       |
//!      +-------------------------------------------------------+
//!      |
//!      |  a failure that needs a person (by = config), `damper pause` (by = operator)
//!      +----------------------------------------------------------------------------> OPEN
//!      ^                              `damper resume`                                   |
//!      +--------------------------------------------------------------------------------+
//! ```
//!
//! What needs a person is never closed by anybody else.
//!
//! The item also holds the nonces of its latest changes ([`RecentChanges`]). A writer whose answer was lost reads the item again and
//! finds its nonce there, and so does a writer whose own repeated write was refused.

use std::collections::VecDeque;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::control::crashes::Crashes;
use crate::control::governor::Governor;
use crate::control::quota::Usage;
use crate::control::rebase::Rebase;
use crate::item::SequenceNumber;
use crate::random::RandomSource;

/// A provider's control item: what all processes that work for it share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Control {
    /// Raised by every write; a write holds only if nobody else wrote since the read.
    pub version: u64,
    /// Whether the API may be called.
    pub breaker: ProviderStop,
    /// How many more items the failure monitor lets become dead letters without a word: what is left of an operator's grant, without
    /// the shares that processes have taken ([`GrantShare`](crate::control::failure_monitor::GrantShare)).
    pub dead_letters_allowed: u32,
    /// Raised by each grant, so that a share of an earlier one is not given back to it.
    pub dead_letters_grant: u64,
    /// What the limiter has learned, as it saved it last.
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
    /// What is parked, as far as is known.
    pub parked: ParkedHint,
    /// Processes that died while the component ran.
    pub crashes: Crashes,
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

/// What is parked in the ledger, as the calls that parked it noted it: a hint that spares others a look. A tick reads what is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ParkedHint {
    /// How many entries.
    pub count: u64,
    /// When the first is due; none: nothing is parked.
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
    /// The same in the time of the limiter that saved it, in which the state's instants are; none: the time since 1970.
    #[serde(default)]
    pub elapsed: Option<Duration>,
    /// The limit then: for whoever looks.
    pub limit: u32,
    /// Until when nothing may start because the API asked for it.
    pub gate: Option<Timestamp>,
    /// The state, in the limiter's own form.
    pub state: serde_json::Value,
}

impl SavedLimiter {
    /// This, after what was kept before: where the limiter's breaker is open its limit is 0, and the level before still counts.
    #[must_use]
    pub fn after(self, before: Option<Self>) -> Self {
        let limit = if self.limit > 0 { self.limit } else { before.map_or(1, |before| before.limit) };
        Self { limit, ..self }
    }

    /// What moves the state's instants to a time in which it is `elapsed` when the wall clock says `now`. A state that was saved
    /// in what is the future by now, before the clock was set back, is taken for one that was saved just now.
    #[must_use]
    pub fn rebase(&self, elapsed: Duration, now: Timestamp) -> Rebase {
        let since_1970 = || Duration::try_from(self.at.duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default();
        let age = Duration::try_from(now.duration_since(self.at)).unwrap_or_default();
        Rebase::new(elapsed, self.elapsed.unwrap_or_else(since_1970).saturating_add(age))
    }

    /// Until when nothing may start at `now` because the API asked for it. What was saved in what is the future by now says
    /// nothing: the clock was set back, and the limiter itself knows how long it has to wait.
    #[must_use]
    pub fn gate(&self, now: Timestamp) -> Option<Timestamp> {
        self.gate.filter(|gate| self.at <= now && *gate > now)
    }
}

impl Control {
    /// Whether a person is needed before the API may be called.
    #[must_use]
    pub fn needs_operator(&self) -> bool {
        matches!(self.breaker, ProviderStop::Open { by: OpenedBy::Operator | OpenedBy::Config, .. })
    }
}

/// Whether a provider's API may be called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ProviderStop {
    /// It may.
    #[default]
    Closed,
    /// It may not.
    Open {
        /// Since when.
        since: Timestamp,
        /// Who opened it.
        by: OpenedBy,
        /// Why, for a person.
        reason: String,
    },
}

/// Who opened a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpenedBy {
    /// An operator, who alone closes it again.
    Operator,
    /// The limiter's breaker, which counts errors.
    Breaker,
    /// A window that closed.
    Window,
    /// A quota that is spent.
    Quota,
    /// The API, which asked to be left alone.
    RetryAfter,
    /// Something that only a person can mend: a credential, a component, a moved path.
    Config,
}

impl std::fmt::Display for OpenedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Operator => "operator",
            Self::Breaker => "breaker",
            Self::Window => "window",
            Self::Quota => "quota",
            Self::RetryAfter => "retry-after",
            Self::Config => "config",
        })
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
