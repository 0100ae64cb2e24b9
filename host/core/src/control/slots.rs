//! How many slots an owner gets beside others, of which there are never more than the hard cap.
//!
//! First come, first served, while there are enough. Where somebody has fewer than it wants, whoever renews gets at most its
//! max-min fair share: no one is kept waiting by another who goes on renewing. Pure; the ledgers keep who has how many.

use serde::{Deserialize, Serialize};

/// What an owner has, and how many it would like to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// How many it has.
    pub has: u32,
    /// How many it wants in all.
    pub wants: u32,
}

/// How many of `cap` slots an owner has from now on who wants so many, beside `others`, whatever it had before.
#[must_use]
pub fn grant(others: &[Share], wants: u32, cap: u32) -> u32 {
    let taken = others.iter().fold(0_u32, |sum, other| sum.saturating_add(other.has));
    let free = wants.min(cap.saturating_sub(taken));
    let somebody_waits = others.iter().any(|other| other.has < other.wants);
    if somebody_waits { free.min(fair(others, wants, cap)) } else { free }
}

/// The max-min fair share of what the most demanding of them wants: the others' reserve, if they leave one, is left alone.
fn fair(others: &[Share], wants: u32, cap: u32) -> u32 {
    let mut wishes: Vec<u32> = others.iter().map(|other| other.wants).chain([wants]).collect();
    wishes.sort_unstable();
    let mut left = wishes.last().copied().unwrap_or_default().min(cap);
    let mut waiting = u32::try_from(wishes.len()).unwrap_or(u32::MAX);
    for wish in wishes {
        let equal = left / waiting.max(1);
        // Whoever wants less than an equal share leaves the rest to those who want more.
        if wish > equal || wish == wants {
            return wants.min(equal.max(1));
        }
        left -= wish;
        waiting -= 1;
    }
    wants
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn share(has: u32, wants: u32) -> Share {
        Share { has, wants }
    }

    #[test]
    fn while_nobody_waits_it_is_what_is_free() {
        assert_eq!(grant(&[], 9, 10), 9);
        assert_eq!(grant(&[], 90, 10), 10);
        assert_eq!(grant(&[share(3, 3)], 9, 10), 7);
        assert_eq!(grant(&[share(10, 10)], 9, 10), 0);
    }

    #[test]
    fn whoever_renews_makes_room_for_whoever_waits() {
        assert_eq!(grant(&[share(0, 9)], 9, 10), 4, "half of nine");
        assert_eq!(grant(&[share(4, 9)], 9, 10), 4, "the tenth is left alone");
        assert_eq!(grant(&[share(0, 1)], 9, 10), 8, "who wants one gets one");
        assert_eq!(grant(&[share(0, 9), share(0, 2)], 9, 10), 3);
        assert_eq!(grant(&[share(0, 1)], 1, 1), 1, "there is nothing to share");
    }

    proptest! {
        #[test]
        fn never_above_the_cap_and_in_the_end_everybody_has_some(
            wants in prop::collection::vec(1_u32..40, 1..8),
            cap in 1_u32..60,
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        ) {
            let mut shares: Vec<Share> = wants.iter().map(|wants| share(0, *wants)).collect();
            let mut renew = |index: usize| {
                let others: Vec<_> =
                    shares.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, share)| *share).collect();
                shares[index].has = grant(&others, shares[index].wants, cap);
                let sum: u32 = shares.iter().map(|share| share.has).sum();
                assert!(sum <= cap, "{shares:?}");
                shares.clone()
            };
            for index in order {
                renew(index.index(wants.len()));
            }
            // Two rounds: the first makes room, the second uses it.
            let last = (0..2 * wants.len()).map(|index| renew(index % wants.len())).last().unwrap();
            // As many as there are for the most demanding of them.
            let pool = cap.min(*wants.iter().max().unwrap());
            if usize::try_from(pool).unwrap() >= wants.len() {
                prop_assert!(last.iter().all(|share| share.has >= 1), "{last:?}");
            }
        }
    }
}
