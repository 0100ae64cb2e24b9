//! The engine: how components are compiled, where their compiled code is kept, and the pools of their instances.

mod artifacts;
mod code_settings;
mod compiled;
#[cfg(feature = "compile")]
pub mod compiler;
mod components;
mod execution_marks;
mod pooled_engine;
mod pools;

pub(crate) use artifacts::Artifacts;
pub use artifacts::{Cache, CacheKey, CacheKeyError};
pub use code_settings::Architecture;
pub(crate) use code_settings::{CodeSettings, engine_version};
pub(crate) use compiled::ComponentSource;
pub(crate) use components::{ComponentStore, LazyComponent};
pub(crate) use execution_marks::MarkedItem;
pub use execution_marks::{CrashMarks, ExecutionMarks, MarkedComponent};
pub use pooled_engine::has_pagemap_scan;
#[cfg(feature = "compile")]
pub(crate) use pooled_engine::new_on_demand;
pub(crate) use pools::Pools;
