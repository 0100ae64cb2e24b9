//! A cluster in one run: its processes, what else happens to it, and when it has ended.

use std::sync::Arc;
use std::time::Duration;

use damper_core::control::item::{OpenedBy, ProviderStop};
use damper_core::ledger::Ledger;
use damper_core::operate;
use damper_core::testing::faults::{Fault, How, Observer};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use crate::locks::lock;
use crate::swarm::case::{Case, Theme};
use crate::swarm::invariants::Invariant;
use crate::swarm::outcome::Outcome;
use crate::swarm::shared::{MUCH_TOO_WRONG, Shared, instant};
use crate::swarm::{checks, process};

/// How long a case about midnight is looked at.
const AFTER_MIDNIGHT: Duration = Duration::from_secs(900);
/// By when a late call has been done.
const LATE: Duration = Duration::from_secs(125);
/// How often it is looked whether all work has ended.
const LOOK: Duration = Duration::from_secs(5);
/// How often the operator looks, and how long a mend takes.
const OPERATOR_LOOKS: Duration = Duration::from_secs(60);

/// A cluster.
pub(super) struct Cluster(Arc<Shared>);

impl Cluster {
    pub(super) fn new(case: &Case, is_traced: bool) -> Self {
        let shared = Arc::new(Shared::new(case, is_traced));
        shared.injector.set_observer(Some(Arc::clone(&shared) as Arc<dyn Observer>));
        Self(shared)
    }

    pub(super) async fn run(self) -> Outcome {
        let shared = &self.0;
        let mut tasks = JoinSet::new();
        for (number, provider) in shared.providers.iter().enumerate() {
            tasks.spawn(feed(Arc::clone(shared), number));
            tasks.spawn(operate(Arc::clone(shared), number, provider.setup.name.clone()));
            tasks.spawn(grant(Arc::clone(shared), number));
        }
        if shared.case.setup.theme == Theme::Waiting {
            tasks.spawn(checks::watch_held_back(Arc::clone(shared)));
        }
        for process in 0..shared.case.setup.processes {
            tasks.spawn(process::supervise(Arc::clone(shared), process));
        }
        for (number, fault) in shared.case.plan.faults.iter().copied().enumerate() {
            if matches!(fault, Fault::ClockStep { .. } | Fault::ObjectGone { .. }) {
                tasks.spawn(apply_fault(Arc::clone(shared), number, fault));
            }
        }
        tokio::select! {
            biased;
            () = shared.broken.cancelled() => {}
            () = all_ended(shared) => {}
            () = sleep_until(instant(shared, shared.limit())) => {}
        }
        tasks.shutdown().await;
        if !shared.broken.is_cancelled() {
            self.close_books();
        }
        shared.injector.set_observer(None);
        let ended = shared.now();
        Outcome {
            ended,
            violation: shared.violation(),
            trace: shared.injector.lines(),
            calls: shared.injector.calls().values().map(|calls| u64::from(*calls)).sum(),
            requests: shared.providers.iter().map(|provider| lock(&provider.api).requests()).sum(),
        }
    }

    /// Checks the promises about the end of a run.
    fn close_books(&self) {
        let shared = &self.0;
        if is_midnight_over(shared) {
            return;
        }
        for provider in &shared.providers {
            if let Err((invariant, what)) = shared.check_entries(provider).and_then(|()| shared.check_letters(provider))
            {
                return shared.report_violation(invariant, format!("{}: {what}", provider.setup.name));
            }
        }
    }
}

/// Done when all work has ended, and what is late has arrived.
async fn all_ended(shared: &Shared) {
    while shared.pending() > 0 && !is_midnight_over(shared) {
        sleep(LOOK).await;
    }
    let late = shared.case.plan.faults.iter().any(|fault| matches!(fault, Fault::Call { how: How::Late(_), .. }));
    sleep(if late { LATE } else { Duration::ZERO }).await;
}

