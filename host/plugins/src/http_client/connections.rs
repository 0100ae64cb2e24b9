//! The pooled connections of one provider: one pool for public addresses, one for the origins that the operator granted
//! by name. They are made when the first request is sent.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use damper_core::manifest::Limits;

use super::http_error::causes;
use crate::credentials::ClientCertificate;
use crate::egress::headers::{MAX_HEADER_BYTES, MAX_HEADERS};
use crate::egress::{FilteringResolver, Reach, Resolver, Route};
use crate::grants::{Grants, Origin};
use crate::lock::lock;
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
struct Clients {
    public: Mutex<Option<BuiltClient>>,
    private: Mutex<Option<BuiltClient>>,
}

/// A client with its pool of connections, or why there is none.
struct BuiltClient {
    client: Result<reqwest::Client, String>,
    /// Which of the provider's generations of connections it belongs to.
    generation: u64,
}

/// The clients that show a certificate: nothing else is ever sent through them.
struct CertifiedClients {
    certificate: Weak<ClientCertificate>,
    clients: Arc<Clients>,
}

/// One provider's connections.
pub(crate) struct Connections {
    plain: Clients,
    /// For each client certificate that was shown and is still in use.
    certified: Mutex<Vec<CertifiedClients>>,
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
        let mut built = lock(built);
        match &*built {
            Some(built) if built.generation >= generation => built.client.clone(),
            _ => built.insert(BuiltClient { client: build(), generation }).client.clone(),
        }
    }
}

/// A request without a complete response. HTTP/2 has many requests on one connection, and a dropped request leaves the
/// connection in the pool, where a hostile server goes on sending. If a request is dropped before its end, the
/// provider's connections are therefore abandoned; other requests in flight keep theirs until they end.
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
            certified: Mutex::default(),
            proxy,
            resolver,
            environment,
            idle: limits.max_concurrency.get() as usize + SPARE_CONNECTIONS,
            is_private_https: grants.private.iter().any(Origin::is_https),
            generation: AtomicU64::new(0),
            answers_in_http1: AtomicBool::new(false),
        })
    }

    /// Whether a test environment replaces the network.
    pub(crate) fn are_of_test(&self) -> bool {
        self.environment.is_some()
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
        certificate: &Arc<ClientCertificate>,
        route: Route,
    ) -> Result<reqwest::Client, String> {
        let generation = self.generation.load(Ordering::Relaxed);
        self.clients_of(certificate).get(route, generation, || self.build(route, Some(certificate)))
    }

    /// The clients that show this certificate. Clients of certificates that are gone are dropped.
    fn clients_of(&self, certificate: &Arc<ClientCertificate>) -> Arc<Clients> {
        let mut certified = lock(&self.certified);
        certified.retain(|known| known.certificate.strong_count() > 0);
        let shown = Arc::downgrade(certificate);
        if let Some(known) = certified.iter().find(|known| known.certificate.ptr_eq(&shown)) {
            return Arc::clone(&known.clients);
        }
        let clients = Arc::<Clients>::default();
        certified.push(CertifiedClients { certificate: shown, clients: Arc::clone(&clients) });
        clients
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
            return client.map_err(|error| format!("cannot set up the test environment: {}", causes(&error)));
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
        builder.build().map_err(|error| format!("cannot set up connections: {}", causes(&error)))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use damper_core::manifest::Manifest;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::egress::SystemResolver;

    fn certificate() -> Arc<ClientCertificate> {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["client.test".to_owned()]).unwrap().self_signed(&key).unwrap();
        let pem = |label: &str, der: &[u8]| {
            format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64.encode(der))
        };
        let chain = format!("{}{}", pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", &key.serialize_der()));
        Arc::new(ClientCertificate::read(&chain, None).unwrap())
    }

    #[test]
    fn each_certificate_has_clients_of_its_own_until_it_is_gone() {
        let manifest = "name = \"x\"\nversion = \"0.1.0\"\negress.hosts = [\"api.test\"]";
        let limits = Manifest::parse(manifest).unwrap().limits;
        let connections = Connections::new(&limits, &Grants::default(), Arc::new(SystemResolver), None).unwrap();
        let (first, second) = (certificate(), certificate());
        let of_first = connections.clients_of(&first);
        assert!(Arc::ptr_eq(&of_first, &connections.clients_of(&first)));
        assert!(!Arc::ptr_eq(&of_first, &connections.clients_of(&second)));
        let abandoned = Arc::downgrade(&of_first);
        drop((first, of_first));
        connections.clients_of(&second);
        assert!(abandoned.upgrade().is_none());
        assert_eq!(lock(&connections.certified).len(), 1);
    }
}
