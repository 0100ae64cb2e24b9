//! A ledger with faults.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::control::item::Disabled;
use crate::day::Day;
use crate::item::{Identity, SequenceNumber};
use crate::ledger::{
    Claim, ClaimRequest, Control, Finish, Finished, Granted, Ledger, LedgerError, LongWaits, Owner, Parked,
    ParkedEntries, Release, SlotRequest,
};
use crate::testing::faults::injector::Port;
use crate::testing::faults::plan::Operation;

/// How often the slots of each provider were changed, over all processes.
///
/// A store that writes slots at the version it has seen refuses a write that arrives after another one. A late write of
/// slots is therefore done only if no other write has changed them since.
#[derive(Debug, Clone, Default)]
pub struct SlotVersions(Arc<Mutex<BTreeMap<String, u64>>>);

impl SlotVersions {
    fn of(&self, provider: &str) -> u64 {
        let versions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        versions.get(provider).copied().unwrap_or_default()
    }

    fn raise(&self, provider: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(provider.to_owned()).or_default() += 1;
    }
}

/// One process' ledger, with the faults of a plan. Claims, finishes and releases that arrive late are decided when they
/// arrive: their rows are fenced by the owner. The control item is written at its version.
#[derive(Clone)]
pub struct FaultyLedger {
    inner: Arc<dyn Ledger>,
    port: Port,
    slots: SlotVersions,
}

impl FaultyLedger {
    /// `inner` with faults; `slots` is shared by all processes.
    #[must_use]
    pub fn new(inner: Arc<dyn Ledger>, port: Port, slots: SlotVersions) -> Self {
        Self { inner, port, slots }
    }

    /// Call the ledger. `run` makes the call; a late one is the same call.
    async fn call<T: Send + 'static>(
        &self,
        operation: Operation,
        what: impl Fn() -> String,
        run: impl Fn(Arc<dyn Ledger>) -> BoxFuture<'static, Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        let inner = &self.inner;
        let late = || run(Arc::clone(inner)).map(drop).boxed();
        self.port.call(operation, what, || run(Arc::clone(inner)), late, ledger_error).await
    }
}

fn ledger_error(message: &'static str) -> LedgerError {
    LedgerError::Failed { action: "answer", message: message.to_owned() }
}

/// A [`ClaimRequest`] that outlives its caller.
#[derive(Clone)]
struct OwnedClaim {
    provider: String,
    identity: Identity,
    sequence: SequenceNumber,
    today: Day,
    since: Day,
    owner: Owner,
    now: Timestamp,
    lease: Timestamp,
}

impl OwnedClaim {
    fn of(request: &ClaimRequest<'_>) -> Self {
        Self {
            provider: request.provider.to_owned(),
            identity: request.identity.clone(),
            sequence: request.sequence.clone(),
            today: request.today,
            since: request.since,
            owner: request.owner.clone(),
            now: request.now,
            lease: request.lease,
        }
    }

    fn request(&self) -> ClaimRequest<'_> {
        let Self { provider, identity, sequence, today, since, owner, now, lease } = self;
        ClaimRequest { provider, identity, sequence, today: *today, since: *since, owner, now: *now, lease: *lease }
    }
}

/// A [`SlotRequest`] that outlives its caller.
#[derive(Clone)]
struct OwnedSlots {
    owner: Owner,
    want: u32,
    in_use: u32,
    cap: u32,
    now: Timestamp,
    until: Timestamp,
}

#[async_trait]
impl Ledger for FaultyLedger {
    async fn claim(&self, request: ClaimRequest<'_>) -> Result<Claim, LedgerError> {
        let owned = OwnedClaim::of(&request);
        let what = || format!("{} of {}", request.identity, request.provider);
        let run = |inner: Arc<dyn Ledger>| {
            let owned = owned.clone();
            async move { inner.claim(owned.request()).await }.boxed()
        };
        self.call(Operation::Claim, what, run).await
    }

    async fn finish(&self, provider: &str, owner: &Owner, items: Vec<Finish>) -> Result<Vec<Finished>, LedgerError> {
        let what = || format!("{} of {provider}", items.len());
        let run = |inner: Arc<dyn Ledger>| {
            let (provider, owner, items) = (provider.to_owned(), owner.clone(), items.clone());
            async move { inner.finish(&provider, &owner, items).await }.boxed()
        };
        self.call(Operation::Finish, what, run).await
    }

