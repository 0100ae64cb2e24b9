//! The control of the load on an API: small pure state machines. Time is passed in, decisions are returned; no I/O, no
//! tokio, no clock.

pub mod admission;
pub mod breaker;
pub mod crashes;
pub mod failing;
pub mod failure_monitor;
pub mod governor;
pub mod item;
pub mod limiter;
pub mod pacer;
pub mod quota;
pub mod rebase;
pub mod slots;
pub mod window;
