//! The names of a deployment's resources, for tools outside of it. CloudFormation generates the names of table and
//! bucket, and the function's environment holds them.
//!
//! This module deploys nothing, and the function itself does not use it.

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::{DisplayErrorContext, ProvideErrorMetadata};
use damper_core::error_chain::error_chain;

/// The function's name where nobody gives it another.
pub const FUNCTION: &str = "damper";
/// The alias that streams and the tick invoke; mappings are its, not the function's.
pub const ALIAS: &str = "live";
/// The default prefix of stream names.
pub const STREAM_PREFIX: &str = "damper-";

/// Codes by which AWS says that it does not accept who is asking.
const NOT_ACCEPTED: [&str; 6] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "UnrecognizedClientException",
];

/// Names that the caller already knows; the others are read from the function's environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeploymentOverrides {
    /// The function: a name or an ARN, with an alias or without; default [`FUNCTION`].
    pub function: Option<String>,
    /// The ledger's table.
    pub table: Option<String>,
    /// The bucket of records and dead letters.
    pub bucket: Option<String>,
    /// The prefix of stream names.
    pub stream_prefix: Option<String>,
}

/// The names of what is deployed.
///
/// ```no_run
/// # async fn example() -> Result<(), damper_aws::deployment::DeploymentError> {
/// use damper_aws::{AwsClients, Deployment, deployment::DeploymentOverrides};
///
/// // Reads the environment of the function `damper`, in this account and region.
/// let clients = AwsClients::load().await;
/// let deployment = Deployment::find(&clients.lambda(), DeploymentOverrides::default()).await?;
/// assert_eq!(deployment.function, "damper:live");
/// println!("{}: feed {}", deployment.bucket, deployment.stream("gleif")); // damper-gleif
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The function with its alias, for example `damper:live`.
    pub function: String,
    /// The ledger's table.
    pub table: String,
    /// The bucket of records and dead letters.
    pub bucket: String,
    /// The prefix of stream names.
    pub stream_prefix: String,
}

/// Why a deployment was not found.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// Nothing says where it lies.
    #[error("no AWS region is set")]
    NoRegion,
    /// Nothing says who is asking.
    #[error("there are no AWS credentials: {0}")]
    NoCredentials(String),
    /// AWS does not take the credentials.
    #[error("AWS does not accept these credentials: {0}")]
    NotAccepted(String),
    /// There is no such function.
    #[error("there is no function {function:?} in {region}")]
    NoFunction {
        /// Its name.
        function: String,
        /// The region that was searched.
        region: String,
    },
    /// The credentials may not look at it.
    #[error("these credentials have no permission to read the function {function:?}: {message}")]
    Denied {
        /// Its name.
        function: String,
        /// AWS's message.
        message: String,
    },
    /// It is another function.
    #[error("the function {function:?} is not a Damper function: its environment has no {variable}")]
    NotDamper {
        /// Its name.
        function: String,
        /// The missing variable.
        variable: &'static str,
    },
    /// AWS did not answer.
    #[error("the settings of the function {function:?} cannot be read: {message}")]
    Failed {
        /// Its name.
        function: String,
        /// The error.
        message: String,
    },
}

impl DeploymentError {
    /// The hint that goes with the error.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoRegion => "set AWS_REGION, a region in the profile, or `region` below [aws] in damper.toml",
            Self::NoCredentials(_) => {
                "log in (`aws sso login`), name a profile with AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            }
            Self::NotAccepted(_) => "log in again, or check AWS_PROFILE, the keys and this machine's clock",
            Self::NoFunction { .. } => {
                "deploy the shared stack, or check the region, the account and `function` below [aws] in damper.toml"
            }
            Self::Denied { .. } => {
                "allow them lambda:GetFunctionConfiguration, or name `table`, `bucket` and `stream_prefix` below [aws] in damper.toml"
            }
            Self::NotDamper { .. } => {
                "check `function` below [aws] in damper.toml; it must be the shared stack's output FunctionName"
            }
            Self::Failed { .. } => "check the network and the region; nothing was changed",
        }
    }
}

