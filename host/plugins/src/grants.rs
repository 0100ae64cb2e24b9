//! An operator's grants to a provider: hosts, private addresses, secrets, settings. A manifest requests them; only the
//! operator grants them.

mod secret;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use url::Url;

pub(crate) use secret::LIMITED_KINDS;
pub use secret::{
    ClientAuth, FurtherKey, JsonKey, KeyLimit, Secret, SecretBinding, SecretError, SecretSource, SigningScope,
    TokenEndpoint,
};

/// The operator's grants to one provider.
///
/// ```
/// use damper_plugins::grants::{Grants, OriginError, SecretBinding};
///
/// // By https; and by http to a test server on this machine, which has to be named.
/// let hosts = vec!["api.example.org".to_owned()];
/// let private = vec!["http://127.0.0.1:8085".parse()?];
/// // The secret goes to the named host only, and is in no debug output.
/// let secret = SecretBinding::constant("hunter2", hosts.clone());
/// let grants = Grants { hosts, private, secrets: [("key".to_owned(), secret)].into(), ..Grants::default() };
/// assert!(!format!("{grants:?}").contains("hunter2"));
/// # Ok::<(), OriginError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Grants {
    /// Host names, reached by https on port 443. Those of the manifest that are not here are refused.
    pub hosts: Vec<String>,
    /// Origins granted by name, although they are not https, not on port 443 or not at a public address.
    pub private: Vec<Origin>,
    /// Secrets for the credentials that the manifest names.
    pub secrets: BTreeMap<String, SecretBinding>,
    /// Values for the keys of the manifest's `[config]`.
    pub config: BTreeMap<String, String>,
    /// The proxy for requests to public hosts, as a URL. It resolves the hosts' names, so their addresses are not
    /// checked here. Private origins are never asked through it.
    pub proxy: Option<String>,
}

impl Grants {
    /// Whether a key has a limit: its requests are to be counted in a store that all processes share.
    #[must_use]
    pub fn has_limited_keys(&self) -> bool {
        self.secrets.values().any(SecretBinding::is_limited)
    }
}

/// Scheme, host and port: what a request goes to (RFC 6454).
///
/// ```
/// use damper_plugins::grants::Origin;
///
/// let origin: Origin = "https://API.example.org:443/".parse()?;
/// assert_eq!(origin.to_string(), "https://api.example.org");
/// assert_eq!(origin, Origin::https("api.example.org")?);
/// assert!("https://api.example.org/v1".parse::<Origin>().is_err(), "a path is more than an origin");
/// # Ok::<(), damper_plugins::grants::OriginError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    https: bool,
    /// As the URL standard normalises it: lower case, an address in its one spelling, IPv6 in brackets.
    host: String,
    port: u16,
}

/// A text that is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an origin: write it as \"http://127.0.0.1:8085\", with scheme, host and port and nothing after them"
)]
pub struct OriginError(String);

impl Origin {
    /// The origin of https requests to a host on port 443.
    ///
    /// # Errors
    /// If the text is not a host name alone.
    pub fn https(host: &str) -> Result<Self, OriginError> {
        let origin: Self = format!("https://{host}").parse().map_err(|_| OriginError(host.to_owned()))?;
        if origin.port == 443 && !host.contains(':') { Ok(origin) } else { Err(OriginError(host.to_owned())) }
    }

    /// The origin of a URL; none where it is neither http nor https.
    #[must_use]
    pub fn of(url: &Url) -> Option<Self> {
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        Some(Self { https, host: url.host_str()?.to_owned(), port: url.port_or_known_default()? })
    }

    /// Whether requests to it are encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The host: a name, or an address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || OriginError(text.to_owned());
        let url = Url::parse(text).map_err(|_| wrong())?;
        let bare = matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if bare { Self::of(&url).ok_or_else(wrong) } else { Err(wrong()) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default) = if self.https { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == default { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_one_spelling() {
        let cases = [
            ("https://API.Example.com", "https://api.example.com"),
            ("https://api.example.com:443/", "https://api.example.com"),
            ("http://127.1:8085", "http://127.0.0.1:8085"),
            ("http://0x7f000001:80", "http://127.0.0.1"),
            ("http://[0:0::1]:9", "http://[::1]:9"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_refused() {
        let cases =
            ["", "api.example.com", "ftp://a.b", "https://a.b/path", "https://a.b?q", "https://u@a.b", "https://"];
        for text in cases {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
        for text in ["a.b:443", "a.b/x", "u@a.b", "https://a.b", ""] {
            assert!(Origin::https(text).is_err(), "{text}");
        }
    }
}
