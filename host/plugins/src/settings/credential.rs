//! Checks a credential's settings against its kind, and finds its secret.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use damper_core::manifest::CredentialKind;
use url::Url;

use super::{Binder, BindingError, CredentialSettings, known_or_none};
use crate::credentials::check_ca;
use crate::egress::parse_url;
use crate::grants::{JsonKey, Origin, Secret, SecretBinding, SecretSource, TokenEndpoint};

/// The place of a secret, by a credential's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// `env`: an environment variable.
    Environment(String),
    /// `file`: a file, seen from the damper.toml's folder.
    File(PathBuf),
    /// `secret`: a secret of AWS Secrets Manager, by its name or its ARN.
    SecretsManager(String),
}

impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::SecretsManager(name) => write!(f, "the secret {name:?} of AWS Secrets Manager"),
        }
    }
}

/// A secret that was found.
pub struct FoundSecret {
    /// The source from which it is read.
    pub source: Arc<dyn SecretSource>,
    /// The secret, where it was read already.
    pub known: Option<Secret>,
}

/// The reason for which a place cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretPlaceError {
    /// The problem, as the end of a sentence about the credential: `names the file x, which is not there`.
    pub problem: String,
    /// The remedy.
    pub hint: String,
}

/// The sources of secrets that the caller of [`super::bind`] provides.
#[derive(Clone, Copy)]
pub struct SecretSources<'a> {
    /// The backends that can be used.
    pub backends: SecretBackends,
    /// Makes the source of a secret from where it is.
    pub find: &'a dyn Fn(&SecretPlace) -> Result<FoundSecret, SecretPlaceError>,
}

/// The backends from which a program can read secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretBackends {
    /// On the machine that it runs on: in its environment, or in a file.
    Machine,
    /// In AWS Secrets Manager, as for a function in Lambda.
    SecretsManager,
}

impl SecretBackends {
    /// An example of such a place in a damper.toml.
    fn example(self) -> &'static str {
        match self {
            Self::Machine => "env = \"...\"   # or file = \"...\", mode 0600",
            Self::SecretsManager => "secret = \"...\"   # its name or ARN in AWS Secrets Manager",
        }
    }
}

impl Binder<'_> {
    pub(super) fn secrets(
        &self,
        granted: &[String],
        warnings: &mut Vec<String>,
    ) -> Result<BTreeMap<String, SecretBinding>, BindingError> {
        let asked = &self.manifest.credentials;
        if let Some(unknown) = self.settings.credentials.keys().find(|name| !asked.contains_key(*name)) {
            let known: Vec<&str> = asked.keys().map(String::as_str).collect();
            let problem = "is not a credential of its manifest";
            return Err(self.setting(&format!("credentials.{unknown}"), problem, known_or_none("credentials", &known)));
        }
        let mut secrets = BTreeMap::new();
        for (name, kind) in asked {
            match self.settings.credentials.get(name) {
                Some(settings) => {
                    let key = format!("credentials.{name}");
                    secrets.insert(name.clone(), CredentialBinder { binder: self, key, kind, settings }.bind(granted)?);
                }
                None => warnings.push(format!(
                    "{provider}: its credential {name:?} has no secret; fetches that use it fail. To bind one, write in damper.toml:\n  [providers.{provider}.credentials.{name}]\n  {example}",
                    provider = self.manifest.name,
                    example = self.sources.backends.example()
                )),
            }
        }
        Ok(secrets)
    }
}

/// One credential's settings.
struct CredentialBinder<'a> {
    binder: &'a Binder<'a>,
    /// Their key below `[providers.NAME]`.
    key: String,
    kind: &'a CredentialKind,
    settings: &'a CredentialSettings,
}

