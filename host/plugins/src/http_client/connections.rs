//! The pooled connections of one provider: one pool for public addresses, one for the origins that the operator granted by name. They are
//! made when the first request is sent.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use damper_core::manifest::Limits;

use crate::credentials::ClientCertificate;
use crate::egress::Route;
use crate::egress::headers::{MAX_HEADER_BYTES, MAX_HEADERS};
use crate::grants::Grants;
use crate::resolver::{FilteringResolver, Reach, Resolver};
use crate::test_environment::TestEnvironment;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Idle connections beyond the provider's concurrency: a connection returns a moment after its request has ended.
const SPARE_CONNECTIONS: usize = 4;

/// A proxy that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the proxy cannot be used: give it as a URL like \"http://proxy.example:3128\"")]
pub struct ProxyError;

/// A client for each route, made when it is first needed.
#[derive(Default)]
pub(crate) struct Clients {
    public: Mutex<Option<BuiltClient>>,
    private: Mutex<Option<BuiltClient>>,
}

/// A client with its pool of connections, or why there is none.
struct BuiltClient {
    client: Result<reqwest::Client, String>,
    /// Which of the provider's generations of connections it belongs to.
    generation: u64,
}

/// One provider's connections.
pub(crate) struct Connections {
    plain: Clients,
    proxy: Option<reqwest::Proxy>,
    resolver: Arc<dyn Resolver>,
    /// A test environment that replaces the network.
    environment: Option<TestEnvironment>,
    idle: usize,
    /// Whether a private origin uses https.
    is_private_https: bool,
    /// Incremented to abandon all connections.
    generation: AtomicU64,
    /// Whether the latest response came by HTTP/1.
    answers_in_http1: AtomicBool,
}

impl Clients {
    fn get(
        &self,
        route: Route,
        generation: u64,
        build: impl FnOnce() -> Result<reqwest::Client, String>,
    ) -> Result<reqwest::Client, String> {
        let built = match route {
            Route::Public => &self.public,
            Route::Private => &self.private,
        };
        let mut built = built.lock().unwrap_or_else(PoisonError::into_inner);
        match &*built {
            Some(built) if built.generation >= generation => built.client.clone(),
            _ => built.insert(BuiltClient { client: build(), generation }).client.clone(),
        }
    }
}

/// A request without a complete response. HTTP/2 has many requests on one connection, and a dropped request leaves the connection in the
/// pool, where a hostile server goes on sending. If a request is dropped before its end, the provider's connections are therefore
/// abandoned; other requests in flight keep theirs until they end.
pub(crate) struct UnfinishedRequest<'a> {
    connections: &'a Connections,
    is_tls: bool,
}

impl UnfinishedRequest<'_> {
    /// The response has been read, or the request has failed.
    pub(crate) fn finish(mut self) {
        // The connections are kept.
        self.is_tls = false;
    }
}

impl Drop for UnfinishedRequest<'_> {
    fn drop(&mut self) {
        if self.is_tls && !self.connections.answers_in_http1.load(Ordering::Relaxed) {
            self.connections.generation.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Connections {
    pub(crate) fn new(
        limits: &Limits,
        grants: &Grants,
        resolver: Arc<dyn Resolver>,
        environment: Option<TestEnvironment>,
    ) -> Result<Self, ProxyError> {
        let proxy = grants.proxy.as_ref().map(reqwest::Proxy::all).transpose().map_err(|_| ProxyError)?;
        Ok(Self {
            plain: Clients::default(),
            proxy,
            resolver,
            environment,
            idle: limits.max_concurrency.get() as usize + SPARE_CONNECTIONS,
            is_private_https: grants.private.iter().any(crate::grants::Origin::is_https),
            generation: AtomicU64::new(0),
            answers_in_http1: AtomicBool::new(false),
        })
    }

    /// Guards a request that is about to be sent. Without TLS there is no HTTP/2.
    pub(crate) fn start_request(&self, url: &url::Url) -> UnfinishedRequest<'_> {
        UnfinishedRequest { connections: self, is_tls: url.scheme() == "https" }
    }

    /// Records the HTTP version of a response.
    pub(crate) fn record_http_version(&self, version: http::Version) {
        self.answers_in_http1.store(version < http::Version::HTTP_2, Ordering::Relaxed);
    }

    /// The client for a route, or why there is none.
    pub(crate) fn client(&self, route: Route) -> Result<reqwest::Client, String> {
        self.plain.get(route, self.generation.load(Ordering::Relaxed), || self.build(route, None))
    }

    /// The client for a route that shows a certificate, or why there is none.
    pub(crate) fn client_with_certificate(
        &self,
        certificate: &ClientCertificate,
        route: Route,
    ) -> Result<reqwest::Client, String> {
        let generation = self.generation.load(Ordering::Relaxed);
        certificate.clients.get(route, generation, || self.build(route, Some(certificate)))
    }

    fn build(&self, route: Route, certificate: Option<&ClientCertificate>) -> Result<reqwest::Client, String> {
        // An error means that another one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // The operator names the proxy, so its own address may be any. It resolves the hosts itself.
        let reach = if route == Route::Private || self.proxy.is_some() || self.environment.is_some() {
            Reach::Everything
        } else {
            Reach::Public
        };
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(self.idle)
            .http1_max_headers(MAX_HEADERS)
            .http2_max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
            .dns_resolver(FilteringResolver { resolver: Arc::clone(&self.resolver), reach });
        if let Some(certificate) = certificate {
            builder = builder.identity(certificate.identity.clone());
        }
        if let Some(environment) = &self.environment {
            let client = environment.connect(builder).and_then(reqwest::ClientBuilder::build);
            return client
                .map_err(|error| format!("cannot set up the test environment: {}", super::response::causes(&error)));
        }
        if let (Route::Public, Some(proxy)) = (route, &self.proxy) {
            builder = builder.proxy(proxy.clone());
        }
        if let Some(certificate) = certificate {
            builder = builder.https_only(true);
            if let Some(ca) = &certificate.ca {
                builder = builder.tls_certs_only(ca.iter().cloned());
            }
        } else if route == Route::Private && !self.is_private_https {
            // Without TLS there are no certificates to load.
            builder = builder.tls_certs_only([]);
        }
        builder.build().map_err(|error| format!("cannot set up connections: {}", super::response::causes(&error)))
    }
}
