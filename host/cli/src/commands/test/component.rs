//! The subject of a test: a component, built first if its crate is newer.

use std::fs;
use std::path::{Path, PathBuf};

use damper_config::Config;
use damper_config::provider::{self, OpenError};
use damper_core::manifest::Manifest;
use damper_plugins::component_file::ComponentFile;
use damper_toolchain::{find_built, is_newer};

use crate::context::Context;
use crate::error::CliError;
use crate::screen::{printable, size};

/// The folder of cases within a provider's folder.
pub(super) const CASES: &str = "cases";

/// A component to test, and its cases.
#[derive(Debug)]
pub(crate) struct Subject {
    /// The component.
    pub(crate) file: ComponentFile,
    /// The folder of its cases.
    pub(crate) cases: PathBuf,
}

impl Subject {
    /// The component of `path`, a provider's folder or the file itself.
    ///
    /// # Errors
    /// If there is none and none can be built.
    pub(crate) fn find(path: &Path, cases: Option<&Path>, no_build: bool, context: &Context) -> Result<Self, CliError> {
        if path.is_file() {
            let Some(cases) = cases else {
                let hint =
                    "name the folder of its cases with --cases, or the provider's folder in place of the component";
                return Err(CliError::input_in(path, "a component alone has no cases", hint));
            };
            return Ok(Self { file: ComponentFile::read(path)?, cases: cases.to_path_buf() });
        }
        let component = component(path, no_build, context)?;
        let cases = cases.map_or_else(|| path.join(CASES), Path::to_path_buf);
        Ok(Self { file: ComponentFile::read(&component)?, cases })
    }
}

impl Subject {
    /// Lays the settings of a provider in damper.toml over the component's manifest. No secret is read.
    ///
    /// # Errors
    /// If the provider is not listed, uses another component, or its settings do not fit.
    pub(super) fn apply_settings(&mut self, config: &Config, provider: &str) -> Result<(), CliError> {
        check_uses(config, provider, &self.file)?;
        let bound = provider::bind_without_secrets(config, provider, &self.file).map_err(OpenError::from)?;
        self.file.manifest = bound.manifest;
        self.file.manifest.config = bound.grants.config;
        Ok(())
    }
}

/// Checks that a provider is listed, and that its component, where it can be found, is this one.
///
/// # Errors
/// If not.
pub(super) fn check_uses(config: &Config, provider: &str, file: &ComponentFile) -> Result<(), CliError> {
    provider::check_name(provider)?;
    if config.provider(provider).is_none() {
        let listed: Vec<&str> = config.providers.keys().map(String::as_str).collect();
        let hint = match listed.as_slice() {
            [] => "list it in a damper.toml, as [providers.NAME]".to_owned(),
            listed => format!("the listed providers are: {}", listed.join(", ")),
        };
        return Err(CliError::input(format!("damper.toml does not list the provider {provider}"), hint));
    }
    let component = &file.manifest.component;
    match provider::read(config, provider) {
        Ok(other) if other.manifest.component != *component => {
            let found = other.manifest.component;
            let what = format!("the provider {provider} uses the component {found}, and this is {component}");
            Err(CliError::input(what, format!("name the folder of {found}")))
        }
        // A component that was not built yet, or a crate.
        _ => Ok(()),
    }
}

/// The component of the crate in `folder`, built if that is newer.
pub(crate) fn component(folder: &Path, no_build: bool, context: &Context) -> Result<PathBuf, CliError> {
    let manifest = folder.join("provider.toml");
    let text = fs::read_to_string(&manifest).map_err(|_| {
        CliError::input_in(&manifest, "there is no manifest", "name a provider's folder, or a component's file")
    })?;
    let name = Manifest::parse(&text)
        .map_err(|source| CliError::Manifest { path: manifest.clone(), source: Box::new(source) })?
        .name;
    let found = find_built(folder, &name, context.settings.target.as_deref());
    if no_build {
        return found.ok_or_else(|| {
            CliError::input_in(folder, "its component is not built yet", "remove --no-build, or run `damper build`")
        });
    }
    if let Some(component) = found.filter(|component| is_newer(component, folder)) {
        return Ok(component);
    }
    let mut built = damper_toolchain::build(&[folder.to_path_buf()], None, &context.for_builds())?;
    let built = built.pop().ok_or_else(|| CliError::internal("build the provider", "nothing was made"))?;
    let file = built.component.display().to_string();
    context.screen.say(format!("built {}  {}", printable(&file), size(built.bytes)));
    Ok(built.component)
}
