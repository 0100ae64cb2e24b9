//! A cluster in one run: what its processes share, what else happens to it, and when it has ended.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use damper_core::clock::{SteppedClock, WallClock};
use damper_core::control::item::{OpenedBy, ProviderStop};
use damper_core::item::{Identity, Params};
use damper_core::ledger::Ledger;
use damper_core::manifest::Manifest;
use damper_core::operate;
use damper_core::testing::faults::{Fault, How, Injector, Observer, Operation, SlotVersions};
use damper_core::testing::mapping::MemoryMapping;
use damper_core::testing::memory::{MemoryLedger, RowState};
use jiff::SignedDuration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::swarm::Outcome;
use crate::swarm::api::Api;
use crate::swarm::case::{Case, ProviderSetup, Theme};
use crate::swarm::checks;
use crate::swarm::invariants::{Invariant, Violation};
use crate::swarm::process;
use crate::swarm::store::{RecordKey, WatchedStore};
use crate::swarm::stream::Shard;

/// How long processes have to end all work once faults have ended, and besides for each day that a quota needs. An item that has failed
/// waits for an hour and a tenth before its last attempt.
const GRACE: Duration = Duration::from_secs(2 * 3_600);
/// The same where the API works all the time, and only processes have died while the clock was set back: the longest claim, what a tick and
/// a poller wait, and a minute.
const GRACE_AFTER_STEPS: Duration = Duration::from_secs(616 + 60 + 10 + 60);
/// How long a case about midnight is looked at.
const AFTER_MIDNIGHT: Duration = Duration::from_secs(900);
/// How long the mapping takes to change in the cloud.
const MAPPING_LAG: Duration = Duration::from_secs(20);
/// By when a late call has been done.
const LATE: Duration = Duration::from_secs(125);
/// How often it is looked whether all work has ended.
const LOOK: Duration = Duration::from_secs(5);
/// How often the operator looks, and how long a mend takes.
const OPERATOR_LOOKS: Duration = Duration::from_secs(60);
/// How much a clock has to be wrong for items to be too old, of which the operator sets it right.
const MUCH_TOO_WRONG: i64 = 5 * 86_400;

/// The state that the processes share.
pub(super) struct Shared {
    pub(super) case: Case,
    pub(super) injector: Arc<Injector>,
    pub(super) clock: SteppedClock,
    pub(super) ledger: Arc<MemoryLedger>,
    pub(super) slot_versions: SlotVersions,
    pub(super) sink: Arc<WatchedStore>,
    pub(super) providers: Vec<Provider>,
    /// By provider: what was granted last, and how many answers had said before that an item is at fault.
    pub(super) grants: Mutex<BTreeMap<String, (u32, u32)>>,
    /// By provider and shard: how many entries were pending, and since when.
    pub(super) turns: Mutex<BTreeMap<(usize, usize), (usize, Duration)>>,
    /// By provider and shard: when its last batches were delivered of which nothing ended, one after the other.
    pub(super) fruitless: Mutex<BTreeMap<(usize, usize), VecDeque<Duration>>>,
    /// When the wall clock was set forward, by more than clocks may differ.
    leaps: Mutex<Vec<Duration>>,
    /// When a pipeline has begun last.
    pub(super) begun_last: Mutex<Duration>,
    /// How often a process has died, or begun with new pipelines.
    pub(super) crashes: AtomicU32,
    /// By how many seconds the wall clock is ahead.
    ahead_by: AtomicI64,
    /// The operator has set the wall clock right, back by days.
    was_set_right: AtomicBool,
    violation: Mutex<Option<Violation>>,
    /// The first promise is broken.
    broken: CancellationToken,
}

/// One provider.
pub(super) struct Provider {
    pub(super) setup: ProviderSetup,
    manifest: Manifest,
    /// The manifest after its time zone was moved.
    moved: Manifest,
    pub(super) mapping: Arc<MemoryMapping>,
    pub(super) shards: Vec<Mutex<Shard>>,
    pub(super) api: Mutex<Api>,
}

impl Provider {
    /// The manifest that is deployed at a time.
    pub(super) fn manifest(&self, at: Duration) -> &Manifest {
        if self.setup.moves_west.is_some_and(|moves| moves <= at) { &self.moved } else { &self.manifest }
    }
}

