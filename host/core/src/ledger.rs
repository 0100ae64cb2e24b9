//! The port to the ledger: which items were fetched on which day, by which owner, and how often they were tried.
//!
//! A row stands for one identity on one day and is in one of four states:
//!
//! ```text
//!            claim                    finish(fetched)
//!   (none) ---------> IN FLIGHT ------------------------> DONE
//!      ^                |  |  ^                            (stays)
//!      |        release |  |  | claim, after a lease expired or the time to wait is over
//!      |                v  |  |
//!      |               RETRY--+     finish(dead)
//!      |                   +----------------------------> DEAD
//!      +------------------------- redrive ------------------'
//! ```
//!
//! Every change but the claim is fenced: it holds only while the row's owner is the caller. A release
//! holds only for the claim that it gives back: an owner may claim an item several times. The same contract suite
//! (`testing::contract`) runs against every ledger.
//!
//! A row in RETRY may hold a [resume state](crate::resume): the item was ordered and is not ready. It stays through
//! later releases and crashes until the item is done or dead.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::control::slots::Wish;
use crate::day::Day;
use crate::dead_letter::DeadLetter;
use crate::item::{Entry, Identity, SequenceNumber};
use crate::random::RandomSource;
use crate::resume::ResumeState;

mod change;
mod claim;

pub use crate::control::item::{Control, OpenedBy, ProviderStop};
pub use crate::control::slots::Granted;
pub use change::change_control;
#[cfg(test)]
pub(crate) use change::tests;
pub(crate) use change::{ControlChange, WriteResult};
pub use claim::{ClaimDecision, ClaimGrant, ClaimRow, ClaimState, decide_claim, is_waiting};

/// One call of `process`: it fences claims and names the sink's objects. Unique, and later owners sort later.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Owner(Arc<str>);

impl Owner {
    /// A new owner, unlike every other.
    #[must_use]
    pub fn unique(now: Timestamp) -> Self {
        Self::generate(now, &RandomSource::System)
    }

    /// A new owner whose name is drawn from `random`.
    #[must_use]
    pub fn generate(now: Timestamp, random: &RandomSource) -> Self {
        let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or_default();
        Self(ulid::Ulid::from_parts(milliseconds, random.bits()).to_string().to_lowercase().into())
    }

