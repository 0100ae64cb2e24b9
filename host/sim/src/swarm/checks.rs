//! Checks while a cluster runs, besides those of its APIs and its sink.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use damper_core::ledger::Ledger;
use futures::FutureExt;
use tokio::time::sleep_until;

use crate::locks::lock;
use crate::swarm::case::ItemKind;
use crate::swarm::invariants::Invariant;
use crate::swarm::shared::{Shared, instant};

/// How long a shard may wait that shares its slot with another one: a turn of 30 s, the time between two renewals, the
/// fetch timeout, two seconds, and a batch of its own.
const LONGEST_TURN: Duration = Duration::from_secs(30 + 10 + 10 + 2 + 10);
/// The dead letters of a grant that a process takes at a time.
const GRANT_SHARE: u32 = 20;
/// The most deliveries of a shard in this time of which nothing ends: a call without work waits before it returns.
const MOST_FRUITLESS: usize = 60;
const FRUITLESS_WITHIN: Duration = Duration::from_secs(60);
/// By when items have ended that do not wait, beside some that do: a hundred that take half a second at the most, seven
/// at a time, in ten batches, with a minute until the first one.
const NOBODY_HELD_BACK: Duration = Duration::from_secs(110);

impl Shared {
    /// A grant is spent by dead letters alone. If the clock is wrong, items die of that, too.
    pub(super) fn check_grants(&self) {
        let grants = lock(&self.grants).clone();
        for (name, (granted, at_fault_before)) in grants {
            let Some(provider) = self.providers.iter().find(|provider| provider.setup.name == name) else { continue };
            let died = lock(&provider.api).at_fault().saturating_sub(at_fault_before);
            // A ledger in memory answers at once.
            let Some(Ok(control)) = self.ledger.control(&name).now_or_never() else { continue };
            let left = control.dead_letters_allowed;
            // Answers from before the grant, of which the processes have yet to hear.
            let processes = u32::try_from(self.case.setup.processes).unwrap_or(1);
            let unheard = provider.setup.cap * (processes + 1);
            // Each process may have a share in hand, each crash has cost one at the most.
            let shares = GRANT_SHARE * (processes + self.crashes.load(Ordering::Relaxed));
            if left < granted.saturating_sub(died + unheard + shares) && !self.has_steps_of_days() {
                let what =
                    format!("{name}: {left} of {granted} dead letters are left, and {died} items were at fault since");
                self.report_violation(Invariant::Grant, what);
            }
        }
    }

    /// A shard with entries is delivered in time.
    pub(super) fn check_sharing(&self) {
        let now = self.now();
        for (number, provider) in self.providers.iter().enumerate() {
            for (position, shard) in provider.shards.iter().enumerate() {
                let pending = lock(shard).pending();
                let mut turns = lock(&self.turns);
                let (before, since) = turns.entry((number, position)).or_insert((pending, now));
                if *before != pending || pending == 0 {
                    (*before, *since) = (pending, now);
                }
                let waits = now.saturating_sub(*since);
                drop(turns);
                if waits > LONGEST_TURN {
                    let what = format!("{pending} entries of shard {position} have waited for {waits:?}");
                    self.report_violation(Invariant::Sharing, what);
                }
            }
        }
    }

    /// Handles a delivery of which no item has ended or is parked.
    pub(super) fn on_fruitless_delivery(&self, provider: usize, shard: usize) {
        let now = self.now();
        let mut fruitless = lock(&self.fruitless);
        let times = fruitless.entry((provider, shard)).or_default();
        times.push_back(now);
        if times.len() > MOST_FRUITLESS {
            times.pop_front();
        }
        let is_hot =
            times.len() == MOST_FRUITLESS && times.front().is_some_and(|first| now < *first + FRUITLESS_WITHIN);
        drop(fruitless);
        if is_hot {
            let what =
                format!("shard {shard} was delivered {MOST_FRUITLESS} times in {FRUITLESS_WITHIN:?} for nothing");
            self.report_violation(Invariant::BusyLoop, what);
        }
    }

    /// How many entries have not ended that the API would let end.
    fn held_back(&self) -> usize {
        let shards = self.providers.iter().flat_map(|provider| &provider.shards);
        let free = |id: &str| !id.starts_with(ItemKind::Locked.name());
        shards
            .map(|shard| lock(shard).entries().iter().filter(|entry| entry.end.is_none() && free(&entry.id)).count())
            .sum()
    }
}

/// Items that wait hold no others back.
pub(super) async fn watch_held_back(shared: Arc<Shared>) {
    sleep_until(instant(&shared, NOBODY_HELD_BACK)).await;
    let held_back = shared.held_back();
    if held_back > 0 {
        shared.report_violation(
            Invariant::Waiting,
            format!("{held_back} items have not ended yet that nothing keeps from it"),
        );
    }
}
