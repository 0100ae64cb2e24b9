//! damper.toml, the operator's file: where providers, database and output lie, and what each provider is granted.
//!
//! It is found upwards from the working folder, or named by `--config`. Unknown keys are errors with line and column. A
//! file that somebody else can change is refused, since it names the secrets to read and where to send them.

mod layers;
mod owner;
mod shape;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use damper_core::manifest::{Position, is_name};
use damper_core::sink::Compression;
use damper_plugins::ownership::OwnershipError;
use damper_plugins::settings::{ProviderSettings, SettingsError};

use layers::LayeredText;
pub use layers::{LayeredSettings, LayeredValue};
pub(crate) use owner::{check_unwritable_by_others, read_secret, replace_secret};
pub use shape::{AwsConfig, MappingConfig, ReadableBy};
use shape::{ComponentsShape, Shape};

/// The file's name.
pub const FILE_NAME: &str = "damper.toml";
/// The longest file that is read, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// The operator's configuration; the defaults if there is no damper.toml.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file; none: there is none.
    pub file: Option<PathBuf>,
    /// The file's folder, where relative paths begin; empty: the working folder.
    pub folder: PathBuf,
    /// The database.
    pub database: PathBuf,
    /// The output folder.
    pub output: PathBuf,
    /// How records are compressed there.
    pub compression: Compression,
    /// The users that may read the database and the records.
    pub readable_by: ReadableBy,
    /// The folder in which NAME.wasm is searched.
    pub component_folder: PathBuf,
    /// How the slow loop runs here.
    pub mapping: MappingConfig,
    /// The deployment in AWS.
    pub aws: AwsConfig,
    /// The settings of each provider that is listed, by name: the defaults, its component's and its own, merged.
    pub providers: BTreeMap<String, ProviderSettings>,
    /// The same with the origin of each value.
    layers: BTreeMap<String, LayeredSettings>,
    /// By the name of its table, the file that a `[components.NAME]` names; none: it is searched by that name.
    component_files: BTreeMap<String, Option<PathBuf>>,
}

/// The place of a provider's component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComponentLocation {
    /// In this file, or built from the crate in this folder. Its manifest may have any name.
    Named(PathBuf),
    /// To be searched by its name, which is the one in its manifest.
    Searched(String),
}

/// Why a damper.toml cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("the configuration cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's message.
        source: io::Error,
    },
    /// It belongs to somebody else.
    #[error("the configuration belongs to another user (uid {owner}), who could have your secrets sent to any host")]
    ForeignOwner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Somebody else can change it, or put another into its folder.
    #[error("{problem}, and the configuration says where your secrets are sent")]
    Changeable {
        /// The file or its folder.
        path: PathBuf,
        /// The ownership problem.
        problem: OwnershipError,
    },
    /// It is no TOML, or not ours.
    #[error("the configuration cannot be used: {problem}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
        /// The position in the file.
        position: Option<Position>,
    },
}

impl ConfigError {
    /// The file, and the place in it.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Unreadable { path, .. } | Self::ForeignOwner { path, .. } | Self::Changeable { path, .. } => {
                path.display().to_string()
            }
            Self::Invalid { path, position, .. } => match position {
                Some(Position { line, column }) => format!("{}:{line}:{column}", path.display()),
                None => path.display().to_string(),
            },
        }
    }

    /// The hint that goes with the error.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreadable { .. } => Some("check the name and the permissions, or remove --config".into()),
            Self::ForeignOwner { path, .. } => Some(format!(
                "read it, and if you agree: `sudo chown $(id -u) {}`; or name your own with --config",
                path.display()
            )),
            Self::Changeable { path, problem: OwnershipError::Writable { .. } } => {
                Some(format!("check its contents, then run `chmod go-w {}`", path.display()))
            }
            Self::Changeable { path, .. } => Some(format!(
                "move it to a folder of yours, or make the folder yours: `sudo chown $(id -u) {}`",
                path.display()
            )),
            Self::Invalid { .. } => None,
        }
    }
}

impl Config {
    /// The named file, else the nearest upwards from `working_folder`, else the defaults.
    ///
    /// # Errors
    /// If there is a file and it cannot be used.
    pub fn load(named: Option<&Path>, working_folder: &Path) -> Result<Self, ConfigError> {
        let mut upwards = working_folder.ancestors().map(|folder| folder.join(FILE_NAME));
        match named.map(Path::to_path_buf).or_else(|| upwards.find(|path| path.is_file())) {
            // Short names in messages where the file lies in the working folder.
            Some(path) if named.is_none() && path.parent() == Some(working_folder) => Self::read(FILE_NAME.into()),
            Some(path) => Self::read(path),
            None => Ok(Self::of(None, PathBuf::new(), Shape::default())),
        }
    }

