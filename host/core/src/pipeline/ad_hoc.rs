//! Ad-hoc fetches: one record now, for a waiting caller, through the same ledger, limiter and hard cap as a batch, with
//! the slot that batches leave free. The record is tried once. A failed fetch gives its claim back and leaves nothing
//! behind: no dead letter, no attempt that a batch would not have spent.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::dead_letter::Reason;
use crate::item::{Item, ItemError, SequenceNumber};
use crate::ledger::{Claimed, LedgerError, Owner, Release};
use crate::pipeline::adapt::BatchFeedback;
use crate::pipeline::attempt::{AttemptOutcome, FinishedAttempt, attempt};
use crate::pipeline::batch::Work;
use crate::pipeline::batch_context::BatchContext;
use crate::pipeline::call_times::RESERVE;
use crate::pipeline::capacity::Capacity;
use crate::pipeline::chunks::Chunks;
use crate::pipeline::flush::flush;
use crate::pipeline::parking::ParkedChange;
use crate::pipeline::probes::Probes;
use crate::pipeline::provider::Pipeline;
use crate::pipeline::redelivery::Redelivery;
use crate::pipeline::report::{End, Stopped};
use crate::pipeline::verdict::Failures;
use crate::record::{Failure, FailureKind};

/// The result of an ad-hoc fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdHoc {
    /// The record, as its line of the sink, where it is stored by now.
    Record(Bytes),
    /// It had been settled today: fetched, so that its record is in the sink, or given up on.
    SettledBefore {
        /// For which entry.
        by: SequenceNumber,
        /// How.
        end: End,
    },
    /// Another owner has it, or it failed and is not due yet.
    NotBefore(Timestamp),
    /// The API has taken the order, and the record is not ready: ask again at this time.
    NotReady(Timestamp),
    /// The API has as many requests as it may have, or the limiter lets none start now.
    Busy,
    /// Nothing was sent, and the reason; for [`Stopped::Storage`] requests may have been sent.
    Refused(Stopped),
    /// The fetch failed.
    Failed(Failure),
}

impl AdHoc {
    /// The result as JSON: `outcome`, and what it is about: `record`, `by`, `at` or `failure`. Why nothing was sent is
    /// not said: that depends on who asks.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Record(line) => json!({ "outcome": "fetched", "record": serde_json::from_slice::<Value>(line).ok() }),
            Self::SettledBefore { by, end: End::DeadLetter } => json!({ "outcome": "dead-letter-before", "by": by }),
            Self::SettledBefore { by, .. } => json!({ "outcome": "fetched-before", "by": by }),
            Self::NotBefore(at) => json!({ "outcome": "not-before", "at": at }),
            Self::NotReady(at) => json!({ "outcome": "not-ready", "at": at }),
            Self::Busy => json!({ "outcome": "busy" }),
            Self::Refused(_) => json!({ "outcome": "refused" }),
            Self::Failed(failure) => json!({ "outcome": "failed", "failure": failure.to_json() }),
        }
    }
}

impl From<LedgerError> for AdHoc {
    fn from(error: LedgerError) -> Self {
        Self::Refused(Stopped::Storage(error.to_string()))
    }
}

/// The state of one ad-hoc fetch.
struct AdHocSession<'a> {
    pipeline: &'a Arc<Pipeline>,
    context: Arc<BatchContext>,
    capacity: Capacity,
    probes: Probes,
}

impl Pipeline {
    /// Fetch one record now. Returns before `deadline`.
    ///
    /// # Errors
    /// If a parameter of the item's identity is missing or too long; nothing was sent.
    pub async fn fetch_now(self: &Arc<Self>, item: Item, deadline: Instant) -> Result<AdHoc, ItemError> {
        let identity = item.identity(&self.manifest.identity)?;
        self.limiter_time().catch_up(self.stores.clock.moment());
        let now = self.stores.clock.now();
        let owner = Owner::generate(now, &self.stores.random);
        let sequence = SequenceNumber::from(format!("ad-hoc-{owner}").as_str());
        let payload = item.to_payload();
        let work = Arc::new(Work { item, identity, sequence, arrived: now, payload });

        let control = match self.control().await {
            Ok(control) => control,
            Err(error) => return Ok(error.into()),
        };
        self.recall(&control);
        if let Some(gate) = self.gate(&control) {
            return Ok(AdHoc::Refused(gate.why));
        }
        let capacity = Capacity::of_ad_hoc_fetch(&self.manifest, &owner, &self.stores.clock, self.leaps());
        let permits = capacity.slots.permits().clone();
        let (recover_until, never) = (deadline.checked_sub(RESERVE).unwrap_or(deadline), CancellationToken::new());
        let context = Arc::new(BatchContext::new(self, owner, permits, recover_until, &never));
        let mut session = AdHocSession { pipeline: self, context, capacity, probes: Probes::new(&control) };
        let came = session.fetch(work, deadline).await.unwrap_or_else(AdHoc::from);
        session.leave().await;
        self.fetcher.return_unsent().await;
        Ok(came)
    }
}

