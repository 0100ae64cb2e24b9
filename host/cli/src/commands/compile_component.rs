//! `damper compile-component`: what `damper` starts itself with to compile a component, so that what the compiler uses
//! is limited.

use std::io::{self, Write};

use clap::Args;
use damper_hardening::{Hardening, Policy, restrict};
use damper_plugins::compiler::compile_for_parent;

use crate::error::Exit;

/// Compile a component from standard input to standard output, within limits; only `damper` itself starts this
#[derive(Debug, Args)]
pub(crate) struct CompileComponent {
    /// The name of the settings to compile with
    #[arg(value_name = "SETTINGS")]
    settings: String,

    /// Layers of hardening to leave out, as DAMPER_HARDENING names them
    #[arg(long, value_name = "LAYERS", default_value = "")]
    hardening: Hardening,
}

/// Compiles it, without files, connections and other programs, because a compiler is not made for hostile input. If
/// that fails, the reason goes to standard error, where the process reads it that started this one.
pub(crate) fn run(command: &CompileComponent) -> Exit {
    // It needs nothing but its pipes; a layer that the system does not have is missing here, too.
    let _report = restrict(&Policy::for_computing(), command.hardening);
    match compile_for_parent(&command.settings) {
        Ok(()) => Exit::Done,
        Err(why) => {
            // There is nobody else to tell.
            let _ = writeln!(io::stderr(), "{why}");
            Exit::BadInput
        }
    }
}
