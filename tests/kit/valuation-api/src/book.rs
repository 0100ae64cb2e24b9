//! The bookkeeping of the API: its jobs, and what came when. No sockets and no clock here: time is passed in.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::policies::{Kind, polls_needed, requests_needed};

/// A request that comes earlier than Retry-After by less than this is in time: timers are not exact.
const TOLERANCE: Duration = Duration::from_millis(5);

/// The answer to a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polled {
    /// 202: not yet.
    Pending,
    /// 200 with the document, which may say that there is no such policy.
    Ready,
    /// 404: no such job.
    Forgotten,
}

/// The history of one policy.
#[derive(Debug, Clone, Default)]
pub struct PolicyHistory {
    /// Requests for it, refused ones included.
    pub requests: u64,
    /// Requests that were refused at random.
    pub refused: u64,
    /// Jobs that were made for it.
    pub jobs: u64,
    /// Orders with a key that had a job already.
    pub orders_again: u64,
    /// By how much requests came before the last Retry-After for it was over.
    pub early: Vec<Duration>,
    /// By how much requests came after it was over.
    pub late: Vec<Duration>,
    /// When its document was handed out first.
    pub done: Option<Instant>,
    /// When the last Retry-After for it is over, unless a request has come since.
    due: Option<Instant>,
}

/// An order that the API has taken.
#[derive(Debug, Clone)]
struct Job {
    policy: String,
    polls_left: u32,
    is_forgotten: bool,
}

/// What the API knows, and what came.
#[derive(Debug, Clone, Default)]
pub struct Book {
    /// By policy.
    pub policies: BTreeMap<String, PolicyHistory>,
    /// Token requests, refused ones included.
    pub tokens: u64,
    /// Token requests that were refused at random.
    pub tokens_refused: u64,
    /// Answers by status.
    pub by_status: BTreeMap<u16, u64>,
    /// The most requests at a time.
    pub peak_in_flight: u32,
    /// When the first request came.
    pub first: Option<Instant>,
    in_flight: u32,
    jobs: Vec<Job>,
    keys: BTreeMap<String, usize>,
    /// Policies whose document was handed out, without locked ones.
    documents: usize,
    /// Locked policies are free when so many others have their documents.
    unlocked_after: usize,
}

impl Book {
    /// An empty one. Locked policies are free when so many others have their documents.
    #[must_use]
    pub fn new(unlocked_after: usize) -> Self {
        Self { unlocked_after, ..Self::default() }
    }