    /// The owner's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Owner {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Stores the state of items, the slots and the control item: SQLite on one machine, DynamoDB in AWS.
///
/// ```
/// # #[cfg(feature = "testing")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::time::Duration;
/// # use damper_core::{day::Day, item::{Item, SequenceNumber}, testing::memory::MemoryLedger};
/// # use damper_core::ledger::{Claim, ClaimRequest, Claimed, Finish, Finished, Ledger, Owner};
/// # let ledger = MemoryLedger::new();
/// let identity = Item::parse(br#"{"id":"42"}"#)?.identity(&[])?;
/// let (sequence, owner) = (SequenceNumber::from("1"), Owner::from("worker-1"));
/// let (day, now): (Day, jiff::Timestamp) = ("2026-11-22".parse()?, "2026-11-22T10:00:00Z".parse()?);
/// let lease = now + Duration::from_secs(60);
/// let request = ClaimRequest {
///     provider: "demo", identity: &identity, sequence: &sequence, today: day, since: day, owner: &owner, now, lease,
/// };
/// assert_eq!(ledger.claim(request.clone()).await?, Claim::Granted { attempt: 1, abandoned: vec![], resume: None });
///
/// // Another worker may not fetch the item before the lease ends.
/// let other = Owner::from("worker-2");
/// let claim = ledger.claim(ClaimRequest { owner: &other, ..request.clone() }).await?;
/// assert_eq!(claim, Claim::Held { until: lease });
///
/// // Once the record is in the sink, the item is done for the day.
/// let claimed = Claimed { identity: identity.clone(), day, sequence: sequence.clone(), lease };
/// assert_eq!(ledger.finish("demo", &owner, vec![Finish::Fetched(claimed)]).await?, [Finished::Written]);
/// let claim = ledger.claim(ClaimRequest { owner: &other, ..request }).await?;
/// assert_eq!(claim, Claim::Done { by: sequence.clone() });
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "testing"))]
/// # fn main() {}
/// ```
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Try to become the owner of an item for today.
    async fn claim(&self, request: ClaimRequest<'_>) -> Result<Claim, LedgerError>;

    /// End items as done or dead. Durable when it returns. Returns one [`Finished`] for each, in order. An expired
    /// claim belongs to its owner until another takes it over; the same end twice is written once.
    async fn finish(&self, provider: &str, owner: &Owner, items: Vec<Finish>) -> Result<Vec<Finished>, LedgerError>;

    /// Give a claim back. Does nothing if the caller does not own the row any more, or owns it by another claim: a late
    /// release, after its owner has claimed the item again, must not give away that claim.
    async fn release(&self, provider: &str, owner: &Owner, release: Release) -> Result<(), LedgerError>;

    /// Acquire, renew, change or give back (`want` 0) slots. Returns how many the owner may use now, at most `want`,
    /// and whether others wait; the sum over all owners whose time has not run out, of those in use and those granted,
    /// is never above `cap`. An owner that gets fewer than it wants counts as waiting, and the others make room when
    /// they renew: see [`control::slots`](crate::control::slots).
    async fn slots(&self, provider: &str, request: SlotRequest<'_>) -> Result<Granted, LedgerError>;

    /// The provider's control item; the default where none was written yet.
    async fn control(&self, provider: &str) -> Result<Control, LedgerError>;

    /// Write the control item if its version is still `control.version`, and raise the version by one. `false`: the
    /// version is another by now. Another process wrote first, or this write was sent twice because its first response
    /// was lost. Therefore [`change_control`] marks each change, and looks for the mark before it decides anew.
    async fn update_control(&self, provider: &str, control: &Control) -> Result<bool, LedgerError>;

    /// How long state that other processes do not need at once may wait to be written: if each write costs money, small
    /// batches must not write more about themselves than about their items. Zero: everything is written at once.
    fn write_interval(&self) -> Duration {
        Duration::ZERO
    }

    /// The treatment of entries whose items wait for long.
    fn long_waits(&self) -> LongWaits {
        LongWaits::Held
    }

    /// Store entries until their items are due, if [`Ledger::long_waits`] says so; durable when it returns. An entry
    /// that is stored until the same time already is written once. Returns how many are new.
    async fn park(&self, _provider: &str, _entries: &[Parked]) -> Result<u64, LedgerError> {
        let message = "this ledger does not store stream entries".to_owned();
        Err(LedgerError::Failed { action: "park entries", message })
    }

    /// The parked entries that are due at `now`, the earliest first, at most `most`; and when the first after them is
    /// due. Sees whatever was parked before.
    async fn read_parked(&self, _provider: &str, _now: Timestamp, _most: usize) -> Result<ParkedEntries, LedgerError> {
        Ok(ParkedEntries::default())
    }

    /// Forget parked entries: they have ended, or are parked until another time. One that is not there is no error.
    async fn unpark(&self, _provider: &str, _entries: &[Parked]) -> Result<(), LedgerError> {
        Ok(())
    }

    /// Those of `identities` that were fetched on `day`, with the entry that each was fetched for: asked once for a
    /// batch that is delivered again, where reading is cheaper than having claims refused. It may know less than a
    /// claim, or nothing at all, as here; what it answers holds for good.
    async fn find_done(
        &self,
        _provider: &str,
        _day: Day,
        _identities: &[Identity],
    ) -> Result<BTreeMap<Identity, SequenceNumber>, LedgerError> {
        Ok(BTreeMap::new())
    }
}

/// How the entries of a batch are treated whose items wait for long: for their next attempt, or for another worker's
/// claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LongWaits {
    /// The batch is held until they are due, or there is no time left: who delivers can pass over nothing.
    Held,
    /// The batch ends without them, and the report names them: who delivers keeps account of each entry, passes over
    /// these and delivers them again when they are due.
    Reported,
    /// The batch ends without them, and they are parked: kept in the ledger until they are due, while the stream is
    /// done with them.
    Parked,
}

/// An entry whose item waits for long, as the ledger keeps it. Entry and time together are its name: an entry that
/// waits once more is parked until the later time first, and only then is the earlier one forgotten.
#[derive(Debug, Clone)]
pub struct Parked {
    /// The entry, as it was delivered.
    pub entry: Entry,
    /// When its item is due, in whole seconds.
    pub due: Timestamp,
}

/// Parked entries, read.
#[derive(Debug, Clone, Default)]
pub struct ParkedEntries {
    /// Those that are due.
    pub due: Vec<Parked>,
    /// When the first that is not among them is due; `None`: there is no other.
    pub next_due: Option<Timestamp>,
}

/// A wish to own an item.
#[derive(Debug, Clone)]
pub struct ClaimRequest<'a> {
    /// The provider's name.
    pub provider: &'a str,
    /// The item to claim.
    pub identity: &'a Identity,
    /// The entry that asks for it.
    pub sequence: &'a SequenceNumber,
    /// Today, in the provider's terms: the day of the claim.
    pub today: Day,
    /// The day the entry arrived, at most `today`: what was done since then satisfies it.
    pub since: Day,
    /// The owner that claims.
    pub owner: &'a Owner,
    /// The time of day now.
    pub now: Timestamp,
    /// When the claim expires.
    pub lease: Timestamp,
}

