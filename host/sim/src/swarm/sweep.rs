//! `damper-sim swarm`: many seeds, on all cores, and what came of them for people.

use std::fmt::Write;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::locks::lock;
use crate::swarm::case::Case;
use crate::swarm::invariants::Violation;
use crate::swarm::run;
use crate::swarm::shrink::Shrinker;

/// The results of many seeds.
#[derive(Debug, Default)]
pub struct Sweep {
    /// How many were run.
    pub seeds: u64,
    /// Calls of ports, and requests at APIs, in all of them.
    pub calls: u64,
    /// Requests at APIs.
    pub requests: u64,
    /// The seeds that broke a promise, in order.
    pub failures: Vec<(u64, Violation)>,
}

/// Run `seeds` seeds from `from` on, on all cores; where `is_one_enough`, only until one has broken a promise.
/// `on_failure` is told of each that does, as it is found.
#[must_use]
pub fn sweep(from: u64, seeds: u64, is_one_enough: bool, on_failure: impl Fn(u64, &Violation) + Sync) -> Sweep {
    let next = AtomicU64::new(from);
    let found = Mutex::new(Sweep::default());
    let on_failure = &on_failure;
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let is_enough = is_one_enough && !lock(&found).failures.is_empty();
                    if seed >= from.saturating_add(seeds) || is_enough {
                        return;
                    }
                    let Ok(outcome) = run(&Case::draw(seed), false) else { return };
                    let mut found = lock(&found);
                    found.seeds += 1;
                    found.calls += outcome.calls;
                    found.requests += outcome.requests;
                    if let Some(violation) = outcome.violation {
                        on_failure(seed, &violation);
                        found.failures.push((seed, violation));
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.failures.sort_by_key(|(seed, _)| *seed);
    found
}

/// A seed that breaks a promise, made as small as can be, in words.
#[must_use]
pub fn explain(seed: u64, violation: &Violation) -> String {
    let smallest = Shrinker::new(Case::draw(seed), violation.invariant).shrink();
    describe_run(&smallest)
}

/// A case with what happens in it, in words.
#[must_use]
pub fn describe_run(case: &Case) -> String {
    let mut text = case.to_string();
    match run(case, true) {
        Ok(outcome) => {
            for line in &outcome.trace {
                // Writing to a string does not fail.
                let _ = writeln!(text, "{line}");
            }
            if outcome.violation.is_none() {
                text.push_str("every invariant holds\n");
            }
        }
        Err(error) => {
            let _ = writeln!(text, "no runtime: {error}");
        }
    }
    text
}
