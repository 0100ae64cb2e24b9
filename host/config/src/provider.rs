//! A provider on this machine: where its component lies, what its manifest asks, and what the operator grants. A
//! provider has the name of its component, unless damper.toml names the component's file.

mod binding;
mod effective;
mod fingerprint;
mod names;

use std::fs::File;
use std::path::{Path, PathBuf};

use damper_core::manifest::{Manifest, Position, is_name};
use damper_plugins::component_file::{ComponentFile, ComponentFileError};
use damper_plugins::ownership::OwnershipError;
use damper_plugins::settings::BindingError;
use rustix::fs::{Mode, OFlags};

use crate::config::{ComponentLocation, Config, check_unwritable_by_others};
use crate::lock::Candidate;

use binding::tighten_manifest;
pub use binding::{Bound, bind, bind_without_secrets};
pub use effective::{EffectiveSetting, SettingSource, effective_settings};
pub use fingerprint::{FileIdentity, Fingerprint};
use names::choose_nearest;
pub use names::find_nearest;

/// The extension of component files.
const EXTENSION: &str = "wasm";
/// The folder, within a crate, in which `damper build` puts its component.
pub const BUILT: &str = "target/damper";

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// There is no file.
    #[error("there is no component for the provider {provider}: looked for {}", list(.looked_for))]
    NoComponent {
        /// The provider's name.
        provider: String,
        /// The files that are not there.
        looked_for: Vec<PathBuf>,
        /// A provider of a similar name, if there is one.
        nearest: Option<String>,
    },
    /// damper.toml names a component that is neither a table nor a file.
    #[error("there is no component {component} for the provider {provider}: damper.toml has no [components.{component}], and there is no file {}", .file.display())]
    UnknownComponent {
        /// The provider's name.
        provider: String,
        /// The component's name.
        component: String,
        /// The file of that name.
        file: PathBuf,
        /// A component of a similar name, if there is one.
        nearest: Option<String>,
        /// The place of the name in damper.toml, as `FILE:LINE:COLUMN`.
        place: Option<String>,
    },
    /// The component that was searched by its name has another one.
    #[error("the component that is searched by the name {component} has the name {found}")]
    AnotherName {
        /// The name that was searched.
        component: String,
        /// The name in its manifest.
        found: String,
        /// The component.
        path: PathBuf,
    },
    /// The name cannot be one.
    #[error("{name:?} is not a provider's name: it must be 1 to 64 of a-z, 0-9 and \"-\", starting with a letter")]
    BadName {
        /// The given name.
        name: String,
    },
}

/// Why a provider cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no component where it should be.
    #[error(transparent)]
    NotFound(#[from] FindError),
    /// Its file is no component that can be run.
    #[error(transparent)]
    Component(Box<ComponentFileError>),
    /// It and the operator's settings do not go together.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// Others can change its file.
    #[error("{problem}, and the component in it receives your providers' hosts and secrets")]
    Changeable {
        /// The file.
        path: PathBuf,
        /// The ownership problem.
        problem: OwnershipError,
    },
}

impl From<ComponentFileError> for OpenError {
    fn from(error: ComponentFileError) -> Self {
        Self::Component(Box::new(error))
    }
}

impl OpenError {
    /// The file at fault, unless the message names it.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        match self {
            Self::NotFound(error) => error.place(),
            Self::Component(_) => None,
            Self::Binding(error) => error.place(),
            Self::Changeable { path, .. } => Some(path.display().to_string()),
        }
    }

    /// The hint that goes with the error.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound(error) => Some(error.hint()),
            Self::Component(error) => match &**error {
                ComponentFileError::Unreadable { .. } => Some("`damper build` creates one and prints its path".into()),
                _ => None,
            },
            Self::Binding(error) => Some(error.hint()),
            Self::Changeable { .. } => {
                Some("build it again into a folder that only you can write to, or copy it there".into())
            }
        }
    }
}

impl FindError {
    /// The file at fault.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        match self {
            Self::AnotherName { path, .. } => Some(path.display().to_string()),
            Self::UnknownComponent { place, .. } => place.clone(),
            Self::NoComponent { .. } | Self::BadName { .. } => None,
        }
    }

    /// The hint that goes with the error.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::AnotherName { component, found, path } => format!(
                "use the name {found}; or name the file where {component} is to be another provider of the component \
                    {found}:\n  [providers.{component}]\n  component = {:?}",
                path.display().to_string()
            ),
            Self::UnknownComponent { component, nearest, .. } => format!(
                "{}name the component's file in damper.toml:\n  [components.{component}]\n  \
                    file = \"path/to/{component}.wasm\"",
                ask(nearest.as_deref(), " If not, ")
            ),
            Self::NoComponent { provider, nearest, .. } => format!(
                "{}build it with `damper build`, and name its file in damper.toml:\n  [providers.{provider}]\n  \
                    component = \"path/to/{provider}.wasm\"",
                ask(nearest.as_deref(), " If not, ")
            ),
            Self::BadName { name } if is_file_name(name) => {
                "`damper fetch` and `damper inspect` take a file; this command needs the provider's name".to_owned()
            }
            Self::BadName { .. } => "choose another, such as my-api".to_owned(),
        }
    }
}

