//! A ledger in memory: ordered, deterministic, gone with the process. It passes the same contract as every ledger.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::control::slots::{Granted, Share, grant};
use crate::day::Day;
use crate::dead_letter::DeadLetter;
use crate::item::{Identity, SequenceNumber};
use crate::ledger::{
    Abandoned, Claim, ClaimDecision, ClaimRequest, ClaimRow, ClaimState, Claimed, Control, Finish, Finished, Ledger,
    LedgerError, LongWaits, Owner, Parked, ParkedEntries, Release, SlotRequest, decide_claim,
};
use crate::resume::ResumeState;

/// One identity on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its state.
    pub state: RowState,
    /// The entry it is, or was last, claimed for.
    pub sequence: SequenceNumber,
    /// Attempts that count.
    pub attempts: u32,
    /// Claims that expired and were not recovered yet.
    pub abandoned: Vec<Abandoned>,
    /// The last error.
    pub error: Option<String>,
    /// The resume state, if the item was not ready.
    pub resume: Option<ResumeState>,
}

/// The state of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowState {
    /// Somebody has it.
    InFlight {
        /// The owner.
        owner: Owner,
        /// Until when.
        lease: Timestamp,
    },
    /// It is free, from then on.
    Retry {
        /// When it is due.
        not_before: Timestamp,
    },
    /// Its record is in the sink.
    Done {
        /// The owner that fetched it.
        owner: Owner,
    },
    /// It is given up on.
    Dead {
        /// The owner that gave it up.
        owner: Owner,
    },
}

impl Row {
    /// The row, as far as a claim looks at it.
    fn to_claim_row(&self, day: Day) -> ClaimRow {
        let state = match &self.state {
            RowState::InFlight { owner, lease } => ClaimState::InFlight { owner: owner.clone(), lease: *lease },
            RowState::Retry { not_before } => ClaimState::Retry { due: *not_before },
            RowState::Done { .. } => ClaimState::Done,
            RowState::Dead { .. } => ClaimState::Dead,
        };
        let (sequence, abandoned) = (self.sequence.clone(), self.abandoned.clone());
        let resume = self.resume.clone();
        ClaimRow { day, state, sequence, attempts: self.attempts, abandoned, resume }
    }
}

type RowKey = (String, Identity, Day);

#[derive(Debug, Default)]
struct LedgerState {
    rows: BTreeMap<RowKey, Row>,
    slots: BTreeMap<(String, Owner), (Share, Timestamp)>,
    controls: BTreeMap<String, Control>,
    letters: BTreeMap<(String, SequenceNumber), DeadLetter>,
    parked: BTreeMap<(String, Timestamp, SequenceNumber), Parked>,
    claims: u64,
    shared: SharedCalls,
}

/// How often what processes share was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SharedCalls {
    /// Reads of the control item.
    pub control_reads: u64,
    /// Writes of it, refused ones included.
    pub control_writes: u64,
    /// Requests for slots.
    pub slots: u64,
}

/// A ledger in memory.
///
/// Besides the port, it shows its content to a test:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use damper_core::ledger::{Ledger, Owner, SlotRequest};
/// use damper_core::testing::memory::MemoryLedger;
///
/// let ledger = MemoryLedger::new();
/// let now: jiff::Timestamp = "2026-11-22T10:00:00Z".parse()?;
/// let (owner, until) = (Owner::from("worker-1"), now + std::time::Duration::from_secs(60));
/// let request = SlotRequest { owner: &owner, want: 9, in_use: 0, cap: 4, now, until };
/// assert_eq!(ledger.slots("demo", request).await?.slots, 4);
///
/// assert_eq!(ledger.slots_taken("demo", now)[&owner], 4);
/// assert!(ledger.slots_taken("demo", until).is_empty(), "slots that are not renewed run out");
/// assert!(ledger.rows("demo").is_empty(), "no item was claimed");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct MemoryLedger {
    state: Mutex<LedgerState>,
    write_interval: Duration,
    long_waits: Option<LongWaits>,
}

impl MemoryLedger {
    /// An empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty ledger whose writes are paid for: see [`Ledger::write_interval`].
    #[must_use]
    pub fn thrifty(write_interval: Duration) -> Self {
        Self { write_interval, ..Self::default() }
    }

    /// The same ledger, beside a delivery that passes over what waits for long: see [`Ledger::long_waits`].
    #[must_use]
    pub fn reporting_waits(self) -> Self {
        Self { long_waits: Some(LongWaits::Reported), ..self }
    }

    /// The same ledger, which keeps what waits for long, as DynamoDB's does.
    #[must_use]
    pub fn parking(self) -> Self {
        Self { long_waits: Some(LongWaits::Parked), ..self }
    }

    /// The entries of a provider that are parked, with the times until which they are.
    #[must_use]
    pub fn parked_entries(&self, provider: &str) -> Vec<(SequenceNumber, Timestamp)> {
        let state = self.lock();
        let keys = state.parked.keys().filter(|(name, _, _)| name == provider);
        keys.map(|(_, due, sequence)| (sequence.clone(), *due)).collect()
    }