impl AdHocSession<'_> {
    async fn fetch(&mut self, work: Arc<Work>, deadline: Instant) -> Result<AdHoc, LedgerError> {
        let needed = self.pipeline.manifest.limits.fetch_timeout + RESERVE;
        let Some(last_start) = deadline.checked_sub(needed).filter(|last| *last > Instant::now()) else {
            return Ok(AdHoc::Refused(Stopped::Deadline));
        };
        // Before the slot is acquired: it is not renewed.
        if timeout_at(last_start, self.context.fetcher().prepare()).await.is_err() {
            return Ok(AdHoc::Refused(Stopped::Deadline));
        }
        self.capacity.slots.renew(self.context.ledger(), self.context.clock()).await?;
        self.context.set_permit_count(self.capacity.slots.permit_count());
        self.pipeline.refill_quota(&mut self.capacity.quota).await?;
        if !self.capacity.quota.covers(0) {
            return Ok(AdHoc::Refused(Stopped::QuotaSpent));
        }
        let Some(permit) = self.context.permits.try_acquire() else { return Ok(AdHoc::Busy) };
        let last_start = last_start.min(self.capacity.slots.launch_until(self.context.clock()));
        self.context.let_start_until(last_start, self.capacity.slots.last_renewal());
        self.context.enter_queue();
        let attempt = attempt(Arc::clone(&self.context), 0, Arc::clone(&work), Failures::default(), permit).await;
        self.report_findings(&work, &attempt).await?;
        self.settle(attempt).await
    }

    /// Share the findings of this fetch on the API with other processes.
    async fn report_findings(&mut self, work: &Work, attempt: &FinishedAttempt) -> Result<(), LedgerError> {
        if let Some((alarm, failure)) = &attempt.alarm {
            self.pipeline.raise(*alarm, failure).await?;
        }
        let breaker = self.context.limiter_snapshot().breaker;
        self.probes.on_fetch_done(Some(&work.item.id), attempt.failed.is_some(), breaker);
        if self.probes.take_breaker_change(breaker) {
            let failure = attempt.failed.as_ref().map(ToString::to_string);
            self.pipeline.note_breaker(breaker, failure.as_deref()).await?;
        }
        Ok(())
    }

    async fn settle(&self, attempt: FinishedAttempt) -> Result<AdHoc, LedgerError> {
        let failure = attempt.failed;
        let failed = |message: &str| {
            AdHoc::Failed(failure.clone().unwrap_or_else(|| Failure::new(FailureKind::Rejected, message)))
        };
        Ok(match attempt.outcome {
            AttemptOutcome::Settled { by, end } => AdHoc::SettledBefore { by, end },
            AttemptOutcome::NotBefore(until) => AdHoc::NotBefore(until),
            AttemptOutcome::NotReady { until, .. } => AdHoc::NotReady(until),
            AttemptOutcome::NotStarted => AdHoc::Busy,
            AttemptOutcome::Retry { .. } => failed("the fetch failed"),
            AttemptOutcome::GiveUp { claimed, letter, .. } => {
                // An uncertain one stays claimed until its lease ends: a release would forget that the API may have
                // been called.
                if letter.reason != Reason::Uncertain {
                    self.give_back(claimed, &letter.message).await?;
                }
                failed(&letter.message)
            }
            AttemptOutcome::Recovered(claimed) => {
                let by = claimed.sequence.clone();
                self.store(claimed, &[]).await?.unwrap_or(AdHoc::SettledBefore { by, end: End::Fetched })
            }
            AttemptOutcome::Fetched { claimed, line } => {
                self.store(claimed, &line).await?.unwrap_or_else(|| AdHoc::Record(line.into()))
            }
            AttemptOutcome::StorageFailed(message) => AdHoc::Refused(Stopped::Storage(message)),
        })
    }

    /// Store a record's line, if there is one, and finish the item. Returns the error, if any.
    async fn store(&self, claimed: Claimed, line: &[u8]) -> Result<Option<AdHoc>, LedgerError> {
        let mut chunks = Chunks::default();
        if line.is_empty() {
            chunks.add_recovered(0, claimed);
        } else {
            chunks.add_record(0, claimed, line);
        }
        let Some(due) = chunks.take_due(Instant::now(), true) else { return Ok(None) };
        let (stores, provider) = (self.pipeline.stores.clone(), self.context.provider().to_owned());
        let flushed = flush(stores, provider, self.context.owner.clone(), due).await;
        // If it is unknown whether it is stored, the claim is kept, and the next owner of the item looks for its
        // record.
        for (_, claimed) in flushed.not_stored {
            self.give_back(claimed, "its record could not be stored").await?;
        }
        match flushed.failure {
            None => {
                self.pipeline.progress.count_end(End::Fetched);
                Ok(None)
            }
            Some(error) => Ok(Some(AdHoc::Refused(Stopped::Storage(error.to_string())))),
        }
    }

    /// Give the claim back as if there had been no attempt.
    async fn give_back(&self, claimed: Claimed, error: &str) -> Result<(), LedgerError> {
        let not_before = self.context.clock().now();
        let release = Release::without_attempt(claimed, not_before, error);
        self.context.ledger().release(self.context.provider(), &self.context.owner, release).await
    }

    /// Give back the slot and the rest of the quota, and save the learned state.
    async fn leave(self) {
        let Self { pipeline, context, capacity: Capacity { slots, quota }, probes } = self;
        if let Err(error) = slots.give_back(context.ledger(), context.clock()).await {
            tracing::warn!(provider = context.provider(), %error, "the slot was not released; its lease expires");
        }
        let (unspent, probed) = (quota.close(), probes.into_failed());
        let (redelivery, parked) = (Redelivery::default(), ParkedChange::default());
        let feedback = BatchFeedback { invocation: None, unspent, probed, redelivery, parked };
        if let Err(error) = pipeline.adapt(feedback).await {
            tracing::warn!(provider = context.provider(), %error, "the limiter state was not saved; the next batch of this process saves it");
        }
    }
}
