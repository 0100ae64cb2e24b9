//! The shape of a `provider.toml`: its keys and their types, before any value is checked. Its errors name the tables as
//! the checked types are called.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::tables::{ClientAuth, OnLeaseExpiry};
use super::units::Word;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "struct Manifest")]
pub(super) struct RawManifest {
    pub(super) name: String,
    pub(super) version: String,
    #[serde(default)]
    pub(super) description: String,
    #[serde(default)]
    pub(super) identity: Vec<String>,
    pub(super) egress: RawEgress,
    #[serde(default)]
    pub(super) limits: RawLimits,
    #[serde(default)]
    pub(super) pace: RawPace,
    #[serde(default)]
    pub(super) retry: RawRetry,
    #[serde(default)]
    pub(super) window: RawWindow,
    #[serde(default)]
    pub(super) credentials: BTreeMap<String, RawCredential>,
    #[serde(default)]
    pub(super) config: BTreeMap<String, Word>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "struct Egress")]
pub(super) struct RawEgress {
    pub(super) hosts: RawHosts,
}

/// `egress.hosts`.
pub(super) enum RawHosts {
    Listed(Vec<String>),
    /// `"operator"`.
    Operator,
}

impl<'de> Deserialize<'de> for RawHosts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Hosts;
        impl<'de> Visitor<'de> for Hosts {
            type Value = RawHosts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of host names, or \"operator\" if each operator names them")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RawHosts, E> {
                match text {
                    "operator" => Ok(RawHosts::Operator),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<RawHosts, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(RawHosts::Listed)
            }
        }
        deserializer.deserialize_any(Hosts)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "struct Limits")]
pub(super) struct RawLimits {
    pub(super) max_concurrency: Option<i64>,
    pub(super) requests_per_second: Option<f64>,
    pub(super) daily_quota: Option<i64>,
    pub(super) fetch_timeout: Option<Word>,
    pub(super) memory: Option<Word>,
    pub(super) response_bytes: Option<Word>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "struct Pace")]
pub(super) struct RawPace {
    pub(super) start_batch: Option<i64>,
    pub(super) max_batch: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "struct Retry")]
pub(super) struct RawRetry {
    pub(super) max_attempts: Option<i64>,
    pub(super) max_polls: Option<i64>,
    pub(super) backoff: Option<Word>,
    pub(super) spread: Option<Word>,
    pub(super) max_item_age: Option<Word>,
    pub(super) on_lease_expiry: OnLeaseExpiry,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "struct Window")]
pub(super) struct RawWindow {
    pub(super) timezone: Option<String>,
    pub(super) day_starts: Option<String>,
    pub(super) open: Option<Vec<String>>,
    pub(super) closed: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "struct Credential")]
pub(super) struct RawCredential {
    pub(super) kind: Kind,
    pub(super) header: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) parameter: Option<String>,
    pub(super) token_url: Option<String>,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) client_auth: Option<ClientAuth>,
    pub(super) audience: Option<String>,
    pub(super) region: Option<String>,
    pub(super) service: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Header,
    Query,
    Basic,
    Bearer,
    #[serde(rename = "oauth2-client-credentials")]
    Oauth2ClientCredentials,
    #[serde(rename = "oauth2-refresh-token")]
    Oauth2RefreshToken,
    JwtBearer,
    Hmac,
    AwsSigv4,
    Mtls,
}

impl Kind {
    /// Its name in a manifest.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Query => "query",
            Self::Basic => "basic",
            Self::Bearer => "bearer",
            Self::Oauth2ClientCredentials => "oauth2-client-credentials",
            Self::Oauth2RefreshToken => "oauth2-refresh-token",
            Self::JwtBearer => "jwt-bearer",
            Self::Hmac => "hmac",
            Self::AwsSigv4 => "aws-sigv4",
            Self::Mtls => "mtls",
        }
    }
}
