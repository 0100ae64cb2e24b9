//! The plugin host, built on wasmtime: it runs components as fetchers of records.
//!
//! A provider is one file, a component with its manifest inside ([`component_file`]). [`PluginHost`] turns it, together with
//! what the operator grants ([`grants`]), into a [`Plugin`], which fetches records: each fetch in a fresh instance with its own
//! memory, limits and time, behind an egress policy that sees every request. The component model's generated types, wasmtime
//! and the HTTP client stay inside; outside there is only `damper_core::fetcher::Fetcher`.
//!
//! Begin with the three steps from a file to a record:
//!
//! 1. [`component_file::ComponentFile::read`] reads and checks the file.
//! 2. [`settings::bind`] combines its manifest with an operator's settings into limits and grants.
//! 3. [`PluginHost::load`] makes a [`Plugin`] of them. In a deployment package components are compiled already:
//!    [`package::Package`], [`PluginHost::load_packaged`].
//!
//! [`ownership`] checks that other users of the machine cannot change files and folders.
//!
//! This crate has no streams and no retries, and it reads no settings file and no environment.

mod artifacts;
mod bindings;
mod compiled;
#[cfg(feature = "compile")]
pub mod compiler;
pub mod component_file;
mod credentials;
mod egress;
mod engine;
mod execution_marks;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod grants;
mod guest_call;
mod host;
mod host_call_driver;
mod host_functions;
mod host_memory;
mod http_client;
mod machine;
mod memory_budget;
mod output;
pub mod ownership;
pub mod package;
mod plugin;
mod pools;
#[cfg(feature = "compile")]
pub mod program;
mod provider_cache;
mod recorded_exchange;
mod request_log;
mod resolver;
pub mod settings;
mod spellings;
mod store_data;
mod test_environment;
mod text;
mod wasi;

pub use artifacts::{Cache, CacheKey, CacheKeyError};
pub use credentials::CredentialError;
pub use engine::has_pagemap_scan;
pub use execution_marks::{CrashMarks, ExecutionMarks, MarkedComponent};
pub use guest_call::RequestTrace;
pub use host::{HostError, HostOptions, LoadError, PluginHost};
pub use http_client::ProxyError;
pub use machine::{MemoryLimits, available_memory};
pub use output::{Level, LogLine, Source};
pub use plugin::{Plugin, TracedFetch, Usage};
pub use recorded_exchange::{RecordedExchange, RecordedResponse, is_private_header};
pub use resolver::{Resolver, SystemResolver};
pub use spellings::spellings;
pub use test_environment::{TestEnvironment, TestEnvironmentError};
