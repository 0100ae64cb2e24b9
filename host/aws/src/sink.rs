//! The bucket for records, as an object store: S3 with the credentials, region and endpoint of AWS's standard
//! configuration.
//!
//! Objects are created only if there are none (`If-None-Match: *`), as damper-core's sink wants it.
//!
//! The client repeats a put that S3 answers with 5xx, or whose connection breaks. If the first one was done all the
//! same, the second is refused because the object is there; damper-core then reads it back. Repetitions end early
//! enough for a flush to end within its claims' leases, in all but the worst case: see `FLUSH_TIME` in damper-core.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_types::service_config::ServiceConfigKey;
use damper_core::error_chain::error_chain;
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredential, S3ConditionalPut};
use object_store::{BackoffConfig, ClientOptions, CredentialProvider, RetryConfig};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long before their end credentials are renewed.
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 60);
/// How long credentials that name no end are used before they are asked for again; they may have been changed.
const UNLIMITED_FOR: Duration = Duration::from_secs(15 * 60);

/// How long after its first try a request may be tried again.
const RETRY_FOR: Duration = Duration::from_secs(5);
/// How often a request is tried again.
const RETRIES: usize = 5;
/// The longest pause before that.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long one try may take: four MiB at a bit more than a megabit a second. damper-core waits longer than for this
/// and the retries.
const TRY_TIME: Duration = Duration::from_secs(30);
/// How long it may take to connect.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Why a bucket cannot be the sink.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// Nothing says where it lies.
    #[error("no region is set for the bucket {0:?}: set AWS_REGION, or a region in the profile")]
    NoRegion(String),
    /// Nothing says who we are.
    #[error("no credentials are configured for the bucket {0:?}: log in, set AWS_PROFILE, or give the function a role")]
    NoCredentials(String),
    /// The settings do not fit together.
    #[error("the bucket {bucket:?} cannot be used: {message}")]
    Settings {
        /// Its name.
        bucket: String,
        /// The problem.
        message: String,
    },
}

/// The object store of a bucket. Asks nothing of the network yet.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use damper_aws::{AwsClients, sink::bucket};
/// use damper_core::sink::{create, object_path};
///
/// let clients = AwsClients::load().await;
/// let sink = bucket(clients.config(), "damper-records")?;
/// // s3://damper-records/gleif/2026-11-22/worker-1/000000.ndjson, unless it is there.
/// let chunk = object_path("gleif", "2026-11-22".parse()?, &"worker-1".into(), 0);
/// create(&sink, &chunk, "{\"id\":\"42\"}\n".into()).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If the configuration lacks a region or credentials, or the name is none.
pub fn bucket(config: &SdkConfig, bucket: &str) -> Result<AmazonS3, BucketError> {
    let region = config.region().ok_or_else(|| BucketError::NoRegion(bucket.to_owned()))?;
    let provider = config.credentials_provider().ok_or_else(|| BucketError::NoCredentials(bucket.to_owned()))?;
    // The TLS library of all our clients. A failure means that it is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let backoff = BackoffConfig { max_backoff: LONGEST_PAUSE, ..BackoffConfig::default() };
    let mut builder = AmazonS3Builder::new()
        .with_retry(RetryConfig { backoff, max_retries: RETRIES, retry_timeout: RETRY_FOR })
        .with_client_options(ClientOptions::new().with_timeout(TRY_TIME).with_connect_timeout(CONNECT_TIME))
        .with_bucket_name(bucket)
        .with_region(region.as_ref())
        .with_credentials(Arc::new(Credentials::new(provider)))
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    if let Some(endpoint) = endpoint(config) {
        // A configured endpoint names the host itself, so path-style requests are used instead of a subdomain for the
        // bucket.
        let is_plain = endpoint.starts_with("http://");
        builder = builder.with_endpoint(endpoint).with_virtual_hosted_style_request(false).with_allow_http(is_plain);
    } else {
        builder = builder.with_virtual_hosted_style_request(true);
    }
    builder.build().map_err(|error| BucketError::Settings { bucket: bucket.to_owned(), message: error_chain(&error) })
}

/// S3's own endpoint where the configuration names one, else the one for all services.
fn endpoint(config: &SdkConfig) -> Option<String> {
    let general = config.endpoint_url().map(str::to_owned);
    if config.get_origin("endpoint_url").is_client_config() {
        return general;
    }
    let key =
        ServiceConfigKey::builder().service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url").build().ok()?;
    config.service_config().and_then(|services| services.load_config(key)).or(general)
}

/// The SDK's credentials as object_store wants them: kept until shortly before their end, and asked for once however
/// many wait.
#[derive(Debug)]
struct Credentials {
    provider: SharedCredentialsProvider,
    kept: Mutex<Option<(Arc<AwsCredential>, Instant)>>,
}

impl Credentials {
    fn new(provider: SharedCredentialsProvider) -> Self {
        Self { provider, kept: Mutex::default() }
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut kept = self.kept.lock().await;
        if let Some((credential, until)) = &*kept
            && Instant::now() < *until
        {
            return Ok(Arc::clone(credential));
        }
        let fresh = self
            .provider
            .provide_credentials()
            .await
            .map_err(|source| object_store::Error::Generic { store: "S3", source: Box::new(source) })?;
        let credential = Arc::new(AwsCredential {
            key_id: fresh.access_key_id().to_owned(),
            secret_key: fresh.secret_access_key().to_owned(),
            token: fresh.session_token().map(str::to_owned),
        });
        *kept = Some((Arc::clone(&credential), Instant::now() + usable_for(fresh.expiry())));
        Ok(credential)
    }
}

fn usable_for(expiry: Option<SystemTime>) -> Duration {
    #[allow(
        clippy::disallowed_methods,
        reason = "an expiry is a time of the machine's clock, and decides nothing else"
    )]
    let now = SystemTime::now();
    match expiry {
        Some(expiry) => expiry.duration_since(now).unwrap_or_default().saturating_sub(RENEW_BEFORE),
        None => UNLIMITED_FOR,
    }
}