impl CredentialBinder<'_> {
    fn bind(&self, granted: &[String]) -> Result<SecretBinding, BindingError> {
        self.check_kind()?;
        let place = self.place()?;
        let (hosts, tokens, ca) = (self.hosts(granted)?, self.tokens()?, self.ca()?);
        self.check_reach(&hosts, granted)?;
        let found = (self.binder.sources.find)(&place).map_err(|why| self.wrong(why.problem, why.hint))?;
        let FoundSecret { source, known } = self.select_key(found)?;
        Ok(SecretBinding { source, known, place: place.to_string(), hosts, tokens, ca })
    }

    /// The place of the secret: exactly one.
    fn place(&self) -> Result<SecretPlace, BindingError> {
        let CredentialSettings { env, file, secret, secret_key, .. } = self.settings;
        if secret_key.is_some() && secret.is_none() {
            let hint = "it is a key of the JSON object that `secret` names; remove it";
            return Err(self.wrong("has `secret_key` without `secret`", hint));
        }
        match (env, file, secret) {
            (Some(name), None, None) if is_variable(name) => Ok(SecretPlace::Environment(name.clone())),
            (Some(_), None, None) => Err(self.wrong(
                "has an `env` that is not the name of an environment variable",
                "write the variable's name there, never the secret itself: env = \"API_KEY\"",
            )),
            (None, Some(path), None) => Ok(SecretPlace::File(path.clone())),
            (None, None, Some(name)) if is_secret_name(name) => Ok(SecretPlace::SecretsManager(name.clone())),
            (None, None, Some(_)) => Err(self.wrong(
                "has a `secret` that is not a name or ARN of AWS Secrets Manager",
                "write the name there (letters, digits and /_+=.@-) or the ARN, never the secret itself",
            )),
            (None, None, None) => {
                Err(self.wrong("needs one of `env`, `file` and `secret`", "say where the secret is, in one place"))
            }
            _ => {
                let given = [("`env`", env.is_some()), ("`file`", file.is_some()), ("`secret`", secret.is_some())];
                let given: Vec<&str> = given.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name).collect();
                Err(self.wrong(format!("has {}", given.join(" and ")), "say where the secret is, in one place"))
            }
        }
    }

    /// Selects the key of the secret, if `secret_key` names one.
    fn select_key(&self, found: FoundSecret) -> Result<FoundSecret, BindingError> {
        let Some(name) = &self.settings.secret_key else { return Ok(found) };
        let key = JsonKey::new(found.source, name);
        let known = found.known.map(|object| key.select(&object)).transpose();
        let known = known.map_err(|why| self.wrong(format!("cannot be used: {why}"), "correct `secret_key`"))?;
        Ok(FoundSecret { source: Arc::new(key), known })
    }

    fn hosts(&self, granted: &[String]) -> Result<Vec<String>, BindingError> {
        let Some(hosts) = &self.settings.hosts else { return Ok(granted.to_vec()) };
        let origin = |text: &String| match text.parse::<Origin>() {
            Ok(origin) => Ok(origin.to_string()),
            Err(_) => self.binder.host(&format!("{}.hosts", self.key), text),
        };
        hosts.iter().map(origin).collect()
    }

    /// Refuses a credential whose hosts are not granted, because each fetch that names it would fail.
    fn check_reach(&self, receivers: &[String], granted: &[String]) -> Result<(), BindingError> {
        let private: Vec<String> = self.binder.private()?.iter().map(Origin::to_string).collect();
        let is_granted = |receiver: &String| {
            let origin = if receiver.contains("://") { receiver.clone() } else { format!("https://{receiver}") };
            private.contains(&origin) || granted.iter().any(|host| origin == format!("https://{host}"))
        };
        if *self.kind == CredentialKind::Hmac || receivers.iter().any(is_granted) {
            return Ok(());
        }
        let problem = match receivers {
            [] => "is sent to no host: a private origin receives a credential only if `hosts` names it".to_owned(),
            receivers => format!("is sent only to {}, which is not granted to the provider", receivers.join(" and ")),
        };
        let reachable: Vec<String> = granted.iter().chain(&private).map(|host| format!("{host:?}")).collect();
        Err(self.wrong(problem, format!("list its receivers: hosts = [{}]", reachable.join(", "))))
    }

    /// Refuses settings of another kind.
    fn check_kind(&self) -> Result<(), BindingError> {
        let CredentialSettings { token_url, scopes, client_auth, ca, .. } = self.settings;
        let (oauth2, mtls) = (CredentialKind::Oauth2ClientCredentials, CredentialKind::Mtls);
        let settings = [
            ("token_url", token_url.is_some(), oauth2.clone()),
            ("scopes", scopes.is_some(), oauth2.clone()),
            ("client_auth", client_auth.is_some(), oauth2),
            ("ca", ca.is_some(), mtls),
        ];
        match settings.iter().find(|(_, is_given, kind)| *is_given && kind != self.kind) {
            Some((setting, _, theirs)) => {
                let (theirs, ours) = (theirs.name(), self.kind.name());
                let problem = format!("has `{setting}`, which is for kind {theirs}, but its kind is {ours}");
                Err(self.wrong(problem, "remove it"))
            }
            None => Ok(()),
        }
    }

    /// The endpoint of its tokens, for the kind that has tokens.
    fn tokens(&self) -> Result<Option<TokenEndpoint>, BindingError> {
        if *self.kind != CredentialKind::Oauth2ClientCredentials {
            return Ok(None);
        }
        let Some(text) = &self.settings.token_url else {
            let hint = "name the token endpoint: token_url = \"https://auth.example.org/token\"";
            return Err(self.wrong("needs `token_url`, because its kind is oauth2-client-credentials", hint));
        };
        let scopes = self.settings.scopes.clone().unwrap_or_default();
        if let Some(scope) = scopes.iter().find(|scope| !is_scope(scope)) {
            let problem = format!("has the scope {scope:?}, which is not a scope");
            return Err(
                self.wrong(problem, "list each scope by itself, without spaces: scopes = [\"read\", \"search\"]")
            );
        }
        let client_auth = self.settings.client_auth.unwrap_or_default();
        Ok(Some(TokenEndpoint { url: self.token_url(text)?, scopes, client_auth }))
    }

    fn token_url(&self, text: &str) -> Result<Url, BindingError> {
        let wrong = |problem| {
            let hint = "write it as \"https://auth.example.org/token\"; a private address or plain http has its origin listed at `private` too";
            self.wrong(format!("has a `token_url` that cannot be used: {problem}"), hint)
        };
        let url = parse_url(text).map_err(&wrong)?;
        let is_private = self.binder.private()?.iter().any(|origin| Some(origin) == Origin::of(&url).as_ref());
        if url.scheme() == "https" || is_private { Ok(url) } else { Err(wrong("only https is allowed".to_owned())) }
    }

    fn ca(&self) -> Result<Option<String>, BindingError> {
        let Some(text) = &self.settings.ca else { return Ok(None) };
        check_ca(text).map_err(|problem| {
            self.wrong(
                format!("has a `ca` that {problem}"),
                "write the certificates themselves, as PEM, between \"\"\"",
            )
        })?;
        Ok(Some(text.clone()))
    }

    fn wrong(&self, problem: impl Into<String>, hint: impl Into<String>) -> BindingError {
        self.binder.setting(&self.key, problem, hint)
    }
}

/// A name that a shell can set (POSIX.1-2024, Base Definitions, section 8.1). Any other text may be the secret itself, and must not be
/// shown.
fn is_variable(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    text.bytes().next().is_some_and(is_letter) && text.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

/// A name that AWS Secrets Manager accepts (<https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html>), or an
/// ARN.
fn is_secret_name(text: &str) -> bool {
    let allowed = |character: char| character.is_ascii_alphanumeric() || "/_+=.@-".contains(character);
    let is_arn = text.starts_with("arn:");
    (1..=512).contains(&text.len()) && text.chars().all(|character| allowed(character) || (is_arn && character == ':'))
}

/// A scope-token of RFC 6749, section 3.3.
fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~'))
}