    /// A request came.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.first.get_or_insert(now);
        self.in_flight += 1;
        self.peak_in_flight = self.peak_in_flight.max(self.in_flight);
    }

    /// A request is answered.
    pub(crate) fn end(&mut self, status: u16) {
        self.in_flight = self.in_flight.saturating_sub(1);
        *self.by_status.entry(status).or_default() += 1;
    }

    /// A request for a policy came, `refused` at random or not. Returns whether it kept to the last Retry-After.
    pub(crate) fn note_request(&mut self, policy: &str, refused: bool, now: Instant) -> bool {
        let history = self.policies.entry(policy.to_owned()).or_default();
        history.requests += 1;
        history.refused += u64::from(refused);
        let Some(due) = history.due.take() else { return true };
        let early = due.saturating_duration_since(now);
        if early > TOLERANCE {
            history.early.push(early);
            history.due = Some(due);
            return false;
        }
        history.late.push(now.saturating_duration_since(due));
        true
    }

    /// The policy is told not to come back before this instant.
    pub(crate) fn tell_to_wait(&mut self, policy: &str, until: Instant) {
        self.policies.entry(policy.to_owned()).or_default().due = Some(until);
    }

    /// Take an order. Returns the job's number.
    pub(crate) fn take_order(&mut self, policy: &str, key: &str) -> usize {
        let history = self.policies.entry(policy.to_owned()).or_default();
        if let Some(job) = self.keys.get(key) {
            history.orders_again += 1;
            return *job;
        }
        history.jobs += 1;
        let is_forgotten = Kind::of(policy) == Kind::Forgotten && history.jobs == 1;
        self.jobs.push(Job { policy: policy.to_owned(), polls_left: polls_needed(policy), is_forgotten });
        let job = self.jobs.len() - 1;
        self.keys.insert(key.to_owned(), job);
        job
    }

    /// The policy of a job.
    pub(crate) fn policy_of(&self, job: usize) -> Option<String> {
        self.jobs.get(job).map(|job| job.policy.clone())
    }

    /// A job is asked for. `is_in_time`: the request kept to Retry-After.
    pub(crate) fn poll(&mut self, job: usize, is_in_time: bool, now: Instant) -> Polled {
        let Some(job) = self.jobs.get_mut(job) else { return Polled::Forgotten };
        if job.is_forgotten {
            return Polled::Forgotten;
        }
        let is_locked = Kind::of(&job.policy) == Kind::Locked;
        job.polls_left = job.polls_left.saturating_sub(u32::from(is_in_time));
        if job.polls_left > 0 || (is_locked && self.documents < self.unlocked_after) {
            return Polled::Pending;
        }
        let done = &mut self.policies.entry(job.policy.clone()).or_default().done;
        if done.is_none() && !is_locked {
            self.documents += 1;
        }
        done.get_or_insert(now);
        Polled::Ready
    }

    /// The histories of all policies but the locked ones.
    pub fn others(&self) -> impl Iterator<Item = (&String, &PolicyHistory)> {
        self.policies.iter().filter(|(policy, _)| Kind::of(policy) != Kind::Locked)
    }

    /// Requests for tokens and for all policies but the locked ones.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.tokens + self.others().map(|(_, history)| history.requests).sum::<u64>()
    }

    /// The requests that these needed at least: a token, the orders and polls of each policy, and one more for each
    /// that was refused.
    #[must_use]
    pub fn requests_needed(&self) -> u64 {
        let of_policies = self.others().map(|(policy, history)| requests_needed(policy) + history.refused);
        1 + self.tokens_refused + of_policies.sum::<u64>()
    }

    /// From the first request to the last document of all policies but the locked ones; `None` where one is missing.
    #[must_use]
    pub fn others_took(&self) -> Option<Duration> {
        let done: Option<Vec<Instant>> = self.others().map(|(_, history)| history.done).collect();
        Some(done?.into_iter().max()?.saturating_duration_since(self.first?))
    }

    /// From the first request to the last document of the locked policies; `None` where one is missing.
    #[must_use]
    pub fn locked_took(&self) -> Option<Duration> {
        let locked = self.policies.iter().filter(|(policy, _)| Kind::of(policy) == Kind::Locked);
        let done: Option<Vec<Instant>> = locked.map(|(_, history)| history.done).collect();
        Some(done?.into_iter().max()?.saturating_duration_since(self.first?))
    }

    /// By how much all requests that were told to wait came too late, the shortest first.
    #[must_use]
    pub fn late(&self) -> Vec<Duration> {
        let mut late: Vec<Duration> = self.others().flat_map(|(_, history)| history.late.iter().copied()).collect();
        late.sort();
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_ready_after_its_polls_and_one_that_comes_early_counts_for_nothing() {
        let (mut book, begin) = (Book::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        let policy = (0..).map(|number| format!("P-{number}")).find(|policy| polls_needed(policy) == 2).unwrap();
        assert!(book.note_request(&policy, false, begin));
        let job = book.take_order(&policy, "key");
        assert_eq!(book.take_order(&policy, "key"), job);
        book.tell_to_wait(&policy, at(2));
        let poll = |book: &mut Book, second| {
            let is_in_time = book.note_request(&policy, false, at(second));
            book.poll(job, is_in_time, at(second))
        };
        assert_eq!(poll(&mut book, 1), Polled::Pending);
        assert_eq!(poll(&mut book, 3), Polled::Pending);
        book.tell_to_wait(&policy, at(5));
        assert_eq!(poll(&mut book, 5), Polled::Ready);
        let history = &book.policies[&policy];
        assert_eq!((history.requests, history.jobs, history.orders_again), (4, 1, 1));
        assert_eq!((history.early.as_slice(), history.late.len()), (&[Duration::from_secs(1)][..], 2));
        assert_eq!((book.requests(), book.requests_needed()), (4, 1 + 3));
    }

    #[test]
    fn a_forgotten_job_is_ready_when_it_is_ordered_anew() {
        let mut book = Book::default();
        let (now, policy) = (Instant::now(), "forgotten-1");
        let first = book.take_order(policy, "a");
        assert_eq!(book.poll(first, true, now), Polled::Forgotten);
        let second = book.take_order(policy, "b");
        assert!((0..3).any(|_| book.poll(second, true, now) == Polled::Ready));
        assert_eq!(book.poll(99, true, now), Polled::Forgotten);
    }

    #[test]
    fn a_locked_policy_is_ready_after_so_many_others() {
        let (mut book, now) = (Book::new(1), Instant::now());
        let (locked, other) = (book.take_order("locked-0", "a"), book.take_order("P-1", "b"));
        assert!((0..9).all(|_| book.poll(locked, true, now) == Polled::Pending));
        assert!((0..3).any(|_| book.poll(other, true, now) == Polled::Ready));
        assert_eq!(book.poll(locked, true, now), Polled::Ready);
    }
}
