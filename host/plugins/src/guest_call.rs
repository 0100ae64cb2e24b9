//! The account of one call, kept outside of its store so that it outlives a store that is dropped: requests sent and not
//! answered, what was printed, and why the call cannot go on.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use damper_core::bundle::{MAX_BODY_BYTES, MAX_EXCHANGES};
use damper_core::fetcher::Permits;
use damper_core::record::{Failure, FailureKind};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::beside::Beside;
use crate::credentials::Version;
use crate::host_memory::HostMemory;
use crate::noted::{AnswerNote, RequestNote};
use crate::output::Output;
use crate::plugin::Usage;
use crate::recorded::Recorded;

/// One request of a call, as `damper fetch` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestTrace {
    /// The method.
    pub method: String,
    /// The URL, without secrets.
    pub url: String,
    /// The status of the answer, or why there was none.
    pub outcome: Result<u16, String>,
    /// From sending to the last byte.
    pub duration: Duration,
    /// The request's body.
    pub request_bytes: usize,
    /// The answer's body, decompressed.
    pub response_bytes: usize,
    /// Headers and bodies, where they are kept: see [`fetch_recorded`](crate::Plugin::fetch_recorded).
    pub recorded: Option<Box<Recorded>>,
}

/// How often the engine must have interrupted a guest since it last came back from the host for it to have run away. One
/// interruption is one tick of the engine's clock during which the guest ran.
const RUNAWAY_TICKS: u32 = 10;

/// The most requests of a call that are noted for a person.
const MAX_NOTES: usize = 1_000;

/// One call's account.
pub(crate) struct Call {
    pub(crate) output: Output,
    /// What the guest waits for.
    pub(crate) beside: Beside,
    /// What the host holds for the call.
    pub(crate) memory: HostMemory,
    permits: Permits,
    /// How long a request that nobody answered may still occupy the API.
    longest_answer: Duration,
    /// When the call's time is over: no request is sent from then on.
    ends_at: Instant,
    state: Mutex<State>,
    /// Ticks during which the guest ran, since it last came back from the host.
    ticks: AtomicU32,
    is_memory_refused: AtomicBool,
    keeps: Keeps,
    memory_bytes: AtomicU64,
    /// One more than the instructions that ran; nothing where nobody counted.
    instructions: AtomicU64,
}

struct State {
    /// Whether the permit that the fetch itself holds is free for a request.
    is_own_permit_free: bool,
    requests: u32,
    unanswered_since: Option<Instant>,
    /// When the guest came back from the host; none while the host works for it.
    in_guest_since: Option<Instant>,
    failed: Option<Failure>,
    /// Whether a request was not sent because the day's quota is spent.
    is_out_of_quota: bool,
    /// The credentials that something was signed with.
    signed: Vec<Signed>,
    /// Requests that were noted, or are being.
    noted: usize,
    /// Requests that were not noted, or not whole, although that was asked for.
    left_out: usize,
    notes: Vec<RequestNote>,
}

/// How long a call, and what it leaves behind, may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// The whole call.
    pub(crate) timeout: Duration,
    /// A request that nobody waits for any more may occupy the API for so long.
    pub(crate) longest_answer: Duration,
}

/// Why a request may not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// The day's quota is spent.
    OutOfQuota,
    /// The call's time is over. Its slot may be another's by now.
    TimeOver,
}

/// What a call keeps of its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// The first ones with the beginnings of their bodies, for the bundle of a dead letter.
    Bundle,
    /// What a person looks at: not headers and bodies.
    Trace,
    /// All of everything.
    Whole,
}

impl Keeps {
    /// How much of a body is kept; none: nothing, and no headers either.
    pub(crate) fn body_bytes(self) -> Option<usize> {
        match self {
            Self::Bundle => Some(MAX_BODY_BYTES),
            Self::Trace => None,
            Self::Whole => Some(usize::MAX),
        }
    }

    fn requests(self) -> usize {
        if self == Self::Bundle { MAX_EXCHANGES } else { MAX_NOTES }
    }
}

/// A credential that the guest had something signed with.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    pub(crate) credential: String,
    pub(crate) version: Arc<Version>,
}

