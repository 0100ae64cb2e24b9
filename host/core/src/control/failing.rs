//! Which items have failed lately: distinguishes an API that fails now and then from an item that always fails.
//!
//! It looks at the last twenty ends and counts the *other* items among them of which a fetch failed: an item that
//! always fails is alone with its failures, whereas an API that fails at random fails for several. Pure; it knows items
//! by a hash.

use std::collections::{BTreeSet, VecDeque};

/// How many ends are looked at.
const WINDOW: usize = 20;
/// With so many other items failing, the API fails. One is not enough: it may be another item that always fails.
const SEVERAL: usize = 2;

/// The last ends of a provider's fetches.
#[derive(Debug, Clone, Default)]
pub struct Failing {
    recent: VecDeque<(u64, bool)>,
}

impl Failing {
    /// A fetch of the item with this hash has ended, `failed` by the API's fault.
    pub fn note_end(&mut self, item: u64, failed: bool) {
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back((item, failed));
    }

    /// Whether several other items than this one have failed lately.
    #[must_use]
    pub fn others_fail(&self, item: u64) -> bool {
        let others = self.recent.iter().filter(|(other, failed)| *failed && *other != item);
        others.map(|(other, _)| other).collect::<BTreeSet<_>>().len() >= SEVERAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(ends: &[(u64, bool)]) -> Failing {
        let mut failing = Failing::default();
        ends.iter().for_each(|(item, failed)| failing.note_end(*item, *failed));
        failing
    }

    #[test]
    fn an_item_that_fails_again_and_again_is_alone_with_it() {
        let ends: Vec<_> = (0..20).map(|number| if number % 2 == 0 { (7, true) } else { (number, false) }).collect();
        assert!(!failing(&ends).others_fail(7));
        assert!(!failing(&ends).others_fail(1), "one other item says nothing of the API");
    }

    #[test]
    fn an_api_that_fails_now_and_then_fails_for_several() {
        let mut failing = failing(&[(1, true), (2, false), (3, true)]);
        assert!(failing.others_fail(7));
        assert!(!failing.others_fail(1));
        (10..30).for_each(|number| failing.note_end(number, false));
        assert!(!failing.others_fail(7), "that was long ago");
    }
}
