//! An operator's files on this machine: damper.toml, damper.lock, and the providers that they name, bound to their
//! components.
//!
//! - [`config`]: damper.toml, found, checked and read.
//! - [`provider`]: a provider's component, its manifest, and what the operator grants it.
//! - [`lock`]: damper.lock, which pins what each provider was granted.
//!
//! Not here: the settings of a provider's table (damper-plugins, which other programs use too), and anything that
//! prints. An error names its place and has a hint; the program shows both.

pub mod config;
mod environment;
pub mod lock;
pub mod provider;

pub use config::{Config, ConfigError};
pub use lock::LockError;
pub use provider::{Bound, FindError, OpenError};
