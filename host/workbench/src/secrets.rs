//! The made-up secrets of a run, and where they turn up.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use damper_core::manifest::{CredentialKind, Manifest};
use damper_plugins::grants::SecretBinding;
use damper_plugins::spellings;

use crate::network::{AuthorityError, Received, client_certificate};

/// What a credential of kind `basic` is bound to.
pub(crate) const BASIC: &str = "case-user:case-password";

/// The secrets that a run binds to a provider's credentials.
#[derive(Debug, Clone)]
pub(crate) struct CaseSecrets {
    by_name: BTreeMap<String, (CredentialKind, String)>,
}

impl CaseSecrets {
    /// One secret for each credential of the manifest; the same each time.
    ///
    /// # Errors
    /// Where there is no certificate to be made.
    pub(crate) fn new(manifest: &Manifest) -> Result<Self, AuthorityError> {
        let mut by_name = BTreeMap::new();
        for (name, kind) in &manifest.credentials {
            let secret = match kind {
                CredentialKind::Basic => BASIC.to_owned(),
                CredentialKind::Mtls => client_certificate(name)?,
                // Long enough and strange enough to be in no answer by chance.
                _ => format!("case-secret-{name}-Zq7/+x9"),
            };
            by_name.insert(name.clone(), (kind.clone(), secret));
        }
        Ok(Self { by_name })
    }

    /// The bindings, for these hosts and origins.
    pub(crate) fn bindings(&self, hosts: &[String]) -> BTreeMap<String, SecretBinding> {
        let binding = |secret: &String| SecretBinding::constant(secret.clone(), hosts.to_vec());
        self.by_name.iter().map(|(name, (_, secret))| (name.clone(), binding(secret))).collect()
    }

    /// Every form of every secret.
    pub(crate) fn forms(&self) -> Vec<String> {
        self.by_name.values().flat_map(|(_, secret)| forms(secret)).collect()
    }

    /// What is wrong with the credentials that a request carries, where `wanted` are those it should.
    pub(crate) fn problem(&self, request: &Received, wanted: &[String]) -> Option<String> {
        for name in wanted {
            let Some((kind, secret)) = self.by_name.get(name) else {
                return Some(format!("the case wants the credential {name:?}, which the manifest does not name"));
            };
            if !is_applied(kind, secret, request) {
                return Some(format!("it should carry the credential {name:?}, and does not as its kind applies it"));
            }
        }
        let others = self.by_name.iter().filter(|(name, _)| !wanted.contains(name));
        let mut carried = others.filter(|(_, (kind, secret))| shows(kind, secret, request) || carries(request, secret));
        carried.next().map(|(name, _)| match wanted {
            [] => format!("it should carry no credential, and carries {name:?}"),
            _ => format!("it should carry no credential but {wanted:?}, and carries {name:?} as well"),
        })
    }

    /// Whether a request carries any secret.
    pub(crate) fn carried(&self, request: &Received) -> bool {
        self.by_name.values().any(|(kind, secret)| shows(kind, secret, request) || carries(request, secret))
    }
}

/// Whether a request has a credential in the place where the host puts it.
fn is_applied(kind: &CredentialKind, secret: &str, request: &Received) -> bool {
    match kind {
        CredentialKind::Header { header, prefix } => {
            request.header(&header.to_ascii_lowercase()).is_some_and(|value| value == format!("{prefix}{secret}"))
        }
        CredentialKind::Basic => {
            request.header("authorization").is_some_and(|value| value == format!("Basic {}", STANDARD.encode(secret)))
        }
        CredentialKind::Bearer => {
            request.header("authorization").is_some_and(|value| value == format!("Bearer {secret}"))
        }
        // A signature shows nothing of its key.
        CredentialKind::Hmac => true,
        CredentialKind::Mtls => shows(kind, secret, request),
        CredentialKind::Oauth2ClientCredentials => carries(request, secret),
    }
}

/// Whether a credential is the client certificate that a request's connection shows.
fn shows(kind: &CredentialKind, secret: &str, request: &Received) -> bool {
    let shown = request.certificate.as_ref().map(|certificate| STANDARD.encode(certificate));
    *kind == CredentialKind::Mtls && shown.is_some_and(|shown| secret.contains(&shown))
}

fn carries(request: &Received, secret: &str) -> bool {
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
    "#;

    fn problem(carried: &[&str], wanted: &[&str]) -> Option<String> {
        let secrets = CaseSecrets::new(&Manifest::parse(MANIFEST).unwrap()).unwrap();
        let header = |name: &&str| (format!("x-{name}"), secrets.by_name[*name].1.clone());
        let request = Received {
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
    fn a_request_carries_the_credentials_that_are_wanted_and_no_other() {
        for names in [&[][..], &["key"], &["email", "key"]] {
            assert_eq!(problem(names, names), None);
        }
        assert!(problem(&["email"], &["email", "key"]).unwrap().contains("\"key\", and does not"));
        assert!(problem(&["email", "key"], &["key"]).unwrap().contains("carries \"email\" as well"));
        assert!(problem(&["key"], &[]).unwrap().contains("carry no credential, and carries \"key\""));
        assert!(problem(&[], &["login"]).unwrap().contains("which the manifest does not name"));
    }
}