    async fn release(&self, provider: &str, owner: &Owner, release: Release) -> Result<(), LedgerError> {
        let what = || format!("{} of {provider}", release.claimed.identity);
        let run = |inner: Arc<dyn Ledger>| {
            let (provider, owner, release) = (provider.to_owned(), owner.clone(), release.clone());
            async move { inner.release(&provider, &owner, release).await }.boxed()
        };
        self.call(Operation::Release, what, run).await
    }

    async fn slots(&self, provider: &str, request: SlotRequest<'_>) -> Result<Granted, LedgerError> {
        let SlotRequest { owner, want, in_use, cap, now, until } = request;
        let owned = OwnedSlots { owner: owner.clone(), want, in_use, cap, now, until };
        let inner = &self.inner;
        let run = || {
            let (inner, provider, owned, versions) =
                (Arc::clone(inner), provider.to_owned(), owned.clone(), self.slots.clone());
            let port = self.port.clone();
            async move {
                versions.raise(&provider);
                let OwnedSlots { owner, want, in_use, cap, now, until } = &owned;
                let request = SlotRequest { owner, want: *want, in_use: *in_use, cap: *cap, now: *now, until: *until };
                let granted = inner.slots(&provider, request).await;
                if let Ok(Granted { slots, .. }) = &granted {
                    port.trace(|| format!("{owner} has {in_use} slots in use, wants {want} and is granted {slots}"));
                }
                granted
            }
            .boxed()
        };
        let late = || {
            let (seen, versions, name, work) =
                (self.slots.of(provider), self.slots.clone(), provider.to_owned(), run());
            async move {
                if versions.of(&name) == seen {
                    drop(work.await);
                }
            }
            .boxed()
        };
        self.port.call(Operation::Slots, || format!("{want} of {provider}"), run, late, ledger_error).await
    }

    async fn control(&self, provider: &str) -> Result<Control, LedgerError> {
        let run = |inner: Arc<dyn Ledger>| {
            let provider = provider.to_owned();
            async move { inner.control(&provider).await }.boxed()
        };
        self.call(Operation::ReadControl, || provider.to_owned(), run).await
    }

    async fn update_control(&self, provider: &str, control: &Control) -> Result<bool, LedgerError> {
        let run = |inner: Arc<dyn Ledger>| {
            let (provider, control) = (provider.to_owned(), control.clone());
            async move { inner.update_control(&provider, &control).await }.boxed()
        };
        let off = |disabled: &Disabled| format!(", disabled by {} since {}", disabled.by, disabled.since);
        let what = || {
            let off = control.governor.disabled.as_ref().map(off).unwrap_or_default();
            format!("{provider} at version {}{off}", control.version)
        };
        self.call(Operation::WriteControl, what, run).await
    }

    fn write_interval(&self) -> Duration {
        self.inner.write_interval()
    }

    fn long_waits(&self) -> LongWaits {
        self.inner.long_waits()
    }

    async fn park(&self, provider: &str, entries: &[Parked]) -> Result<u64, LedgerError> {
        let run = |inner: Arc<dyn Ledger>| {
            let (provider, entries) = (provider.to_owned(), entries.to_vec());
            async move { inner.park(&provider, &entries).await }.boxed()
        };
        self.call(Operation::Park, || format!("{} of {provider}", entries.len()), run).await
    }

    async fn read_parked(&self, provider: &str, now: Timestamp, most: usize) -> Result<ParkedEntries, LedgerError> {
        let run = |inner: Arc<dyn Ledger>| {
            let provider = provider.to_owned();
            async move { inner.read_parked(&provider, now, most).await }.boxed()
        };
        self.call(Operation::ReadParked, || provider.to_owned(), run).await
    }

    async fn unpark(&self, provider: &str, entries: &[Parked]) -> Result<(), LedgerError> {
        let run = |inner: Arc<dyn Ledger>| {
            let (provider, entries) = (provider.to_owned(), entries.to_vec());
            async move { inner.unpark(&provider, &entries).await }.boxed()
        };
        self.call(Operation::Unpark, || format!("{} of {provider}", entries.len()), run).await
    }

    async fn find_done(
        &self,
        provider: &str,
        day: Day,
        identities: &[Identity],
    ) -> Result<BTreeMap<Identity, SequenceNumber>, LedgerError> {
        let run = |inner: Arc<dyn Ledger>| {
            let (provider, identities) = (provider.to_owned(), identities.to_vec());
            async move { inner.find_done(&provider, day, &identities).await }.boxed()
        };
        self.call(Operation::ReadDone, || provider.to_owned(), run).await
    }
}