/// A cluster.
pub(super) struct Cluster(Arc<Shared>);

impl Shared {
    /// How long it has been going on.
    pub(super) fn now(&self) -> Duration {
        self.injector.began().elapsed()
    }

    pub(super) fn clock(&self) -> WallClock {
        WallClock::from(&self.clock)
    }

    /// Reports a broken promise; the first one counts.
    pub(super) fn report_violation(&self, invariant: Invariant, what: String) {
        let violation = Violation { invariant, at: self.now(), what };
        self.injector.trace(|| format!("broken: {invariant}: {}", violation.what));
        lock(&self.violation).get_or_insert(violation);
        self.broken.cancel();
    }

    /// Whether the ledger says that an item's record is stored and finished.
    pub(super) fn is_finished(&self, key: &RecordKey) -> bool {
        let identity = Identity::of(&key.id, &Params::new(), &[]);
        let row =
            identity.ok().zip(key.day.parse().ok()).and_then(|(id, day)| self.ledger.row(&key.provider, &id, day));
        row.is_some_and(|row| matches!(row.state, RowState::Done { .. }))
    }

    fn pending(&self) -> usize {
        let unfed: usize = self.providers.iter().map(|provider| provider.setup.items.len()).sum();
        let mut ended = 0;
        for provider in &self.providers {
            let parked = self.ledger.parked_entries(&provider.setup.name);
            for shard in &provider.shards {
                let mut shard = lock(shard);
                shard.settle_parked(|sequence| parked.iter().any(|(kept, _)| kept == sequence));
                ended += shard.entries().len() - shard.pending();
            }
        }
        unfed - ended
    }

    /// After which time nothing goes wrong any more.
    pub(super) fn faults_end(&self) -> Duration {
        healthy_from(&self.case)
    }

    /// When all work has to have ended.
    fn limit(&self) -> Duration {
        let days = self.providers.iter().map(|provider| {
            let by_window = u32::from(provider.setup.window.is_some());
            // A crash and a retry may cost some of a day.
            let by_quota = provider.setup.quota.map_or(0, |quota| provider.setup.items.len() as u64 / quota.max(1) + 3);
            by_window + u32::try_from(by_quota).unwrap_or(10)
        });
        let grace = if self.case.setup.theme == Theme::SetBack { GRACE_AFTER_STEPS } else { GRACE };
        self.faults_end() + grace + Duration::from_secs(86_400) * days.max().unwrap_or(0)
    }
}

impl Shared {
    /// The wall clock is set forward by so much.
    fn step_clock(&self, by_seconds: i64) {
        self.clock.step(SignedDuration::from_secs(by_seconds));
        if by_seconds > 0 {
            lock(&self.leaps).push(self.now());
        }
        self.ahead_by.fetch_add(by_seconds, Ordering::Relaxed);
    }

    /// When the wall clock leapt last before a time.
    pub(super) fn leapt_before(&self, time: Duration) -> Option<Duration> {
        lock(&self.leaps).iter().copied().filter(|leapt| *leapt <= time).max()
    }

    /// How many seconds the wall clock is ahead of the time.
    fn clock_is_ahead_by(&self) -> i64 {
        self.ahead_by.load(Ordering::Relaxed)
    }

    /// Whether the wall clock was ahead by days and has been set right. Alarms from before may be seen after that.
    fn was_set_right(&self) -> bool {
        self.was_set_right.load(Ordering::Relaxed)
    }

    /// Whether the wall clock is not to be trusted.
    pub(super) fn has_steps(&self) -> bool {
        self.case.plan.faults.iter().any(|fault| matches!(fault, Fault::ClockStep { .. }))
    }

    pub(super) fn has_steps_of_days(&self) -> bool {
        let is_long =
            |fault: &Fault| matches!(fault, Fault::ClockStep { by_seconds, .. } if by_seconds.abs() > MUCH_TOO_WRONG);
        self.case.plan.faults.iter().any(is_long)
    }
}

impl Observer for Shared {
    fn on_effect(&self, _process: usize, operation: Operation) {
        match operation {
            Operation::Put => {
                if let Some((key, before, after)) = self.sink.duplicate_record() {
                    let what = format!("{} of {} is in {before} and in {after}", key.id, key.day);
                    self.report_violation(Invariant::OneRecordADay, what);
                }
            }
            Operation::WriteControl => self.check_grants(),
            Operation::Checkpoint if self.case.setup.theme == Theme::Sharing => self.check_sharing(),
            _ => {}
        }
    }

