//! The host's state of one call of a guest. It is kept outside of the call's store, so that it outlives the store:
//! requests that were sent, those without a response, output, and the failure of a credential.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use damper_core::fetcher::Permits;
use damper_core::record::{Failure, FailureKind};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::guest_time::{GuestTime, PollEnd};
use super::host_call_driver::HostCallDriver;
use super::output::Output;
use super::usage::Usage;
use crate::capture::{CaptureLevel, RequestLogEntry, ResponseLogEntry};
use crate::credentials::SecretVersion;
use crate::lock::lock;
use crate::memory::{HostMemory, OverLimit};

/// The number of ticks after which a guest counts as a runaway, since its last return from a host function. A tick is
/// an interruption of a guest that runs, at each increment of the engine's epoch.
const RUNAWAY_TICKS: u32 = 10;

/// The host's state of one call of a guest.
pub(crate) struct GuestCall {
    pub(crate) output: Output,
    /// The host's work for which the guest waits.
    pub(crate) driver: HostCallDriver,
    /// The memory that the host holds for the call.
    pub(crate) memory: HostMemory,
    permits: Permits,
    /// The time for which a request without a response may still occupy the API.
    longest_response: Duration,
    /// The end of the call's timeout: no request is sent from then on.
    ends_at: Instant,
    state: Mutex<CallState>,
    /// Ticks during which the guest ran, since it last came back from the host.
    ticks: AtomicU32,
    /// Whether the engine has just made the guest give way to others.
    is_giving_way: AtomicBool,
    is_memory_refused: AtomicBool,
    capture_level: CaptureLevel,
    memory_bytes: AtomicU64,
    /// One more than the number of instructions that ran; 0 if they are not counted.
    instructions: AtomicU64,
}

struct CallState {
    /// Whether the permit that the fetch itself holds is free for a request.
    is_own_permit_free: bool,
    requests: u32,
    unanswered_since: Option<Instant>,
    /// The time of the guest's last return from a host function; none while the guest waits for the host.
    in_guest_since: Option<Instant>,
    guest_time: GuestTime,
    failure: Option<Failure>,
    /// Whether a request was not sent because the day's quota is spent.
    is_out_of_quota: bool,
    /// The credentials with which the guest had payloads signed.
    signing_keys: Vec<SigningKey>,
    /// The number of log entries that were started.
    started_log_entries: usize,
    /// Requests that are missing in the log, or not whole, although the capture level asks for them.
    left_out: usize,
    log_entries: Vec<RequestLogEntry>,
}

/// The time limits of a call and of its unanswered requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// The whole call.
    pub(crate) timeout: Duration,
    /// The time for which a request without a response may still occupy the API.
    pub(crate) longest_response: Duration,
}

/// Why a request may not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendRefusal {
    /// The day's quota is spent.
    OutOfQuota,
    /// The call's time is over. Another process may own its slot by now.
    TimeOver,
}

/// A credential with which the guest had a payload signed.
#[derive(Debug, Clone)]
pub(crate) struct SigningKey {
    pub(crate) credential: String,
    pub(crate) version: Arc<SecretVersion>,
}

/// The summary of a call: requests, failures and the request log.
#[derive(Default)]
pub(crate) struct CallSummary {
    pub(crate) requests: u32,
    pub(crate) unanswered_since: Option<Instant>,
    /// The failure of a credential.
    pub(crate) failure: Option<Failure>,
    pub(crate) is_out_of_quota: bool,
    /// Its requests, in the order in which they ended.
    pub(crate) log_entries: Vec<RequestLogEntry>,
    /// The number of requests that are missing in the log, or not whole, although the capture level asks for them.
    pub(crate) left_out: usize,
}

