//! Changes of a control item whose answers are lost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::day::Day;
use crate::item::{Identity, SequenceNumber};
use crate::ledger::{Claim, ClaimRequest, Finish, Finished, Granted, Owner, Release, SlotRequest};
use crate::testing::memory::MemoryLedger;

/// The fate of a write of the control item, and of the read that follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is written, and the writer hears of it.
    Answered,
    /// It is written. Its answer is lost, so that it is sent again, and refused.
    Repeated,
    /// It is written, so many others write, and then it is sent again, and refused.
    RepeatedAfter(u32),
    /// It is written, and the ledger fails.
    DoneAndFailed,
    /// It is not written, and the ledger fails.
    Failed,
    /// It fails, and is written when the next write arrives.
    Late,
    /// It is written, the ledger fails, and so does the next read.
    DoneAndUnknown,
}

/// A ledger in memory with a fate for each write of the control item: those of `first`, then `last` for ever.
pub(crate) struct LosesAnswers {
    inner: Arc<MemoryLedger>,
    first: Mutex<VecDeque<Fate>>,
    last: Fate,
    late: Mutex<Option<Control>>,
    next_read_fails: Mutex<bool>,
}

impl LosesAnswers {
    pub(crate) fn new(inner: Arc<MemoryLedger>, first: impl IntoIterator<Item = Fate>, last: Fate) -> Self {
        let first = Mutex::new(first.into_iter().collect());
        Self { inner, first, last, late: Mutex::default(), next_read_fails: Mutex::default() }
    }
}

fn lost_answer() -> LedgerError {
    LedgerError::Failed { action: "answer", message: "the connection was cut".to_owned() }
}

#[async_trait]
impl Ledger for LosesAnswers {
    async fn claim(&self, request: ClaimRequest<'_>) -> Result<Claim, LedgerError> {
        self.inner.claim(request).await
    }

    async fn finish(&self, provider: &str, owner: &Owner, items: Vec<Finish>) -> Result<Vec<Finished>, LedgerError> {
        self.inner.finish(provider, owner, items).await
    }

    async fn release(&self, provider: &str, owner: &Owner, release: Release) -> Result<(), LedgerError> {
        self.inner.release(provider, owner, release).await
    }

    async fn slots(&self, provider: &str, request: SlotRequest<'_>) -> Result<Granted, LedgerError> {
        self.inner.slots(provider, request).await
    }

    async fn control(&self, provider: &str) -> Result<Control, LedgerError> {
        if std::mem::take(&mut *self.next_read_fails.lock().unwrap()) {
            return Err(lost_answer());
        }
        self.inner.control(provider).await
    }

    async fn update_control(&self, provider: &str, control: &Control) -> Result<bool, LedgerError> {
        let late = self.late.lock().unwrap().take();
        if let Some(late) = late {
            self.inner.update_control(provider, &late).await?;
        }
        let fate = self.first.lock().unwrap().pop_front().unwrap_or(self.last);
        match fate {
            Fate::Failed => return Err(lost_answer()),
            Fate::Late => {
                *self.late.lock().unwrap() = Some(control.clone());
                return Err(lost_answer());
            }
            _ => {}
        }
        let is_written = self.inner.update_control(provider, control).await?;
        match fate {
            Fate::Answered | Fate::Failed | Fate::Late => return Ok(is_written),
            Fate::DoneAndFailed => return Err(lost_answer()),
            Fate::DoneAndUnknown => {
                *self.next_read_fails.lock().unwrap() = true;
                return Err(lost_answer());
            }
            Fate::Repeated => {}
            Fate::RepeatedAfter(others) => {
                for _ in 0..others {
                    change_control(&*self.inner, provider, grant_one).await?;
                }
            }
        }
        self.inner.update_control(provider, control).await
    }

    fn write_interval(&self) -> Duration {
        self.inner.write_interval()
    }

    async fn find_done(
        &self,
        provider: &str,
        day: Day,
        identities: &[Identity],
    ) -> Result<BTreeMap<Identity, SequenceNumber>, LedgerError> {
        self.inner.find_done(provider, day, identities).await
    }
}

fn grant_one(control: &mut Control) -> bool {
    control.dead_letters_allowed += 1;
    true
}

/// Grant one dead letter under these fates; how the change went, and how many are allowed then.
async fn grant_under(fates: &[Fate]) -> (Result<u32, LedgerError>, u32) {
    let memory = Arc::new(MemoryLedger::new());
    let ledger = LosesAnswers::new(Arc::clone(&memory), fates.iter().copied(), Fate::Answered);
    let before = change_control(&ledger, "demo", grant_one).await;
    let after = memory.control("demo").await.unwrap();
    (before.map(|before| before.dead_letters_allowed), after.dead_letters_allowed)
}

#[tokio::test]
async fn a_change_is_applied_once_though_its_answer_is_lost() {
    for fate in [Fate::Answered, Fate::Repeated, Fate::DoneAndFailed, Fate::Failed, Fate::Late] {
        let (before, allowed) = grant_under(&[fate]).await;
        assert_eq!((before.unwrap(), allowed), (0, 1), "{fate:?}");
    }
    let (before, allowed) = grant_under(&[Fate::Failed, Fate::Repeated]).await;
    assert_eq!((before.unwrap(), allowed), (0, 1));
}

#[tokio::test]
async fn others_may_write_in_between() {
    let (before, allowed) = grant_under(&[Fate::RepeatedAfter(15)]).await;
    assert_eq!((before.unwrap(), allowed), (0, 1 + 15));
}

#[tokio::test]
async fn a_change_that_cannot_be_looked_up_fails_and_is_not_applied_again() {
    let (before, allowed) = grant_under(&[Fate::DoneAndUnknown]).await;
    assert!(before.is_err());
    assert_eq!(allowed, 1);
}

#[tokio::test]
async fn a_ledger_that_goes_on_failing_ends_a_change() {
    let (before, allowed) = grant_under(&[Fate::Failed, Fate::Failed, Fate::Failed]).await;
    assert!(before.is_err());
    assert_eq!(allowed, 0);
}

#[tokio::test]
async fn a_change_that_is_always_too_late_ends() {
    let memory = Arc::new(MemoryLedger::new());
    let nobodys = || ChangeNonce::generate(&RandomSource::System);
    let mut change = ControlChange::new(&*memory, "demo", nobodys());
    for _ in 1..MOST_WRITES {
        change_control(&*memory, "demo", grant_one).await.unwrap();
        assert!(matches!(change.write(Control::default()).await, Ok(WriteResult::Refused(_))));
    }
    assert!(change.write(Control::default()).await.unwrap_err().to_string().contains("keep changing"));
}
