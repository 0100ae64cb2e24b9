//! Crashes of the process while a component ran: whether the component is the cause. Pure.
//!
//! A component cannot end the process that runs it, as far as is known. If one found a way, its item would be delivered
//! again, and the next process would die of it too, with all other providers. A process therefore records which
//! components were running when an earlier one died, and a provider whose component keeps being found there is stopped.
//!
//! A process also dies for other reasons while some component happens to run: an operator kills it, or the machine runs
//! out of memory. A component usually runs for some microseconds per item, and an item is tried again only when its
//! lease has expired. So it may happen by chance that the same item was running at two deaths, in thousands of them,
//! but hardly at three.

use serde::{Deserialize, Serialize};

/// The crashes with the same item that stop a provider.
const MOST_WITH_ONE_ITEM: u32 = 3;
/// The items that are remembered. While a lease holds, other items are tried, and each may bring the process down.
const MOST_ITEMS: usize = 64;

/// A process that died while a component ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crash {
    /// The process, by a name that no other has.
    pub process: String,
    /// The component's digest.
    pub component: String,
    /// The item that ran, by a name that no other has.
    pub item: String,
}

/// The crashes of one provider since an operator looked at it, or its component changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Crashes {
    component: String,
    last_process: String,
    /// The items with the number of crashes for each, the latest last.
    items: Vec<(String, u32)>,
}

impl Crashes {
    /// Records a crash once, even if it is reported several times. Returns whether the provider is to be stopped.
    pub fn record(&mut self, crash: Crash) -> bool {
        let Crash { process, component, item } = crash;
        if self.last_process != process || self.component != component {
            if self.component != component {
                *self = Self { component, ..Self::default() };
            }
            self.last_process = process;
            let known = self.items.iter().position(|(name, _)| *name == item).map(|index| self.items.remove(index));
            let count = known.map_or(0, |(_, count)| count).saturating_add(1);
            self.items.push((item, count));
            let surplus = self.items.len().saturating_sub(MOST_ITEMS);
            self.items.drain(..surplus);
        }
        self.items.iter().any(|(_, count)| *count >= MOST_WITH_ONE_ITEM)
    }

    /// Forgets all crashes: an operator has looked at them.
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
    fn the_third_crash_with_one_item_stops_the_provider_whatever_crashed_between() {
        let mut crashes = Crashes::default();
        for (process, item) in ["a", "b", "a", "c", "b"].into_iter().enumerate() {
            assert!(!crashes.record(crash(&process.to_string(), "x", item)), "{item}");
        }
        assert!(crashes.record(crash("5", "x", "a")));
    }

    #[test]
    fn a_crash_that_is_reported_twice_counts_once() {
        let mut crashes = Crashes::default();
        for process in ["1", "1", "1", "2", "2"] {
            assert!(!crashes.record(crash(process, "x", "a")));
        }
        assert!(crashes.record(crash("3", "x", "a")));
        assert!(
            crashes.record(crash("3", "x", "a")),
            "the process that recorded it may have died before it stopped the provider"
        );
    }

    #[test]
    fn crashes_with_many_items_are_no_evidence_and_take_bounded_room() {
        let mut crashes = Crashes::default();
        for number in 0..1_000 {
            assert!(!crashes.record(crash(&number.to_string(), "x", &(number % 500).to_string())));
        }
        assert_eq!(crashes.items.len(), MOST_ITEMS);
    }

    #[test]
    fn another_build_and_an_operator_start_anew() {
        let mut crashes = Crashes::default();
        assert!(!crashes.record(crash("1", "x", "a")));
        assert!(!crashes.record(crash("2", "x", "a")));
        assert!(!crashes.record(crash("3", "y", "a")));
        assert!(!crashes.record(crash("4", "y", "a")));
        crashes.forget();
        assert!(!crashes.record(crash("5", "y", "a")));
    }
}
