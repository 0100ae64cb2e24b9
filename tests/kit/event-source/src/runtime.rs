//! Lambda's side of the Runtime API: one function, as many processes as invocations overlap, each in a sandbox of its
//! own.
//!
//! As Lambda does it: a process serves one invocation at a time and is reused; its environment is Lambda's and nothing
//! else; one that exceeds the timeout is killed with SIGKILL, and the next invocation starts a new one; events and
//! answers are 6 MB at most; between invocations a process may be frozen (SIGSTOP).
//!
//! Not supported: the concurrency control of an account (a full function makes callers wait), and asynchronous
//! invocation.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::driver::{Invocation, Invoke};

mod config;
mod sandbox;

pub(crate) use config::PAYLOAD_BYTES;
pub use config::{FunctionConfig, LogLine};
pub use sandbox::StartError;
use sandbox::{End, Sandbox, Work};

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It answered.
    Answered,
    /// It reported an error, or could not be started.
    Failed(String),
    /// It took longer than the timeout and was killed.
    TimedOut,
    /// Its process ended.
    Exited(String),
}

/// One invocation, as a bill or a report would have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvocationRecord {
    /// The request id.
    pub request_id: String,
    /// The process that served it.
    pub process: u32,
    /// Whether the process was started for it.
    pub is_cold: bool,
    /// From the event's handing over to its end.
    pub took: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// The log lines and invocations of a function.
#[derive(Debug, Default)]
struct FunctionLog {
    logs: Vec<LogLine>,
    invocations: Vec<InvocationRecord>,
    running: BTreeMap<u32, String>,
}

pub(crate) struct SharedFunction {
    config: FunctionConfig,
    idle: Mutex<Vec<Sandbox>>,
    seen: Mutex<FunctionLog>,
    moved: watch::Sender<()>,
    cold_starts: AtomicU64,
    /// Moves when those who serve an invocation are to be killed.
    kill: watch::Sender<()>,
    free: Semaphore,
}

/// A function that can be invoked. Clones are the same function; with the last one its processes go.
#[derive(Clone)]
pub struct Function {
    shared: Arc<SharedFunction>,
}

