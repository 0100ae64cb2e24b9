//! Building components: from a project in Rust, JavaScript or Python to one `.wasm` file with its manifest inside.
//!
//! A [`Project`] is a provider's folder, its manifest checked. [`Builder`] compiles it with the tools of its
//! [`Language`], which are found on the machine or installed into the cache once. [`sdk`] holds the SDKs and the
//! contract and unpacks them into the cache; [`scaffold`] makes a new project.
//!
//! The program passes in the environment, the cache and a place for messages ([`BuildContext`]). This crate has no
//! command line, reads no environment, and runs no component.

mod build_context;
mod builder;
mod cargo;
mod compiled;
mod environment;
mod error;
mod files;
mod javascript;
mod language;
mod project;
mod python;
pub mod scaffold;
pub mod sdk;
mod tools;

pub use build_context::{BuildContext, Progress};
pub use builder::{Builder, Built, build, locate_component, run_tests};
pub use compiled::BUILT_FOLDER;
pub use environment::BuildEnvironment;
pub use error::{ToolchainError, untrusted_hint};
pub use files::replace_file;
pub use language::Language;
pub use project::Project;
pub use tools::check_programs;
