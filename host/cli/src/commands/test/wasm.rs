//! `damper test --wasm`: the crate's own tests, compiled for wasm and run in the engine of production.

use std::path::Path;

use crate::context::Context;
use crate::error::{CliError, Exit};

/// Run the tests of the crate in `folder`, with what is handed on to the test program.
///
/// # Errors
/// If there is no toolchain, or cargo cannot be run. That a test fails, cargo has said, and the exit says it again.
pub(super) fn run(folder: &Path, arguments: &[String], context: &Context) -> Result<Exit, CliError> {
    let program = std::env::current_exe().map_err(|error| CliError::internal("find this program's own file", error))?;
    let runner = [program.to_string_lossy().into_owned(), "wasm-runner".to_owned()];
    let passed = damper_toolchain::run_tests(folder, &runner, arguments, &context.for_builds())?;
    Ok(if passed { Exit::Done } else { Exit::BadInput })
}
