//! The policies, by their ids, and the requests that each needs. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The most polls that an ordinary policy needs.
const MOST_POLLS: u32 = 3;

/// What happens to the orders of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A document after one to three polls.
    Ordinary,
    /// `unknown-...`: the same, and the document says that there is no such policy.
    Unknown,
    /// `forgotten-...`: the API does not know its first job any more when it is asked for; it knows the second.
    Forgotten,
    /// `locked-...`: somebody edits it, until so many others have their documents. Each poll is told to come back much
    /// later.
    Locked,
}

impl Kind {
    /// The kind of an id.
    #[must_use]
    pub fn of(policy: &str) -> Self {
        let kinds = [("unknown-", Self::Unknown), ("forgotten-", Self::Forgotten), ("locked-", Self::Locked)];
        kinds.into_iter().find(|(prefix, _)| policy.starts_with(prefix)).map_or(Self::Ordinary, |(_, kind)| kind)
    }
}

/// How many polls that keep to Retry-After a job of this policy needs until it is ready; more if
/// the policy is locked.
#[must_use]
pub fn polls_needed(policy: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    policy.hash(&mut hasher);
    1 + u32::try_from(hasher.finish() % u64::from(MOST_POLLS)).unwrap_or_default()
}

/// How many requests the policy needs where none is refused: an order and its polls. A forgotten job needs a poll that
/// finds out and another order.
#[must_use]
pub fn requests_needed(policy: &str) -> u64 {
    let forgotten = if Kind::of(policy) == Kind::Forgotten { 2 } else { 0 };
    u64::from(1 + polls_needed(policy)) + forgotten
}

/// `count` policies in the order in which they are fed: the first is locked, five of a hundred are unknown, and five of
/// a hundred are forgotten once.
#[must_use]
pub fn list(count: usize) -> Vec<String> {
    let id = |number: usize| match number {
        0 => "locked-00000".to_owned(),
        _ if number % 20 == 7 => format!("unknown-{number:05}"),
        _ if number % 20 == 13 => format!("forgotten-{number:05}"),
        _ => format!("P-{number:05}"),
    };
    (0..count).map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_among_the_policies_and_needs_its_requests() {
        let policies = list(60);
        let of = |kind| policies.iter().filter(|policy| Kind::of(policy) == kind).count();
        let counts = [Kind::Ordinary, Kind::Unknown, Kind::Forgotten, Kind::Locked].map(of);
        assert_eq!(counts, [53, 3, 3, 1]);
        for policy in &policies {
            let extra = if Kind::of(policy) == Kind::Forgotten { 2 } else { 0 };
            assert!((2 + extra..=4 + extra).contains(&requests_needed(policy)), "{policy}");
        }
        let polls: std::collections::BTreeSet<u32> = policies.iter().map(|policy| polls_needed(policy)).collect();
        assert_eq!(polls.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
    }
}
