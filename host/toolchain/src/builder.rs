//! Builds projects, one after another, each with the compiler of its language.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::build_context::BuildContext;
use crate::compiled::BUILT_FOLDER;
use crate::environment::BuildEnvironment;
use crate::error::ToolchainError;
use crate::language::Language;
use crate::project::Project;
use crate::sdk::Sdk;
use crate::{cargo, javascript, python, tools};

/// A component that was built.
#[derive(Debug)]
pub struct Built {
    /// Its file.
    pub component: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// Build the providers in these folders, of whichever language, one after another, each to where it belongs or to
/// `output`.
///
/// # Errors
/// If one cannot be built; those before it are done.
pub fn build(
    paths: &[PathBuf],
    output: Option<&Path>,
    context: &BuildContext<'_>,
) -> Result<Vec<Built>, ToolchainError> {
    let projects = paths.iter().map(|path| Project::read(path)).collect::<Result<Vec<_>, _>>()?;
    let mut builder = Builder::new(context)?;
    projects.iter().map(|project| builder.build(project, output)).collect()
}

/// Run the tests of the crate in `folder` as wasm, each program with the command `runner`. Returns whether they pass.
///
/// # Errors
/// If there is no toolchain, or cargo cannot be run.
pub fn run_tests(
    folder: &Path,
    runner: &[String],
    arguments: &[String],
    context: &BuildContext<'_>,
) -> Result<bool, ToolchainError> {
    let cache = context.open_cache()?;
    let sdk = Sdk::unpack(&cache)?;
    let rustc = find_toolchain(&sdk, &cache, &context.environment)?;
    cargo::test(&context.environment, folder, &rustc, runner, arguments)
}

/// Builds providers with what their languages need.
pub struct Builder<'a> {
    context: &'a BuildContext<'a>,
    cache: PathBuf,
    sdk: Sdk,
    /// Looked for with the first provider that needs it.
    rustc: Option<PathBuf>,
}

impl<'a> Builder<'a> {
    /// Makes sure that the SDKs lie in the cache; also a project that was scaffolded depends on what lies there.
    ///
    /// # Errors
    /// If there is no cache for them.
    pub fn new(context: &'a BuildContext<'a>) -> Result<Self, ToolchainError> {
        let cache = context.open_cache()?;
        let sdk = Sdk::unpack(&cache)?;
        Ok(Self { context, cache, sdk, rustc: None })
    }

    /// Compile a project to `output`, or to its place in its own folder for what is built.
    ///
    /// # Errors
    /// If it does not compile, or becomes no provider.
    pub fn build(&mut self, project: &Project, output: Option<&Path>) -> Result<Built, ToolchainError> {
        let compiled = match project.language {
            Language::Rust => {
                let rustc = self.rustc()?;
                cargo::build(&self.context.environment, &project.folder, &rustc, &self.cache)?
            }
            Language::Js => javascript::build(&project.folder, &self.sdk, &self.cache, self.context)?,
            Language::Python => python::build(&project.folder, &self.sdk, &self.cache, self.context)?,
        };
        let own_place = || compiled.folder.join(project.file_name());
        let component = output.map_or_else(own_place, Path::to_path_buf);
        let bytes = project.assemble(&compiled.wasm, &component)?;
        Ok(Built { component, bytes })
    }

    fn rustc(&mut self) -> Result<PathBuf, ToolchainError> {
        if let Some(known) = &self.rustc {
            return Ok(known.clone());
        }
        let rustc = find_toolchain(&self.sdk, &self.cache, &self.context.environment)?;
        Ok(self.rustc.insert(rustc).clone())
    }
}

/// The path at which [`Builder::build`] puts a project's component. Builds nothing.
///
/// # Errors
/// If cargo cannot tell.
pub fn locate_component(project: &Project, environment: &BuildEnvironment) -> Result<PathBuf, ToolchainError> {
    let folder = match project.language {
        Language::Rust => {
            let manifest = project.folder.join(project.language.project_file());
            let manifest = manifest.canonicalize().map_err(ToolchainError::file("read", &manifest))?;
            cargo::folder_of(environment, &manifest)?
        }
        Language::Js | Language::Python => project.folder.join(BUILT_FOLDER),
    };
    Ok(folder.join(project.file_name()))
}

/// A rustc that compiles for wasm32-wasip2. The steps to get one are printed on standard error.
fn find_toolchain(sdk: &Sdk, cache: &Path, environment: &BuildEnvironment) -> Result<PathBuf, ToolchainError> {
    let made = cache.join("toolchain");
    if made.exists() {
        tools::check_programs(&made)?;
    }
    let output = environment
        .command("sh")
        .arg(sdk.toolchain())
        .env("DAMPER_CACHE", cache)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| ToolchainError::cannot("run sh to look for a toolchain", error))?;
    let rustc = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || rustc.is_empty() {
        return Err(ToolchainError::Tool {
            program: "the search for a wasm32-wasip2 toolchain",
            status: output.status.code(),
            hint: "see the output above".to_owned(),
        });
    }
    Ok(rustc.into())
}