    /// How often what processes share was asked for.
    #[must_use]
    pub fn shared_calls(&self) -> SharedCalls {
        self.lock().shared
    }

    /// All rows of a provider, by identity and day.
    #[must_use]
    pub fn rows(&self, provider: &str) -> BTreeMap<(Identity, Day), Row> {
        let rows = &self.lock().rows;
        rows.iter()
            .filter(|((name, _, _), _)| name == provider)
            .map(|((_, identity, day), row)| ((identity.clone(), *day), row.clone()))
            .collect()
    }

    /// The row of an identity on a day.
    #[must_use]
    pub fn row(&self, provider: &str, identity: &Identity, day: Day) -> Option<Row> {
        self.lock().rows.get(&(provider.to_owned(), identity.clone(), day)).cloned()
    }

    /// A provider's dead letters, by sequence number as text.
    #[must_use]
    pub fn letters(&self, provider: &str) -> Vec<DeadLetter> {
        let state = self.lock();
        state.letters.iter().filter(|((name, _), _)| name == provider).map(|(_, letter)| letter.clone()).collect()
    }

    /// How many claims were asked for.
    #[must_use]
    pub fn claims(&self) -> u64 {
        self.lock().claims
    }

    /// How many slots each owner of a provider has at `now`.
    #[must_use]
    pub fn slots_taken(&self, provider: &str, now: Timestamp) -> BTreeMap<Owner, u32> {
        let state = self.lock();
        state
            .slots
            .iter()
            .filter(|((name, _), (share, until))| name == provider && share.has > 0 && *until > now)
            .map(|((_, owner), (share, _))| (owner.clone(), share.has))
            .collect()
    }

