//! The client against a registry in this process, which can do everything wrong, and against registries and clients
//! that others wrote.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test helpers fail by panicking")]

mod authorizing;
mod fake_registry;
mod interoperating;
mod pulling;
mod pushing;
mod signing;
mod storing;
