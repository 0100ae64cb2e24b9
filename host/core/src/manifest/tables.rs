//! The tables of a manifest, checked and with units resolved.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

use crate::control::window::Window;

/// The longest `provider.toml`, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 64 * 1024;
/// The longest audience, in bytes.
pub(super) const MAX_AUDIENCE_BYTES: usize = 1_024;
/// The longest region or service in a signature of AWS, in bytes.
pub(super) const MAX_AWS_NAME_BYTES: usize = 64;

/// A manifest, checked: the requirements and limits of a component's author.
///
/// A component of its own is a provider of the same name. An operator may have several providers of one component:
/// [`Manifest::for_provider`] gives the manifest of each.
///
/// ```
/// use std::time::Duration;
/// use damper_core::manifest::{LimitsTightening, Manifest, Tightening};
///
/// let text = r#"
///     name = "gleif"
///     version = "0.3.0"
///     [egress]
///     hosts = ["api.gleif.org"]
///     [limits]
///     max_concurrency = 8
///     fetch_timeout = "10s"
/// "#;
/// let manifest = Manifest::parse(text)?;
/// assert_eq!(manifest.limits.fetch_timeout, Duration::from_secs(10));
/// assert_eq!(manifest.limits.memory_bytes, 64 << 20); // the default
///
/// // An operator can make a limit stricter, and never looser.
/// let (max_concurrency, requests_per_second) = (Some(100), Some(2.0));
/// let limits = LimitsTightening { max_concurrency, requests_per_second, ..Default::default() };
/// let manifest = manifest.tighten(&Tightening { limits, ..Default::default() })?;
/// assert_eq!(manifest.limits.max_concurrency.get(), 8);
/// assert_eq!(manifest.limits.requests_per_second, Some(2.0));
/// # Ok::<(), damper_core::manifest::ManifestError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The provider's name: 1 to 64 of `a-z`, `0-9` and `-`, starting with a letter.
    pub name: String,
    /// The component's name, of the same form.
    pub component: String,
    /// The component's version, `MAJOR.MINOR.PATCH` with an optional `-PRERELEASE`.
    pub version: String,
    /// One sentence on the records that the component fetches; may be empty.
    pub description: String,
    /// The params that are part of an item's identity besides its id; no doubles.
    pub identity: Vec<String>,
    /// The hosts to which the provider may send requests.
    pub egress: Egress,
    /// Limits of a fetch and of the API.
    pub limits: Limits,
    /// Batch sizes.
    pub pace: Pace,
    /// When to try again, and when to give up.
    pub retry: Retry,
    /// When the API may be called, and what a day is there.
    pub window: Window,
    /// The credentials the component may name, by name. The operator grants the secrets.
    pub credentials: BTreeMap<String, CredentialKind>,
    /// The keys the component may read, with their defaults as text. Empty text: the operator must set it.
    pub config: BTreeMap<String, String>,
    pub(super) stated: Stated,
}

/// The hosts to which a provider may send requests: https and port 443 only, which the egress policy enforces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress {
    /// Host names in lower case, no doubles; no addresses, no wildcards. Empty: the author leaves them to the operator,
    /// as `hosts = "operator"`.
    pub hosts: Vec<String>,
}

/// The keys that an author has written where the manifest has a default: there the stricter of author and operator
/// holds. Elsewhere the operator's value takes the default's place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stated {
    pub(super) max_concurrency: bool,
    pub(super) fetch_timeout: bool,
    pub(super) memory: bool,
    pub(super) response_bytes: bool,
    pub(super) timezone: bool,
    pub(super) day_starts: bool,
}

/// Limits of a fetch and of the API.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Requests in flight at the API at any time, over all processes: 1 to 1000.
    pub max_concurrency: NonZeroU32,
    /// Requests that start in a second, above 0 and at most 10000; `None`: no rate.
    pub requests_per_second: Option<f64>,
    /// Requests in a day, at least 1; `None`: no quota.
    pub daily_quota: Option<u64>,
    /// How long one fetch may take, from 100 ms to 10 min.
    pub fetch_timeout: Duration,
    /// Memory of one fetch's instance, in bytes: 1 MiB to 1 GiB.
    pub memory_bytes: u64,
    /// The longest response the component may receive, in bytes after decompression: 1 KiB to 64 MiB.
    pub response_bytes: u64,
}

/// Batch sizes: the governor moves between one and `max_batch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// Items in the first batches: 1 to `max_batch`.
    pub start_batch: u32,
    /// Items in a batch at most: 1 to 10000.
    pub max_batch: u32,
}

/// When to try an item again, and when to give it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Attempts until an item becomes a dead letter: 1 to 100.
    pub max_attempts: u32,
    /// How often an item may be not ready before it becomes a dead letter: 1 to 100,000.
    pub max_polls: u32,
    /// The wait before the second attempt, which grows from there: 10 ms to 1 h.
    pub backoff: Duration,
    /// The time over which the attempts that an item spends on the API's failures are spread at least: none to 7 days.
    pub spread: Duration,
    /// An item older than this becomes a dead letter: 1 min to 365 days.
    pub max_item_age: Duration,
    /// The treatment of an item whose lease expired and of which nothing is stored.
    pub on_lease_expiry: OnLeaseExpiry,
}

