//! Crashes of the process while a component ran: whether the component is the cause. Pure.
//!
//! No way is known in which a component can end the process that runs it. If one does, the item is delivered again, and the next
//! process dies, too, with all other providers. Therefore a process records which components ran when the one before died, and a
//! provider that is recorded repeatedly is stopped.
//!
//! A process also dies for other reasons while a component happens to run. If the *same item* ran both times, that is no
//! coincidence, since a component runs for some microseconds an item. If any item of the component ran, it often is one; three
//! crashes count, with no record fetched between them.

use serde::{Deserialize, Serialize};

/// Crashes in succession with the same item that stop a provider.
const MOST_WITH_ONE_ITEM: u32 = 2;
/// Crashes in succession that stop a provider, whatever item ran, if no record was fetched between them.
const MOST_WITHOUT_RECORD: u32 = 3;

/// A process that died while a component ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crash {
    /// The process, by a name that no other has.
    pub process: String,
    /// The component's digest.
    pub component: String,
    /// The item that ran, by a name that no other has.
    pub item: String,
}

/// The crashes of one provider that have no other explanation yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Crashes {
    last: Option<Crash>,
    /// In succession with the item of the last one.
    with_item: u32,
    /// In succession without a record between them.
    without_record: u32,
}

impl Crashes {
    /// Records a crash; the same crash is counted once. Returns whether the provider is to be stopped.
    pub fn record(&mut self, crash: Crash) -> bool {
        if self.last.as_ref().is_some_and(|last| last.process == crash.process) {
            return self.have_one_cause();
        }
        let last = self.last.take().filter(|last| last.component == crash.component);
        if last.is_none() {
            *self = Self::default();
        }
        let is_same_item = last.is_some_and(|last| last.item == crash.item);
        self.with_item = if is_same_item { self.with_item.saturating_add(1) } else { 1 };
        self.without_record = self.without_record.saturating_add(1);
        self.last = Some(crash);
        self.have_one_cause()
    }

    /// Whether the component must be taken for their cause.
    fn have_one_cause(&self) -> bool {
        self.with_item >= MOST_WITH_ONE_ITEM || self.without_record >= MOST_WITHOUT_RECORD
    }

    /// A record of the provider was fetched: its component works, except perhaps for one item.
    pub fn on_record_fetched(&mut self) {
        self.without_record = 0;
    }

    /// An operator has looked at it.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(process: &str, component: &str, item: &str) -> Crash {
        Crash { process: process.to_owned(), component: component.to_owned(), item: item.to_owned() }
    }

    #[test]
    fn the_same_item_twice_stops_the_provider_whatever_was_fetched_between() {
        let mut crashes = Crashes::default();
        assert!(!crashes.record(crash("1", "x", "a")));
        crashes.on_record_fetched();
        assert!(crashes.record(crash("2", "x", "a")));
    }

    #[test]
    fn a_crash_that_is_told_twice_counts_once() {
        let mut crashes = Crashes::default();
        assert!(!crashes.record(crash("1", "x", "a")));
        assert!(!crashes.record(crash("1", "x", "a")));
        assert!(!crashes.record(crash("1", "x", "b")));
        assert!(crashes.record(crash("2", "x", "a")));
        assert!(
            crashes.record(crash("2", "x", "a")),
            "whoever recorded it may have died before the provider was stopped"
        );
    }

    #[test]
    fn other_items_stop_it_at_the_third_crash_without_a_record() {
        let mut crashes = Crashes::default();
        assert!(!crashes.record(crash("1", "x", "a")));
        assert!(!crashes.record(crash("2", "x", "b")));
        let mut works = crashes.clone();
        assert!(crashes.record(crash("3", "x", "c")));
        works.on_record_fetched();
        assert!(!works.record(crash("3", "x", "c")));
        assert!(!works.record(crash("4", "x", "d")));
    }

    #[test]
    fn another_build_and_an_operator_start_anew() {
        let mut crashes = Crashes::default();
        crashes.record(crash("1", "x", "a"));
        assert!(!crashes.record(crash("2", "y", "a")));
        crashes.forget();
        assert!(!crashes.record(crash("3", "y", "a")));
    }
}