/// Whether a case about midnight has shown all that it can: which work is left for the days after that is other cases'
/// matter.
fn is_midnight_over(shared: &Shared) -> bool {
    shared.case.setup.theme == Theme::Midnight && shared.now() > AFTER_MIDNIGHT
}

/// Feeds a provider's entries when their time comes.
async fn feed(shared: Arc<Shared>, number: usize) {
    let Some(provider) = shared.providers.get(number) else { return };
    for (sequence, item) in (1..).zip(&provider.setup.items) {
        sleep_until(instant(&shared, item.at)).await;
        let shard = usize::try_from(sequence).unwrap_or_default() % provider.shards.len().max(1);
        if let Some(shard) = provider.shards.get(shard) {
            lock(shard).feed(sequence, &item.id(), shared.clock.now());
        }
    }
}

/// Applies a fault of the environment.
async fn apply_fault(shared: Arc<Shared>, number: usize, fault: Fault) {
    match fault {
        Fault::ClockStep { at, by_seconds } => {
            sleep_until(instant(&shared, at)).await;
            shared.injector.trace(|| format!("the wall clock steps by {by_seconds} s"));
            shared.step_clock(by_seconds);
        }
        Fault::ObjectGone { at } => {
            sleep_until(instant(&shared, at)).await;
            let gone = shared.sink.take_out(number, |key| shared.is_finished(key)).await;
            shared.injector.trace(|| format!("somebody takes out the object {gone:?}"));
        }
        Fault::Call { .. } | Fault::Outage { .. } | Fault::Death { .. } | Fault::Freeze { .. } => {}
    }
}

/// An operator grants dead letters.
async fn grant(shared: Arc<Shared>, number: usize) {
    let Some(provider) = shared.providers.get(number) else { return };
    let Some((at, letters)) = provider.setup.grant else { return };
    sleep_until(instant(&shared, at)).await;
    let (name, now) = (&provider.setup.name, shared.clock.now());
    shared.injector.trace(|| format!("an operator grants {name} {letters} dead letters"));
    if operate::resume(&*shared.ledger, &*provider.mapping, name, now, Some(letters)).await.is_ok() {
        lock(&shared.grants).insert(name.clone(), (letters, lock(&provider.api).at_fault()));
    }
}

/// An operator: sees why a provider is stopped, mends that, and resumes it.
async fn operate(shared: Arc<Shared>, number: usize, name: String) {
    let Some(provider) = shared.providers.get(number) else { return };
    loop {
        sleep(OPERATOR_LOOKS).await;
        let Ok(control) = shared.ledger.control(&name).await else { continue };
        let by_operator = control.governor.disabled.as_ref().is_some_and(|disabled| disabled.by == OpenedBy::Operator);
        let (by, reason) = match &control.breaker {
            ProviderStop::Open { by: by @ (OpenedBy::Config | OpenedBy::Operator), reason, .. } => {
                (*by, reason.clone())
            }
            _ if by_operator => (OpenedBy::Operator, "the mapping is off".to_owned()),
            ProviderStop::Open { .. } | ProviderStop::Closed => continue,
        };
        let ahead = shared.clock_is_ahead_by();
        let is_clock_wrong = ahead.abs() > MUCH_TOO_WRONG;
        let has_cause = by == OpenedBy::Config
            && reason.starts_with("ten or more of the last twenty")
            && (lock(&provider.api).at_fault() >= 10 || is_clock_wrong || shared.was_set_right());
        if !has_cause {
            return shared.report_violation(Invariant::AlarmHasCause, format!("{name} is stopped by {by}: {reason}"));
        }
        sleep(OPERATOR_LOOKS).await;
        if is_clock_wrong {
            // Another provider's operator may have been here meanwhile.
            shared.set_clock_right();
        }
        let now = shared.clock.now();
        shared.injector.trace(|| format!("the operator resumes {name}"));
        // A failed operation is tried again at the next look.
        drop(operate::resume(&*shared.ledger, &*provider.mapping, &name, now, None).await);
    }
}
