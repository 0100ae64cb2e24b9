//! From components to what is deployed to AWS: one zip for each architecture, the stacks' templates, and the inputs of
//! the Terraform modules.
//!
//! [`PreparedProvider`] is a component that can run in Lambda as the operator set it up. [`Packaging`] puts several of
//! them into the zips with `bootstrap`, Lambda's program, and writes the zips and the templates into a folder
//! ([`Dist`]); or it says what that would change, without building anything. The same input gives the same bytes.
//!
//! This crate has no command line and calls no service of AWS. The caller decides which providers are packaged.

mod archive;
mod bootstrap;
mod changes;
mod dashboard;
mod dist;
mod elf;
mod error;
mod packaging;
mod prepared_provider;
mod removals;
mod retention;
mod stacks;
mod templates;
mod terraform;
mod timeout;
mod zips;

pub use bootstrap::Bootstraps;
pub use changes::FileOutcome;
pub use dist::{Change, Dist, PROVIDERS};
pub use error::PackagingError;
pub use packaging::{Packaged, Packaging};
pub use prepared_provider::{OperatorSettings, PreparedProvider};
pub use retention::StreamRetention;
pub use stacks::{SHARED, select_isolated};
pub use templates::{Code, Codes};
pub use zips::zip_name;
