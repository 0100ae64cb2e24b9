//! The configuration of AWS's SDK for a stand-in.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

/// The region of everything in the stand-ins.
pub const REGION: &str = "us-east-1";

/// The access key, and its secret, that may do everything in the stand-ins. It opens nothing else. DynamoDB Local takes
/// letters and digits only, ministack with roles this word or an account's number.
pub const ACCESS_KEY: &str = "test";

/// A configuration for clients of the services behind `endpoint`: credentials that open nothing, and nothing asked of
/// the environment.
#[must_use]
pub fn sdk_config(endpoint: &str) -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let credentials = credentials(ACCESS_KEY, ACCESS_KEY);
    // A machine that is busy building is slow, and nothing here is worth a second try.
    let timeouts = TimeoutConfig::builder().operation_timeout(Duration::from_secs(60)).build();
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(credentials)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .http_client(http)
        .build()
}

/// The same configuration with this access key.
#[must_use]
pub fn with_access_key(config: &SdkConfig, key: &str, secret: &str) -> SdkConfig {
    config.to_builder().credentials_provider(credentials(key, secret)).build()
}

fn credentials(key: &str, secret: &str) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::new(key, secret, None, None, "stand-in"))
}
