//! The generated secrets of a run, and the search for them in requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use damper_core::manifest::{CredentialKind, Manifest, TokenSettings};
use damper_plugins::grants::{Secret, SecretBinding, SecretError, SecretSource, SigningScope, TokenEndpoint};
use damper_plugins::{remove_parameter, spellings};
use serde_json::json;
use url::Url;

use crate::case::Answer;
use crate::network::{AuthorityError, ReceivedRequest, assertion_key, client_certificate};

/// The value of a credential of kind `basic`.
pub(crate) const BASIC: &str = "case-user:case-password";
/// The id of an access key of AWS. It is no secret.
const AWS_KEY_ID: &str = "CASEACCESSKEY";
/// The token endpoints: `https://tokens.damper.invalid/NAME` for the credential NAME.
const TOKENS: &str = "tokens.damper.invalid";

/// A made-up secret, of which nothing has to be kept.
struct MadeUpSecret(Secret);

#[async_trait]
impl SecretSource for MadeUpSecret {
    async fn read(&self) -> Result<Secret, SecretError> {
        Ok(self.0.clone())
    }

    fn is_writable(&self) -> bool {
        true
    }

    async fn replace(&self, _old: &Secret, _new: &Secret) -> Result<bool, SecretError> {
        Ok(true)
    }
}

/// The secrets that a run binds to a provider's credentials.
#[derive(Debug, Clone)]
pub(crate) struct CaseSecrets {
    by_name: BTreeMap<String, CaseSecret>,
}

/// The secret of one credential.
#[derive(Debug, Clone)]
struct CaseSecret {
    kind: CredentialKind,
    secret: String,
    /// The token that is sent instead of the secret, if the credential gets tokens.
    token: Option<String>,
}

impl CaseSecrets {
    /// One secret for each credential of the manifest; the same each time.
    ///
    /// # Errors
    /// If no certificate can be made.
    pub(crate) fn new(manifest: &Manifest) -> Result<Self, AuthorityError> {
        let mut by_name = BTreeMap::new();
        for (name, kind) in &manifest.credentials {
            // Long enough and strange enough to be in no answer by chance.
            let strange = |what: &str| format!("case-{what}-{name}-Zq7/+x9");
            let has_tokens = kind.token_settings().is_some();
            let secret = match kind {
                CredentialKind::Basic => BASIC.to_owned(),
                CredentialKind::Mtls => client_certificate(name)?,
                CredentialKind::AwsSigv4 { .. } => format!("{AWS_KEY_ID}:{}", strange("secret")),
                CredentialKind::JwtBearer(_) => assertion_key(name)?,
                CredentialKind::Oauth2RefreshToken(_) => {
                    let (secret, refresh_token) = (strange("secret"), strange("refresh"));
                    json!({ "client_id": "case-client", "client_secret": secret, "refresh_token": refresh_token })
                        .to_string()
                }
                CredentialKind::Oauth2ClientCredentials(_) => format!("case-client:{}", strange("secret")),
                _ => strange("secret"),
            };
            let token = has_tokens.then(|| strange("token"));
            by_name.insert(name.clone(), CaseSecret { kind: kind.clone(), secret, token });
        }
        Ok(Self { by_name })
    }

    /// The bindings, for these hosts and origins.
    pub(crate) fn bindings(&self, hosts: &[String]) -> BTreeMap<String, SecretBinding> {
        let bindings = self.by_name.iter().map(|(name, bound)| {
            let tokens = bound.kind.token_settings().and_then(|settings| token_endpoint(name, settings));
            let binding = SecretBinding::constant(bound.secret.clone(), hosts.to_vec());
            let source = Arc::new(MadeUpSecret(Secret::new(&*bound.secret)));
            let signing = signing_scope(&bound.kind);
            (name.clone(), SecretBinding { source, tokens, signing, ..binding })
        });
        bindings.collect()
    }

