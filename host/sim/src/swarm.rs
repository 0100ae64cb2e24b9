//! The swarm: whole clusters in virtual time under random faults, with what Damper promises checked after every call.
//!
//! ```text
//!   seed --> Case (setup, fault plan) --> Cluster: processes --faulty ports--> ledger, sink, mappings, streams, clock
//!                 ^                          |         |
//!                 |                          |         +--requests--> SwarmApi, which counts them
//!              Shrinker <-- Violation <-- Invariants
//! ```
//!
//! Each seed draws a small cluster (some processes, providers, items, quotas) and a random subset of all kinds of
//! faults with rates of their own: swarm testing, after Groce, Zhang, Eide, Chen and Regehr, "Swarm Testing" (ISSTA
//! 2012). The pipeline, the limiter, the governor and the ports are those of production; the stores are in memory,
//! tokio's clock is paused, and the same seed gives the same bytes. [`damper_core::testing::faults`] describes each
//! fault. A seed that breaks a promise is made smaller until no fault of it can be left out.
//!
//! Records are not compressed here: compressing runs on another thread, whose timing no seed decides.

mod api;
mod books;
mod case;
mod checks;
mod cluster;
mod draw;
mod invariants;
mod outcome;
mod process;
mod shared;
mod shrink;
mod store;
mod stream;
pub mod sweep;

use std::time::Duration;

use tokio::runtime::Builder;

pub use case::{ApiSetup, Case, ItemKind, ItemSetup, ProviderSetup, Setup, Theme};
pub use invariants::{Invariant, Violation};
pub use outcome::Outcome;
pub use shrink::Shrinker;

use crate::swarm::cluster::Cluster;

/// Run a case to its end, or until it breaks a promise.
///
/// ```
/// use damper_sim::swarm::{Case, run};
///
/// // A seed draws a cluster and its faults; the same seed gives the same run.
/// let case = Case::draw(3);
/// let outcome = run(&case, false)?;
/// assert!(outcome.violation.is_none(), "{case}");
/// assert!(outcome.calls > 0 && outcome.requests > 0);
/// assert_eq!(run(&Case::draw(3), false)?.calls, outcome.calls);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// If the machine gives no runtime.
pub fn run(case: &Case, is_traced: bool) -> std::io::Result<Outcome> {
    let mut outcome = run_once(case, is_traced)?;
    if case.setup.theme == Theme::Pace && outcome.violation.is_none() {
        outcome.violation = is_slow(case, outcome.ended)?;
    }
    Ok(outcome)
}

fn run_once(case: &Case, is_traced: bool) -> std::io::Result<Outcome> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    // Within the runtime, so that no clock but its own is ever read.
    Ok(runtime.block_on(async { Cluster::new(case, is_traced).run().await }))
}

/// Whether a case takes much longer than it does where its API refuses nothing. A refusal may cost what it asks for,
/// and the last failed item its backoff. That it takes 1.5 times as long at most holds in the mean of many seeds, which
/// the scenarios check. In a single one the limiter may learn a rate that is too low; but not one below a request a
/// second.
fn is_slow(case: &Case, took: Duration) -> std::io::Result<Option<Violation>> {
    let mut calm = case.clone();
    let mut pauses = Duration::ZERO;
    for provider in &mut calm.setup.providers {
        let refusals = provider.api.throttled * provider.items.len() as f64;
        pauses += provider.api.retry_after.unwrap_or_default().mul_f64(refusals);
        (provider.api.throttled, provider.api.unavailable) = (0.0, 0.0);
    }
    let usual = run_once(&calm, false)?.ended;
    let requests = case.setup.providers.iter().map(|provider| provider.items.len() as u64).sum();
    let most = usual.mul_f64(1.5) + pauses.mul_f64(1.5) + Duration::from_secs(60) + Duration::from_secs(requests);
    let what = || format!("it took {took:?}, and at most {most:?} is allowed; without refusals it takes {usual:?}");
    Ok((took > most).then(|| Violation { invariant: Invariant::Pace, at: took, what: what() }))
}

#[cfg(test)]
mod tests;