    fn on_busy_loop(&self, process: usize, operation: Operation) {
        self.report_violation(
            Invariant::BusyLoop,
            format!("process {process} calls thousands of times a second, {operation} last"),
        );
    }
}

/// From when on APIs fail no more.
fn healthy_from(case: &Case) -> Duration {
    let outages = case.setup.providers.iter().filter_map(|provider| provider.api.outage);
    outages.map(|(from, length)| from + length).max().unwrap_or_default().max(case.plan.ends)
}

impl Cluster {
    pub(super) fn new(case: &Case, is_traced: bool) -> Self {
        let injector = Injector::new(&case.plan, case.seed, case.setup.latency, is_traced);
        let interval = Duration::from_secs(if case.setup.is_cloud { 30 } else { 0 });
        let providers = case.setup.providers.iter().zip(0..).filter_map(|(setup, number)| {
            Some(Provider {
                manifest: Manifest::parse(&setup.manifest(false)).ok()?,
                moved: Manifest::parse(&setup.manifest(true)).ok()?,
                mapping: Arc::new(MemoryMapping::new(
                    setup.batch,
                    if case.setup.is_cloud { MAPPING_LAG } else { Duration::ZERO },
                )),
                shards: (0..setup.shards).map(|_| Mutex::default()).collect(),
                api: Mutex::new(Api::new(setup, case.seed, number, healthy_from(case))),
                setup: setup.clone(),
            })
        });
        let ledger = MemoryLedger::thrifty(interval);
        let shared = Arc::new(Shared {
            clock: SteppedClock::new(case.setup.begin),
            ledger: Arc::new(if case.setup.is_cloud { ledger.parking() } else { ledger.reporting_waits() }),
            slot_versions: SlotVersions::default(),
            sink: Arc::default(),
            providers: providers.collect(),
            grants: Mutex::default(),
            turns: Mutex::default(),
            fruitless: Mutex::default(),
            leaps: Mutex::default(),
            begun_last: Mutex::default(),
            crashes: AtomicU32::default(),
            ahead_by: AtomicI64::default(),
            was_set_right: AtomicBool::default(),
            violation: Mutex::default(),
            broken: CancellationToken::new(),
            case: case.clone(),
            injector,
        });
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
            () = sleep_until(shared.injector.began() + shared.limit()) => {}
        }
        tasks.shutdown().await;
        if !shared.broken.is_cancelled() {
            self.close_books();
        }
        shared.injector.set_observer(None);
        let ended = shared.now();
        Outcome {
            ended,
            violation: lock(&shared.violation).clone(),
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

/// Whether a case about midnight has shown all that it can: which work is left for the days after that is other cases' matter.
fn is_midnight_over(shared: &Shared) -> bool {
    shared.case.setup.theme == Theme::Midnight && shared.now() > AFTER_MIDNIGHT
}

/// Feeds a provider's entries when their time comes.
async fn feed(shared: Arc<Shared>, number: usize) {
    let Some(provider) = shared.providers.get(number) else { return };
    for (sequence, item) in (1..).zip(&provider.setup.items) {
        sleep_until(shared.injector.began() + item.at).await;
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
            sleep_until(shared.injector.began() + at).await;
            shared.injector.trace(|| format!("the wall clock steps by {by_seconds} s"));
            shared.step_clock(by_seconds);
        }
        Fault::ObjectGone { at } => {
            sleep_until(shared.injector.began() + at).await;
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
    sleep_until(shared.injector.began() + at).await;
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
            let ahead = shared.clock_is_ahead_by();
            shared.injector.trace(|| format!("the operator sets the clock right, by {} s", -ahead));
            shared.step_clock(-ahead);
            shared.was_set_right.store(true, Ordering::Relaxed);
        }
        let now = shared.clock.now();
        shared.injector.trace(|| format!("the operator resumes {name}"));
        // A failed operation is tried again at the next look.
        drop(operate::resume(&*shared.ledger, &*provider.mapping, &name, now, None).await);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When something of the plan happens, as an instant.
pub(super) fn instant(shared: &Shared, at: Duration) -> Instant {
    shared.injector.began() + at
}
