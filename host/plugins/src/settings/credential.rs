//! Checks a credential's settings against its kind, and finds its secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use damper_core::manifest::{CredentialKind, TokenSettings};
use url::Url;

use super::binder::{Binder, known_or_none};
use super::error::BindingError;
use super::secret_sources::{FoundSecret, SecretPlace};
use super::shape::{CredentialSettings, HostGrant, KeySettings};
use crate::credentials::check_ca;
use crate::egress::parse_url;
use crate::grants::{FurtherKey, JsonKey, LIMITED_KINDS, Origin, SecretBinding, SigningScope, TokenEndpoint};

/// The most keys of one credential.
const MAX_KEYS: usize = 16;

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
        self.check_key_limits()?;
        let (mut secrets, mut unbound) = (BTreeMap::new(), Vec::new());
        for (name, kind) in asked {
            match self.settings.credentials.get(name) {
                Some(settings) => {
                    let key = format!("credentials.{name}");
                    secrets.insert(name.clone(), CredentialBinder { binder: self, key, kind, settings }.bind(granted)?);
                }
                None => unbound.push(name),
            }
        }
        // A component that leaves its hosts to the operator may have a credential for each kind of API that it serves:
        // one with a secret is enough.
        if secrets.is_empty() || !self.manifest.egress.is_left_to_operator() {
            warnings.extend(unbound.into_iter().map(|name| self.warn_of_unbound(name)));
        }
        Ok(secrets)
    }

    fn warn_of_unbound(&self, credential: &str) -> String {
        format!(
            "{provider}: its credential {credential:?} has no secret; fetches that use it fail. To bind one, write in damper.toml:\n  [providers.{provider}.credentials.{credential}]\n  {example}",
            provider = self.manifest.name,
            example = self.sources.backends.example()
        )
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
        let keys = self.keys()?;
        let places = keys.iter().map(|key| self.place(key)).collect::<Result<Vec<_>, _>>()?;
        let (hosts, tokens, ca) = (self.hosts(granted)?, self.tokens(granted)?, self.ca()?);
        let signing = self.signing()?;
        self.check_reach(&hosts, granted)?;
        let found = keys.iter().zip(places).map(|(key, place)| self.find(key, &place));
        let mut more_keys = found.collect::<Result<Vec<_>, _>>()?;
        let FurtherKey { source, place, known, limit } = more_keys.remove(0);
        Ok(SecretBinding { source, known, place, hosts, tokens, ca, signing, limit, more_keys })
    }

    /// The places of its secrets, at least one.
    fn keys(&self) -> Result<Vec<KeySettings>, BindingError> {
        let CredentialSettings { env, file, secret, secret_key, daily_quota, secrets, .. } = self.settings;
        let Some(secrets) = secrets else { return Ok(self.settings.keys()) };
        if env.is_some() || file.is_some() || secret.is_some() || secret_key.is_some() {
            let hint = "list all keys in `secrets`, each with its own place";
            return Err(self.wrong("has `secrets` and a place of its own", hint));
        }
        if daily_quota.is_some() {
            return Err(
                self.wrong("has `secrets` and a `daily_quota` of its own", "give each key in `secrets` its own")
            );
        }
        if !(2..=MAX_KEYS).contains(&secrets.len()) {
            let problem = format!("has {} `secrets`, and 2 to {MAX_KEYS} are allowed", secrets.len());
            return Err(self.wrong(problem, "name one key directly, as in env = \"API_KEY\""));
        }
        let kind = self.kind.name();
        if !LIMITED_KINDS.contains(&kind) {
            let kinds = LIMITED_KINDS.join(" or ");
            let problem = format!("has `secrets`, which is for kind {kinds}, but its kind is {kind}");
            return Err(self.wrong(problem, "bind one secret"));
        }
        Ok(secrets.clone())
    }

    fn find(&self, key: &KeySettings, place: &SecretPlace) -> Result<FurtherKey, BindingError> {
        let found = (self.binder.sources.find)(place).map_err(|why| self.wrong(why.problem, why.hint))?;
        let FoundSecret { source, known } = self.select_key(key, found)?;
        Ok(FurtherKey { source, place: place.to_string(), known, limit: key.limit() })
    }

    /// The place of a secret: exactly one.
    fn place(&self, key: &KeySettings) -> Result<SecretPlace, BindingError> {
        let KeySettings { env, file, secret, secret_key, .. } = key;
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
    fn select_key(&self, key: &KeySettings, found: FoundSecret) -> Result<FoundSecret, BindingError> {
        let Some(name) = &key.secret_key else { return Ok(found) };
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
        let CredentialSettings { token_url, scopes, client_auth, audience, region, service, ca, .. } = self.settings;
        let (oauth2, refresh, jwt) = ("oauth2-client-credentials", "oauth2-refresh-token", "jwt-bearer");
        let settings = [
            ("token_url", token_url.is_some(), &[oauth2, refresh, jwt] as &[_]),
            ("scopes", scopes.is_some(), &[oauth2, refresh, jwt]),
            ("client_auth", client_auth.is_some(), &[oauth2, refresh]),
            ("audience", audience.is_some(), &[jwt]),
            ("region", region.is_some(), &["aws-sigv4"]),
            ("service", service.is_some(), &["aws-sigv4"]),
            ("ca", ca.is_some(), &["mtls"]),
            ("daily_quota", self.settings.keys().iter().any(KeySettings::is_limited), &LIMITED_KINDS),
        ];
        let ours = self.kind.name();
        match settings.iter().find(|(_, is_given, theirs)| *is_given && !theirs.contains(&ours)) {
            Some((setting, _, theirs)) => {
                let theirs = theirs.join(" or ");
                let problem = format!("has `{setting}`, which is for kind {theirs}, but its kind is {ours}");
                Err(self.wrong(problem, "remove it"))
            }
            None => Ok(()),
        }
    }

    /// The endpoint of its tokens, for a kind that has tokens: the operator's settings, else the manifest's.
    fn tokens(&self, granted: &[String]) -> Result<Option<TokenEndpoint>, BindingError> {
        let Some(TokenSettings { token_url, scopes, client_auth, audience }) = self.kind.token_settings() else {
            return Ok(None);
        };
        let url = match (&self.settings.token_url, token_url) {
            (Some(text), _) => self.token_url(text)?,
            (None, Some(text)) => self.manifest_token_url(text, granted)?,
            (None, None) => {
                let hint = "name the token endpoint: token_url = \"https://auth.example.org/token\"";
                let problem = format!("needs `token_url`, because its kind is {}", self.kind.name());
                return Err(self.wrong(problem, hint));
            }
        };
        let scopes = self.settings.scopes.as_ref().unwrap_or(scopes);
        if let Some(scope) = scopes.iter().find(|scope| !TokenSettings::is_scope(scope)) {
            let problem = format!("has the scope {scope:?}, which is not a scope");
            return Err(
                self.wrong(problem, "list each scope by itself, without spaces: scopes = [\"read\", \"search\"]")
            );
        }
        let client_auth = self.settings.client_auth.unwrap_or(*client_auth);
        let audience = self.settings.audience.as_ref().or(audience.as_ref()).cloned();
        if audience.as_ref().is_some_and(|audience| !TokenSettings::is_audience(audience)) {
            let hint = "write 1 to 1024 printable ASCII characters without spaces, as the API names itself";
            return Err(self.wrong("has an `audience` that cannot be used", hint));
        }
        Ok(Some(TokenEndpoint { url, scopes: scopes.clone(), client_auth, audience }))
    }

    /// The endpoint that the operator names, which grants it.
    fn token_url(&self, text: &str) -> Result<Url, BindingError> {
        let wrong = |problem| {
            let hint = "write it as \"https://auth.example.org/token\"; a private address or plain http has its origin listed at `private` too";
            self.wrong(format!("has a `token_url` that cannot be used: {problem}"), hint)
        };
        let url = parse_url(text).map_err(&wrong)?;
        let is_private = self.binder.private()?.iter().any(|origin| Some(origin) == Origin::of(&url).as_ref());
        if url.scheme() == "https" || is_private { Ok(url) } else { Err(wrong("only https is allowed".to_owned())) }
    }

    /// The endpoint that the manifest names, whose host the operator grants like the others.
    fn manifest_token_url(&self, text: &str, granted: &[String]) -> Result<Url, BindingError> {
        let wrong = |problem| self.wrong(format!("has a manifest's `token_url` that cannot be used: {problem}"), "");
        let url = parse_url(text).map_err(wrong)?;
        let origin = Origin::of(&url);
        let is_listed = granted.iter().any(|host| Origin::https(host).ok() == origin);
        if is_listed || self.binder.settings.hosts == Some(HostGrant::Manifest) {
            return Ok(url);
        }
        if self.binder.private()?.iter().any(|private| Some(private) == origin.as_ref()) {
            return Ok(url);
        }
        let host = url.host_str().unwrap_or_default();
        let problem = format!("gets its tokens from {host}, which is not granted to the provider");
        Err(self
            .wrong(problem, format!("add {host:?} to `hosts` if you agree, or name an endpoint: token_url = \"...\"")))
    }

    /// The scope of its signatures, for the kind that signs requests: the operator's settings, else the manifest's.
    fn signing(&self) -> Result<Option<SigningScope>, BindingError> {
        let CredentialKind::AwsSigv4 { region, service } = self.kind else { return Ok(None) };
        let part = |key: &str, ours: &Option<String>, manifests: &Option<String>, example: &str| {
            let hint = format!("write it as AWS does: {key} = {example:?}");
            let text = ours.as_ref().or(manifests.as_ref());
            let text =
                text.ok_or_else(|| self.wrong(format!("needs `{key}`, because its kind is aws-sigv4"), &*hint))?;
            if CredentialKind::is_aws_name(text) {
                return Ok(text.clone());
            }
            Err(self.wrong(format!("has the {key} {text:?}, which is not one"), hint))
        };
        Ok(Some(SigningScope {
            region: part("region", &self.settings.region, region, "eu-west-1")?,
            service: part("service", &self.settings.service, service, "execute-api")?,
        }))
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

/// A name that a shell can set (POSIX.1-2024, Base Definitions, section 8.1). Any other text may be the secret itself,
/// and must not be shown.
fn is_variable(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    text.bytes().next().is_some_and(is_letter) && text.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

/// A name that AWS Secrets Manager accepts
/// (<https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html>), or an ARN.
fn is_secret_name(text: &str) -> bool {
    let allowed = |character: char| character.is_ascii_alphanumeric() || "/_+=.@-".contains(character);
    let is_arn = text.starts_with("arn:");
    (1..=512).contains(&text.len()) && text.chars().all(|character| allowed(character) || (is_arn && character == ':'))
}
