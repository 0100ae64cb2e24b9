//! `damper build`: from a project of whichever language to one .wasm file with its manifest inside.

mod cargo;
mod javascript;
mod python;
pub(crate) mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use clap::Args;
use damper_core::manifest::Manifest;
use damper_plugins::component_file::{ComponentFile, HOST_CONTRACT, SdkStamp, embed_manifest, embed_stamp};

use crate::commands::test::conformance;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::language::Language;
use crate::screen::{printable, put, size};
use crate::sdk::{self, Sdk};
use crate::settings::build_tool;

const MANIFEST: &str = "provider.toml";

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
    for (folder, built) in command.paths.iter().zip(build(&command.paths, command.output.as_deref(), context)?) {
        if command.release && !command.no_conformance {
            // A refused component is removed, so that nobody takes it for a release.
            conformance::require(&built.component, folder, context)
                .inspect_err(|_| drop(fs::remove_file(&built.component)))?;
        }
        put(format!("{}  {}", printable(&built.component.display().to_string()), size(built.bytes)))?;
    }
    Ok(Exit::Done)
}

/// A component that was built.
#[derive(Debug)]
pub(crate) struct Built {
    /// Its file.
    pub(crate) component: PathBuf,
    /// Its size.
    pub(crate) bytes: u64,
}

/// Build the providers in these folders, of whichever language, one after another, each to where it belongs or to `output`.
///
/// # Errors
/// If one cannot be built; those before it are done.
pub(crate) fn build(paths: &[PathBuf], output: Option<&Path>, context: &Context) -> Result<Vec<Built>, CliError> {
    let sources = paths.iter().map(|path| Source::read(path)).collect::<Result<Vec<_>, _>>()?;
    let mut builder = Builder::new(context)?;
    sources.iter().map(|source| builder.build(source, output)).collect()
}

/// Run the tests of the crate in `folder` as wasm, each program in this program's engine. Returns whether they pass.
///
/// # Errors
/// If there is no toolchain, or cargo cannot be run.
pub(crate) fn run_tests(folder: &Path, arguments: &[String], context: &Context) -> Result<bool, CliError> {
    let cache = context.cache()?;
    let sdk = Sdk::unpack(&cache)?;
    let rustc = toolchain(&sdk, &cache)?;
    cargo::test(&context.settings.cargo, folder, &rustc, arguments)
}

/// Builds providers with what their languages need.
pub(crate) struct Builder<'a> {
    context: &'a Context,
    cache: PathBuf,
    sdk: Sdk,
    /// Looked for with the first provider that needs it.
    rustc: Option<PathBuf>,
}

/// The output of a language's compiler.
#[derive(Debug)]
struct Compiled {
    /// The component, without its manifest.
    wasm: PathBuf,
    /// The folder for what `damper build` makes.
    folder: PathBuf,
}

impl<'a> Builder<'a> {
    /// Makes sure that the SDKs lie in the cache; also a project that was scaffolded depends on what lies there.
    ///
    /// # Errors
    /// If there is no cache for them.
    pub(crate) fn new(context: &'a Context) -> Result<Self, CliError> {
        let cache = context.cache()?;
        let sdk = Sdk::unpack(&cache)?;
        Ok(Self { context, cache, sdk, rustc: None })
    }

    /// Compile a project to `output`, or to its place in its own folder for what is built.
    ///
    /// # Errors
    /// If it does not compile, or becomes no provider.
    pub(crate) fn build(&mut self, source: &Source, output: Option<&Path>) -> Result<Built, CliError> {
        let compiled = match source.language {
            Language::Rust => {
                let rustc = self.rustc()?;
                cargo::build(&self.context.settings.cargo, &source.folder, &rustc)?
            }
            Language::Js => javascript::build(&source.folder, &self.sdk, &self.cache, &self.context.screen)?,
            Language::Python => python::build(&source.folder, &self.sdk, &self.cache, &self.context.screen)?,
        };
        let own_place = || compiled.folder.join(source.file_name());
        let component = output.map_or_else(own_place, Path::to_path_buf);
        let bytes = source.assemble(&compiled.wasm, &component)?;
        Ok(Built { component, bytes })
    }

    fn rustc(&mut self) -> Result<PathBuf, CliError> {
        if let Some(known) = &self.rustc {
            return Ok(known.clone());
        }
        let rustc = toolchain(&self.sdk, &self.cache)?;
        Ok(self.rustc.insert(rustc).clone())
    }
}

/// The path at which `damper build` puts a project's component. Builds nothing.
///
/// # Errors
/// If cargo cannot tell.
pub(crate) fn place_of(source: &Source, context: &Context) -> Result<PathBuf, CliError> {
    let folder = match source.language {
        Language::Rust => {
            let manifest = source.folder.join(source.language.project_file());
            let manifest = manifest.canonicalize().map_err(CliError::file("read", &manifest))?;
            cargo::folder_of(&context.settings.cargo, &manifest)?
        }
        Language::Js | Language::Python => source.folder.join(damper_config::provider::BUILT),
    };
    Ok(folder.join(source.file_name()))
}

/// A provider's project, its manifest checked before anything is compiled.
pub(crate) struct Source {
    /// Its folder.
    pub(crate) folder: PathBuf,
    language: Language,
    manifest_text: String,
    /// Its manifest.
    pub(crate) manifest: Manifest,
}

impl Source {
    /// Read and check a project's manifest.
    ///
    /// # Errors
    /// If there is no project, or its manifest is not valid.
    pub(crate) fn read(folder: &Path) -> Result<Self, CliError> {
        let folder = folder.strip_prefix(".").unwrap_or(folder);
        let path = folder.join(MANIFEST);
        if !path.is_file() {
            let hint = "name a provider's folder, which has one; `damper new NAME` makes one";
            return Err(CliError::input_in(&path, "there is no manifest", hint));
        }
        let language = Language::of(folder)?;
        let manifest_text = fs::read_to_string(&path).map_err(CliError::file("read the manifest", &path))?;
        let manifest =
            Manifest::parse(&manifest_text).map_err(|source| CliError::Manifest { path, source: Box::new(source) })?;
        Ok(Self { folder: folder.to_path_buf(), language, manifest_text, manifest })
    }

    fn file_name(&self) -> String {
        format!("{}.wasm", self.manifest.name)
    }

    /// Embed the manifest in the compiled file, check the component, and write it. Returns its size in bytes.
    fn assemble(&self, wasm: &Path, output: &Path) -> Result<u64, CliError> {
        let mut component = fs::read(wasm).map_err(CliError::file("read what the compiler made", wasm))?;
        if self.language != Language::Rust {
            // In Rust the SDK's macro has done it.
            component = embed_stamp(&component, &stamp(self.language))?;
        }
        let component = embed_manifest(&component, &self.manifest_text)?;
        let checked = ComponentFile::from_bytes(&output.display().to_string(), component)?;
        sdk::put(output, &checked.bytes)?;
        Ok(checked.bytes.len() as u64)
    }
}

/// The SDKs are those that this program brings, so they have its version and its contract.
fn stamp(language: Language) -> SdkStamp {
    SdkStamp {
        wit: HOST_CONTRACT.to_string(),
        sdk: env!("CARGO_PKG_VERSION").to_owned(),
        language: language.name().to_owned(),
    }
}

/// A rustc that compiles for wasm32-wasip2. The steps to get one are printed on standard error.
fn toolchain(sdk: &Sdk, cache: &Path) -> Result<PathBuf, CliError> {
    let made = cache.join("toolchain");
    if made.exists() {
        tools::check_programs(&made)?;
    }
    let output = build_tool("sh")
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
