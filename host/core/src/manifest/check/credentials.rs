//! The credentials of a manifest: each kind with the settings that it has, and no others.

use std::collections::{BTreeMap, BTreeSet};

use url::Url;

use super::super::error::ManifestError;
use super::super::raw::{Kind, RawCredential};
use super::super::tables::{CredentialKind, MAX_AUDIENCE_BYTES, TokenSettings};
use super::names::{MAX_NAME_BYTES, entry_count, host};

pub(in super::super) const MAX_HEADER_BYTES: usize = 128;
/// The longest URL of a token endpoint, the longest audience, and the longest scope.
pub(in super::super) const MAX_TOKEN_URL_BYTES: usize = MAX_AUDIENCE_BYTES;
pub(in super::super) const MAX_SCOPE_BYTES: usize = 256;
/// Headers that belong to the host or to the connection. `Proxy-` stands for all that begin with it.
const FORBIDDEN_HEADERS: [&str; 13] = [
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "http2-settings",
    "if-range",
    "keep-alive",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn credentials(
    raw: BTreeMap<String, RawCredential>,
) -> Result<BTreeMap<String, CredentialKind>, ManifestError> {
    entry_count("credentials", raw.len())?;
    let mut credentials = BTreeMap::new();
    for (name, credential) in raw {
        let known = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
        if !known || !(1..=MAX_NAME_BYTES).contains(&name.len()) {
            let (field, allowed) = (format!("credentials.{name:?}"), "write 1 to 64 of a-z, 0-9, \"-\" and \"_\"");
            return Err(ManifestError::value(field, "not the name of a credential", allowed));
        }
        let kind = credential_kind(&format!("credentials.{name}"), credential)?;
        credentials.insert(name, kind);
    }
    Ok(credentials)
}

fn credential_kind(path: &str, raw: RawCredential) -> Result<CredentialKind, ManifestError> {
    refuse_foreign_keys(path, &raw)?;
    Ok(match raw.kind {
        Kind::Header => {
            let header = raw.header.ok_or_else(|| {
                ManifestError::missing(format!("{path}.header"), "name the header, as in header = \"X-Api-Key\"")
            })?;
            let header = self::header(&format!("{path}.header"), header)?;
            let prefix = self::prefix(&format!("{path}.prefix"), raw.prefix.unwrap_or_default())?;
            CredentialKind::Header { header, prefix }
        }
        Kind::Query => {
            let parameter = raw.parameter.ok_or_else(|| {
                ManifestError::missing(format!("{path}.parameter"), "name the parameter, as in parameter = \"api_key\"")
            })?;
            CredentialKind::Query { parameter: self::parameter(&format!("{path}.parameter"), parameter)? }
        }
        Kind::Basic => CredentialKind::Basic,
        Kind::Bearer => CredentialKind::Bearer,
        Kind::Oauth2ClientCredentials => CredentialKind::Oauth2ClientCredentials(token_settings(path, raw)?),
        Kind::Oauth2RefreshToken => CredentialKind::Oauth2RefreshToken(token_settings(path, raw)?),
        Kind::JwtBearer => CredentialKind::JwtBearer(token_settings(path, raw)?),
        Kind::Hmac => CredentialKind::Hmac,
        Kind::AwsSigv4 => {
            let checked =
                |key: &str, text: Option<String>| text.map(|text| aws_name(&format!("{path}.{key}"), text)).transpose();
            CredentialKind::AwsSigv4 {
                region: checked("region", raw.region)?,
                service: checked("service", raw.service)?,
            }
        }
        Kind::Mtls => CredentialKind::Mtls,
    })
}

/// Refuses keys that another kind has.
fn refuse_foreign_keys(path: &str, raw: &RawCredential) -> Result<(), ManifestError> {
    let text = |value: &Option<String>| value.as_ref().map(|value| format!("{value:?}"));
    let clients: &[Kind] = &[Kind::Oauth2ClientCredentials, Kind::Oauth2RefreshToken];
    let tokens: &[Kind] = &[Kind::Oauth2ClientCredentials, Kind::Oauth2RefreshToken, Kind::JwtBearer];
    let keys = [
        ("header", text(&raw.header), &[Kind::Header] as &[Kind]),
        ("prefix", text(&raw.prefix), &[Kind::Header]),
        ("parameter", text(&raw.parameter), &[Kind::Query]),
        ("token_url", text(&raw.token_url), tokens),
        ("scopes", raw.scopes.as_ref().map(|scopes| format!("{scopes:?}")), tokens),
        ("client_auth", raw.client_auth.map(|auth| format!("{:?}", auth.name())), clients),
        ("audience", text(&raw.audience), &[Kind::JwtBearer]),
        ("region", text(&raw.region), &[Kind::AwsSigv4]),
        ("service", text(&raw.service), &[Kind::AwsSigv4]),
    ];
    for (key, value, kinds) in keys {
        let Some(value) = value.filter(|_| !kinds.contains(&raw.kind)) else { continue };
        let kinds: Vec<String> = kinds.iter().map(|kind| format!("{:?}", kind.name())).collect();
        let allowed = format!("only a credential of kind {} has it; remove it", kinds.join(" or "));
        return Err(ManifestError::value(format!("{path}.{key}"), value, allowed));
    }
    Ok(())
}

fn token_settings(path: &str, raw: RawCredential) -> Result<TokenSettings, ManifestError> {
    let token_url = raw.token_url.map(|text| token_url(&format!("{path}.token_url"), text)).transpose()?;
    let scopes = scopes(&format!("{path}.scopes"), raw.scopes.unwrap_or_default())?;
    let audience = raw.audience.map(|text| audience(&format!("{path}.audience"), text)).transpose()?;
    Ok(TokenSettings { token_url, scopes, client_auth: raw.client_auth.unwrap_or_default(), audience })
}

/// The URL of a token endpoint, within the bounds of a host that a manifest may ask for.
fn token_url(field: &str, text: String) -> Result<String, ManifestError> {
    let wrong = |allowed: &str| ManifestError::text(field, &text, allowed);
    let as_in = "it must be the URL of the token endpoint: write it as \"https://auth.example.com/token\"";
    let url = Url::parse(&text).map_err(|_| wrong(as_in))?;
    if text.len() > MAX_TOKEN_URL_BYTES {
        return Err(wrong("it must have at most 1024 bytes"));
    }
    if url.scheme() != "https" {
        return Err(wrong("it must be https: the operator names an endpoint without TLS in damper.toml"));
    }
    if url.port().is_some() {
        return Err(wrong("it must be at port 443: the operator names an endpoint at another port in damper.toml"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(wrong("it must have no user, no password and no fragment: the operator binds the secret"));
    }
    host(url.host_str().unwrap_or_default()).map_err(wrong)?;
    Ok(url.into())
}

fn audience(field: &str, text: String) -> Result<String, ManifestError> {
    if TokenSettings::is_audience(&text) {
        return Ok(text);
    }
    Err(ManifestError::text(field, &text, "it must be 1 to 1024 printable ASCII characters without spaces"))
}

fn aws_name(field: &str, text: String) -> Result<String, ManifestError> {
    if CredentialKind::is_aws_name(&text) {
        return Ok(text);
    }
    Err(ManifestError::text(field, &text, "it must be 1 to 64 of a-z, 0-9 and \"-\", as in \"us-east-1\""))
}

fn scopes(field: &str, scopes: Vec<String>) -> Result<Vec<String>, ManifestError> {
    entry_count(field, scopes.len())?;
    let mut seen = BTreeSet::new();
    for (index, scope) in scopes.iter().enumerate() {
        let wrong = |allowed: &str| Err(ManifestError::text(format!("{field}[{index}]"), scope, allowed));
        if !TokenSettings::is_scope(scope) || scope.len() > MAX_SCOPE_BYTES {
            return wrong("it must be one scope, without spaces: list each scope by itself");
        }
        if !seen.insert(scope) {
            return wrong("it is listed twice; list each scope once");
        }
    }
    Ok(scopes)
}

fn header(field: &str, name: String) -> Result<String, ManifestError> {
    // A token of RFC 9110, section 5.6.2.
    let token = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    if !token || !(1..=MAX_HEADER_BYTES).contains(&name.len()) {
        return Err(ManifestError::text(
            field,
            &name,
            "it must be the name of an HTTP header: write it as \"X-Api-Key\"",
        ));
    }
    let lower = name.to_ascii_lowercase();
    if FORBIDDEN_HEADERS.contains(&&*lower) || lower.starts_with("proxy-") {
        return Err(ManifestError::text(field, &name, "only the host sets this header; name another"));
    }
    Ok(name)
}

fn parameter(field: &str, name: String) -> Result<String, ManifestError> {
    // RFC 3986's unreserved characters: they need no escapes, so the name has one spelling.
    let unreserved = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    if unreserved && (1..=MAX_HEADER_BYTES).contains(&name.len()) {
        return Ok(name);
    }
    let allowed = "it must be 1 to 128 of letters, digits, \"-\", \".\", \"_\" and \"~\": write it as \"api_key\"";
    Err(ManifestError::text(field, &name, allowed))
}

fn prefix(field: &str, prefix: String) -> Result<String, ManifestError> {
    let printable = prefix.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if printable && prefix.len() <= MAX_HEADER_BYTES {
        return Ok(prefix);
    }
    Err(ManifestError::text(field, &prefix, "it must be at most 128 printable ASCII characters, as in \"Token \""))
}