/// What a call came to, as far as the host has seen.
#[derive(Default)]
pub(crate) struct Account {
    pub(crate) requests: u32,
    pub(crate) unanswered_since: Option<Instant>,
    /// Why a credential could not be used.
    pub(crate) failed: Option<Failure>,
    pub(crate) is_out_of_quota: bool,
    /// Its requests, in the order in which they ended.
    pub(crate) notes: Vec<RequestNote>,
    /// How many requests are missing there, or not whole, although they were to be kept.
    pub(crate) left_out: usize,
}

impl Call {
    /// A call that begins now and may take as long as `timeout`.
    pub(crate) fn new(output: Output, permits: Permits, times: Times, keeps: Keeps, memory: HostMemory) -> Arc<Self> {
        let Times { timeout, longest_answer } = times;
        let state = State {
            is_own_permit_free: true,
            requests: 0,
            unanswered_since: None,
            in_guest_since: Some(Instant::now()),
            failed: None,
            is_out_of_quota: false,
            signed: Vec::new(),
            noted: 0,
            left_out: 0,
            notes: Vec::new(),
        };
        let (ticks, is_memory_refused) = (AtomicU32::new(0), AtomicBool::new(false));
        Arc::new(Self {
            output,
            beside: Beside::default(),
            memory,
            permits,
            longest_answer,
            ends_at: Instant::now() + timeout,
            state: Mutex::new(state),
            ticks,
            is_memory_refused,
            keeps,
            memory_bytes: AtomicU64::new(0),
            instructions: AtomicU64::new(0),
        })
    }

    /// Room for one request at the API: the fetch's own permit, or another if one is free.
    pub(crate) fn start_request(self: &Arc<Self>) -> Option<InFlight> {
        let own = std::mem::take(&mut self.locked().is_own_permit_free);
        let permit = if own { None } else { Some(self.permits.try_acquire()?) };
        Some(InFlight { call: Arc::clone(self), permit, unanswered_since: None })
    }

    /// The guest waits for the host from here until the guard is dropped.
    pub(crate) fn waiting(self: &Arc<Self>) -> Waiting {
        self.locked().in_guest_since = None;
        Waiting(Arc::clone(self))
    }

    /// The engine interrupted the guest.
    pub(crate) fn tick(&self) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the guest has been computing, rather than waiting, for most of a time that is now over.
    pub(crate) fn ran_away(&self, timeout: Duration) -> bool {
        let in_guest = self.locked().in_guest_since.is_some_and(|since| since.elapsed() >= timeout / 2);
        in_guest && self.ticks.load(Ordering::Relaxed) >= RUNAWAY_TICKS
    }

    /// The provider cannot work as it is set up; whatever the guest makes of it.
    pub(crate) fn set_broken(&self, why: String) {
        self.set_failed(Failure::new(FailureKind::Broken, why));
    }

    /// A credential could not be used. The first failure holds, but none hides that the provider cannot work as it is set up.
    pub(crate) fn set_failed(&self, failure: Failure) {
        let failed = &mut self.locked().failed;
        let is_broken = |failure: &Failure| failure.kind == FailureKind::Broken;
        if failed.as_ref().is_none_or(|first| is_broken(&failure) && !is_broken(first)) {
            *failed = Some(failure);
        }
    }

    /// Notes what the guest had something signed with.
    pub(crate) fn set_signed(&self, credential: &str, version: &Arc<Version>) {
        let signed = &mut self.locked().signed;
        if signed.iter().all(|signed| signed.credential != credential) {
            signed.push(Signed { credential: credential.to_owned(), version: Arc::clone(version) });
        }
    }

    /// Whether the guest had something signed.
    pub(crate) fn has_signed(&self) -> bool {
        !self.locked().signed.is_empty()
    }

    /// What the guest had something signed with.
    pub(crate) fn signed(&self) -> Vec<Signed> {
        self.locked().signed.clone()
    }

    pub(crate) fn refuse_memory(&self) {
        self.is_memory_refused.store(true, Ordering::Relaxed);
    }

    /// The guest's memory has become larger by so much. It never becomes smaller.
    pub(crate) fn grew(&self, by_bytes: usize) {
        self.memory_bytes.fetch_add(by_bytes as u64, Ordering::Relaxed);
    }

    /// The guest has run so many instructions.
    pub(crate) fn ran(&self, instructions: u64) {
        self.instructions.store(instructions.saturating_add(1), Ordering::Relaxed);
    }

    /// What the call used, so far.
    pub(crate) fn usage(&self) -> Usage {
        Usage {
            peak_memory_bytes: self.memory_bytes.load(Ordering::Relaxed),
            instructions: self.instructions.load(Ordering::Relaxed).checked_sub(1),
        }
    }

