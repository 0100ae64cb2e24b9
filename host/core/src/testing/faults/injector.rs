//! Decides the fault of each call, and injects it: the same for every port.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::random::RandomSource;
use crate::testing::faults::plan::{Fault, FaultPlan, How, Operation};

/// The number of calls within one second, or without any time passing, that means a busy loop.
const MOST_CALLS_A_SECOND: u32 = 3_000;

/// One line of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceLine {
    /// When, from the beginning of the run.
    pub at: Duration,
    /// The event.
    pub text: String,
}

impl fmt::Display for TraceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t={:.3}s {}", self.at.as_secs_f64(), self.text)
    }
}

/// Observes the state after every call that had an effect.
pub trait Observer: Send + Sync {
    /// A call of `process` has had its effect.
    fn on_effect(&self, process: usize, operation: Operation);

    /// A process calls so often that it cannot be waiting for anything.
    fn on_busy_loop(&self, process: usize, operation: Operation);
}

/// The faults of one run.
pub struct Injector {
    began: Instant,
    ends: Duration,
    /// The longest that a call takes that does not go wrong.
    latency: Duration,
    random: RandomSource,
    outages: Vec<(Operation, Duration, Duration)>,
    state: Mutex<InjectorState>,
    trace: Option<Mutex<Vec<TraceLine>>>,
    observer: Mutex<Option<Arc<dyn Observer>>>,
}

impl fmt::Debug for Injector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Injector").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct InjectorState {
    calls: BTreeMap<Operation, u32>,
    faults: BTreeMap<(Operation, u32), How>,
    /// By process: the second that was looked at last, and how many calls were in it.
    busy: BTreeMap<usize, (u64, u32)>,
}

impl Injector {
    /// The faults of `plan`, in a run that begins now. `seed` decides how long calls take, `latency` at most.
    #[must_use]
    pub fn new(plan: &FaultPlan, seed: u64, latency: Duration, is_traced: bool) -> Arc<Self> {
        let mut state = InjectorState::default();
        let mut outages = Vec::new();
        for fault in &plan.faults {
            match *fault {
                Fault::Call { operation, nth, how } => {
                    state.faults.insert((operation, nth), how);
                }
                Fault::Outage { operation, from, length } => outages.push((operation, from, from + length)),
                Fault::Death { .. } | Fault::Freeze { .. } | Fault::ClockStep { .. } | Fault::ObjectGone { .. } => {}
            }
        }
        Arc::new(Self {
            began: Instant::now(),
            ends: plan.ends,
            latency,
            random: RandomSource::from_seed(seed),
            outages,
            state: Mutex::new(state),
            trace: is_traced.then(Mutex::default),
            observer: Mutex::default(),
        })
    }

    /// Set the observer that is called after every effect; `None` once the run is over.
    pub fn set_observer(&self, observer: Option<Arc<dyn Observer>>) {
        *lock(&self.observer) = observer;
    }

    /// When the run began.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Write a line of the trace, if there is one.
    pub fn trace(&self, text: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            lock(trace).push(TraceLine { at: self.began.elapsed(), text: text() });
        }
    }

    /// The trace so far.
    #[must_use]
    pub fn lines(&self) -> Vec<TraceLine> {
        self.trace.as_ref().map(|trace| lock(trace).clone()).unwrap_or_default()
    }

    /// How often each operation was called so far.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<Operation, u32> {
        self.state().calls.clone()
    }

    /// The fault of the next call of an operation.
    fn decide(&self, process: usize, operation: Operation) -> (u32, Option<How>) {
        let now = self.began.elapsed();
        let mut state = self.state();
        let number = {
            let calls = state.calls.entry(operation).or_default();
            *calls += 1;
            *calls
        };
        let (second, calls) = state.busy.entry(process).or_default();
        if *second != now.as_secs() {
            (*second, *calls) = (now.as_secs(), 0);
        }
        *calls += 1;
        let is_busy = *calls == MOST_CALLS_A_SECOND;
        let how = state.faults.get(&(operation, number)).copied();
        drop(state);
        if is_busy && let Some(observer) = lock(&self.observer).clone() {
            observer.on_busy_loop(process, operation);
        }
        let is_out = self.outages.iter().any(|(out, from, until)| *out == operation && (*from..*until).contains(&now));
        let how = if is_out { Some(How::FailBefore) } else { how };
        (number, how.filter(|_| now < self.ends))
    }

    fn random_latency(&self) -> Duration {
        self.latency.mul_f64(self.random.unit() / 2.0)
    }

    fn effect(&self, process: usize, operation: Operation) {
        let observer = lock(&self.observer).clone();
        if let Some(observer) = observer {
            observer.on_effect(process, operation);
        }
    }

    fn state(&self) -> MutexGuard<'_, InjectorState> {
        lock(&self.state)
    }
}

