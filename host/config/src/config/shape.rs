//! The shape of damper.toml: its keys and their types. damper-plugins defines the keys below `[providers.NAME]`, since
//! other programs read them too.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use damper_core::control::governor::TICK;
use damper_core::manifest::units::parse_duration;
use damper_core::sink::Compression;
use damper_plugins::settings::{ProviderSettings, SettingsError};
use rustix::fs::Mode;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A whole damper.toml.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Shape {
    pub(super) database: PathBuf,
    pub(super) output: PathBuf,
    /// How records are compressed there, from now on.
    pub(super) compression: Compression,
    /// The users that may read created files.
    pub(super) readable_by: ReadableBy,
    pub(super) components: ComponentsShape,
    /// Settings of every provider that is listed, unless its component or the provider itself says otherwise.
    pub(super) defaults: ProviderSettings,
    pub(super) mapping: MappingConfig,
    pub(super) aws: AwsConfig,
    pub(super) providers: BTreeMap<String, ProviderSettings>,
}

/// `components`: the folder in which components are found by their names, as text; or a table for each component.
#[derive(Debug)]
pub(super) enum ComponentsShape {
    Folder(PathBuf),
    /// `[components.NAME]`: the file, and settings of all providers that use the component. The folder is the one of
    /// damper.toml.
    Tables(BTreeMap<String, ProviderSettings>),
}

impl<'de> Deserialize<'de> for ComponentsShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Components;
        impl<'de> Visitor<'de> for Components {
            type Value = ComponentsShape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the folder of components as text, or tables [components.NAME]")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ComponentsShape, E> {
                Ok(ComponentsShape::Folder(text.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, tables: A) -> Result<ComponentsShape, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(tables)).map(ComponentsShape::Tables)
            }
        }
        deserializer.deserialize_any(Components)
    }
}

/// `readable_by`: who may read the database, records and charts that are made from now on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadableBy {
    /// Only the user that runs `damper`.
    #[default]
    Owner,
    /// The group of that user, too.
    Group,
    /// Everybody on the machine.
    All,
}

impl ReadableBy {
    /// The permissions that files and folders are made without (umask(2)). Nobody else may write, however many may
    /// read.
    #[must_use]
    pub fn umask(self) -> Mode {
        match self {
            Self::Owner => Mode::RWXG | Mode::RWXO,
            Self::Group => Mode::WGRP | Mode::RWXO,
            Self::All => Mode::WGRP | Mode::WOTH,
        }
    }
}

/// `[mapping]`: how the slow loop runs on this machine.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MappingConfig {
    /// How often the governor looks whether a disabled mapping may be enabled: from 1 s on.
    #[serde(deserialize_with = "tick")]
    pub tick: Duration,
    /// How long a change takes until it holds, as it does in AWS.
    #[serde(deserialize_with = "duration")]
    pub lag: Duration,
}

/// `[aws]`: the deployment, for commands with `--aws`. Missing values are read from the function's environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AwsConfig {
    /// The function: a name or an ARN, with an alias or without; default `damper`, and its alias `live`.
    pub function: Option<String>,
    /// The region; default: AWS's standard configuration.
    pub region: Option<String>,
    /// The ledger's table.
    pub table: Option<String>,
    /// The bucket of records and dead letters.
    pub bucket: Option<String>,
    /// The prefix of stream names.
    pub stream_prefix: Option<String>,
}

impl Shape {
    /// Reads the text of a damper.toml.
    pub(super) fn parse(text: &str) -> Result<Self, SettingsError> {
        toml::from_str(text).map_err(|error| SettingsError::of(&error, text))
    }

    /// The tables of components.
    pub(super) fn component_tables(&self) -> impl Iterator<Item = (&String, &ProviderSettings)> {
        match &self.components {
            ComponentsShape::Folder(_) => None,
            ComponentsShape::Tables(tables) => Some(tables),
        }
        .into_iter()
        .flatten()
    }
}

impl Default for MappingConfig {
    fn default() -> Self {
        Self { tick: TICK, lag: Duration::ZERO }
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(|how| D::Error::custom(format!("{text:?} is not a duration; {how}")))
}

fn tick<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let tick = duration(deserializer)?;
    let is_long_enough = tick >= Duration::from_secs(1);
    is_long_enough.then_some(tick).ok_or_else(|| D::Error::custom("mapping.tick must be at least \"1s\""))
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            database: "damper.db".into(),
            output: "out".into(),
            compression: Compression::None,
            readable_by: ReadableBy::Owner,
            components: ComponentsShape::Folder(PathBuf::new()),
            defaults: ProviderSettings::default(),
            mapping: MappingConfig::default(),
            aws: AwsConfig::default(),
            providers: BTreeMap::new(),
        }
    }
}