impl GuestCall {
    /// A call that begins now and may take as long as `timeout`.
    pub(crate) fn new(
        output: Output,
        permits: Permits,
        times: Times,
        capture_level: CaptureLevel,
        memory: HostMemory,
    ) -> Arc<Self> {
        let Times { timeout, longest_response } = times;
        let state = CallState {
            is_own_permit_free: true,
            requests: 0,
            unanswered_since: None,
            in_guest_since: Some(Instant::now()),
            guest_time: GuestTime::default(),
            failure: None,
            is_out_of_quota: false,
            signing_keys: Vec::new(),
            started_log_entries: 0,
            left_out: 0,
            log_entries: Vec::new(),
        };
        let (ticks, is_memory_refused) = (AtomicU32::new(0), AtomicBool::new(false));
        Arc::new(Self {
            output,
            driver: HostCallDriver::default(),
            memory,
            permits,
            longest_response,
            ends_at: Instant::now() + timeout,
            state: Mutex::new(state),
            ticks,
            is_giving_way: AtomicBool::new(false),
            is_memory_refused,
            capture_level,
            memory_bytes: AtomicU64::new(0),
            instructions: AtomicU64::new(0),
        })
    }

    /// The time until the call's timeout.
    pub(crate) fn time_left(&self) -> Duration {
        self.ends_at.saturating_duration_since(Instant::now())
    }

    /// Takes the permit for one request at the API: the fetch's own, or another if one is free.
    pub(crate) fn start_request(self: &Arc<Self>) -> Option<RequestSlot> {
        let own = std::mem::take(&mut self.lock_state().is_own_permit_free);
        let permit = if own { None } else { Some(self.permits.try_acquire()?) };
        Some(RequestSlot { call: Arc::clone(self), permit, unanswered_since: None })
    }

    /// Marks the guest as waiting for the host until the guard is dropped.
    pub(crate) fn start_waiting(self: &Arc<Self>) -> HostWait {
        self.lock_state().in_guest_since = None;
        HostWait(Arc::clone(self))
    }

    /// Reserves the host's memory for the instance until the call ends. Waits if other calls use all memory.
    ///
    /// # Errors
    /// If no call may hold so much.
    pub(crate) async fn reserve_instance(self: &Arc<Self>, bytes: usize) -> Result<(), Failure> {
        let _host_wait = self.start_waiting();
        self.memory.reserve_retained(bytes).await.map_err(|OverLimit { limit }| {
            let why =
                format!("the host needs {bytes} bytes for an instance of the component, and a call may use {limit}");
            Failure::new(FailureKind::Broken, why)
        })
    }

