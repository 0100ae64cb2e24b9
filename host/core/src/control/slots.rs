//! How many slots an owner gets beside others, of which there are never more than the hard cap.
//!
//! ```text
//!   owners <= cap  each has at least one; an owner that renews keeps at most its max-min fair share while others wait
//!   owners >  cap  one each, in turns: an owner that has held one for a turn gives it up to one that waits, and queues
//! ```
//!
//! While no owner waits, an owner gets as many free slots as it wants. A free slot goes to the owner that has waited
//! for the longest time. A slot whose request is still in flight counts for its owner, independently of its grant, so
//! that no other owner gets it. Pure; the ledgers keep each owner's [`Share`] and the time until which it counts.
//!
//! How long an owner waits: of `n` owners and a cap of `c`, at most ⌈(n - c) / c⌉ times the longest time that an owner
//! keeps a slot while another waits, which is a turn, the time to its next renewal, and the time until its last request
//! has ended; and a second for each of those who wait before it, until it has seen that a slot is free.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How long an owner keeps its slot where there are more owners than slots: long beside the second or two that it takes
/// the next one to see that the slot is free, and short beside a batch.
pub const TURN: Duration = Duration::from_secs(30);
/// An owner that has no slot and does not ask again for so long has gone, and its place in the queue with it. A waiting
/// owner asks each second.
pub const WAITING_COUNTS_FOR: Duration = Duration::from_secs(15);

/// The slots that an owner has, and how many it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// How many count for it: those that it may use, or more where requests of earlier ones are still in flight.
    pub has: u32,
    /// How many it wants in all.
    pub wants: u32,
    /// Since when it has had one without a break; where it has none: since when it has waited. 1970 if that was not
    /// kept.
    #[serde(default = "long_ago")]
    pub since: Timestamp,
}

fn long_ago() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

/// An owner's request for slots.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The owner that asks.
    pub owner: &'a str,
    /// How many it wants to have in all.
    pub wants: u32,
    /// How many of those that it had are in use: none of them can be another's yet.
    pub in_use: u32,
    /// How many there are, over all owners.
    pub cap: u32,
    /// The time of day now.
    pub now: Timestamp,
    /// Until when they count if they are not renewed.
    pub until: Timestamp,
}

/// The slots that an owner is granted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Granted {
    /// How many slots it may use from now on.
    pub slots: u32,
    /// Whether another owner has fewer than it wants.
    pub others_wait: bool,
}

/// The decision about a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The response to the owner.
    pub granted: Granted,
    /// The share that the ledger stores for this owner, and until when it counts; `None`: nothing.
    pub kept: Option<(Share, Timestamp)>,
}

/// Decide about a wish. `before`: the stored share of this owner, unless it has run out; `others`: the same of all
/// others.
///
/// ```
/// use std::time::Duration;
/// use damper_core::control::slots::{Granted, Share, Wish, grant};
///
/// let now: jiff::Timestamp = "2026-11-22T10:00:00Z".parse()?;
/// let until = now + Duration::from_secs(60);
/// let wish = |owner: &'static str| Wish { owner, wants: 4, in_use: 0, cap: 4, now, until };
/// let stored = |has| Share { has, wants: 4, since: now };
///
/// // The first owner takes all four slots, so that the second one has to wait.
/// let nobody: [(&str, Share); 0] = [];
/// assert_eq!(grant(&wish("a"), None, &nobody).granted, Granted { slots: 4, others_wait: false });
/// assert_eq!(grant(&wish("b"), None, &[("a", stored(4))]).granted.slots, 0);
///
/// // When the first one renews, it keeps its fair share, and the second one gets the rest.
/// let renewed = grant(&wish("a"), Some(stored(4)), &[("b", stored(0))]);
/// assert_eq!(renewed.granted, Granted { slots: 2, others_wait: true });
/// assert_eq!(grant(&wish("b"), Some(stored(0)), &[("a", stored(2))]).granted.slots, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn grant(wish: &Wish<'_>, before: Option<Share>, others: &[(impl AsRef<str>, Share)]) -> Decision {
    let had = before.map_or(0, |before| before.has);
    let slots = allot(wish, before, others);
    let has = slots.max(wish.in_use.min(had));
    let others_wait = others.iter().any(|(_, other)| other.has < other.wants);
    let is_as_before = before.filter(|before| (before.has > 0) == (has > 0));
    let since = is_as_before.map_or(wish.now, |before| before.since.min(wish.now));
    let waits_until = wish.now.saturating_add(WAITING_COUNTS_FOR).unwrap_or(wish.until);
    let until = if has > 0 { wish.until } else { wish.until.min(waits_until) };
    let share = Share { has, wants: wish.wants, since };
    let kept = (has > 0 || wish.wants > 0).then_some((share, until));
    Decision { granted: Granted { slots, others_wait }, kept }
}

/// How many slots the owner may use.
fn allot(wish: &Wish<'_>, before: Option<Share>, others: &[(impl AsRef<str>, Share)]) -> u32 {
    let taken = others.iter().fold(0_u32, |sum, (_, other)| sum.saturating_add(other.has));
    let free = wish.cap.saturating_sub(taken);
    let most = wish.wants.min(free);
    if others.iter().all(|(_, other)| other.has >= other.wants) {
        return most;
    }
    let fair = most.min(fair(others.iter().map(|(_, other)| other.wants), wish.wants, wish.cap));
    let held_since = before.filter(|before| before.has > 0).map(|before| before.since);
    let waits_since = before.map_or(wish.now, |before| before.since.min(wish.now));
    let is_before_us = |(name, other): &&(_, Share)| {
        let name: &str = AsRef::as_ref(name);
        other.has == 0 && (held_since.is_some() || (other.since, name) < (waits_since, wish.owner))
    };
    let before_us = u32::try_from(others.iter().filter(is_before_us).count()).unwrap_or(u32::MAX);
    let left = fair.min(free.saturating_sub(before_us));
    let is_enough_for_all = u32::try_from(others.len()).unwrap_or(u32::MAX) < wish.cap;
    let keeps_one = held_since.is_some_and(|since| is_enough_for_all || !is_turn_over(since, wish.now));
    if keeps_one { left.max(fair.min(1)) } else { left }
}

/// A clock that was set back ends the turn as well.
fn is_turn_over(since: Timestamp, now: Timestamp) -> bool {
    Duration::try_from(now.duration_since(since)).map_or(true, |held| held >= TURN)
}

/// The max-min fair share of what the most demanding of them wants: the others' reserve, if they leave one, is left
/// alone.
fn fair(others_want: impl Iterator<Item = u32>, wants: u32, cap: u32) -> u32 {
    let mut wishes: Vec<u32> = others_want.chain([wants]).collect();
    wishes.sort_unstable();
    let mut left = wishes.last().copied().unwrap_or_default().min(cap);
    let mut waiting = u32::try_from(wishes.len()).unwrap_or(u32::MAX);
    for wish in wishes {
        let equal = left / waiting.max(1);
        // An owner that wants less than an equal share leaves the rest to the others.
        if wish > equal || wish == wants {
            return wants.min(equal.max(1));
        }
        left -= wish;
        waiting -= 1;
    }
    wants
}

#[cfg(test)]
mod tests;
