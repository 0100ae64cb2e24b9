//! Memory that the providers of a process share.
//!
//! There are two rooms: one for the guests' own memories and tables, one for what the host holds on their behalf. A room never gives
//! more than its limit. So that one provider cannot take it all, a provider may take more only while it holds at most a multiple of
//! what is free: the dynamic thresholds by which switches share their buffers (A. Choudhury, E. Hahne: Dynamic Queue Length Thresholds
//! for Shared-Memory Packet Switches, 1998). One provider alone gets most of a room, and a newcomer always finds some.
//!
//! Whoever finds no room waits. A call waits no longer than its time allows: it then ends, and gives back what it held.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Memory of which several providers take parts, in bytes.
#[derive(Debug)]
pub(crate) struct Room {
    limit: usize,
    /// How many times the free bytes one provider may hold.
    multiple: usize,
    taken: Mutex<usize>,
    given_back: Notify,
}

/// What one provider holds of a room.
#[derive(Debug)]
pub(crate) struct Share {
    room: Arc<Room>,
    /// Written only while the room's `taken` is locked.
    held: Mutex<usize>,
}

impl Room {
    /// A room of so many bytes, of which one provider may hold `multiple` times what is free.
    pub(crate) fn new(limit: usize, multiple: usize) -> Arc<Self> {
        Arc::new(Self { limit, multiple, taken: Mutex::new(0), given_back: Notify::new() })
    }

    /// A share for one more provider, empty yet.
    pub(crate) fn share(self: &Arc<Self>) -> Arc<Share> {
        Arc::new(Share { room: Arc::clone(self), held: Mutex::new(0) })
    }

    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        *lock(&self.taken)
    }
}

impl Share {
    /// The most that one provider can ever hold.
    pub(crate) fn largest(&self) -> usize {
        let Room { limit, multiple, .. } = *self.room;
        (limit / (multiple + 1)).saturating_mul(multiple)
    }

    /// Takes so many bytes, if there is room for them.
    pub(crate) fn try_take(&self, bytes: usize) -> bool {
        let mut taken = lock(&self.room.taken);
        let mut held = lock(&self.held);
        let Some(free) = self.room.limit.checked_sub(taken.saturating_add(bytes)) else { return false };
        let has_room = held.saturating_add(bytes) <= free.saturating_mul(self.room.multiple);
        if has_room {
            *taken += bytes;
            *held += bytes;
        }
        has_room
    }

    /// Takes so many bytes, and waits until there is room for them. It waits for ever for more than [`Share::largest`].
    pub(crate) async fn take(&self, bytes: usize) {
        loop {
            let mut given_back = pin!(self.room.given_back.notified());
            // From here on nothing that is given back is missed.
            given_back.as_mut().enable();
            if self.try_take(bytes) {
                return;
            }
            given_back.await;
        }
    }

    /// Gives so many bytes back.
    pub(crate) fn give_back(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        {
            let mut taken = lock(&self.room.taken);
            let mut held = lock(&self.held);
            *taken = taken.saturating_sub(bytes);
            *held = held.saturating_sub(bytes);
        }
        self.room.given_back.notify_waiters();
    }
}

fn lock(bytes: &Mutex<usize>) -> MutexGuard<'_, usize> {
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_provider_alone_gets_most_of_a_room_and_leaves_some() {
        let room = Room::new(100, 4);
        let (greedy, modest) = (room.share(), room.share());
        while greedy.try_take(1) {}
        assert_eq!((room.taken(), greedy.largest()), (80, 80));
        assert!(modest.try_take(10));
        assert!(!greedy.try_take(1));
        modest.give_back(10);
        greedy.give_back(80);
        assert_eq!(room.taken(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_room_waits_until_some_is_given_back() {
        let room = Room::new(100, 1);
        let share = room.share();
        share.take(50).await;
        assert!(tokio::time::timeout(Duration::from_secs(1), share.take(1)).await.is_err());
        let waiting = share.take(1);
        let give = async { share.give_back(50) };
        tokio::join!(waiting, give);
        assert_eq!(room.taken(), 1);
    }

    proptest! {
        #[test]
        fn a_room_never_gives_more_than_it_has_and_a_newcomer_always_finds_some(
            limit in 100_usize..10_000, multiple in 1_usize..8, takes in prop::collection::vec((0_usize..5, 0_usize..3_000), 0..200),
        ) {
            let room = Room::new(limit, multiple);
            let shares: Vec<_> = (0..5).map(|_| room.share()).collect();
            for (index, bytes) in takes {
                shares[index].try_take(bytes);
                let held: usize = shares.iter().map(|share| *lock(&share.held)).sum();
                prop_assert_eq!(held, room.taken());
                prop_assert!(shares.iter().all(|share| *lock(&share.held) <= share.largest()));
                prop_assert!(room.taken() < limit);
            }
        }
    }
}
