//! The simulator: APIs as seeded state machines in virtual time, and around them Damper's limiter and pipeline, and the
//! algorithms that others have published for the same job.
//!
//! It answers one question: how much load does an algorithm put on an API, and with which goodput? The same seed gives
//! the same bytes. No simulated second takes a second, nothing here opens a socket, and nothing here is part of what
//! runs in production; [`live`] draws the chart of a real run.
//!
//! ```text
//!   Scenario ---> Api (answers)              ConcurrencyLimiter (decides)
//!       |              ^   |                             ^   |
//!       |              |   v                             |   v
//!       +----------> bare: the events of one or more algorithms against one API ----> Record ----> tables, JSON, charts
//! ```

pub mod algorithm;
pub mod api;
pub mod bare;
pub mod bench;
pub mod chart;
pub mod compare;
pub mod families;
pub mod live;
pub mod peers;
pub mod pipeline_run;
pub mod published;
pub mod random;
pub mod record;
pub mod scenario;
pub mod simulate;
pub mod swarm;
pub mod table;
pub mod units;
