//! `damper wasm-runner`: cargo's runner for wasm32-wasip2, so that a provider's own tests run in the engine of
//! production.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use damper_plugins::program::{self, ProgramError, ProgramOutcome};

use crate::context::{self, Context};
use crate::error::{CliError, Exit};

/// The memory limit of a test program: much more than a provider's, since it holds all tests and their messages.
const MEMORY_BYTES: usize = 1 << 30;

/// Run a test program that cargo built for wasm32-wasip2; see `damper test --wasm`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  cargo test --target wasm32-wasip2         # with this in .cargo/config.toml:
                                            # [target.wasm32-wasip2]
                                            # runner = [\"damper\", \"wasm-runner\"]

The program gets its arguments, standard streams, clocks and random numbers, and nothing else.")]
pub(crate) struct WasmRunner {
    /// The program, a component of the world wasi:cli/command
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,

    /// Its arguments
    #[arg(value_name = "ARGUMENT", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Run the program.
///
/// # Errors
/// If it cannot be run; that it fails is told by the exit.
pub(crate) fn run(command: &WasmRunner, context: &Context) -> Result<Exit, CliError> {
    let bytes = fs::read(&command.file).map_err(CliError::file("read the program", &command.file))?;
    let name = command.file.display().to_string();
    let arguments: Vec<String> = std::iter::once(name).chain(command.arguments.iter().cloned()).collect();
    let ended = context::runtime()?.block_on(program::run(&bytes, &arguments, MEMORY_BYTES));
    match ended {
        Ok(ProgramOutcome::Exited(0)) => Ok(Exit::Done),
        Ok(ProgramOutcome::Exited(_)) => Ok(Exit::Unexpected),
        Ok(ProgramOutcome::Trapped(why)) => {
            context.screen.say(format!("the program trapped, as a panic does in WebAssembly: {why}"));
            Ok(Exit::Unexpected)
        }
        Err(ProgramError::Host(error)) => Err(error.into()),
        Err(error) => Err(CliError::input_in(
            &command.file,
            error.to_string(),
            "cargo makes one: `cargo test --target wasm32-wasip2`; the crate's tests need the SDK's feature `testing`",
        )),
    }
}
