//! A provider on this machine: where its component lies, what its manifest asks, and what the operator grants.

mod binding;
mod names;

use std::fs::File;
use std::path::{Path, PathBuf};

use damper_core::manifest::Manifest;
use damper_plugins::component_file::{ComponentFile, ComponentFileError};
use damper_plugins::ownership::OwnershipError;
use damper_plugins::settings::BindingError;
use rustix::fs::{Mode, OFlags};

use crate::config::{Config, check_unwritable_by_others};
use crate::lock::Candidate;

pub use binding::{Bound, bind};
use binding::{grants, tighten_manifest};
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
    /// The component is of another provider.
    #[error("the component of {provider} has the name {found}")]
    AnotherName {
        /// The provider that is wanted.
        provider: String,
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
            Self::NoComponent { .. } | Self::BadName { .. } => None,
        }
    }

    /// The hint that goes with the error.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::AnotherName { provider, found, .. } => {
                format!("use the name {found}, or name another component at [providers.{provider}] component")
            }
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
    let letter_first = name.starts_with(|first: char| first.is_ascii_lowercase());
    let known = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if letter_first && known && name.len() <= 64 { Ok(()) } else { Err(FindError::BadName { name: name.to_owned() }) }
}

/// The file of a provider's component: as damper.toml says, else NAME.wasm in the folder of components, else where
/// `damper build` puts it.
///
/// # Errors
/// If there is none.
pub fn find(config: &Config, provider: &str) -> Result<PathBuf, FindError> {
    check_name(provider)?;
    let file = format!("{provider}.{EXTENSION}");
    let looked_for = match config.provider(provider).and_then(|said| said.component.as_ref()) {
        Some(component) => vec![config.folder.join(component)],
        None => vec![
            config.components.join(&file),
            config.components.join(BUILT).join(&file),
            config.components.join(provider).join(BUILT).join(&file),
        ],
    };
    match looked_for.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => {
            let nearest = find_nearest(config, provider, &[]);
            Err(FindError::NoComponent { provider: provider.to_owned(), looked_for, nearest })
        }
    }
}

/// A provider by its name, read and bound to what the operator grants.
///
/// # Errors
/// If there is no component, it is none that can be run, or the operator's settings do not fit it.
pub fn open(config: &Config, provider: &str) -> Result<Bound, OpenError> {
    Ok(bind(config, read(config, provider)?)?)
}

/// A provider's manifest by its name, with what the operator tightens.
///
/// # Errors
/// As [`open`], but for what only a fetch needs.
pub fn manifest(config: &Config, provider: &str) -> Result<Manifest, OpenError> {
    Ok(tighten_manifest(config, &read(config, provider)?)?)
}

/// A provider by its name, as damper.lock looks at it. Its secrets are not read. Its component is the one at `path`, or
/// where there is none, found by its name.
///
/// # Errors
/// As [`open`], but for what only a fetch needs.
pub fn candidate(config: &Config, provider: &str, path: Option<PathBuf>) -> Result<Candidate, OpenError> {
    let path = path.map_or_else(|| find(config, provider), Ok)?;
    let file = read_from(path, provider)?;
    let grants = grants(config, &file)?;
    Ok(Candidate::new(config, &file, &grants))
}

fn read(config: &Config, provider: &str) -> Result<ComponentFile, OpenError> {
    read_from(find(config, provider)?, provider)
}

fn read_from(path: PathBuf, provider: &str) -> Result<ComponentFile, OpenError> {
    let file = read_trusted(&path)?;
    if file.manifest.name != provider {
        let (found, provider) = (file.manifest.name, provider.to_owned());
        return Err(FindError::AnotherName { provider, found, path }.into());
    }
    Ok(file)
}

/// A provider by its name or its file, read and bound to what the operator grants.
///
/// # Errors
/// As [`open`].
pub fn open_any(config: &Config, name_or_file: &str) -> Result<Bound, OpenError> {
    let path = Path::new(name_or_file);
    if !is_file_name(name_or_file) && !path.is_file() {
        return open(config, name_or_file);
    }
    Ok(bind(config, read_trusted(path)?)?)
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
