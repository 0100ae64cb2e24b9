//! The simulator: APIs as seeded state machines in virtual time, and around them Damper's limiter and pipeline, and the
//! algorithms that others have published for the same job.
//!
//! It answers one question: how much load does an algorithm put on an API, and with which goodput? The same seed gives
//! the same bytes. No simulated second takes a second, nothing here opens a socket, and nothing here is part of what
//! runs in production; [`live`] draws the chart of a real run. It is no load generator: it never calls a real API, and
//! it runs no components.
//!
//! Begin with [`simulate::run`] (the whole pipeline through one [`scenario`]), [`compare::limiters_alone`] (algorithms
//! side by side) or [`swarm::run`] (clusters under random faults, checked against what Damper promises).
//!
//! ```text
//!   Scenario ---> Api (answers)              ConcurrencyLimiter (decides)
//!       |              ^   |                             ^   |
//!       |              |   v                             |   v
//!       +----------> bare: the events of one or more algorithms against one API ---> Record ---> tables, JSON, charts
//! ```

pub mod algorithm;
pub mod api;
pub mod bare;
pub mod bench;
pub mod chart;
pub mod compare;
pub mod families;
pub mod live;
mod locks;
pub mod peers;
pub mod pipeline_run;
pub mod published;
pub mod random;
pub mod record;
pub mod scenario;
pub mod simulate;
pub mod swarm;
pub mod table;
#[cfg(test)]
mod test_scenarios;
pub mod units;
pub mod work;
