//! `damper build`: from a crate to one .wasm file with its manifest inside.

mod cargo;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use damper_core::manifest::Manifest;
use damper_plugins::component_file::{ComponentFile, embed_manifest};

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::screen::{printable, put, size};
use crate::sdk::{self, Sdk};

const MANIFEST: &str = "provider.toml";

/// Compile a provider to one .wasm file with its manifest inside
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper build                              # the crate in the working folder
  damper build providers/gleif -o gleif.wasm

The component is written to target/damper/NAME.wasm, in the crate's own target folder. Before a
first build a toolchain for wasm32-wasip2 is made sure of: an installed one, else rustup's, else
(about three minutes, once) one made from Debian's packages in the cache.")]
pub(crate) struct Build {
    /// The providers' folders, with provider.toml and Cargo.toml
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,

    /// The file to write; with one PATH only
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Build providers, one after another.
///
/// # Errors
/// Where one cannot be built; those before it are done.
pub(crate) fn run(command: &Build, context: &Context) -> Result<Exit, CliError> {
    if command.output.is_some() && command.paths.len() > 1 {
        return Err(CliError::input(
            "--output names one file, and several providers are to be built",
            "leave --output out",
        ));
    }
    for built in build(&command.paths, command.output.as_deref(), context)? {
        put(format!("{}  {}", printable(&built.component.display().to_string()), size(built.bytes)))?;
    }
    Ok(Exit::Done)
}

/// A component that was built.
pub(crate) struct Built {
    /// Its file.
    pub(crate) component: PathBuf,
    /// Its size.
    pub(crate) bytes: u64,
}

/// Build the providers in these folders, one after another, each to where it belongs or to `output`.
///
/// # Errors
/// Where one cannot be built; those before it are done.
pub(crate) fn build(paths: &[PathBuf], output: Option<&Path>, context: &Context) -> Result<Vec<Built>, CliError> {
    let sources = paths.iter().map(|path| Source::read(path)).collect::<Result<Vec<_>, _>>()?;
    let cache = context.cache()?;
    // Also for a crate that was scaffolded: it depends on what lies there.
    let sdk = Sdk::unpack(&cache)?;
    let rustc = toolchain(&sdk, &cache)?;
    let each = |source: Source| {
        let made = cargo::build(&context.settings.cargo, &source.folder, &rustc)?;
        let own_place = || made.folder.join(format!("{}.wasm", source.manifest.name));
        let component = output.map_or_else(own_place, Path::to_path_buf);
        let bytes = source.assemble(&made.wasm, &component)?;
        Ok(Built { component, bytes })
    };
    sources.into_iter().map(each).collect()
}

/// Run the tests of the crate in `folder` as wasm, each program in this program's engine. Answers whether they pass.
///
/// # Errors
/// Where there is no toolchain, or cargo cannot be run.
pub(crate) fn run_tests(folder: &Path, arguments: &[String], context: &Context) -> Result<bool, CliError> {
    let cache = context.cache()?;
    let sdk = Sdk::unpack(&cache)?;
    let rustc = toolchain(&sdk, &cache)?;
    cargo::test(&context.settings.cargo, folder, &rustc, arguments)
}

/// A provider's crate, its manifest checked before anything is compiled.
struct Source {
    folder: PathBuf,
    manifest_text: String,
    manifest: Manifest,
}

impl Source {
    fn read(folder: &Path) -> Result<Self, CliError> {
        let folder = folder.strip_prefix(".").unwrap_or(folder);
        let path = folder.join(MANIFEST);
        for (file, what) in [(&path, "there is no manifest"), (&folder.join("Cargo.toml"), "there is no crate")] {
            if !file.is_file() {
                let hint = "name a provider's folder, which has both; `damper new NAME` makes one";
                return Err(CliError::input_in(file, what, hint));
            }
        }
        let manifest_text = fs::read_to_string(&path).map_err(CliError::file("read the manifest", &path))?;
        let manifest =
            Manifest::parse(&manifest_text).map_err(|source| CliError::Manifest { path, source: Box::new(source) })?;
        Ok(Self { folder: folder.to_path_buf(), manifest_text, manifest })
    }

    /// Put the manifest into what cargo made, check the whole, and write it. Answers its size in bytes.
    fn assemble(&self, wasm: &Path, output: &Path) -> Result<u64, CliError> {
        let compiled = fs::read(wasm).map_err(CliError::file("read what cargo made", wasm))?;
        let component = embed_manifest(&compiled, &self.manifest_text)?;
        let checked = ComponentFile::from_bytes(&output.display().to_string(), component)?;
        sdk::put(output, &checked.bytes)?;
        Ok(checked.bytes.len() as u64)
    }
}

/// A rustc that compiles for wasm32-wasip2. What it takes to get one is told on standard error.
fn toolchain(sdk: &Sdk, cache: &Path) -> Result<PathBuf, CliError> {
    let output = Command::new("sh")
        .arg(sdk.toolchain())
        .env("DAMPER_CACHE", cache)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| CliError::unexpected("run sh to look for a toolchain", error))?;
    let rustc = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || rustc.is_empty() {
        return Err(CliError::Tool {
            program: "the search for a wasm32-wasip2 toolchain",
            status: output.status.code(),
            hint: "what stands above says what to do".to_owned(),
        });
    }
    Ok(rustc.into())
}
