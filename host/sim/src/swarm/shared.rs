//! What the processes of a cluster share, what the checks look at, and the first promise that was broken.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use damper_core::clock::{SteppedClock, WallClock};
use damper_core::item::{Identity, Params};
use damper_core::manifest::Manifest;
use damper_core::testing::faults::{Fault, Injector, Observer, Operation, SlotVersions};
use damper_core::testing::mapping::MemoryMapping;
use damper_core::testing::memory::{MemoryLedger, RowState};
use jiff::SignedDuration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::locks::lock;
use crate::swarm::api::SwarmApi;
use crate::swarm::case::{Case, ProviderSetup, Theme};
use crate::swarm::invariants::{Invariant, Violation};
use crate::swarm::store::{RecordKey, WatchedStore};
use crate::swarm::stream::LeasedShard;

/// How long processes have to end all work once faults have ended, and besides for each day that a quota needs. An item
/// that has failed waits for an hour and a tenth before its last attempt.
const GRACE: Duration = Duration::from_secs(2 * 3_600);
/// The same where the API works all the time, and only processes have died while the clock was set back: the longest
/// claim, what a tick and a poller wait, and a minute.
const GRACE_AFTER_STEPS: Duration = Duration::from_secs(616 + 60 + 10 + 60);
/// How long the mapping takes to change in the cloud.
const MAPPING_LAG: Duration = Duration::from_secs(20);
/// How much a clock has to be wrong for items to be too old, of which the operator sets it right.
pub(super) const MUCH_TOO_WRONG: i64 = 5 * 86_400;

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
    pub(super) broken: CancellationToken,
}

/// One provider.
pub(super) struct Provider {
    pub(super) setup: ProviderSetup,
    manifest: Manifest,
    /// The manifest after its time zone was moved.
    moved: Manifest,
    pub(super) mapping: Arc<MemoryMapping>,
    pub(super) shards: Vec<Mutex<LeasedShard>>,
    pub(super) api: Mutex<SwarmApi>,
}

impl Provider {
    /// The manifest that is deployed at a time.
    pub(super) fn manifest(&self, at: Duration) -> &Manifest {
        if self.setup.moves_west.is_some_and(|moves| moves <= at) { &self.moved } else { &self.manifest }
    }
}

impl Shared {
    /// What the processes of a case share before anything has happened.
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
                api: Mutex::new(SwarmApi::new(setup, case.seed, number, healthy_from(case))),
                setup: setup.clone(),
            })
        });
        let ledger = MemoryLedger::thrifty(interval);
        Self {
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
        }
    }

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

    /// The first promise that was broken.
    pub(super) fn violation(&self) -> Option<Violation> {
        lock(&self.violation).clone()
    }

    /// Whether the ledger says that an item's record is stored and finished.
    pub(super) fn is_finished(&self, key: &RecordKey) -> bool {
        let identity = Identity::of(&key.id, &Params::new(), &[]);
        let row =
            identity.ok().zip(key.day.parse().ok()).and_then(|(id, day)| self.ledger.row(&key.provider, &id, day));
        row.is_some_and(|row| matches!(row.state, RowState::Done { .. }))
    }

    /// How many entries have not ended, those among them that are not fed yet.
    pub(super) fn pending(&self) -> usize {
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
    pub(super) fn limit(&self) -> Duration {
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
    pub(super) fn step_clock(&self, by_seconds: i64) {
        self.clock.step(SignedDuration::from_secs(by_seconds));
        if by_seconds > 0 {
            lock(&self.leaps).push(self.now());
        }
        self.ahead_by.fetch_add(by_seconds, Ordering::Relaxed);
    }

    /// An operator sets the wall clock right, by as much as it is wrong now.
    pub(super) fn set_clock_right(&self) {
        let ahead = self.clock_is_ahead_by();
        self.injector.trace(|| format!("the operator sets the clock right, by {} s", -ahead));
        self.step_clock(-ahead);
        self.was_set_right.store(true, Ordering::Relaxed);
    }

    /// When the wall clock leapt last before a time.
    pub(super) fn leapt_before(&self, time: Duration) -> Option<Duration> {
        lock(&self.leaps).iter().copied().filter(|leapt| *leapt <= time).max()
    }

    /// How many seconds the wall clock is ahead of the time.
    pub(super) fn clock_is_ahead_by(&self) -> i64 {
        self.ahead_by.load(Ordering::Relaxed)
    }

    /// Whether the wall clock was ahead by days and has been set right. Alarms from before may be seen after that.
    pub(super) fn was_set_right(&self) -> bool {
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

/// When something of the plan happens, as an instant.
pub(super) fn instant(shared: &Shared, at: Duration) -> Instant {
    shared.injector.began() + at
}
