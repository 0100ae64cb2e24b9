//! The command line: its commands, and what is common to all.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand};

#[cfg(feature = "package")]
use crate::commands::package;
use crate::commands::{
    build, compile_component, config, dead_letters, doctor, export, feed, fetch, inspect, lock, new, pause, replay,
    resume, run, simulate, status, test, wasm_runner,
};
#[cfg(feature = "registry")]
use crate::commands::{pull, push, verify};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const AFTER_HELP: &str = "\
Example: a first provider, from nothing to its records
  damper new catfacts && cd catfacts
  damper build
  printf '1\\n2\\n3\\n' | damper feed catfacts -
  damper run catfacts
  damper export catfacts

Exit codes:
  0  all done
  1  an unexpected failure
  2  the command line is wrong
  3  a provider is stopped (its breaker is open) and needs an operator
  4  bad input: a file, an id, a manifest, damper.toml or a component
  5  a storage failure: the database, the output folder or the disk; with --aws an AWS service;
     in push, pull and verify the registry
  6  work is left: a signal stopped the run, the window is closed, the day's quota is spent, or
     items wait more than five minutes for their next attempt; run again
A second signal ends the program at once. The exit code is then 128 plus the signal's number (130
for Ctrl-C).
If several apply to one run, the exit code is the first of 1, 5, 4, 3, 6.

Environment:
  AWS_...       with --aws: the standard variables of AWS tools, such as AWS_PROFILE
  DAMPER_CACHE  the folder of the SDK, toolchains and compiled components; default ~/.cache/damper
  DAMPER_HARDENING
                hardening layers to turn off in run and fetch: no-files, no-system-calls, no-dumps;
                off turns off all of them
  DAMPER_LOG    the level or filter of the log on standard error, such as debug; default warn
  DOCKER_CONFIG the folder of docker's config.json, for credentials in push, pull and verify;
                default ~/.docker
  NO_COLOR      no colours";

/// Fetch records from third-party APIs through WebAssembly providers, once a day and within each API's limits.
#[derive(Debug, Parser)]
#[command(name = "damper", version, styles = STYLES, after_help = AFTER_HELP, max_term_width = 100, propagate_version = false)]
pub(crate) struct Args {
    /// The operator's configuration; default: the nearest damper.toml, from the working folder upwards
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub(crate) config: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    New(new::New),
    Build(build::Build),
    Test(test::Test),
    Inspect(inspect::Inspect),
    Doctor(doctor::Doctor),
    Lock(lock::LockCommand),
    Config(config::ConfigCommand),
    Fetch(fetch::Fetch),
    Feed(feed::Feed),
    Run(run::Run),
    Export(export::Export),
    Status(status::Status),
    Pause(pause::Pause),
    Resume(resume::Resume),
    DeadLetters(dead_letters::DeadLetters),
    Replay(replay::Replay),
    Simulate(simulate::Simulate),
    #[cfg(feature = "package")]
    Package(package::Package),
    #[cfg(feature = "registry")]
    Push(push::Push),
    #[cfg(feature = "registry")]
    Pull(pull::Pull),
    #[cfg(feature = "registry")]
    Verify(verify::Verify),
    #[command(hide = true)]
    WasmRunner(wasm_runner::WasmRunner),
    #[command(hide = true)]
    CompileComponent(compile_component::CompileComponent),
}
