//! Secrets of AWS Secrets Manager. Where the template says so, each is read with a session of the role that its
//! provider's stack has for it, so that no role reads the secrets of all providers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_secretsmanager::Client;
use damper_aws::{AwsClients, secrets};
use damper_plugins::grants::{Secret, SecretError, SecretSource};
use tokio::sync::OnceCell;

use crate::settings::PROVIDER;

/// The longest name of a role's session.
const MAX_SESSION_NAME: usize = 64;

/// Makes the sources of secrets. Nothing is asked of AWS before the first of a provider's secrets is read.
pub(crate) struct ManagedSecrets {
    clients: Arc<AwsClients>,
    /// See [`crate::settings::Settings::secrets_role`].
    role: Option<String>,
    accesses: Mutex<BTreeMap<String, Arc<ProviderAccess>>>,
}

/// A provider's access to its secrets, the same for all of them: one session of its role.
struct ProviderAccess {
    clients: Arc<AwsClients>,
    /// None: the function's own role.
    role: Option<SecretsRole>,
    client: OnceCell<Client>,
}

#[derive(Debug, PartialEq, Eq)]
struct SecretsRole {
    arn: String,
    session: String,
}

impl ManagedSecrets {
    pub(crate) fn new(clients: AwsClients, role: Option<String>) -> Self {
        Self { clients: Arc::new(clients), role, accesses: Mutex::default() }
    }

    /// The source of a provider's secret with this name or ARN.
    pub(crate) fn source(&self, provider: &str, name: &str) -> Arc<dyn SecretSource> {
        let mut accesses = self.accesses.lock().unwrap_or_else(PoisonError::into_inner);
        let access = accesses.entry(provider.to_owned()).or_insert_with(|| {
            let role = self.role.as_ref().map(|pattern| role_of(pattern, provider));
            Arc::new(ProviderAccess { clients: Arc::clone(&self.clients), role, client: OnceCell::new() })
        });
        Arc::new(ManagedSecret { access: Arc::clone(access), name: name.to_owned() })
    }
}

/// The role of a provider, with a name for its session that CloudTrail shows.
fn role_of(pattern: &str, provider: &str) -> SecretsRole {
    let session = format!("damper-{provider}").chars().take(MAX_SESSION_NAME).collect();
    SecretsRole { arn: pattern.replace(PROVIDER, provider), session }
}

impl ProviderAccess {
    async fn client(&self) -> &Client {
        let make = async || match &self.role {
            Some(role) => self.clients.secrets_of_role(&role.arn, &role.session).await,
            None => self.clients.secrets(),
        };
        self.client.get_or_init(make).await
    }
}

/// A secret of AWS Secrets Manager.
struct ManagedSecret {
    access: Arc<ProviderAccess>,
    name: String,
}

#[async_trait]
impl SecretSource for ManagedSecret {
    async fn read(&self) -> Result<Secret, SecretError> {
        let text = secrets::read(self.access.client().await, &self.name, None).await;
        text.map(Secret::new).map_err(|error| SecretError::new(error.to_string()))
    }

    fn is_writable(&self) -> bool {
        true
    }

    async fn replace(&self, old: &Secret, new: &Secret) -> Result<bool, SecretError> {
        if self.read().await? != *old {
            return Ok(false);
        }
        let written = secrets::write(self.access.client().await, &self.name, new.text_to_store()).await;
        written.map(|()| true).map_err(|error| SecretError::new(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_has_a_role_and_a_session_of_its_own() {
        let role = role_of("arn:aws:iam::1:role/damper/damper-{provider}-eu-central-1", "sec-edgar");
        assert_eq!(role.arn, "arn:aws:iam::1:role/damper/damper-sec-edgar-eu-central-1");
        assert_eq!(role.session, "damper-sec-edgar");
        assert_eq!(role_of("{provider}", &"x".repeat(64)).session.len(), MAX_SESSION_NAME);
    }
}
