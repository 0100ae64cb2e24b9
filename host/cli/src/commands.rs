//! The commands, a module each. Shared code is in the parent module.

pub(crate) mod build;
pub(crate) mod compile_component;
pub(crate) mod config;
pub(crate) mod dead_letters;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod feed;
pub(crate) mod fetch;
pub(crate) mod inspect;
pub(crate) mod lock;
pub(crate) mod new;
#[cfg(feature = "package")]
pub(crate) mod package;
pub(crate) mod pause;
#[cfg(feature = "registry")]
pub(crate) mod pull;
#[cfg(feature = "registry")]
pub(crate) mod push;
#[cfg(feature = "registry")]
mod registry;
pub(crate) mod replay;
pub(crate) mod resume;
pub(crate) mod run;
pub(crate) mod simulate;
pub(crate) mod status;
pub(crate) mod test;
#[cfg(feature = "registry")]
pub(crate) mod verify;
pub(crate) mod wasm_runner;

use crate::args::Command;
use crate::context::Context;
use crate::error::{CliError, Exit};

/// Do what was asked for.
///
/// # Errors
/// If it cannot be done.
pub(crate) fn run(command: Command, context: &Context) -> Result<Exit, CliError> {
    match command {
        Command::New(command) => new::run(&command, context),
        Command::Build(command) => build::run(&command, context),
        Command::Test(command) => test::run(&command, context),
        Command::Inspect(command) => inspect::run(&command),
        Command::Doctor(command) => doctor::run(&command, context),
        Command::Lock(command) => lock::run(&command, context),
        Command::Config(command) => config::run(&command, context),
        Command::Fetch(command) => fetch::run(&command, context),
        Command::Feed(command) => feed::run(&command, context),
        Command::Run(command) => run::run(&command, context),
        Command::Export(command) => export::run(&command, context),
        Command::Status(command) => status::run(&command, context),
        Command::Pause(command) => pause::run(&command, context),
        Command::Resume(command) => resume::run(&command, context),
        Command::DeadLetters(command) => dead_letters::run(&command, context),
        Command::Replay(command) => replay::run(&command, context),
        Command::Simulate(command) => simulate::run(&command, context),
        #[cfg(feature = "package")]
        Command::Package(command) => package::run(&command, context),
        #[cfg(feature = "registry")]
        Command::Push(command) => push::run(&command, context),
        #[cfg(feature = "registry")]
        Command::Pull(command) => pull::run(&command, context),
        #[cfg(feature = "registry")]
        Command::Verify(command) => verify::run(&command, context),
        Command::WasmRunner(command) => wasm_runner::run(&command, context),
        Command::CompileComponent(command) => Ok(compile_component::run(&command)),
    }
}