/// The treatment of an item whose lease expired and of which nothing is stored, although the API may have been called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnLeaseExpiry {
    /// Fetch it again: at least once.
    #[default]
    Refetch,
    /// Make it a dead letter, marked uncertain: at most once.
    Park,
}

/// How the host applies a credential to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialKind {
    /// The secret in a header of its own.
    Header {
        /// The header's name, a token of RFC 9110 that is none of those the host alone sets.
        header: String,
        /// The text before the secret in the value, for instance `Token `; may be empty.
        prefix: String,
    },
    /// The secret in the URL's query.
    Query {
        /// The parameter's name, of RFC 3986's unreserved characters.
        parameter: String,
    },
    /// User and password in `Authorization: Basic` (RFC 7617).
    Basic,
    /// A token in `Authorization: Bearer` (RFC 6750).
    Bearer,
    /// A token fetched with a client's id and secret (RFC 6749, section 4.4).
    Oauth2ClientCredentials(TokenSettings),
    /// A token fetched with a refresh token (RFC 6749, section 6), which the endpoint may replace each time.
    Oauth2RefreshToken(TokenSettings),
    /// A token fetched with an assertion that the host signs (RFC 7523).
    JwtBearer(TokenSettings),
    /// A key with which the component has texts signed, and which it never sees.
    Hmac,
    /// A key with which the host signs requests for a service of AWS, or one that takes such signatures.
    AwsSigv4 {
        /// The region; `None`: the operator names it.
        region: Option<String>,
        /// The service's name in signatures, such as `execute-api`; `None`: the operator names it.
        service: Option<String>,
    },
    /// A client certificate and its key.
    Mtls,
}

/// How tokens of an API are fetched, as its author knows it. What the operator writes takes its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenSettings {
    /// The token endpoint: https, port 443, a host name. The operator must grant the host. `None`: the operator names
    /// the endpoint.
    pub token_url: Option<String>,
    /// The scopes to ask for, no doubles; none: what the server gives by itself.
    pub scopes: Vec<String>,
    /// The place of the client's id and secret in the request.
    pub client_auth: ClientAuth,
    /// Whom an assertion is for, in its claim `aud`; `None`: the token endpoint's URL.
    pub audience: Option<String>,
}

/// The place of a client's id and secret in a request for a token (RFC 6749, section 2.3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// In `Authorization: Basic`, both form-encoded first.
    #[default]
    Basic,
    /// In the body, as `client_id` and `client_secret`.
    Body,
}

impl Egress {
    /// Whether the author leaves the hosts to the operator.
    #[must_use]
    pub fn is_left_to_operator(&self) -> bool {
        self.hosts.is_empty()
    }
}

impl TokenSettings {
    /// Whether a text can name the audience of an assertion: 1 to 1024 printable ASCII characters without spaces.
    #[must_use]
    pub fn is_audience(text: &str) -> bool {
        (1..=MAX_AUDIENCE_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    }

    /// Whether a text is a scope-token of RFC 6749, section 3.3.
    #[must_use]
    pub fn is_scope(text: &str) -> bool {
        !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~'))
    }
}

impl ClientAuth {
    /// Its name in a manifest and in damper.toml.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Body => "body",
        }
    }
}

impl CredentialKind {
    /// How its tokens are fetched, for a kind that gets tokens.
    #[must_use]
    pub fn token_settings(&self) -> Option<&TokenSettings> {
        match self {
            Self::Oauth2ClientCredentials(tokens) | Self::Oauth2RefreshToken(tokens) | Self::JwtBearer(tokens) => {
                Some(tokens)
            }
            _ => None,
        }
    }

    /// Whether the host replaces a part of its secret: a refresh token is rotated (RFC 9700, section 4.14).
    #[must_use]
    pub fn is_rotated(&self) -> bool {
        matches!(self, Self::Oauth2RefreshToken(_))
    }

    /// Whether a text can be a region or a service in a signature of AWS: 1 to 64 of a-z, 0-9 and `-`.
    #[must_use]
    pub fn is_aws_name(text: &str) -> bool {
        let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        (1..=MAX_AWS_NAME_BYTES).contains(&text.len()) && text.bytes().all(known)
    }

    /// Its name in a manifest.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Header { .. } => "header",
            Self::Query { .. } => "query",
            Self::Basic => "basic",
            Self::Bearer => "bearer",
            Self::Oauth2ClientCredentials(_) => "oauth2-client-credentials",
            Self::Oauth2RefreshToken(_) => "oauth2-refresh-token",
            Self::JwtBearer(_) => "jwt-bearer",
            Self::Hmac => "hmac",
            Self::AwsSigv4 { .. } => "aws-sigv4",
            Self::Mtls => "mtls",
        }
    }
}
