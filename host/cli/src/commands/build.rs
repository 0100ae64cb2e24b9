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
  damper build --release                    # and refuse it if it does not conform

The project's file decides the language: Cargo.toml is Rust, package.json is JavaScript or
TypeScript, pyproject.toml is Python. The component is written to target/damper/NAME.wasm in the
project's folder, or for a crate in its target folder.

The first build checks the compiler and installs missing parts of it. Rust: a toolchain for
wasm32-wasip2: an installed one, else one from rustup, else one from Debian's packages (about three
minutes, once). JavaScript: Node.js 20 or newer must be installed; npm fetches componentize-qjs and
esbuild into the cache. Python: Python 3.11 or newer must be installed; pip fetches componentize-py
into the cache.")]
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

    /// With --release: build a provider even if it does not conform
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
            "--output names one file, but several providers are given",
            "remove --output, or name one provider",
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