    /// The engine interrupted the guest.
    pub(crate) fn on_epoch_tick(&self) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
        self.is_giving_way.store(true, Ordering::Relaxed);
    }

    /// The guest's function is about to be called.
    pub(crate) fn on_guest_start(&self) {
        self.lock_state().guest_time.on_start();
    }

    /// The guest is about to run. Returns the time, for [`GuestCall::on_guest_poll_end`].
    pub(crate) fn on_guest_poll(&self) -> Instant {
        let now = Instant::now();
        self.lock_state().guest_time.on_poll(now);
        now
    }

    /// The guest ran since `begun`.
    pub(crate) fn on_guest_poll_end(&self, begun: Instant, is_pending: bool) {
        let gives_way = self.is_giving_way.swap(false, Ordering::Relaxed);
        let mut state = self.lock_state();
        let is_asleep = is_pending && !gives_way && state.in_guest_since.is_some();
        let end = if is_asleep { PollEnd::Asleep } else { PollEnd::Other };
        state.guest_time.on_poll_end(begun, Instant::now(), end);
    }

    /// Whether the guest has been computing, rather than waiting, for most of a time that is now over.
    pub(crate) fn is_runaway(&self, timeout: Duration) -> bool {
        let in_guest = self.lock_state().in_guest_since.is_some_and(|since| since.elapsed() >= timeout / 2);
        in_guest && self.ticks.load(Ordering::Relaxed) >= RUNAWAY_TICKS
    }

    /// Records that the provider cannot work as it is set up. The call fails with this, even if the guest returns a
    /// record.
    pub(crate) fn record_broken(&self, why: String) {
        self.record_failure(Failure::new(FailureKind::Broken, why));
    }

    /// Records that a credential could not be used. The first failure counts, except that `Broken` replaces other
    /// failures.
    pub(crate) fn record_failure(&self, failure: Failure) {
        let recorded = &mut self.lock_state().failure;
        let is_broken = |failure: &Failure| failure.kind == FailureKind::Broken;
        if recorded.as_ref().is_none_or(|first| is_broken(&failure) && !is_broken(first)) {
            *recorded = Some(failure);
        }
    }

    /// Records a key with which the guest had a payload signed.
    pub(crate) fn record_signing_key(&self, credential: &str, version: &Arc<SecretVersion>) {
        let keys = &mut self.lock_state().signing_keys;
        if keys.iter().all(|key| key.credential != credential) {
            keys.push(SigningKey { credential: credential.to_owned(), version: Arc::clone(version) });
        }
    }

    /// Whether the guest had a payload signed.
    pub(crate) fn has_signing_keys(&self) -> bool {
        !self.lock_state().signing_keys.is_empty()
    }

    /// The keys with which the guest had payloads signed.
    pub(crate) fn signing_keys(&self) -> Vec<SigningKey> {
        self.lock_state().signing_keys.clone()
    }

    pub(crate) fn record_memory_refusal(&self) {
        self.is_memory_refused.store(true, Ordering::Relaxed);
    }

    /// Records that the guest's memory has grown. It never shrinks.
    pub(crate) fn record_memory_growth(&self, by_bytes: usize) {
        self.memory_bytes.fetch_add(by_bytes as u64, Ordering::Relaxed);
    }

    /// Records the number of instructions that the guest ran.
    pub(crate) fn record_instructions(&self, instructions: u64) {
        self.instructions.store(instructions.saturating_add(1), Ordering::Relaxed);
    }

    /// The resources that the call has used so far.
    pub(crate) fn usage(&self) -> Usage {
        let state = self.lock_state();
        Usage {
            computed: state.guest_time.time_computed(),
            slept: state.guest_time.time_slept(Instant::now()),
            peak_memory_bytes: self.memory_bytes.load(Ordering::Relaxed),
            instructions: self.instructions.load(Ordering::Relaxed).checked_sub(1),
        }
    }

    pub(crate) fn is_memory_refused(&self) -> bool {
        self.is_memory_refused.load(Ordering::Relaxed)
    }

    /// Starts a log entry for a request, if the capture level asks for one. The entry is added to the log when the
    /// returned guard is dropped.
    pub(crate) fn start_log_entry(
        self: &Arc<Self>,
        request: impl FnOnce(CaptureLevel) -> RequestLogEntry,
    ) -> Option<PendingLogEntry> {
        {
            let mut state = self.lock_state();
            if state.started_log_entries >= self.capture_level.max_requests() {
                state.left_out += usize::from(self.capture_level != CaptureLevel::Bundle);
                return None;
            }
            state.started_log_entries += 1;
        }
        let entry = request(self.capture_level);
        if !self.memory.try_retain(entry.bytes()) {
            self.lock_state().left_out += 1;
            return None;
        }
        Some(PendingLogEntry { call: Arc::clone(self), entry: Some(entry), since: Instant::now() })
    }

    /// Starts a log entry for a request of the host's own, if the log is a trace for a person. A bundle or a recording
    /// must not contain such requests.
    pub(crate) fn start_secret_log_entry(self: &Arc<Self>, request: &reqwest::Request) -> Option<PendingLogEntry> {
        if self.capture_level == CaptureLevel::Trace {
            self.start_log_entry(|_| RequestLogEntry::of_secret_request(request))
        } else {
            None
        }
    }

    /// Takes the summary of the call. Call it once, after the call's store was dropped.
    pub(crate) fn take_summary(&self) -> CallSummary {
        let mut state = self.lock_state();
        CallSummary {
            requests: state.requests,
            unanswered_since: state.unanswered_since,
            failure: state.failure.take(),
            is_out_of_quota: state.is_out_of_quota,
            log_entries: std::mem::take(&mut state.log_entries),
            left_out: state.left_out,
        }
    }

    fn lock_state(&self) -> MutexGuard<'_, CallState> {
        lock(&self.state)
    }
}

/// A log entry of a request in flight. If it is dropped before the request ends, the entry says that there was no
/// response in time.
pub(crate) struct PendingLogEntry {
    call: Arc<GuestCall>,
    entry: Option<RequestLogEntry>,
    since: Instant,
}

