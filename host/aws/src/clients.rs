//! Clients of AWS's services, made from one configuration and one HTTP client; each when it is first asked for.

use std::sync::OnceLock;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_types::sdk_config::SharedTimeSource;

/// The clients.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use damper_aws::AwsClients;
///
/// // Credentials come from the environment, the profile or the role, as with the AWS CLI.
/// let clients = AwsClients::load_in(Some("eu-west-1".to_owned())).await;
/// let region = clients.config().region().map(ToString::to_string);
/// assert_eq!(region.as_deref(), Some("eu-west-1"));
/// let tables = clients.dynamodb().list_tables().send().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AwsClients {
    config: SdkConfig,
    dynamodb: OnceLock<aws_sdk_dynamodb::Client>,
    kinesis: OnceLock<aws_sdk_kinesis::Client>,
    lambda: OnceLock<aws_sdk_lambda::Client>,
    secrets: OnceLock<aws_sdk_secretsmanager::Client>,
}

impl AwsClients {
    /// Clients by AWS's standard configuration: environment (endpoints too: `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_S3`,
    /// ...), profile, role. Credentials are asked for with the first request; where the environment names the region,
    /// as in Lambda, nothing is asked of the network here.
    pub async fn load() -> Self {
        Self::load_in(None).await
    }

    /// The same, but in this region if one is named.
    pub async fn load_in(region: Option<String>) -> Self {
        let http =
            aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
        let loader = match region {
            Some(region) => loader.region(Region::new(region)),
            None => loader,
        };
        Self::new(loader.load().await)
    }

    /// Clients by this configuration.
    #[must_use]
    pub fn new(config: SdkConfig) -> Self {
        Self {
            config,
            dynamodb: OnceLock::new(),
            kinesis: OnceLock::new(),
            lambda: OnceLock::new(),
            secrets: OnceLock::new(),
        }
    }

    /// The configuration itself.
    #[must_use]
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// The client of DynamoDB.
    #[must_use]
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        self.dynamodb.get_or_init(|| aws_sdk_dynamodb::Client::new(&self.config)).clone()
    }

    /// The client of Kinesis.
    #[must_use]
    pub fn kinesis(&self) -> aws_sdk_kinesis::Client {
        self.kinesis.get_or_init(|| aws_sdk_kinesis::Client::new(&self.config)).clone()
    }

    /// The client of Lambda.
    #[must_use]
    pub fn lambda(&self) -> aws_sdk_lambda::Client {
        self.lambda.get_or_init(|| aws_sdk_lambda::Client::new(&self.config)).clone()
    }

    /// The client of Secrets Manager.
    #[must_use]
    pub fn secrets(&self) -> aws_sdk_secretsmanager::Client {
        self.secrets.get_or_init(|| aws_sdk_secretsmanager::Client::new(&self.config)).clone()
    }

    /// A client of Secrets Manager with the rights of this role, by its ARN: STS is asked for a session of it with the
    /// first request, and again before that session ends. `session` names it in CloudTrail: 2 to 64 letters, digits and
    /// `+=,.@-_`.
    pub async fn secrets_of_role(&self, role: &str, session: &str) -> aws_sdk_secretsmanager::Client {
        let mut config = self.config.to_builder();
        if self.config.time_source().is_none() {
            // The provider panics without one.
            config.set_time_source(Some(SharedTimeSource::default()));
        }
        let provider = AssumeRoleProvider::builder(role).configure(&config.build()).session_name(session);
        let provider = provider.build().await;
        let config = aws_sdk_secretsmanager::config::Builder::from(&self.config).credentials_provider(provider);
        aws_sdk_secretsmanager::Client::from_conf(config.build())
    }
}
