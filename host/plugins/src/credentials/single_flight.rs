//! A value that many tasks need and one task fetches: used for secrets and tokens.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Mutex as LeaderLock, MutexGuard as LeaderGuard};

use crate::lock::lock;

/// A value, if there is one, and the lock of the task that fetches it.
#[derive(Debug)]
pub(crate) struct SingleFlight<T, E> {
    state: Mutex<FlightState<T, E>>,
    leader_lock: LeaderLock<()>,
}

#[derive(Debug)]
struct FlightState<T, E> {
    value: Option<Arc<T>>,
    /// The number of completed flights.
    completed: u64,
    /// The error of the last flight, if it failed.
    error: Option<E>,
}

/// The role of a task in a flight.
pub(crate) enum Role<'a, T, E> {
    /// Another task completed a flight meanwhile, with this result.
    Follower(Result<Arc<T>, E>),
    /// This task fetches the value. If it is dropped before it completes, the next task that waits becomes the leader.
    Leader(Leader<'a, T, E>),
}

/// The task that fetches the value.
pub(crate) struct Leader<'a, T, E> {
    flight: &'a SingleFlight<T, E>,
    _guard: LeaderGuard<'a, ()>,
}

impl<T, E: Clone> SingleFlight<T, E> {
    pub(crate) fn new(value: Option<T>) -> Self {
        let state = FlightState { value: value.map(Arc::new), completed: 0, error: None };
        Self { state: Mutex::new(state), leader_lock: LeaderLock::new(()) }
    }

    /// The value, as it is now.
    pub(crate) fn value(&self) -> Option<Arc<T>> {
        self.lock_state().value.clone()
    }

    /// Becomes the leader, or waits until another task's flight completes.
    pub(crate) async fn join(&self) -> Role<'_, T, E> {
        let before = self.lock_state().completed;
        let guard = self.leader_lock.lock().await;
        let state = self.lock_state();
        match (&state.error, &state.value) {
            (Some(error), _) if state.completed != before => Role::Follower(Err(error.clone())),
            (None, Some(value)) if state.completed != before => Role::Follower(Ok(Arc::clone(value))),
            _ => Role::Leader(Leader { flight: self, _guard: guard }),
        }
    }

    /// Becomes the leader if there is none.
    pub(crate) fn try_lead(&self) -> Option<Leader<'_, T, E>> {
        let guard = self.leader_lock.try_lock().ok()?;
        Some(Leader { flight: self, _guard: guard })
    }

    fn lock_state(&self) -> MutexGuard<'_, FlightState<T, E>> {
        lock(&self.state)
    }
}

impl<T, E: Clone> Leader<'_, T, E> {
    /// Completes the flight with a new value, with the present value, or with a failure, which leaves the value as it
    /// is. All followers get the same result.
    pub(crate) fn complete(self, result: Result<Arc<T>, E>) -> Result<Arc<T>, E> {
        let mut state = self.flight.lock_state();
        state.completed += 1;
        match &result {
            Ok(value) => {
                state.value = Some(Arc::clone(value));
                state.error = None;
            }
            Err(error) => state.error = Some(error.clone()),
        }
        result
    }

    /// Drops the value, whether or not the flight succeeds.
    pub(crate) fn invalidate(&self) {
        self.flight.lock_state().value = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future::join_all;

    use super::*;

    async fn get_value(
        flight: &SingleFlight<u32, String>,
        count: &AtomicU32,
        result: Result<u32, String>,
    ) -> Result<u32, String> {
        match flight.join().await {
            Role::Follower(result) => result.map(|value| *value),
            Role::Leader(leader) => {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                leader.complete(result.map(Arc::new)).map(|value| *value)
            }
        }
    }

    #[tokio::test]
    async fn one_gets_it_for_all_who_wait() {
        for result in [Ok(7), Err("no".to_owned())] {
            let (flight, count) = (SingleFlight::new(None), AtomicU32::new(0));
            let all = join_all((0..100).map(|_| get_value(&flight, &count, result.clone()))).await;
            assert!(all.iter().all(|got| *got == result));
            assert_eq!(count.load(Ordering::SeqCst), 1);
            assert_eq!(flight.value().map(|value| *value), result.ok());
        }
    }

    #[tokio::test]
    async fn who_comes_after_a_failure_tries_again_and_a_failure_leaves_the_value() {
        let (flight, count) = (SingleFlight::new(Some(1)), AtomicU32::new(0));
        assert_eq!(get_value(&flight, &count, Err("no".to_owned())).await, Err("no".to_owned()));
        assert_eq!(flight.value().as_deref(), Some(&1));
        assert_eq!(get_value(&flight, &count, Ok(2)).await, Ok(2));
        assert_eq!((flight.value().as_deref(), count.load(Ordering::SeqCst)), (Some(&2), 2));
    }

    #[tokio::test]
    async fn a_turn_that_was_given_up_is_the_next_ones() {
        let (flight, count) = (SingleFlight::new(None), AtomicU32::new(0));
        let Role::Leader(given_up) = flight.join().await else { panic!("nobody else has a turn") };
        assert!(flight.try_lead().is_none());
        let waiting = get_value(&flight, &count, Ok(3));
        let ((), got) = tokio::join!(async { drop(given_up) }, waiting);
        assert_eq!((got, count.load(Ordering::SeqCst)), (Ok(3), 1));
    }
}