impl PendingLogEntry {
    /// Records a response, and its content if that is to be logged.
    pub(crate) fn record_response(mut self, status: u16, response_bytes: usize, response: Option<ResponseLogEntry>) {
        let Some(entry) = &mut self.entry else { return };
        let response = response.and_then(|response| entry.truncate_response(response));
        let has_room = response.as_ref().is_none_or(|response| self.call.memory.try_retain(response.bytes()));
        entry.record_response(status, response_bytes, response.filter(|_| has_room));
        if !has_room {
            self.call.lock_state().left_out += 1;
        }
    }

    /// Records that there was no whole response.
    pub(crate) fn record_failure(mut self, why: String) {
        if let Some(entry) = &mut self.entry {
            entry.record_failure(why);
        }
    }
}

impl Drop for PendingLogEntry {
    fn drop(&mut self) {
        if let Some(mut entry) = self.entry.take() {
            entry.record_duration(self.since.elapsed());
            self.call.lock_state().log_entries.push(entry);
        }
    }
}

/// A guard for the time in which the guest waits for the host.
pub(crate) struct HostWait(Arc<GuestCall>);

impl Drop for HostWait {
    fn drop(&mut self) {
        self.0.ticks.store(0, Ordering::Relaxed);
        self.0.lock_state().in_guest_since = Some(Instant::now());
    }
}

/// The right to have one request in flight, with its permit. If it is dropped before the request ends, the permit is
/// held for as long as the API may still work on the request.
pub(crate) struct RequestSlot {
    call: Arc<GuestCall>,
    /// None if it is the fetch's own permit.
    permit: Option<OwnedSemaphorePermit>,
    unanswered_since: Option<Instant>,
}

impl RequestSlot {
    /// A request is about to be sent, the first or the next hop.
    ///
    /// # Errors
    /// If it may not be sent. The timeout around the call expires only after the call has been polled; without the
    /// check here, a process that was frozen would send one more request.
    pub(crate) fn begin_send(&mut self) -> Result<(), SendRefusal> {
        let now = Instant::now();
        if now >= self.call.ends_at {
            return Err(SendRefusal::TimeOver);
        }
        let may_send = self.call.permits.budget().spend();
        let mut state = self.call.lock_state();
        if !may_send {
            state.is_out_of_quota = true;
            return Err(SendRefusal::OutOfQuota);
        }
        self.unanswered_since = Some(now);
        state.requests = state.requests.saturating_add(1);
        Ok(())
    }

    /// The request is done: a response came, or the connection failed.
    pub(crate) fn on_request_done(&mut self) {
        self.unanswered_since = None;
    }

    /// Makes the slot usable after a request that was given up, and returns whether it is. The API may still be
    /// processing that one, which keeps its permit: the next request needs another.
    pub(crate) fn replace_permit(&mut self) -> bool {
        let Some(since) = self.unanswered_since else { return true };
        let Some(permit) = self.call.permits.try_acquire() else { return false };
        self.keep_permit_back(since);
        self.permit = Some(permit);
        self.unanswered_since = None;
        true
    }

    /// Keeps the permit of a request without a response for as long as the API may still be processing it.
    fn keep_permit_back(&mut self, since: Instant) {
        let last = &mut self.call.lock_state().unanswered_since;
        *last = (*last).max(Some(since));
        // The caller that reads the report keeps the fetch's own permit.
        if let (Some(permit), Ok(_runtime)) = (self.permit.take(), tokio::runtime::Handle::try_current()) {
            self.call.permits.hold(permit, since + self.call.longest_response);
        }
    }

    /// Whether another request may be sent, because the last one is done.
    pub(crate) fn is_free(&self) -> bool {
        self.unanswered_since.is_none()
    }
}

impl Drop for RequestSlot {
    fn drop(&mut self) {
        match self.unanswered_since {
            Some(since) => self.keep_permit_back(since),
            None => self.call.lock_state().is_own_permit_free |= self.permit.is_none(),
        }
    }
}

#[cfg(test)]
mod tests;