impl Function {
    /// A function without processes; the first invocation starts one.
    #[must_use]
    pub fn new(config: FunctionConfig) -> Self {
        let free = Semaphore::new(config.concurrency.max(1));
        let shared = SharedFunction {
            config,
            idle: Mutex::default(),
            seen: Mutex::default(),
            moved: watch::Sender::new(()),
            cold_starts: AtomicU64::new(0),
            kill: watch::Sender::new(()),
            free,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.config.name
    }

    /// Invokes with an event and waits for the end. An error's text is `errorType: errorMessage`.
    pub async fn call(&self, event: Bytes) -> Invocation {
        let request_id = Uuid::new_v4().to_string();
        if event.len() > PAYLOAD_BYTES {
            let message =
                format!("RequestTooLargeException: {} bytes exceed the limit of {PAYLOAD_BYTES}", event.len());
            return Invocation { request_id, result: Err(message) };
        }
        let Ok(_permit) = self.shared.free.acquire().await else {
            return Invocation { request_id, result: Err("ServiceException: the function is gone".to_owned()) };
        };
        let mut kills = self.shared.kill.subscribe();
        let (sandbox, is_cold) = match self.shared.sandbox().await {
            Ok(found) => found,
            Err(error) => {
                let message = error.to_string();
                self.shared.note(&request_id, 0, true, Duration::ZERO, Outcome::Failed(message.clone()));
                return Invocation { request_id, result: Err(message) };
            }
        };
        let process = sandbox.process;
        self.shared.update_log(|seen| drop(seen.running.insert(process, request_id.clone())));
        let began = Instant::now();
        let killed = async {
            if kills.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let work = Work::new(&request_id, event, &self.shared.config);
        let (end, sandbox) = sandbox.serve(work, self.shared.config.timeout, killed).await;
        let (outcome, result) = self.shared.judge(end, &request_id);
        if let Some(sandbox) = sandbox {
            lock(&self.shared.idle).push(sandbox);
        }
        self.shared.note(&request_id, process, is_cold, began.elapsed(), outcome);
        Invocation { request_id, result }
    }

    /// Kills the processes that serve an invocation now, with SIGKILL; the invocations fail.
    pub fn kill_running(&self) {
        self.shared.kill.send_replace(());
    }

    /// Ends the idle processes, so that the next invocation starts cold.
    pub fn retire_idle(&self) {
        lock(&self.shared.idle).clear();
    }

    /// How many processes were started.
    #[must_use]
    pub fn cold_starts(&self) -> u64 {
        self.shared.cold_starts.load(Ordering::SeqCst)
    }

    /// The lines that the processes have written so far.
    #[must_use]
    pub fn logs(&self) -> Vec<LogLine> {
        lock(&self.shared.seen).logs.clone()
    }

    /// The invocations that ended, in the order of their ends.
    #[must_use]
    pub fn invocations(&self) -> Vec<InvocationRecord> {
        lock(&self.shared.seen).invocations.clone()
    }

    /// How many invocations are running.
    #[must_use]
    pub fn running(&self) -> usize {
        lock(&self.shared.seen).running.len()
    }

    /// Waits until the function stands as wanted, looking whenever a line is written, or an invocation begins or ends.
    ///
    /// # Errors
    /// `limit` has passed; the lines written so far.
    pub async fn wait_for(&self, limit: Duration, wanted: impl Fn(&Self) -> bool) -> Result<(), Vec<LogLine>> {
        let mut moved = self.shared.moved.subscribe();
        let waiting = async {
            loop {
                moved.borrow_and_update();
                if wanted(self) || moved.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(limit, waiting).await.map_err(|_| self.logs())
    }
}

#[async_trait]
impl Invoke for Function {
    async fn invoke(&self, event: Bytes) -> Option<Invocation> {
        Some(self.call(event).await)
    }
}

impl SharedFunction {
    /// An idle sandbox, or a new one; and whether it is new.
    async fn sandbox(self: &Arc<Self>) -> Result<(Sandbox, bool), StartError> {
        loop {
            let Some(mut idle) = lock(&self.idle).pop() else { break };
            if idle.is_alive() {
                return Ok((idle, false));
            }
        }
        self.cold_starts.fetch_add(1, Ordering::SeqCst);
        let seen = Arc::downgrade(self);
        let log = move |line: LogLine| {
            if let Some(shared) = seen.upgrade() {
                shared.update_log(|seen| seen.logs.push(line));
            }
        };
        Sandbox::start(&self.config, log).await.map(|sandbox| (sandbox, true))
    }

    /// The meaning of an end: the outcome for the report, the result for the caller.
    fn judge(&self, end: End, request_id: &str) -> (Outcome, Result<Bytes, String>) {
        match end {
            End::Answered(body) => (Outcome::Answered, Ok(body)),
            End::Failed(message) => (Outcome::Failed(message.clone()), Err(message)),
            End::TimedOut => {
                let seconds = self.config.timeout.as_secs_f64();
                let message = format!(
                    "Sandbox.Timedout: RequestId: {request_id} Error: Task timed out after {seconds:.2} seconds"
                );
                (Outcome::TimedOut, Err(message))
            }
            End::Exited(how) => {
                let message = format!("Runtime.ExitError: RequestId: {request_id} Error: Runtime exited with {how}");
                (Outcome::Exited(how), Err(message))
            }
        }
    }

    fn update_log(&self, how: impl FnOnce(&mut FunctionLog)) {
        how(&mut lock(&self.seen));
        self.moved.send_replace(());
    }

    fn note(&self, request_id: &str, process: u32, is_cold: bool, took: Duration, outcome: Outcome) {
        let record = InvocationRecord { request_id: request_id.to_owned(), process, is_cold, took, outcome };
        self.update_log(|seen| {
            seen.running.remove(&process);
            seen.invocations.push(record);
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
