//! Building components: from a project in Rust, JavaScript or Python to one `.wasm` file with its manifest inside.
//!
//! A [`Project`] is a provider's folder, its manifest checked. [`Builder`] compiles it with the tools of its
//! [`Language`], which are found on the machine or installed into the cache once. [`Sdk`] holds the SDKs and the
//! contract and unpacks them into the cache; [`scaffold()`] makes a new project.
//!
//! The program passes in the environment, the cache and a place for messages ([`BuildContext`]). This crate has no
//! command line, reads no environment, and runs no component.

mod build_context;
mod builder;
mod built_component;
mod cargo;
mod compiled;
mod environment;
mod error;
mod files;
mod javascript;
mod language;
mod project;
mod python;
mod recipe;
mod reuse;
mod rust_toolchain;
mod scaffold;
mod sdk;
mod tools;

pub use build_context::{BuildContext, Progress};
pub use builder::{Builder, Built, build, locate_component, run_tests};
pub use built_component::{find_built, is_newer};
pub use compiled::BUILT_FOLDER;
pub use environment::BuildEnvironment;
pub use error::{ToolchainError, untrusted_hint};
pub use files::replace_file;
pub use javascript::LEAST_NODE;
pub use language::Language;
pub use project::Project;
pub use python::LEAST_PYTHON;
pub use recipe::Recipe;
pub use rust_toolchain::RustToolchain;
pub use scaffold::{check_project_name, scaffold};
pub use sdk::Sdk;
pub use tools::check_programs;
