//! The shape of a provider's settings: their keys and types, before they are combined with a manifest.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use damper_core::escape::escape_text;
use damper_core::manifest::{
    LimitsTightening, PaceTightening, Position, RetryTightening, Tightening, WindowTightening,
};
use serde::de::{Error, SeqAccess, Visitor, value::SeqAccessDeserializer};
use serde::{Deserialize, Deserializer};

use crate::grants::ClientAuth;

/// `[providers.NAME]` of a damper.toml: what is granted to a provider, and what is tightened.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderSettings {
    /// The component: the name of a `[components.NAME]`, or its file, seen from the damper.toml's folder. The program
    /// that finds components reads it; [`super::bind`] does not.
    pub component: Option<PathBuf>,
    /// The same file, in a table `[components.NAME]` alone.
    pub file: Option<PathBuf>,
    /// The hosts it may reach by https; absent: none.
    pub hosts: Option<HostGrant>,
    /// Origins at private addresses or without TLS, by name.
    pub private: Vec<String>,
    /// The proxy for public hosts.
    pub proxy: Option<String>,
    /// Values for the manifest's `[config]`.
    pub config: BTreeMap<String, Text>,
    limits: LimitsTightening,
    pace: PaceTightening,
    retry: RetryTightening,
    window: WindowTightening,
    /// Its credentials, by name, with the places of their secrets.
    pub credentials: BTreeMap<String, CredentialSettings>,
}

/// Settings that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}{}", .position.map(|Position { line, column }| format!(" (line {line}, column {column})")).unwrap_or_default())]
pub struct SettingsError {
    /// The problem.
    pub problem: String,
    /// Its position.
    pub position: Option<Position>,
}

impl ProviderSettings {
    /// Reads the text of one provider's table: its keys, without the line `[providers.NAME]`.
    ///
    /// # Errors
    /// If the text is no TOML, or has a key or a type that is not known.
    pub fn from_toml(text: &str) -> Result<Self, SettingsError> {
        toml::from_str(text).map_err(|error| SettingsError::of(&error, text))
    }

    /// The tightened limits.
    #[must_use]
    pub fn tightening(&self) -> Tightening {
        Tightening {
            limits: self.limits.clone(),
            pace: self.pace.clone(),
            retry: self.retry.clone(),
            window: self.window.clone(),
        }
    }
}

impl SettingsError {
    /// Converts the TOML reader's error for a text, on one line.
    #[must_use]
    pub fn of(error: &toml::de::Error, text: &str) -> Self {
        let position = error.span().map(|span| Position::of(text, span.start));
        Self { problem: escape_text(&error.message().replace('\n', " ")), position }
    }
}

/// Which hosts are granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostGrant {
    /// All that the manifest asks for.
    Manifest,
    /// These.
    Listed(Vec<String>),
}

/// `[providers.NAME.credentials.CREDENTIAL]`: where a secret is, which hosts may receive it, and what its kind needs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CredentialSettings {
    /// The environment variable that holds it.
    pub env: Option<String>,
    /// The file that holds it.
    pub file: Option<PathBuf>,
    /// The secret of AWS Secrets Manager that holds it: a name or an ARN.
    pub secret: Option<String>,
    /// The key of it, where `secret` holds a JSON object.
    pub secret_key: Option<String>,
    /// The most requests in a day with it; for kinds `header`, `query`, `basic` and `bearer`.
    pub daily_quota: Option<i64>,
    /// The places of several keys, which are used in turn, in place of the five above.
    pub secrets: Option<Vec<KeySettings>>,
    /// The hosts that may receive it; absent: the granted hosts.
    pub hosts: Option<Vec<String>>,
    /// The endpoint from which tokens are fetched with it, in place of the manifest's; for kinds that get tokens.
    pub token_url: Option<String>,
    /// The scopes to ask for, in place of the manifest's; for kinds that get tokens.
    pub scopes: Option<Vec<String>>,
    /// The place of the client's id and secret in a request for a token, in place of the manifest's; for kinds
    /// `oauth2-client-credentials` and `oauth2-refresh-token`.
    pub client_auth: Option<ClientAuth>,
    /// Whom an assertion is for, in place of the manifest's; for kind `jwt-bearer`.
    pub audience: Option<String>,
    /// The region in signatures, in place of the manifest's; for kind `aws-sigv4`.
    pub region: Option<String>,
    /// The service in signatures, in place of the manifest's; for kind `aws-sigv4`.
    pub service: Option<String>,
    /// Certificates in PEM, which alone are trusted for its hosts; for kind `mtls`.
    pub ca: Option<String>,
}

/// The place of one of several keys.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeySettings {
    /// The environment variable that holds it.
    pub env: Option<String>,
    /// The file that holds it.
    pub file: Option<PathBuf>,
    /// The secret of AWS Secrets Manager that holds it: a name or an ARN.
    pub secret: Option<String>,
    /// The key of it, where `secret` holds a JSON object.
    pub secret_key: Option<String>,
    /// The most requests in a day with it.
    pub daily_quota: Option<i64>,
}

impl CredentialSettings {
    /// The places of its secrets.
    #[must_use]
    pub fn keys(&self) -> Vec<KeySettings> {
        let Self { env, file, secret, secret_key, daily_quota, secrets, .. } = self;
        let own = || KeySettings {
            env: env.clone(),
            file: file.clone(),
            secret: secret.clone(),
            secret_key: secret_key.clone(),
            daily_quota: *daily_quota,
        };
        secrets.clone().unwrap_or_else(|| vec![own()])
    }
}

/// A setting's value: text, or a number or truth value that is kept as its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => Ok(Self(text)),
            toml::Value::Integer(number) => Ok(Self(number.to_string())),
            toml::Value::Float(number) => Ok(Self(number.to_string())),
            toml::Value::Boolean(truth) => Ok(Self(truth.to_string())),
            other => {
                Err(D::Error::custom(format!("a setting is text, a number or a boolean, not {}", other.type_str())))
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
                f.write_str("a list of host names, or \"manifest\" for the hosts of the manifest")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<HostGrant, E> {
                if text == "manifest" {
                    return Ok(HostGrant::Manifest);
                }
                Err(E::custom(format!(
                    "hosts is {text:?}: list host names, or write \"manifest\" for all hosts of the manifest"
                )))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<HostGrant, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(HostGrant::Listed)
            }
        }
        deserializer.deserialize_any(Hosts)
    }
}