    /// The token endpoint's answer to a request of the host; none if the request is for another place.
    pub(crate) fn token_answer(&self, request: &ReceivedRequest) -> Option<Answer> {
        if !is_token_endpoint(&request.url) {
            return None;
        }
        let name = request.url.path().trim_start_matches('/');
        let token = self.by_name.get(name).and_then(|bound| bound.token.as_ref());
        Some(token.map_or_else(
            || Answer::of(404),
            |token| {
                let body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3_600 });
                let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
                Answer { headers, body: body.to_string().into(), ..Answer::of(200) }
            },
        ))
    }

    /// Every form of every secret.
    pub(crate) fn forms(&self) -> Vec<String> {
        self.by_name.values().flat_map(CaseSecret::texts).flat_map(forms).collect()
    }

    /// The problem with the credentials of a request, which should be `wanted`.
    pub(crate) fn problem(&self, request: &ReceivedRequest, wanted: &[String]) -> Option<String> {
        for name in wanted {
            let Some(bound) = self.by_name.get(name) else {
                return Some(format!("the case expects the credential {name:?}, which the manifest does not have"));
            };
            if !bound.is_applied(request) {
                return Some(format!(
                    "it should carry the credential {name:?}, and it does not carry it in the form of its kind"
                ));
            }
        }
        let others = self.by_name.iter().filter(|(name, _)| !wanted.contains(name));
        let mut carried = others.filter(|(_, bound)| bound.is_carried(request));
        carried.next().map(|(name, _)| match wanted {
            [] => format!("it should carry no credential, and carries {name:?}"),
            _ => format!("it should carry no credential but {wanted:?}, and carries {name:?} as well"),
        })
    }

    /// The request as the provider made it: without the parameters that the host adds to its URL.
    pub(crate) fn without_parameters(&self, request: &ReceivedRequest) -> ReceivedRequest {
        let mut request = request.clone();
        for (name, value) in self.by_name.values().filter_map(CaseSecret::parameter) {
            remove_parameter(&mut request.url, name, &value);
        }
        request
    }

    /// Whether a request carries any secret.
    pub(crate) fn carries_secret(&self, request: &ReceivedRequest) -> bool {
        self.by_name.values().any(|bound| bound.is_carried(request))
    }
}

impl CaseSecret {
    /// The texts that are secret.
    fn texts(&self) -> impl Iterator<Item = &str> {
        [Some(&self.secret), self.token.as_ref()].into_iter().flatten().map(String::as_str)
    }

    /// The parameter of a URL in which the host puts it, with its value as it is in a URL.
    fn parameter(&self) -> Option<(&str, String)> {
        let CredentialKind::Query { parameter } = &self.kind else { return None };
        Some((parameter, url::form_urlencoded::byte_serialize(self.secret.as_bytes()).collect()))
    }

    /// Whether a request has the credential in the place where the host puts it.
    fn is_applied(&self, request: &ReceivedRequest) -> bool {
        let Self { kind, secret, token } = self;
        let has = |header: &str, expected: String| request.header(header).is_some_and(|value| value == expected);
        match kind {
            CredentialKind::Header { header, prefix } => has(&header.to_ascii_lowercase(), format!("{prefix}{secret}")),
            CredentialKind::Query { .. } => {
                let mut url = request.url.clone();
                self.parameter().is_some_and(|(name, value)| remove_parameter(&mut url, name, &value))
            }
            CredentialKind::Basic => has("authorization", format!("Basic {}", STANDARD.encode(secret))),
            CredentialKind::Bearer => has("authorization", format!("Bearer {secret}")),
            CredentialKind::Oauth2ClientCredentials(_)
            | CredentialKind::Oauth2RefreshToken(_)
            | CredentialKind::JwtBearer(_) => {
                token.as_ref().is_some_and(|token| has("authorization", format!("Bearer {token}")))
            }
            CredentialKind::AwsSigv4 { .. } => request
                .header("authorization")
                .is_some_and(|value| value.starts_with(&format!("AWS4-HMAC-SHA256 Credential={AWS_KEY_ID}/"))),
            // A signature shows nothing of its key.
            CredentialKind::Hmac => true,
            CredentialKind::Mtls => self.is_shown(request),
        }
    }

    /// Whether it is the client certificate that a request's connection shows.
    fn is_shown(&self, request: &ReceivedRequest) -> bool {
        let shown = request.certificate.as_ref().map(|certificate| STANDARD.encode(certificate));
        self.kind == CredentialKind::Mtls && shown.is_some_and(|shown| self.secret.contains(&shown))
    }

