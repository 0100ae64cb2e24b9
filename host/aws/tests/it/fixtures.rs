//! A day, its times and its items, for tests of one ledger.

use damper_core::day::Day;
use damper_core::item::{Identity, Params};
use jiff::Timestamp;

/// A fixed instant of [`today`] plus this many seconds.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

pub(crate) fn today() -> Day {
    "2026-11-22".parse().unwrap()
}

pub(crate) fn identity(id: &str) -> Identity {
    Identity::of(id, &Params::new(), &[]).unwrap()
}