    /// The text of a damper.toml; relative paths begin in the working folder.
    ///
    /// # Errors
    /// If it is no TOML, or not ours.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        Self::merge(None, PathBuf::new(), text)
    }

    /// The settings of a provider, if it is listed.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&ProviderSettings> {
        self.providers.get(name)
    }

    /// The settings of a provider with the origin of each, if it is listed.
    #[must_use]
    pub fn layers(&self, provider: &str) -> Option<&LayeredSettings> {
        self.layers.get(provider)
    }

    /// The place of a provider's component.
    #[must_use]
    pub fn component(&self, provider: &str) -> ComponentLocation {
        let said = self.provider(provider).and_then(|settings| settings.component.as_deref());
        let table = find_table(&self.component_files, provider, said);
        match (table, said) {
            (Some((_, Some(file))), _) => ComponentLocation::Named(self.folder.join(file)),
            (Some((name, None)), _) => ComponentLocation::Searched(name.clone()),
            (None, Some(path)) => ComponentLocation::Named(self.folder.join(path)),
            (None, None) => ComponentLocation::Searched(provider.to_owned()),
        }
    }

    /// The names of the tables `[components.NAME]`.
    pub fn component_names(&self) -> impl Iterator<Item = &str> {
        self.component_files.keys().map(String::as_str)
    }

    fn read(path: PathBuf) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.clone(), source };
        let file = File::open(&path).map_err(unreadable)?;
        check_changeable(&file, &path)?;
        let mut text = String::new();
        file.take(MAX_BYTES.saturating_add(1)).read_to_string(&mut text).map_err(unreadable)?;
        let invalid = |problem, position| ConfigError::Invalid { path: path.clone(), problem, position };
        if text.len() as u64 > MAX_BYTES {
            return Err(invalid(format!("it has more than {MAX_BYTES} bytes"), None));
        }
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Self::merge(Some(path.clone()), folder, &text)
            .map_err(|SettingsError { problem, position }| invalid(problem, position))
    }

    /// Reads a text, and merges the layers of each provider's settings.
    fn merge(file: Option<PathBuf>, folder: PathBuf, text: &str) -> Result<Self, SettingsError> {
        let (shape, layered) = (Shape::parse(text)?, LayeredText::parse(text)?);
        check_layers(&shape, &layered)?;
        let component_files: BTreeMap<_, _> =
            shape.component_tables().map(|(name, settings)| (name.clone(), settings.file.clone())).collect();
        let (mut providers, mut layers) = (BTreeMap::new(), BTreeMap::new());
        for (name, own) in &shape.providers {
            let table = find_table(&component_files, name, own.component.as_deref());
            let component = table.map(|(name, _)| name.as_str()).unwrap_or_default();
            let tables: [&[&str]; 3] = [&["defaults"], &["components", component], &["providers", name]];
            let merged = layered.merge(&tables, &["file"]);
            providers.insert(name.clone(), merged.read()?);
            layers.insert(name.clone(), merged);
        }
        Ok(Self { providers, layers, component_files, ..Self::of(file, folder, shape) })
    }

    /// The configuration of a shape without its providers and components.
    fn of(file: Option<PathBuf>, folder: PathBuf, shape: Shape) -> Self {
        let component_folder = match shape.components {
            ComponentsShape::Folder(components) => folder.join(components),
            ComponentsShape::Tables(_) => folder.clone(),
        };
        Self {
            database: folder.join(shape.database),
            output: folder.join(shape.output),
            compression: shape.compression,
            readable_by: shape.readable_by,
            component_folder,
            mapping: shape.mapping,
            aws: shape.aws,
            providers: BTreeMap::new(),
            layers: BTreeMap::new(),
            component_files: BTreeMap::new(),
            file,
            folder,
        }
    }
}

/// The table `[components.NAME]` of a provider, with the table's file: the one that its `component` names (`said`), or
/// without that key the one of its own name.
fn find_table<'a>(
    tables: &'a BTreeMap<String, Option<PathBuf>>,
    provider: &str,
    said: Option<&Path>,
) -> Option<(&'a String, &'a Option<PathBuf>)> {
    tables.get_key_value(said.map_or(Some(provider), Path::to_str)?)
}

/// Refuses keys in a layer that does not have them, and names of components that cannot be any.
fn check_layers(shape: &Shape, text: &LayeredText<'_>) -> Result<(), SettingsError> {
    let refuse = |path: &[&str], problem: String| {
        Err(SettingsError { problem: format!("{}: {problem}", path.join(".")), position: text.position(path) })
    };
    let ProviderSettings { component, file, .. } = &shape.defaults;
    if component.is_some() {
        return refuse(&["defaults", "component"], "the defaults name no component; name it at each provider".into());
    }
    if file.is_some() {
        return refuse(&["defaults", "file"], "the defaults name no file; name it at [components.NAME]".into());
    }
    for (name, settings) in shape.component_tables() {
        if !is_name(name) {
            let hint = "a component's name must be 1 to 64 of a-z, 0-9 and \"-\", starting with a letter";
            return refuse(&["components", name], hint.into());
        }
        if settings.component.is_some() {
            return refuse(&["components", name, "component"], "write it as `file = \"...\"`".into());
        }
    }
    for (name, settings) in &shape.providers {
        if settings.file.is_some() {
            return refuse(&["providers", name, "file"], "write it as `component = \"...\"`".into());
        }
    }
    Ok(())
}

/// Refuses a file of settings that somebody else can change or exchange.
///
/// # Errors
/// If somebody can.
pub(crate) fn check_changeable(file: &File, path: &Path) -> Result<(), ConfigError> {
    check_unwritable_by_others(file, path).map_err(|problem| match problem {
        OwnershipError::ForeignOwner { path: found, owner } if found == path => {
            ConfigError::ForeignOwner { path: found, owner }
        }
        OwnershipError::Io { path, source } => ConfigError::Unreadable { path, source },
        problem => ConfigError::Changeable { path: problem.path().to_path_buf(), problem },
    })
}

#[cfg(test)]
mod tests;