/// How a claim went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The caller owns the item.
    Granted {
        /// Which attempt this is: one more than the releases that were counted since the entry's arrival. A claim that
        /// expired is none.
        attempt: u32,
        /// Claims of this item since the entry's arrival that expired with neither a finish nor a release, oldest
        /// first. Their owners' objects may hold the record already. A claim that the caller itself has or had is
        /// renewed and not listed.
        abandoned: Vec<Abandoned>,
        /// The item's resume state, if its record was not ready.
        resume: Option<ResumeState>,
    },
    /// The record was fetched since the entry's arrival, for this entry.
    Done {
        /// The entry that was fetched for.
        by: SequenceNumber,
    },
    /// The item was given up on since the entry's arrival.
    Dead {
        /// The entry that was given up on.
        by: SequenceNumber,
    },
    /// Another owner has it.
    Held {
        /// When that claim expires.
        until: Timestamp,
    },
    /// It failed before and is not due yet.
    Waiting {
        /// When it is due.
        until: Timestamp,
    },
}

/// A claim that expired.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Abandoned {
    /// The day of that claim.
    pub day: Day,
    /// The owner that had it.
    pub owner: Owner,
}

/// The end of one item.
#[derive(Debug, Clone)]
pub enum Finish {
    /// Its record is in the sink.
    Fetched(Claimed),
    /// It is given up on; the letter is kept.
    Dead {
        /// The claim; none for an entry that is no item, which is kept by its sequence number instead.
        claimed: Option<Claimed>,
        /// The dead letter.
        letter: DeadLetter,
    },
}

/// A claim that its owner holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The item that is claimed.
    pub identity: Identity,
    /// For which day.
    pub day: Day,
    /// For which entry.
    pub sequence: SequenceNumber,
    /// The lease: it distinguishes this claim from an earlier one of the same owner.
    pub lease: Timestamp,
}

/// Whether a finish held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// It is written.
    Written,
    /// The caller no longer owns the item; nothing was written for it.
    Fenced,
}

/// A claim given back.
#[derive(Debug, Clone)]
pub struct Release {
    /// The claim to give back.
    pub claimed: Claimed,
    /// Whether the attempt counts.
    pub counted: bool,
    /// When the item may be tried again.
    pub not_before: Timestamp,
    /// The error, for people.
    pub error: String,
    /// The resume state from now on. `None`: it stays as it is.
    pub resume: Option<ResumeState>,
}

impl Release {
    /// A claim given back as if there had been no attempt.
    #[must_use]
    pub fn without_attempt(claimed: Claimed, not_before: Timestamp, error: &str) -> Self {
        Self { claimed, counted: false, not_before, error: error.to_owned(), resume: None }
    }
}

/// The longest time for which slots count without a renewal: the fetch of `damper fetch` takes two fetch timeouts of
/// ten minutes each, a batch's slots one and a renewal.
pub const LONGEST_SLOT: Duration = Duration::from_secs(2 * 600 + 11);

/// A wish for slots.
#[derive(Debug, Clone)]
pub struct SlotRequest<'a> {
    /// The owner that asks.
    pub owner: &'a Owner,
    /// How many it wants to have in all; 0 gives all back.
    pub want: u32,
    /// How many of those that it had may have a request in flight: they count for it, however few it is granted.
    pub in_use: u32,
    /// How many there are, over all owners.
    pub cap: u32,
    /// Slots that ran out by then do not count: the time of day now, less the recent forward leaps of the clock.
    pub now: Timestamp,
    /// Until when they count if they are not renewed.
    pub until: Timestamp,
}

impl SlotRequest<'_> {
    /// The request in the form that [`grant`](crate::control::slots::grant) takes.
    #[must_use]
    pub fn wish(&self) -> Wish<'_> {
        let Self { owner, want, in_use, cap, now, until } = *self;
        Wish { owner: owner.as_str(), wants: want, in_use, cap, now, until }
    }

    /// Until when others' slots count at the most. Slots that count for longer were written before the clock was set
    /// back, and are cut to this: no owner has any for longer.
    #[must_use]
    pub fn latest_until(&self) -> Timestamp {
        self.until.saturating_add(LONGEST_SLOT).unwrap_or(self.until)
    }
}

/// An error of the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The store failed; the action may have happened or not.
    #[error("the ledger failed to {action}: {message}")]
    Failed {
        /// The action that failed.
        action: &'static str,
        /// The store's error, and what to do.
        message: String,
    },
    /// A stored row cannot be read.
    #[error("the ledger holds a {what} that cannot be read: {message}")]
    Unreadable {
        /// Which kind of row.
        what: &'static str,
        /// The reason.
        message: String,
    },
}