/// Controls a process: whether it is to die, and whether it is frozen.
///
/// It is made of [`Notify`], which wakes in order; the order in which a `watch` wakes is left to chance.
#[derive(Debug, Default)]
pub struct ProcessControl {
    freezes: AtomicU32,
    thawed: Notify,
    killed: Notify,
}

impl ProcessControl {
    /// Done when something has asked for the death of the process.
    pub async fn wait_for_kill(&self) {
        self.killed.notified().await;
    }

    /// Whether the process is frozen.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.freezes.load(Ordering::Relaxed) > 0
    }

    /// Freeze the process for a while, from now.
    pub fn freeze(self: &Arc<Self>, length: Duration) {
        self.freezes.fetch_add(1, Ordering::Relaxed);
        let control = Arc::clone(self);
        tokio::spawn(async move {
            sleep(length).await;
            control.freezes.fetch_sub(1, Ordering::Relaxed);
            control.thawed.notify_waiters();
        });
    }
}

/// One process' way to all of its ports.
#[derive(Debug, Clone)]
pub struct Port {
    /// Which process.
    pub process: usize,
    injector: Arc<Injector>,
    control: Arc<ProcessControl>,
}

impl Port {
    /// The ports of a process.
    #[must_use]
    pub fn new(process: usize, injector: &Arc<Injector>) -> Self {
        Self { process, injector: Arc::clone(injector), control: Arc::default() }
    }

    /// Freezes and kills it.
    #[must_use]
    pub fn control(&self) -> &Arc<ProcessControl> {
        &self.control
    }

    /// Write a line of the trace in the name of this process.
    pub fn trace(&self, text: impl FnOnce() -> String) {
        self.injector.trace(|| format!("process {}: {}", self.process, text()));
    }

    /// Done when the process is not frozen.
    pub async fn wait_until_thawed(&self) {
        while self.control.is_frozen() {
            self.control.thawed.notified().await;
        }
    }

    /// Call a port. `run` performs the call once; `fail` makes the port's error from a message; `late` performs the
    /// call after others, which a store may refuse.
    ///
    /// # Errors
    /// Those of the port, and those that the plan makes.
    pub async fn call<T, E>(
        &self,
        operation: Operation,
        what: impl Fn() -> String,
        run: impl Fn() -> BoxFuture<'static, Result<T, E>>,
        late: impl FnOnce() -> BoxFuture<'static, ()>,
        fail: impl Fn(&'static str) -> E,
    ) -> Result<T, E> {
        self.wait_until_thawed().await;
        let injector = &self.injector;
        let (number, how) = injector.decide(self.process, operation);
        sleep(injector.random_latency()).await;
        self.wait_until_thawed().await;
        if let Some(how) = how {
            self.trace(|| format!("{operation} {number} {}: {how}", what()));
        }
        let once = || async {
            let answer = run().await;
            injector.effect(self.process, operation);
            answer
        };
        let answer = match how {
            None => once().await,
            Some(How::FailBefore) => Err(fail("nothing was done")),
            Some(How::Refused) => Err(fail("throttled")),
            Some(How::FailAfter) => once().await.and_then(|_| Err(fail("the answer was lost"))),
            Some(How::Twice) => {
                // The first answer is the one that is lost.
                drop(once().await);
                sleep(injector.random_latency()).await;
                once().await
            }
            Some(How::Late(by)) => {
                self.do_later(operation, by, late());
                Err(fail("no answer in time"))
            }
            Some(How::Slow(by)) => {
                sleep(by / 2).await;
                self.wait_until_thawed().await;
                let answer = once().await;
                sleep(by / 2).await;
                answer
            }
            Some(How::FreezeBefore(by)) => {
                self.control.freeze(by);
                self.wait_until_thawed().await;
                once().await
            }
            Some(How::FreezeAfter(by)) => {
                let answer = once().await;
                self.control.freeze(by);
                answer
            }
            Some(How::DieBefore) => self.die().await,
            Some(How::DieAfter) => {
                drop(once().await);
                self.die().await
            }
        };
        sleep(injector.random_latency()).await;
        self.wait_until_thawed().await;
        if how.is_none() {
            self.trace(|| {
                format!("{operation} {number} {}: {}", what(), if answer.is_ok() { "done" } else { "an error" })
            });
        }
        answer
    }

    /// Do something after a while, whether or not the process lives by then.
    fn do_later(&self, operation: Operation, by: Duration, work: BoxFuture<'static, ()>) {
        let (injector, process) = (Arc::clone(&self.injector), self.process);
        tokio::spawn(async move {
            sleep(by).await;
            injector.trace(|| format!("a {operation} of process {process}, reported as failed before, is done now"));
            work.await;
            injector.effect(process, operation);
        });
    }

    /// The process is killed here; its runner drops this future.
    async fn die<T>(&self) -> T {
        self.control.killed.notify_one();
        std::future::pending().await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