/// The question whether another name was meant, followed by `then`; empty without such a name.
#[must_use]
pub fn ask(nearest: Option<&str>, then: &str) -> String {
    nearest.map(|name| format!("did you mean {name}?{then}")).unwrap_or_default()
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Whether a text names a file rather than a provider.
fn is_file_name(text: &str) -> bool {
    text.contains(['/', '\\']) || Path::new(text).extension().is_some_and(|extension| extension == EXTENSION)
}

/// A provider's name, checked.
///
/// # Errors
/// If it is none.
pub fn check_name(name: &str) -> Result<(), FindError> {
    if is_name(name) { Ok(()) } else { Err(FindError::BadName { name: name.to_owned() }) }
}

/// The file of a provider's component: as damper.toml says, else NAME.wasm in the folder of components, else where
/// `damper build` puts it.
///
/// # Errors
/// If there is none.
pub fn find(config: &Config, provider: &str) -> Result<PathBuf, FindError> {
    check_name(provider)?;
    let looked_for = match config.component(provider) {
        ComponentLocation::Named(path) => vec![path],
        ComponentLocation::Searched(name) => {
            let (file, folder) = (format!("{name}.{EXTENSION}"), &config.component_folder);
            vec![folder.join(&file), folder.join(BUILT).join(&file), folder.join(&name).join(BUILT).join(&file)]
        }
    };
    match looked_for.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None if let Some(error) = unknown_component(config, provider) => Err(error),
        None => {
            let nearest = find_nearest(config, provider, &[]);
            Err(FindError::NoComponent { provider: provider.to_owned(), looked_for, nearest })
        }
    }
}

/// The error for a `component` that reads as a name and is no table.
fn unknown_component(config: &Config, provider: &str) -> Option<FindError> {
    let component = config.provider(provider)?.component.as_ref()?.to_str()?;
    if !is_name(component) || config.component_names().any(|known| known == component) {
        return None;
    }
    let nearest = choose_nearest(component, config.component_names().map(str::to_owned));
    let position = config.layers(provider).and_then(|layers| layers.origin("component")).map(|origin| origin.position);
    let toml = config.file.as_ref().map(|file| file.display());
    let place = toml.zip(position).map(|(file, Position { line, column })| format!("{file}:{line}:{column}"));
    let (provider, component, file) = (provider.to_owned(), component.to_owned(), config.folder.join(component));
    Some(FindError::UnknownComponent { provider, component, file, nearest, place })
}

/// A provider by its name, read and bound to what the operator grants.
///
/// # Errors
/// If there is no component, it is none that can be run, or the operator's settings do not fit it.
pub fn open(config: &Config, provider: &str) -> Result<Bound, OpenError> {
    Ok(bind(config, provider, read(config, provider)?)?)
}

/// A provider's manifest by its name, with what the operator tightens.
///
/// # Errors
/// As [`open`], but for what only a fetch needs.
pub fn manifest(config: &Config, provider: &str) -> Result<Manifest, OpenError> {
    Ok(tighten_manifest(config, provider, &read(config, provider)?)?)
}

/// A provider by its name, as damper.lock looks at it. Its secrets are not read. Its component is the one at `path`, or
/// where there is none, found by its name.
///
/// # Errors
/// As [`open`], but for what only a fetch needs.
pub fn candidate(config: &Config, provider: &str, path: Option<PathBuf>) -> Result<Candidate, OpenError> {
    let path = path.map_or_else(|| find(config, provider), Ok)?;
    let file = read_from(config, path, provider)?;
    let bound = bind_without_secrets(config, provider, &file)?;
    Ok(Candidate::new(config, provider, &file, &bound.grants))
}

/// A provider's component by the provider's name.
///
/// # Errors
/// If there is none, or it is none that can be run.
pub fn read(config: &Config, provider: &str) -> Result<ComponentFile, OpenError> {
    read_from(config, find(config, provider)?, provider)
}

fn read_from(config: &Config, path: PathBuf, provider: &str) -> Result<ComponentFile, OpenError> {
    let file = read_trusted(&path)?;
    check_component_name(config, provider, &file, &path)?;
    Ok(file)
}

/// Checks that a component which is searched by a name has that name.
///
/// # Errors
/// If it has another one.
pub fn check_component_name(
    config: &Config,
    provider: &str,
    file: &ComponentFile,
    path: &Path,
) -> Result<(), FindError> {
    match config.component(provider) {
        ComponentLocation::Searched(component) if component != file.manifest.component => {
            let found = file.manifest.component.clone();
            Err(FindError::AnotherName { component, found, path: path.to_path_buf() })
        }
        _ => Ok(()),
    }
}

/// A provider by its name or its component's file, read and bound to what the operator grants. A file is the provider
/// of its component's name.
///
/// # Errors
/// As [`open`].
pub fn open_any(config: &Config, name_or_file: &str) -> Result<Bound, OpenError> {
    let path = Path::new(name_or_file);
    if !is_file_name(name_or_file) && !path.is_file() {
        return open(config, name_or_file);
    }
    let file = read_trusted(path)?;
    let provider = file.manifest.name.clone();
    Ok(bind(config, &provider, file)?)
}

/// Reads a component that will get hosts and secrets. Anyone who can change or replace its file would get them, too.
fn read_trusted(path: &Path) -> Result<ComponentFile, OpenError> {
    // A FIFO without a writer is opened at once instead of blocking for ever. Reading reports a file that cannot be
    // opened.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::open(path, flags, Mode::empty()).map(File::from) {
        check_unwritable_by_others(&file, path)
            .map_err(|problem| OpenError::Changeable { path: path.to_path_buf(), problem })?;
    }
    Ok(ComponentFile::read(path)?)
}
