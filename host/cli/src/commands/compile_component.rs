//! `damper compile-component`: what `damper` starts itself with to compile a component, so that what the compiler uses is limited.

use std::io::{self, Write};

use clap::Args;
use damper_hardening::{Hardening, Policy, restrict};
use damper_plugins::compiler::compile_for_parent;

use crate::error::Exit;

/// Compile a component from standard input to standard output, within limits; `damper` starts this itself
#[derive(Debug, Args)]
pub(crate) struct CompileComponent {
    /// The name of the settings to compile with
    #[arg(value_name = "SETTINGS")]
    settings: String,
}

/// Compile it, without files, connections and other programs: a compiler was not made for hostile input. The process that started this one reads why, where that fails.
pub(crate) fn run(command: &CompileComponent) -> Exit {
    // It needs nothing but its pipes; a layer that the system does not have is missing here, too.
    let _report = restrict(&Policy::for_computing(), Hardening::default());
    match compile_for_parent(&command.settings) {
        Ok(()) => Exit::Done,
        Err(why) => {
            // There is nobody else to tell.
            let _ = writeln!(io::stderr(), "{why}");
            Exit::BadInput
        }
    }
}
