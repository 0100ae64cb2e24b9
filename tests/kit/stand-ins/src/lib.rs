//! Stand-ins for AWS in Damper's tests: moto and ministack, from PyPI, in a virtual environment of the project's own.
//!
//! ```ignore
//! let Some(moto) = damper_stand_ins::moto() else { return };
//! let client = aws_sdk_dynamodb::Client::new(&damper_stand_ins::sdk_config(moto.endpoint()));
//! ```
//!
//! Each listens on a free port of loopback and ends with the process that started it, however that ends. All tests of a
//! process share one: name tables, streams and buckets apart ([`unique`]). If Python or its packages cannot be had, the
//! test says that it did not run; in CI (`CI=true`) that is a failure.
//!
//! Both are good for conditions, and ministack for request units; neither has a faithful event source mapping.
//!
//! [`chaos`] is a proxy that a test puts before one of them: it loses answers, repeats requests, and the like.
//!
//! Beside these there is AWS's own Runtime Interface Emulator ([`rie()`]), built with Go, and AWS's DynamoDB Local
//! ([`dynamodb_local()`]), where somebody has it; and registries for components, built with Go too: [`crane()`], which
//! is also a client, and [`distribution()`], CNCF's own, which takes a few minutes to build.
#![allow(clippy::panic, clippy::expect_used, reason = "test support fails by panicking")]

pub mod chaos;
mod dynamodb_local;
mod environment;
mod go;
mod once;
mod python;
mod registries;
mod resources;
mod rie;
mod sdk;
pub mod serve;
mod server;
mod tied;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

pub use dynamodb_local::dynamodb_local;
pub use python::python;
pub use registries::{RunningRegistry, crane, distribution};
pub use resources::{create_ledger_table, create_stream};
pub use rie::rie;
pub use sdk::{ACCESS_KEY, REGION, sdk_config, with_access_key};
pub use server::{StandIn, free_port};
pub use tied::TiedProcess;

use server::Kind;

/// The moto server of this process: Lambda's mapping API, Kinesis, DynamoDB, S3, Secrets Manager, CloudFormation.
/// `None`: it cannot be had here, which is said on the terminal.
///
/// # Panics
/// If it cannot be had in CI.
#[must_use]
pub fn moto() -> Option<&'static StandIn> {
    static MOTO: OnceLock<Result<StandIn, String>> = OnceLock::new();
    shared_stand_in(&MOTO, Kind::Moto)
}

/// The ministack of this process: the same, and request units, and functions run from their zip without docker.
/// `None`: it cannot be had here, which is said on the terminal.
///
/// # Panics
/// If it cannot be had in CI.
#[must_use]
pub fn ministack() -> Option<&'static StandIn> {
    static MINISTACK: OnceLock<Result<StandIn, String>> = OnceLock::new();
    shared_stand_in(&MINISTACK, Kind::Ministack)
}

/// The target folder that the running program was built into: what else was built lies there.
#[must_use]
pub fn target_folder() -> std::path::PathBuf {
    environment::target_folder()
}

/// A ministack of this process that asks the policies of roles and buckets who may do what, so that a function can do
/// what its role says and no more. `None`: it cannot be had here, which is said on the terminal.
///
/// # Panics
/// If it cannot be had in CI.
#[must_use]
pub fn ministack_with_roles() -> Option<&'static StandIn> {
    static MINISTACK: OnceLock<Result<StandIn, String>> = OnceLock::new();
    shared_stand_in(&MINISTACK, Kind::MinistackWithRoles)
}

/// A name that no other test of any process uses, for example `ledger-4711-3`.
#[must_use]
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{what}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn shared_stand_in(cell: &'static OnceLock<Result<StandIn, String>>, kind: Kind) -> Option<&'static StandIn> {
    match cell.get_or_init(|| StandIn::start(kind)) {
        Ok(stand_in) => Some(stand_in),
        Err(why) => {
            missing(kind.name(), why);
            None
        }
    }
}

/// Say that the test of this thread does not run.
///
/// # Panics
/// In CI, where everything has to be there.
fn missing(what: &str, why: &str) {
    assert!(!environment::in_ci(), "{what} is needed in CI and cannot be had: {why}");
    not_run(what, why);
}

/// The same, for what may be missing in CI too.
fn not_run(what: &str, why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    environment::say(&format!("not run: {test}: {what} cannot be had: {why}"));
}