/// Find out before anything is asked whether it can be: a region is set, and there are credentials.
///
/// # Errors
/// If either is missing.
pub async fn check(config: &SdkConfig) -> Result<(), DeploymentError> {
    config.region().ok_or(DeploymentError::NoRegion)?;
    let none =
        || DeploymentError::NoCredentials("neither the environment, a profile nor a role provides any".to_owned());
    let provider = config.credentials_provider().ok_or_else(none)?;
    let found = provider.provide_credentials().await;
    found.map(drop).map_err(|error| match error {
        CredentialsError::CredentialsNotLoaded(_) => none(),
        error => DeploymentError::NoCredentials(error_chain(&error)),
    })
}

impl Deployment {
    /// The deployment of which this is said. Asks once, and not at all where everything is said.
    ///
    /// # Errors
    /// If the function does not tell.
    pub async fn find(client: &Client, overrides: DeploymentOverrides) -> Result<Self, DeploymentError> {
        let function = with_alias(overrides.function.as_deref().unwrap_or(FUNCTION));
        if let DeploymentOverrides {
            table: Some(table),
            bucket: Some(bucket),
            stream_prefix: Some(stream_prefix),
            ..
        } = &overrides
        {
            let (table, bucket, stream_prefix) = (table.clone(), bucket.clone(), stream_prefix.clone());
            return Ok(Self { function, table, bucket, stream_prefix });
        }
        let answer = client.get_function_configuration().function_name(&function).send().await;
        let answer = answer.map_err(|error| deployment_error(client, &function, &error))?;
        let variables = answer.environment.and_then(|environment| environment.variables).unwrap_or_default();
        let value_of = |given: Option<String>, variable: &'static str| {
            let missing = || DeploymentError::NotDamper { function: function.clone(), variable };
            given.or_else(|| variables.get(variable).cloned()).filter(|text| !text.is_empty()).ok_or_else(missing)
        };
        Ok(Self {
            table: value_of(overrides.table, "DAMPER_TABLE")?,
            bucket: value_of(overrides.bucket, "DAMPER_BUCKET")?,
            stream_prefix: value_of(overrides.stream_prefix, "DAMPER_STREAM_PREFIX")
                .unwrap_or_else(|_| STREAM_PREFIX.to_owned()),
            function,
        })
    }

    /// The stream of a provider.
    #[must_use]
    pub fn stream(&self, provider: &str) -> String {
        format!("{}{provider}", self.stream_prefix)
    }
}

/// A function with its alias: the one it is named with, else [`ALIAS`].
fn with_alias(function: &str) -> String {
    // arn:aws:lambda:REGION:ACCOUNT:function:NAME has six colons, a name none; one more is the alias's.
    let unqualified = if function.starts_with("arn:") { 6 } else { 0 };
    if function.matches(':').count() > unqualified { function.to_owned() } else { format!("{function}:{ALIAS}") }
}

fn deployment_error<E>(client: &Client, function: &str, error: &aws_sdk_lambda::error::SdkError<E>) -> DeploymentError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let function = function.to_owned();
    let message = || error.message().unwrap_or("it gives no reason").to_owned();
    match error.code() {
        Some("ResourceNotFoundException") => {
            let region = client.config().region().map_or("an unknown region", AsRef::as_ref).to_owned();
            DeploymentError::NoFunction { function, region }
        }
        Some("AccessDeniedException" | "AccessDenied") => DeploymentError::Denied { function, message: message() },
        Some(code) if NOT_ACCEPTED.contains(&code) => DeploymentError::NotAccepted(message()),
        _ => DeploymentError::Failed { function, message: DisplayErrorContext(error).to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_asked_by_its_alias() {
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:damper";
        assert_eq!(with_alias("damper"), "damper:live");
        assert_eq!(with_alias("damper:next"), "damper:next");
        assert_eq!(with_alias(arn), format!("{arn}:live"));
        assert_eq!(with_alias(&format!("{arn}:next")), format!("{arn}:next"));
    }
}
