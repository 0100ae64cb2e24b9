//! `damper build`: from a project of whichever language to one .wasm file with its manifest inside.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use crate::commands::test::conformance;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::screen::{printable, put, size};

/// Compile a provider to one .wasm file with its manifest inside
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper build                              # the provider in the working folder
  damper build providers/gleif -o gleif.wasm
  damper build --release                    # and refuse it where it does not conform

The language is told by the project's file: Cargo.toml is Rust, package.json JavaScript or
TypeScript, pyproject.toml Python. The component is written to target/damper/NAME.wasm in the
project's folder (a crate's: in its target folder).

What compiles it is made sure of before a first build. Rust: a toolchain for wasm32-wasip2, an
installed one, else rustup's, else (about three minutes, once) one made from Debian's packages.
JavaScript: Node.js 20 or newer, and componentize-qjs and esbuild, which npm fetches into the cache.
Python: Python 3.11 or newer, and componentize-py, which pip fetches into the cache.")]
pub(crate) struct Build {
    /// The providers' folders, with provider.toml and the project's file
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,

    /// The file to write; with one PATH only
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Refuse a provider that fails `damper test --conformance`
    #[arg(long)]
    release: bool,

    /// Let it through all the same
    #[arg(long, requires = "release")]
    no_conformance: bool,
}

/// Build providers, one after another.
///
/// # Errors
/// If one cannot be built; those before it are done.
pub(crate) fn run(command: &Build, context: &Context) -> Result<Exit, CliError> {
    if command.output.is_some() && command.paths.len() > 1 {
        return Err(CliError::input(
            "--output names one file, and several providers are to be built",
            "leave --output out",
        ));
    }
    let built = damper_toolchain::build(&command.paths, command.output.as_deref(), &context.for_builds())?;
    for (folder, built) in command.paths.iter().zip(built) {
        if command.release && !command.no_conformance {
            // A refused component is removed, so that nobody takes it for a release.
            conformance::require(&built.component, folder, context)
                .inspect_err(|_| drop(fs::remove_file(&built.component)))?;
        }
        put(format!("{}  {}", printable(&built.component.display().to_string()), size(built.bytes)))?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    #[test]
    fn components_are_looked_for_where_they_are_built() {
        assert_eq!(damper_config::provider::BUILT, damper_toolchain::BUILT_FOLDER);
    }
}
