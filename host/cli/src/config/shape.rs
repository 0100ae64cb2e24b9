//! The shape of damper.toml: its keys and their types.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use damper_core::control::governor::TICK;
use damper_core::manifest::units::parse_duration;
use damper_core::manifest::{LimitsTightening, PaceTightening, RetryTightening, Tightening, WindowTightening};
use serde::de::{Error, SeqAccess, Visitor, value::SeqAccessDeserializer};
use serde::{Deserialize, Deserializer};

/// A whole damper.toml.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Shape {
    pub(super) database: PathBuf,
    pub(super) output: PathBuf,
    /// `providers = "folder"` beside `[providers.NAME]` would be one key twice, so the folder has a name of its own.
    pub(super) components: PathBuf,
    pub(super) mapping: MappingConfig,
    pub(super) providers: BTreeMap<String, ProviderConfig>,
}

/// `[mapping]`: how the slow loop runs on this machine.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MappingConfig {
    /// How often the governor looks whether a disabled mapping may be enabled: from 1 s on.
    #[serde(deserialize_with = "tick")]
    pub(crate) tick: Duration,
    /// How long a change takes until it holds, as it does in AWS.
    #[serde(deserialize_with = "duration")]
    pub(crate) lag: Duration,
}

impl Default for MappingConfig {
    fn default() -> Self {
        Self { tick: TICK, lag: Duration::ZERO }
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(|how| D::Error::custom(format!("{text:?} is no duration; {how}")))
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
            components: PathBuf::new(),
            mapping: MappingConfig::default(),
            providers: BTreeMap::new(),
        }
    }
}

/// `[providers.NAME]`: what is granted to a provider, and what is tightened.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProviderConfig {
    /// The component's file.
    pub(crate) component: Option<PathBuf>,
    /// The hosts it may reach by https; absent: none.
    pub(crate) hosts: Option<HostGrant>,
    /// Origins at private addresses or without TLS, by name.
    pub(crate) private: Vec<String>,
    /// The proxy for public hosts.
    pub(crate) proxy: Option<String>,
    /// Values for the manifest's `[config]`.
    pub(crate) config: BTreeMap<String, Text>,
    limits: LimitsTightening,
    pace: PaceTightening,
    retry: RetryTightening,
    window: WindowTightening,
    /// Where its secrets are.
    pub(crate) credentials: BTreeMap<String, CredentialConfig>,
}

impl ProviderConfig {
    /// What is tightened.
    pub(crate) fn tightening(&self) -> Tightening {
        Tightening {
            limits: self.limits.clone(),
            pace: self.pace.clone(),
            retry: self.retry.clone(),
            window: self.window.clone(),
        }
    }
}

/// Which hosts are granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostGrant {
    /// All that the manifest asks for.
    Manifest,
    /// These.
    Listed(Vec<String>),
}

/// `[providers.NAME.credentials.CREDENTIAL]`: where a secret is, and which hosts may receive it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CredentialConfig {
    /// The environment variable that holds it.
    #[serde(default)]
    pub(crate) env: Option<String>,
    /// The file that holds it.
    #[serde(default)]
    pub(crate) file: Option<PathBuf>,
    /// The hosts that may receive it; absent: the granted hosts.
    #[serde(default)]
    pub(crate) hosts: Option<Vec<String>>,
}

/// A setting's value: text, or a number or truth value that is kept as its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => Ok(Self(text)),
            toml::Value::Integer(number) => Ok(Self(number.to_string())),
            toml::Value::Float(number) => Ok(Self(number.to_string())),
            toml::Value::Boolean(truth) => Ok(Self(truth.to_string())),
            other => {
                Err(D::Error::custom(format!("a setting is text, a number or a truth value, not {}", other.type_str())))
            }
        }
    }
}

impl<'de> Deserialize<'de> for HostGrant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Hosts;
        impl<'de> Visitor<'de> for Hosts {
            type Value = HostGrant;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of host names, or \"manifest\" for those that the manifest asks for")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<HostGrant, E> {
                if text == "manifest" {
                    return Ok(HostGrant::Manifest);
                }
                Err(E::custom(format!(
                    "hosts is {text:?}: list host names, or write \"manifest\" for all that the manifest asks for"
                )))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<HostGrant, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(HostGrant::Listed)
            }
        }
        deserializer.deserialize_any(Hosts)
    }
}