    /// Open a dead row again, as a redrive does: no attempts, due at once.
    pub fn reopen(&self, provider: &str, identity: &Identity, day: Day) {
        let mut state = self.lock();
        if let Some(row) = state.rows.get_mut(&(provider.to_owned(), identity.clone(), day))
            && matches!(row.state, RowState::Dead { .. })
        {
            row.state = RowState::Retry { not_before: Timestamp::MIN };
            row.attempts = 0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, LedgerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn claim(&self, request: ClaimRequest<'_>) -> Result<Claim, LedgerError> {
        let mut state = self.lock();
        state.claims += 1;
        Ok(state.claim(&request))
    }

    async fn finish(&self, provider: &str, owner: &Owner, items: Vec<Finish>) -> Result<Vec<Finished>, LedgerError> {
        let mut state = self.lock();
        Ok(items.into_iter().map(|item| state.finish(provider, owner, item)).collect())
    }

    async fn release(&self, provider: &str, owner: &Owner, release: Release) -> Result<(), LedgerError> {
        let mut state = self.lock();
        let is_this_claim =
            |row: &&mut Row| matches!(row.state, RowState::InFlight { lease, .. } if lease == release.claimed.lease);
        if let Some(row) = state.held_row(provider, owner, &release.claimed).filter(is_this_claim) {
            row.state = RowState::Retry { not_before: release.not_before };
            row.attempts += u32::from(release.counted);
            row.abandoned.clear();
            row.error = Some(release.error);
            row.resume = release.resume.or(row.resume.take());
        }
        Ok(())
    }

    async fn slots(&self, provider: &str, request: SlotRequest<'_>) -> Result<Granted, LedgerError> {
        let mut state = self.lock();
        state.shared.slots += 1;
        let slots = &mut state.slots;
        for (_, until) in slots.iter_mut().filter(|((name, _), _)| name == provider).map(|(_, slot)| slot) {
            *until = (*until).min(request.latest_until());
        }
        slots.retain(|(name, _), (_, until)| name != provider || *until > request.now);
        let key = (provider.to_owned(), request.owner.clone());
        let before = slots.remove(&key).map(|(share, _)| share);
        let others: Vec<(String, Share)> = slots
            .iter()
            .filter(|((name, _), _)| name == provider)
            .map(|((_, owner), (share, _))| (owner.to_string(), *share))
            .collect();
        let decided = grant(&request.wish(), before, &others);
        if let Some(kept) = decided.kept {
            slots.insert(key, kept);
        }
        Ok(decided.granted)
    }

    async fn control(&self, provider: &str) -> Result<Control, LedgerError> {
        let mut state = self.lock();
        state.shared.control_reads += 1;
        Ok(state.controls.get(provider).cloned().unwrap_or_default())
    }

    async fn update_control(&self, provider: &str, control: &Control) -> Result<bool, LedgerError> {
        let mut state = self.lock();
        state.shared.control_writes += 1;
        let controls = &mut state.controls;
        let stored = controls.get(provider).map_or(0, |stored| stored.version);
        if stored != control.version {
            return Ok(false);
        }
        controls.insert(provider.to_owned(), Control { version: stored + 1, ..control.clone() });
        Ok(true)
    }

    fn write_interval(&self) -> Duration {
        self.write_interval
    }

    fn long_waits(&self) -> LongWaits {
        self.long_waits.unwrap_or(LongWaits::Held)
    }

    async fn park(&self, provider: &str, entries: &[Parked]) -> Result<u64, LedgerError> {
        let mut state = self.lock();
        let mut new = 0;
        for parked in entries {
            let key = (provider.to_owned(), parked.due, parked.entry.sequence.clone());
            new += u64::from(state.parked.insert(key, parked.clone()).is_none());
        }
        Ok(new)
    }

    async fn read_parked(&self, provider: &str, now: Timestamp, most: usize) -> Result<ParkedEntries, LedgerError> {
        let state = self.lock();
        let mut all =
            state.parked.iter().filter(|((name, _, _), _)| name == provider).map(|(_, parked)| parked).peekable();
        let mut due = Vec::new();
        while due.len() < most
            && let Some(parked) = all.next_if(|parked| parked.due <= now)
        {
            due.push(parked.clone());
        }
        Ok(ParkedEntries { due, next_due: all.peek().map(|parked| parked.due) })
    }

    async fn unpark(&self, provider: &str, entries: &[Parked]) -> Result<(), LedgerError> {
        let mut state = self.lock();
        for parked in entries {
            state.parked.remove(&(provider.to_owned(), parked.due, parked.entry.sequence.clone()));
        }
        Ok(())
    }

    async fn find_done(
        &self,
        provider: &str,
        day: Day,
        identities: &[Identity],
    ) -> Result<BTreeMap<Identity, SequenceNumber>, LedgerError> {
        let state = self.lock();
        let done = identities.iter().filter_map(|identity| {
            let row = state.rows.get(&(provider.to_owned(), identity.clone(), day))?;
            matches!(row.state, RowState::Done { .. }).then(|| (identity.clone(), row.sequence.clone()))
        });
        Ok(done.collect())
    }
}

impl LedgerState {
    fn claim(&mut self, request: &ClaimRequest<'_>) -> Claim {
        let key = |day: Day| (request.provider.to_owned(), request.identity.clone(), day);
        let past: Vec<ClaimRow> = self
            .rows
            .range(key(request.since.min(request.today))..=key(request.today))
            .map(|((_, _, day), row)| row.to_claim_row(*day))
            .collect();
        let grant = match decide_claim(&past, request) {
            ClaimDecision::Refused(claim) => return claim,
            ClaimDecision::Granted(grant) => grant,
        };
        for day in &grant.over {
            if let Some(earlier) = self.rows.get_mut(&key(*day)) {
                earlier.abandoned.clear();
                if matches!(earlier.state, RowState::InFlight { .. }) {
                    earlier.state = RowState::Retry { not_before: request.now };
                }
            }
        }
        let row = Row {
            state: RowState::InFlight { owner: request.owner.clone(), lease: request.lease },
            sequence: request.sequence.clone(),
            attempts: self.rows.get(&key(request.today)).map_or(0, |row| row.attempts),
            abandoned: grant.abandoned.clone(),
            error: None,
            resume: self.rows.get(&key(request.today)).and_then(|row| row.resume.clone()),
        };
        self.rows.insert(key(request.today), row);
        grant.into_claim()
    }

    fn finish(&mut self, provider: &str, owner: &Owner, item: Finish) -> Finished {
        let (claimed, end, letter) = match item {
            Finish::Fetched(claimed) => (Some(claimed), RowState::Done { owner: owner.clone() }, None),
            Finish::Dead { claimed, letter } => (claimed, RowState::Dead { owner: owner.clone() }, Some(letter)),
        };
        if let Some(claimed) = &claimed {
            let key = (provider.to_owned(), claimed.identity.clone(), claimed.day);
            let Some(row) = self.rows.get_mut(&key) else { return Finished::Fenced };
            let holds = matches!(&row.state, RowState::InFlight { owner: holder, .. } if holder == owner);
            // The same finish once more, because its first answer was lost.
            if !holds && row.state != end {
                return Finished::Fenced;
            }
            row.state = end;
            row.sequence = claimed.sequence.clone();
            row.abandoned.clear();
            row.resume = None;
            row.error = letter.as_ref().map(|letter| letter.message.clone());
        }
        if let Some(letter) = letter {
            let key = (provider.to_owned(), letter.sequence.clone());
            if claimed.is_some() {
                self.letters.insert(key, letter);
            } else {
                self.letters.entry(key).or_insert(letter);
            }
        }
        Finished::Written
    }

    fn held_row(&mut self, provider: &str, owner: &Owner, claimed: &Claimed) -> Option<&mut Row> {
        let row = self.rows.get_mut(&(provider.to_owned(), claimed.identity.clone(), claimed.day))?;
        matches!(&row.state, RowState::InFlight { owner: holder, .. } if holder == owner).then_some(row)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::contract::Ledgers;

    async fn fresh() -> Ledgers {
        let ledger = Arc::new(MemoryLedger::new().parking());
        Ledgers { one: ledger.clone(), other: ledger, keep: Box::new(()) }
    }

    crate::ledger_contract!(fresh);
}
