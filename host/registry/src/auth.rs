//! Authorization as registries ask for it: a password with each request, or a token from the registry's token service
//! (<https://distribution.github.io/distribution/spec/auth/token/>).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::credentials::Credentials;
use crate::error::RegistryError;
use crate::transport::{Outgoing, Transport};

const MAX_CHALLENGE_BYTES: usize = 4_096;
const MAX_TOKEN_BYTES: usize = 64 << 10;
const FORM: &str = "application/x-www-form-urlencoded";
const CLIENT: &str = "damper";

/// The demand of a response with status 401.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A password with each request.
    Basic,
    /// A token from the service at `realm`.
    Bearer { realm: String, service: Option<String> },
}

/// Why there is no authorization.
pub(crate) enum AuthError {
    /// The credentials are missing or refused, with this status.
    Refused(StatusCode),
    /// Anything else.
    Other(RegistryError),
}

impl From<RegistryError> for AuthError {
    fn from(error: RegistryError) -> Self {
        Self::Other(error)
    }
}

#[derive(Deserialize)]
struct TokenResponse {
    token: Option<String>,
    access_token: Option<String>,
}

/// Reads the challenge of a response; a token is preferred to a password.
pub(crate) fn read_challenge(headers: &HeaderMap) -> Option<Challenge> {
    let challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let challenges: Vec<Challenge> = challenges
        .filter(|value| value.len() <= MAX_CHALLENGE_BYTES)
        .filter_map(|value| {
            let (scheme, parameters) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
            if scheme.eq_ignore_ascii_case("basic") {
                return Some(Challenge::Basic);
            }
            let is_bearer = scheme.eq_ignore_ascii_case("bearer");
            let realm = find_parameter(parameters, "realm").filter(|_| is_bearer)?;
            Some(Challenge::Bearer { realm, service: find_parameter(parameters, "service") })
        })
        .collect();
    challenges.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. })).or(challenges.first()).cloned()
}

/// The value of `name="value"`, with the escapes of RFC 9110.
fn find_parameter(mut rest: &str, name: &str) -> Option<String> {
    while let Some((key, behind)) = rest.split_once('=') {
        let key = key.trim_matches([' ', ',', '\t']);
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => read_quoted(quoted)?,
            None => {
                let (value, behind) = behind.split_once(',').unwrap_or((behind, ""));
                (value.trim().to_owned(), behind)
            }
        };
        if key.eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = behind;
    }
    None
}

fn read_quoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => {
                value.push(character);
                is_escaped = false;
            }
            '\\' => is_escaped = true,
            '"' => return Some((value, text.get(at + 1..).unwrap_or_default())),
            _ => value.push(character),
        }
    }
    None
}

/// The header that answers a challenge. `scope`: what is asked for, such as `repository:providers/gleif:pull`.
pub(crate) async fn answer_challenge(
    transport: &Transport,
    challenge: &Challenge,
    scope: &str,
    credentials: &Credentials,
) -> Result<HeaderValue, AuthError> {
    let refused = AuthError::Refused(StatusCode::UNAUTHORIZED);
    match (challenge, credentials) {
        (Challenge::Basic, Credentials::Password { username, secret }) => {
            header("Basic", &STANDARD.encode(format!("{username}:{secret}"))).ok_or(refused)
        }
        (Challenge::Basic, _) => Err(refused),
        (Challenge::Bearer { realm, service }, credentials) => {
            let realm = check_realm(transport, realm)?;
            let token = fetch_token(transport, realm, service.as_deref(), scope, credentials).await?;
            header("Bearer", &token).ok_or_else(|| transport.protocol_error("its token is no token".to_owned()).into())
        }
    }
}

/// The token service may be on another host, because the registry decides which service checks its credentials; but
/// passwords are sent without TLS only to the host that the operator uses without TLS.
fn check_realm(transport: &Transport, realm: &str) -> Result<Url, RegistryError> {
    let problem = |problem: &str| transport.protocol_error(format!("its token service {problem}"));
    let realm = Url::parse(realm).map_err(|_| problem("has no usable address"))?;
    if !transport.is_allowed(&realm) {
        return Err(problem("has no TLS"));
    }
    let is_same_host = realm.host_str() == transport.base.host_str();
    if realm.scheme() == "http" && !is_same_host {
        return Err(problem("has no TLS and is on another host"));
    }
    Ok(realm)
}

async fn fetch_token(
    transport: &Transport,
    mut realm: Url,
    service: Option<&str>,
    scope: &str,
    credentials: &Credentials,
) -> Result<String, AuthError> {
    let parameters = service.map(|service| ("service", service)).into_iter().chain([("scope", scope)]);
    let mut outgoing = Outgoing {
        method: Method::GET,
        url: realm.clone(),
        accept: None,
        content_type: None,
        body: None,
        timeout: transport.timeouts.request,
    };
    let mut authorization = None;
    match credentials {
        Credentials::IdentityToken(token) => {
            let mut form = Serializer::new(String::new());
            form.extend_pairs(parameters).append_pair("grant_type", "refresh_token");
            form.append_pair("client_id", CLIENT).append_pair("refresh_token", token);
            (outgoing.method, outgoing.content_type) = (Method::POST, Some(FORM));
            outgoing.body = Some(Bytes::from(form.finish()));
        }
        Credentials::Password { .. } | Credentials::Anonymous => {
            realm.query_pairs_mut().extend_pairs(parameters);
            outgoing.url = realm;
            if let Credentials::Password { username, secret } = credentials {
                authorization = header("Basic", &STANDARD.encode(format!("{username}:{secret}")));
            }
        }
    }
    let (status, body) = transport.ask_token_service(&outgoing, authorization.as_ref(), MAX_TOKEN_BYTES).await?;
    match status.as_u16() {
        200..=299 => {}
        400 | 401 | 403 => return Err(AuthError::Refused(status)),
        _ => return Err(transport.protocol_error(format!("its token service has status {}", status.as_u16())).into()),
    }
    let response: Option<TokenResponse> = serde_json::from_slice(&body).ok();
    let token = response.and_then(|response| response.token.or(response.access_token)).filter(|it| !it.is_empty());
    token.ok_or_else(|| transport.protocol_error("its token service gives no token".to_owned()).into())
}

fn header(scheme: &str, value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {value}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        read_challenge(&headers)
    }

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        let hub =
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull""#;
        assert_eq!(read(&[hub]), bearer("https://auth.docker.io/token", Some("registry.docker.io")));
        assert_eq!(
            read(&[r#"bearer service="a, \"b\"", realm=https://x.test/t"#]),
            bearer("https://x.test/t", Some("a, \"b\""))
        );
        assert_eq!(read(&["Basic realm=\"x\""]), Some(Challenge::Basic));
        assert_eq!(read(&["Basic", r#"Bearer realm="https://x.test""#]), bearer("https://x.test", None));
        for value in ["", "Bearer", "Bearer realm=\"x", "Digest realm=\"x\"", "Bearer service=\"x\""] {
            assert_eq!(read(&[value]), None, "{value}");
        }
        assert_eq!(read(&[&format!("Bearer realm=\"{}\"", "x".repeat(5_000))]), None);
    }

    #[test]
    fn an_authorization_is_not_shown() {
        assert!(!format!("{:?}", header("Bearer", "secret")).contains("secret"));
    }
}
