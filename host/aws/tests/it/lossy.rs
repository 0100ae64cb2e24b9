//! A network that passes each request on and loses the answer of some: the SDK believes that they failed, and sends
//! them again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use damper_stand_ins::sdk_config;

/// Drops the answer of the first attempt at each write, after the write was done. Reads are answered.
#[derive(Debug, Clone)]
pub(crate) struct LossyNetwork {
    inner: SharedHttpClient,
    lost: Arc<AtomicU32>,
}

impl LossyNetwork {
    /// A configuration for clients of the services behind `endpoint`, with the SDK's retries as they are by default;
    /// they only wait less.
    pub(crate) fn config(endpoint: &str) -> (SdkConfig, Self) {
        let config = sdk_config(endpoint);
        let lossy = Self { inner: config.http_client().unwrap(), lost: Arc::default() };
        let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
        let client = SharedHttpClient::new(lossy.clone());
        (config.into_builder().retry_config(retries).http_client(client).build(), lossy)
    }

    /// How many answers were lost.
    pub(crate) fn lost_count(&self) -> u32 {
        self.lost.load(Ordering::SeqCst)
    }
}

impl HttpClient for LossyNetwork {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(LossyConnector { inner, lost: Arc::clone(&self.lost) })
    }
}

#[derive(Debug)]
struct LossyConnector {
    inner: SharedHttpConnector,
    lost: Arc<AtomicU32>,
}

impl HttpConnector for LossyConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let is_lost = is_write(&request) && is_first_attempt(&request);
        let (answer, lost) = (self.inner.call(request), Arc::clone(&self.lost));
        HttpConnectorFuture::new(async move {
            let answer = answer.await?;
            if is_lost {
                lost.fetch_add(1, Ordering::SeqCst);
                return Err(ConnectorError::io("the connection was cut after the request had been done".into()));
            }
            Ok(answer)
        })
    }
}

fn is_write(request: &HttpRequest) -> bool {
    let target = request.headers().get("x-amz-target").and_then(|target| target.rsplit('.').next());
    matches!(target, Some("UpdateItem" | "TransactWriteItems" | "PutRecords")) || request.method() == "PUT"
}

fn is_first_attempt(request: &HttpRequest) -> bool {
    let attempt = request.headers().get("amz-sdk-request").unwrap_or_default();
    attempt.split(';').any(|part| part.trim() == "attempt=1")
}