    pub(crate) fn is_memory_refused(&self) -> bool {
        self.is_memory_refused.load(Ordering::Relaxed)
    }

    /// Begins to note a request, where it is kept. It is kept when what is returned is dropped.
    pub(crate) fn note(self: &Arc<Self>, request: impl FnOnce(Keeps) -> RequestNote) -> Option<OpenNote> {
        {
            let mut state = self.locked();
            if state.noted >= self.keeps.requests() {
                state.left_out += usize::from(self.keeps != Keeps::Bundle);
                return None;
            }
            state.noted += 1;
        }
        let note = request(self.keeps);
        if !self.memory.keep(note.bytes()) {
            self.locked().left_out += 1;
            return None;
        }
        Some(OpenNote { call: Arc::clone(self), note: Some(note), since: Instant::now() })
    }

    /// Begins to note a request of the host's own, where a person looks at what was sent: neither a bundle nor a recording may
    /// hold what is said there.
    pub(crate) fn note_secret(self: &Arc<Self>, request: &reqwest::Request) -> Option<OpenNote> {
        if self.keeps == Keeps::Trace { self.note(|_| RequestNote::secret(request)) } else { None }
    }

    /// What the call came to. Asked once, when the call's store is gone.
    pub(crate) fn settle(&self) -> Account {
        let mut state = self.locked();
        Account {
            requests: state.requests,
            unanswered_since: state.unanswered_since,
            failed: state.failed.take(),
            is_out_of_quota: state.is_out_of_quota,
            notes: std::mem::take(&mut state.notes),
            left_out: state.left_out,
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being noted. Dropped before it ended, the note says that there was no answer in time.
pub(crate) struct OpenNote {
    call: Arc<Call>,
    note: Option<RequestNote>,
    since: Instant,
}

impl OpenNote {
    /// An answer of so many bytes came; what is to be kept of it is given where it may be.
    pub(crate) fn answered(mut self, status: u16, response_bytes: usize, answer: Option<AnswerNote>) {
        let Some(note) = &mut self.note else { return };
        let answer = answer.and_then(|answer| note.cut(answer));
        let has_room = answer.as_ref().is_none_or(|answer| self.call.memory.keep(answer.bytes()));
        note.answered(status, response_bytes, answer.filter(|_| has_room));
        if !has_room {
            self.call.locked().left_out += 1;
        }
    }

    /// No whole answer came.
    pub(crate) fn failed(mut self, why: String) {
        if let Some(note) = &mut self.note {
            note.failed(why);
        }
    }
}

impl Drop for OpenNote {
    fn drop(&mut self) {
        if let Some(mut note) = self.note.take() {
            note.took(self.since.elapsed());
            self.call.locked().notes.push(note);
        }
    }
}

/// The guest waits for the host.
pub(crate) struct Waiting(Arc<Call>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.ticks.store(0, Ordering::Relaxed);
        self.0.locked().in_guest_since = Some(Instant::now());
    }
}

/// A request and its permit. Dropped before the request has ended, it keeps the permit for as long as the API may still be
/// working at an answer.
pub(crate) struct InFlight {
    call: Arc<Call>,
    /// None where it is the fetch's own.
    permit: Option<OwnedSemaphorePermit>,
    unanswered_since: Option<Instant>,
}

impl InFlight {
    /// A request is about to be sent, the first or the next hop.
    ///
    /// # Errors
    /// Where it may not be sent. The timeout around the call sees that its time is over only after the call has been polled: a process
    /// that was frozen would send one more request.
    pub(crate) fn send(&mut self) -> Result<(), NotSent> {
        let now = Instant::now();
        if now >= self.call.ends_at {
            return Err(NotSent::TimeOver);
        }
        let may_send = self.call.permits.budget().spend();
        let mut state = self.call.locked();
        if !may_send {
            state.is_out_of_quota = true;
            return Err(NotSent::OutOfQuota);
        }
        self.unanswered_since = Some(now);
        state.requests = state.requests.saturating_add(1);
        Ok(())
    }

    /// The request has ended: an answer came, or the connection failed.
    pub(crate) fn ended(&mut self) {
        self.unanswered_since = None;
    }

    /// Whether another request may be sent: none is without an answer.
    pub(crate) fn is_free(&self) -> bool {
        self.unanswered_since.is_none()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let Some(since) = self.unanswered_since else {
            self.call.locked().is_own_permit_free |= self.permit.is_none();
            return;
        };
        let last = &mut self.call.locked().unanswered_since;
        *last = (*last).max(Some(since));
        // The fetch's own permit is kept by whoever reads the report.
        if let (Some(permit), Ok(_runtime)) = (self.permit.take(), tokio::runtime::Handle::try_current()) {
            self.call.permits.hold(permit, since + self.call.longest_answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use damper_core::budget::Budget;

    use super::*;
    use crate::room::Room;

    const LONGEST: Duration = Duration::from_secs(30);
    const TIMES: Times = Times { timeout: LONGEST, longest_answer: LONGEST };

    fn call(free: u32) -> (Arc<Call>, Permits) {
        let permits = Permits::new(free);
        (call_with(permits.clone(), Keeps::Bundle), permits)
    }

    fn call_with(permits: Permits, keeps: Keeps) -> Arc<Call> {
        let memory = HostMemory::new(Room::new(1 << 30, 1).share(), 1 << 20);
        Call::new(Output::new("x", "id", false), permits, TIMES, keeps, memory)
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_an_answer_keeps_its_permit() {
        let (call, permits) = call(1);
        let mut own = call.start_request().unwrap();
        let mut extra = call.start_request().unwrap();
        assert!(call.start_request().is_none());
        assert!(own.send().is_ok() && extra.send().is_ok());
        let sent = Instant::now();
        own.ended();
        drop(own);
        drop(extra);
        assert_eq!(permits.available(), 0);
        assert_eq!(call.settle().unanswered_since, Some(sent));
        assert!(call.start_request().is_some(), "the fetch's own permit is free again");
        tokio::time::sleep(LONGEST + Duration::from_millis(1)).await;
        assert_eq!(permits.available(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_ended_gives_its_permit_back() {
        let (call, permits) = call(1);
        let requests: Vec<InFlight> = (0..2).filter_map(|_| call.start_request()).collect();
        for mut request in requests {
            assert!(request.send().is_ok());
            request.ended();
        }
        assert_eq!((permits.available(), call.settle().unanswered_since, call.settle().requests), (1, None, 2));
    }

    #[tokio::test]
    async fn no_request_is_sent_beyond_the_quota() {
        let permits = Permits::within(0, Budget::of(1));
        let call = call_with(permits, Keeps::Bundle);
        let mut hops = call.start_request().unwrap();
        assert!(hops.send().is_ok());
        hops.ended();
        assert_eq!(hops.send(), Err(NotSent::OutOfQuota), "a redirect's next hop is a request too");
        drop(hops);
        let account = call.settle();
        assert_eq!((account.requests, account.is_out_of_quota, account.unanswered_since), (1, true, None));
    }

    #[tokio::test(start_paused = true)]
    async fn no_request_is_sent_once_the_calls_time_is_over() {
        let permits = Permits::within(0, Budget::of(2));
        let call = call_with(permits.clone(), Keeps::Bundle);
        let mut hops = call.start_request().unwrap();
        tokio::time::advance(LONGEST - Duration::from_millis(1)).await;
        assert!(hops.send().is_ok());
        hops.ended();
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(hops.send(), Err(NotSent::TimeOver));
        assert_eq!(permits.budget().left(), Some(1), "what is not sent is not spent");
    }

    #[test]
    fn only_so_many_requests_are_noted_for_a_person() {
        let call = call_with(Permits::new(0), Keeps::Trace);
        let url = url::Url::parse("https://api.test/").unwrap();
        let request = reqwest::Request::new(http::Method::GET, url);
        for _ in 0..MAX_NOTES + 5 {
            drop(call.note_secret(&request));
        }
        let account = call.settle();
        assert_eq!((account.notes.len(), account.left_out), (MAX_NOTES, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_guest_that_computes_runs_away() {
        let (call, _) = call(0);
        tokio::time::advance(LONGEST).await;
        assert!(!call.ran_away(LONGEST), "it was never interrupted");
        (0..RUNAWAY_TICKS).for_each(|_| call.tick());
        assert!(call.ran_away(LONGEST));
        let waiting = call.waiting();
        assert!(!call.ran_away(LONGEST), "it waits for the host");
        drop(waiting);
        (0..RUNAWAY_TICKS).for_each(|_| call.tick());
        assert!(!call.ran_away(LONGEST), "it has only come back");
    }
}