    /// Whether a request has it, wherever that is.
    fn is_carried(&self, request: &ReceivedRequest) -> bool {
        self.is_shown(request) || self.texts().any(|text| carries(request, text))
    }
}

/// Whether tokens are fetched there.
pub(crate) fn is_token_endpoint(url: &Url) -> bool {
    url.host_str() == Some(TOKENS)
}

/// The run's own endpoint, which is asked as the manifest says.
fn token_endpoint(credential: &str, settings: &TokenSettings) -> Option<TokenEndpoint> {
    // A credential's name is a word.
    let url = Url::parse(&format!("https://{TOKENS}/{credential}")).ok()?;
    let TokenSettings { scopes, client_auth, audience, .. } = settings.clone();
    Some(TokenEndpoint { url, scopes, client_auth, audience })
}

/// The scope of the manifest's signatures, if requests are signed; where it leaves a part to the operator, any will do.
fn signing_scope(kind: &CredentialKind) -> Option<SigningScope> {
    let CredentialKind::AwsSigv4 { region, service } = kind else { return None };
    let or_any = |text: &Option<String>| text.clone().unwrap_or_else(|| "case".to_owned());
    Some(SigningScope { region: or_any(region), service: or_any(service) })
}

fn carries(request: &ReceivedRequest, secret: &str) -> bool {
    let forms = forms(secret);
    let is_in = |text: &str| forms.iter().any(|form| text.contains(form.as_str()));
    is_in(request.url.as_str())
        || request.headers.iter().any(|(_, value)| is_in(value))
        || is_in(&String::from_utf8_lossy(&request.body))
}

/// A secret in every spelling; of a user and a password also the password.
pub(crate) fn forms(secret: &str) -> Vec<String> {
    spellings(secret, secret.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        name = "x"
        version = "0.1.0"
        [egress]
        hosts = ["api.test"]
        [credentials]
        email = { kind = "header", header = "X-Email" }
        key = { kind = "header", header = "X-Key" }
        url = { kind = "query", parameter = "api_key" }
    "#;

    fn problem(carried: &[&str], wanted: &[&str]) -> Option<String> {
        let secrets = CaseSecrets::new(&Manifest::parse(MANIFEST).unwrap()).unwrap();
        let header = |name: &&str| (format!("x-{name}"), secrets.by_name[*name].secret.clone());
        let request = ReceivedRequest {
            method: "GET".to_owned(),
            url: "https://api.test/".parse().unwrap(),
            headers: carried.iter().map(header).collect(),
            body: Vec::new(),
            certificate: None,
        };
        let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        secrets.problem(&request, &wanted)
    }

    #[test]
    fn a_key_in_the_query_is_no_part_of_the_url_that_a_case_names() {
        let secrets = CaseSecrets::new(&Manifest::parse(MANIFEST).unwrap()).unwrap();
        let request = |url: &str| ReceivedRequest {
            method: "GET".to_owned(),
            url: url.parse().unwrap(),
            headers: Vec::new(),
            body: Vec::new(),
            certificate: None,
        };
        let wanted = ["url".to_owned()];
        let sent = request("https://api.test/a?q=1&api_key=case-secret-url-Zq7%2F%2Bx9");
        assert_eq!(secrets.problem(&sent, &wanted), None);
        assert!(secrets.problem(&sent, &[]).unwrap().contains("carries \"url\""));
        assert_eq!(secrets.without_parameters(&sent), request("https://api.test/a?q=1"));
        let without = request("https://api.test/a?q=1&api_key=other");
        assert!(secrets.problem(&without, &wanted).unwrap().contains("\"url\", and it does not"));
        assert_eq!(secrets.without_parameters(&without), without);
    }

    #[test]
    fn a_request_carries_the_credentials_that_are_wanted_and_no_other() {
        for names in [&[][..], &["key"], &["email", "key"]] {
            assert_eq!(problem(names, names), None);
        }
        assert!(problem(&["email"], &["email", "key"]).unwrap().contains("\"key\", and it does not"));
        assert!(problem(&["email", "key"], &["key"]).unwrap().contains("carries \"email\" as well"));
        assert!(problem(&["key"], &[]).unwrap().contains("carry no credential, and carries \"key\""));
        assert!(problem(&[], &["login"]).unwrap().contains("which the manifest does not have"));
    }
}
