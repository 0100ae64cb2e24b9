//! The ledger port in DynamoDB: one table, whose items the [schema] shows on one screen.
//!
//! Every write is conditional: on the row's absence, its owner, or the version that was seen. Any number of processes
//! may therefore work at once. Dead letters lie in the bucket, beside the records.
//!
//! # When an answer is lost
//! The SDK sends a write again if its answer does not come, and the condition may refuse it because of the first one.
//! Each write is therefore safe to arrive twice. `host/aws/tests/it/lost_answers.rs` drops the answer of every one.
//!
//! | write | its condition | the repeated one |
//! | --- | --- | --- |
//! | claim of a new or due item | there is no row, or it is due | is refused with a row that holds this owner and this lease: that is our claim, with the same attempt and the same abandoned owners. A claim raises no `n` |
//! | claim at a version | the version | is refused; the rows are read, and ours is found there as above |
//! | claim with an earlier day's row, a transaction | the versions | has the SDK's `ClientRequestToken`: DynamoDB answers as it did before. Later than ten minutes it is cancelled, and the rows are read |
//! | finish | the owner, in flight or ended the same way | is written again and changes nothing but `v`. The letter before it is put again |
//! | release | the owner and the lease, in flight | is refused, and that is no error: `n` is raised once. A later claim, by another owner or by the same one, is not touched |
//! | slots | the version | is refused with the very slots that the first one wrote: they are granted |
//! | control item | the version | is refused; `damper_core::ledger::change_control` finds its nonce in the item, and it counts as written. With 16 or more other changes in between it would be applied again |
//! | a token, or the lease to request one | the version | is refused: the writer reads the row and finds its own content |
//! | a reservation of a key's requests | the sum is within the quota | reserves as many again, or is refused: they count as sent, and none is sent too many |
//! | a return of such requests | the version | is refused: they are returned once |
//! | redrive of a row | dead | is refused by an open row, which counts as opened: `g` is raised once |
//!
//! Outside of the table:
//!
//! | write | the repeated one |
//! | --- | --- |
//! | a dead letter in the bucket | overwrites the first with the same, or, for an entry that is no item, is refused and counts as kept |
//! | `PutRecords` | puts the entries into the stream twice. They are of one identity: one is fetched, the other is skipped. The feeder counts one |
//! | `UpdateEventSourceMapping` | asks for the same state. If Lambda refuses it because the first change is in progress, the change counts as pending, and the next tick reads the result |
//!
//! If all answers are lost the call fails, and nobody knows whether it was done. Then a claim runs out by itself (with
//! `on_lease_expiry = "park"` its item becomes a dead letter, since nobody can tell that nothing was sent); an item
//! whose finish is not known is claimed again and found done, or found in the sink; slots run out; a release that did
//! not happen is a claim that runs out.

mod claim;
mod done;
mod ends;
mod key_usage;
mod parking;
mod row;
pub mod schema;
mod seen_slots;
mod shared;
mod table;
mod tokens;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use damper_core::day::Day;
use damper_core::item::{Identity, SequenceNumber};
use damper_core::ledger::{
    Claim, ClaimRequest, Control, Finish, Finished, Granted, Ledger, LedgerError, LongWaits, Owner, Parked,
    ParkedEntries, Release, SlotRequest,
};
use jiff::Timestamp;
use object_store::ObjectStore;

use crate::dead_letters::Letters;
use seen_slots::SeenSlots;
use table::Table;

pub use table::Units;

/// How long what a process has learned may wait to be written: at most so much of it is lost with the process.
const WRITE_INTERVAL: Duration = Duration::from_secs(30);

/// A ledger in a DynamoDB table.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::{sync::Arc, time::Duration};
/// use damper_aws::{AwsClients, DynamoLedger, sink::bucket};
/// use damper_core::ledger::Ledger;
///
/// let clients = AwsClients::load().await;
/// let letters = Arc::new(bucket(clients.config(), "damper-records")?);
/// let ledger = DynamoLedger::new(clients.dynamodb(), "damper-ledger", letters)
///     .with_row_lifetime(Duration::from_secs(14 * 24 * 3600)); // longer than the stream keeps its items
/// let control = ledger.control("gleif").await?;
/// println!("{:?}, {:?} so far", control.breaker, ledger.consumed_units());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DynamoLedger {
    table: Table,
    letters: Letters,
    row_lifetime: Duration,
    /// Each provider's slots item as it was seen last: a guess that saves reading it.
    seen_slots: Mutex<BTreeMap<String, SeenSlots>>,
}

impl DynamoLedger {
    /// The ledger in this table; dead letters go to `letters`, which is the sink's bucket.
    #[must_use]
    pub fn new(client: Client, table: impl Into<String>, letters: Arc<dyn ObjectStore>) -> Self {
        Self {
            table: Table::new(client, table.into()),
            letters: Letters::new(letters),
            row_lifetime: schema::ROW_LIFETIME,
            seen_slots: Mutex::default(),
        }
    }

    /// The same, but rows are kept for so long after their last claim. It has to outlast the stream's retention.
    #[must_use]
    pub fn with_row_lifetime(self, row_lifetime: Duration) -> Self {
        Self { row_lifetime, ..self }
    }

    /// The request units consumed through this ledger so far, those of refused writes included.
    #[must_use]
    pub fn consumed_units(&self) -> Units {
        self.table.consumed_units()
    }

    fn seen_slots(&self) -> MutexGuard<'_, BTreeMap<String, SeenSlots>> {
        self.seen_slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Ledger for DynamoLedger {
    async fn claim(&self, request: ClaimRequest<'_>) -> Result<Claim, LedgerError> {
        self.try_claim(&request).await
    }

    async fn finish(&self, provider: &str, owner: &Owner, items: Vec<Finish>) -> Result<Vec<Finished>, LedgerError> {
        self.finish_all(provider, owner, items).await
    }

    async fn release(&self, provider: &str, owner: &Owner, release: Release) -> Result<(), LedgerError> {
        self.give_back(provider, owner, release).await
    }

    async fn slots(&self, provider: &str, request: SlotRequest<'_>) -> Result<Granted, LedgerError> {
        self.change_slots(provider, &request).await
    }

    async fn control(&self, provider: &str) -> Result<Control, LedgerError> {
        self.read_control(provider).await
    }

    async fn update_control(&self, provider: &str, control: &Control) -> Result<bool, LedgerError> {
        self.write_control(provider, control).await
    }

    fn write_interval(&self) -> Duration {
        WRITE_INTERVAL
    }

    fn long_waits(&self) -> LongWaits {
        LongWaits::Parked
    }

    async fn park(&self, provider: &str, entries: &[Parked]) -> Result<u64, LedgerError> {
        self.park_entries(provider, entries).await
    }

    async fn read_parked(&self, provider: &str, now: Timestamp, most: usize) -> Result<ParkedEntries, LedgerError> {
        self.read_parked(provider, now, most).await
    }

    async fn unpark(&self, provider: &str, entries: &[Parked]) -> Result<(), LedgerError> {
        self.forget_parked(provider, entries).await
    }

    async fn find_done(
        &self,
        provider: &str,
        day: Day,
        identities: &[Identity],
    ) -> Result<BTreeMap<Identity, SequenceNumber>, LedgerError> {
        self.read_done(provider, day, identities).await
    }
}
