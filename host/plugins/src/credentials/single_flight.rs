//! A value that many wait for and one gets: what a secret and a token have in common.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as Turns, MutexGuard as TurnGuard};

/// A value, if there is one, and the turns in which it is got.
#[derive(Debug)]
pub(crate) struct Cell<T, E> {
    state: Mutex<State<T, E>>,
    turns: Turns<()>,
}

#[derive(Debug)]
struct State<T, E> {
    value: Option<Arc<T>>,
    /// How many turns have ended.
    ended: u64,
    /// What the last of them failed with, if it did.
    error: Option<E>,
}

/// What waiting for a turn came to.
pub(crate) enum Turn<'a, T, E> {
    /// Another's turn ended meanwhile, like this.
    Another(Result<Arc<T>, E>),
    /// It is ours. Dropped without an end, it is the next one's.
    Ours(Ours<'a, T, E>),
}

/// The turn of whoever gets the value.
pub(crate) struct Ours<'a, T, E> {
    cell: &'a Cell<T, E>,
    _turn: TurnGuard<'a, ()>,
}

impl<T, E: Clone> Cell<T, E> {
    pub(crate) fn new(value: Option<T>) -> Self {
        let state = State { value: value.map(Arc::new), ended: 0, error: None };
        Self { state: Mutex::new(state), turns: Turns::new(()) }
    }

    /// The value, as it is now.
    pub(crate) fn value(&self) -> Option<Arc<T>> {
        self.locked().value.clone()
    }

    /// Waits for a turn: ours, or the end of the one that another has.
    pub(crate) async fn turn(&self) -> Turn<'_, T, E> {
        let before = self.locked().ended;
        let turn = self.turns.lock().await;
        let state = self.locked();
        match (&state.error, &state.value) {
            (Some(error), _) if state.ended != before => Turn::Another(Err(error.clone())),
            (None, Some(value)) if state.ended != before => Turn::Another(Ok(Arc::clone(value))),
            _ => Turn::Ours(Ours { cell: self, _turn: turn }),
        }
    }

    /// A turn, if nobody has one.
    pub(crate) fn free_turn(&self) -> Option<Ours<'_, T, E>> {
        let turn = self.turns.try_lock().ok()?;
        Some(Ours { cell: self, _turn: turn })
    }

    fn locked(&self) -> MutexGuard<'_, State<T, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, E: Clone> Ours<'_, T, E> {
    /// Ends the turn with a new value, with the one there is, or with a failure, which leaves the value as it is. All who
    /// waited get the same.
    pub(crate) fn end(self, result: Result<Arc<T>, E>) -> Result<Arc<T>, E> {
        let mut state = self.cell.locked();
        state.ended += 1;
        match &result {
            Ok(value) => {
                state.value = Some(Arc::clone(value));
                state.error = None;
            }
            Err(error) => state.error = Some(error.clone()),
        }
        result
    }

    /// Forgets the value, whatever comes of the turn.
    pub(crate) fn forget(&self) {
        self.cell.locked().value = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future::join_all;

    use super::*;

    async fn get(cell: &Cell<u32, String>, count: &AtomicU32, result: Result<u32, String>) -> Result<u32, String> {
        match cell.turn().await {
            Turn::Another(result) => result.map(|value| *value),
            Turn::Ours(turn) => {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                turn.end(result.map(Arc::new)).map(|value| *value)
            }
        }
    }

    #[tokio::test]
    async fn one_gets_it_for_all_who_wait() {
        for result in [Ok(7), Err("no".to_owned())] {
            let (cell, count) = (Cell::new(None), AtomicU32::new(0));
            let all = join_all((0..100).map(|_| get(&cell, &count, result.clone()))).await;
            assert!(all.iter().all(|got| *got == result));
            assert_eq!(count.load(Ordering::SeqCst), 1);
            assert_eq!(cell.value().map(|value| *value), result.ok());
        }
    }

    #[tokio::test]
    async fn who_comes_after_a_failure_tries_again_and_a_failure_leaves_the_value() {
        let (cell, count) = (Cell::new(Some(1)), AtomicU32::new(0));
        assert_eq!(get(&cell, &count, Err("no".to_owned())).await, Err("no".to_owned()));
        assert_eq!(cell.value().as_deref(), Some(&1));
        assert_eq!(get(&cell, &count, Ok(2)).await, Ok(2));
        assert_eq!((cell.value().as_deref(), count.load(Ordering::SeqCst)), (Some(&2), 2));
    }

    #[tokio::test]
    async fn a_turn_that_was_given_up_is_the_next_ones() {
        let (cell, count) = (Cell::new(None), AtomicU32::new(0));
        let Turn::Ours(given_up) = cell.turn().await else { panic!("nobody else has a turn") };
        assert!(cell.free_turn().is_none());
        let waiting = get(&cell, &count, Ok(3));
        let ((), got) = tokio::join!(async { drop(given_up) }, waiting);
        assert_eq!((got, count.load(Ordering::SeqCst)), (Ok(3), 1));
    }
}
