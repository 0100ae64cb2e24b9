//! Secrets from Secrets Manager. Reads and writes one; who caches it, and for how long, is not decided here.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{DisplayErrorContext, ProvideErrorMetadata};
use serde_json::Value;

/// Why there is no secret. No message holds a value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is none of this name.
    #[error(
        "there is no secret {0:?}: create it in Secrets Manager, in this region, or correct the name in damper.toml"
    )]
    Missing(String),
    /// The role may not read it.
    #[error(
        "no permission to read the secret {0:?}: allow secretsmanager:GetSecretValue, and kms:Decrypt if it has its own key"
    )]
    Denied(String),
    /// The role may not write it.
    #[error(
        "no permission to write the secret {0:?}, whose refresh token the endpoint has replaced: allow \
         secretsmanager:PutSecretValue, and kms:GenerateDataKey if it has its own key"
    )]
    WriteDenied(String),
    /// The client's role cannot be assumed; see [`crate::AwsClients::secrets_of_role`].
    #[error(
        "the secret {name:?} cannot be accessed: there is no session of the role that may. Deploy the provider's stack \
         (providers/NAME.yaml) of the same release after the shared stack; in a VPC, check that STS is reached. AWS: {message}"
    )]
    NoSession {
        /// The secret's name.
        name: String,
        /// The service's message.
        message: String,
    },
    /// It is deleted, or in a state in which it cannot be read.
    #[error("the secret {name:?} cannot be read: {message}")]
    Unusable {
        /// The secret's name.
        name: String,
        /// The service's message.
        message: String,
    },
    /// It holds bytes.
    #[error("the secret {0:?} is binary: store it as text")]
    Binary(String),
    /// It is not JSON, and one of its keys is wanted.
    #[error("the secret {name:?} is not a JSON object, so it has no key {key:?}: store it as {{\"{key}\": \"...\"}}")]
    NoObject {
        /// The secret's name.
        name: String,
        /// The key.
        key: String,
    },
    /// It has no such key, or no text under it.
    #[error("the secret {name:?} has no text under the key {key:?}")]
    NoKey {
        /// The secret's name.
        name: String,
        /// The key.
        key: String,
    },
    /// The service failed.
    #[error("Secrets Manager failed for the secret {name:?}: {message}")]
    Failed {
        /// The secret's name.
        name: String,
        /// The problem.
        message: String,
    },
}

/// The text of a secret, by name or ARN; with `key`, the text under that key of its JSON object.
///
/// ```no_run
/// # async fn example() -> Result<(), damper_aws::secrets::SecretError> {
/// use damper_aws::{AwsClients, secrets};
///
/// let clients = AwsClients::load().await;
/// // The secret holds {"api_key": "..."}.
/// let api_key = secrets::read(&clients.secrets(), "damper/gleif", Some("api_key")).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If there is none, it may not be read, or is not of that form.
pub async fn read(client: &Client, name: &str, key: Option<&str>) -> Result<String, SecretError> {
    let owned = || name.to_owned();
    let answer = client.get_secret_value().secret_id(name).send().await.map_err(|error| {
        let said = || error.message().unwrap_or("the service gives no reason").to_owned();
        match error.code() {
            Some("ResourceNotFoundException") => SecretError::Missing(owned()),
            Some("AccessDeniedException" | "DecryptionFailure") => SecretError::Denied(owned()),
            Some("InvalidRequestException" | "InvalidParameterException") => {
                SecretError::Unusable { name: owned(), message: said() }
            }
            _ => failure(name, &error),
        }
    })?;
    let text = answer.secret_string.ok_or_else(|| SecretError::Binary(owned()))?;
    match key {
        Some(key) => pick(name, &text, key),
        None => Ok(text),
    }
}

/// Stores a new value of a secret, by name or ARN. It is the current one when this returns.
///
/// # Errors
/// If there is no such secret, it may not be written, or the service fails: then it may have been written all the same.
pub async fn write(client: &Client, name: &str, text: &str) -> Result<(), SecretError> {
    let owned = || name.to_owned();
    // The SDK sends a token of its own, so that a repeat is no second version.
    let written = client.put_secret_value().secret_id(name).secret_string(text).send().await;
    written.map(drop).map_err(|error| match error.code() {
        Some("ResourceNotFoundException") => SecretError::Missing(owned()),
        Some("AccessDeniedException" | "EncryptionFailure") => SecretError::WriteDenied(owned()),
        _ => failure(name, &error),
    })
}

/// The failure of a request that the service did not answer, or not in a way that is known here.
fn failure(name: &str, error: &(dyn Error + 'static)) -> SecretError {
    let name = name.to_owned();
    let credentials = causes(error).find(|cause| cause.is::<CredentialsError>());
    match credentials.and_then(|error| error.source()) {
        Some(refused) => SecretError::NoSession { name, message: service_message(refused) },
        None => SecretError::Failed { name, message: DisplayErrorContext(error).to_string() },
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error: &&'a (dyn Error + 'static)| error.source())
}

/// The last cause's own words: the service's where it answered, else those of the connection.
fn service_message(error: &(dyn Error + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}

fn pick(name: &str, text: &str, key: &str) -> Result<String, SecretError> {
    let names = || (name.to_owned(), key.to_owned());
    // The parser's own error could quote the secret.
    let Ok(Value::Object(object)) = serde_json::from_str(text) else {
        let (name, key) = names();
        return Err(SecretError::NoObject { name, key });
    };
    match object.get(key) {
        Some(Value::String(value)) => Ok(value.clone()),
        _ => {
            let (name, key) = names();
            Err(SecretError::NoKey { name, key })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_quotes_the_secret() {
        for (text, key) in
            [("hunter2", "k"), (r#"{"k":"hunter2"}"#, "x"), (r#"{"k":["hunter2"]}"#, "k"), ("[\"hunter2\"]", "k")]
        {
            let error = pick("s", text, key).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        assert_eq!(pick("s", r#"{"k":"v"}"#, "k").unwrap(), "v");
    }
}
