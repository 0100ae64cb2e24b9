//! The plugin host, built on wasmtime: it runs components as fetchers of records.
//!
//! A provider is one file, a component with its manifest inside ([`component_file`]). [`PluginHost`] turns it, together
//! with what the operator grants ([`grants`]), into a [`Plugin`], which fetches records: each fetch in a fresh instance
//! with its own memory, limits and time, behind an egress policy that sees every request. The component model's
//! generated types, wasmtime and the HTTP client stay inside; outside there is only `damper_core::fetcher::Fetcher`.
//!
//! [`settings`] combines an operator's settings for a provider with the provider's manifest. [`ownership`] checks that
//! other users of the machine cannot change files and folders.
//!
//! Begin with the three steps from a file to a record:
//!
//! 1. [`component_file::ComponentFile::read`] reads and checks the file.
//! 2. [`settings::bind`] combines its manifest with an operator's settings into limits and grants.
//! 3. [`PluginHost::load`] makes a [`Plugin`] of them. In a deployment package components are compiled already:
//!    [`package::Package`], [`PluginHost::load_packaged`].
//!
//! A folder uses only those below it in this list:
//!
//! ```text
//! host, program      one engine for all providers; programs of WASI in the same engine
//! plugin             a provider that is ready to fetch: a call from its instance to its report
//! engine, package    compiling, compiled code and where it is kept, pools of instances, marks of running components
//! instance           the host's side of one instance: its store, and the functions that it may call
//! http_client        requests, hop by hop, with their credentials and over their connections
//! call               one call: permits, deadlines, output, use of memory
//! capture            what is kept of a call's requests
//! settings           an operator's settings and a manifest become grants
//! credentials        secrets in the form that requests need, tokens, signatures
//! egress             the requests and addresses that are allowed
//! memory             the memory of the process, of a provider and of a call
//! redaction          texts without secrets, harmless to terminals and logs
//! component_file     a provider's file, its contract and its limits
//! grants, bindings   what an operator grants; the contract's generated types
//! digest, lock, ownership, test_environment
//! ```
//!
//! This crate has no streams and no retries, and it reads no settings file and no environment.

mod bindings;
mod call;
mod capture;
pub mod component_file;
mod credentials;
mod digest;
mod egress;
mod engine;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod grants;
mod host;
mod http_client;
mod instance;
mod lock;
mod memory;
pub mod ownership;
pub mod package;
mod plugin;
#[cfg(feature = "compile")]
pub mod program;
mod redaction;
pub mod settings;
mod test_environment;

pub use call::{Level, LogLine, Source, Usage};
pub use capture::{RecordedExchange, RecordedResponse, RequestTrace, is_private_header};
pub use credentials::{CredentialError, KeyCounting, TokenSharing};
pub use egress::{Resolver, SystemResolver, remove_parameter};
#[cfg(feature = "compile")]
pub use engine::compiler;
pub use engine::{Cache, CacheKey, CacheKeyError, CrashMarks, ExecutionMarks, MarkedComponent, has_pagemap_scan};
pub use host::{HostError, HostOptions, PluginHost};
pub use http_client::ProxyError;
pub use instance::CachedValues;
pub use memory::{MemoryLimits, available_memory};
pub use plugin::{LoadError, Plugin, TracedFetch};
pub use redaction::spellings;
pub use test_environment::{TestEnvironment, TestEnvironmentError};
