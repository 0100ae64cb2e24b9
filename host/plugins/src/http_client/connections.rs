//! The pooled connections of one provider: one pool for public addresses, one for the origins that the operator granted by
//! name. Made when the first request goes out.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use damper_core::manifest::Limits;

use crate::credentials::ClientCertificate;
use crate::egress::Route;
use crate::egress::headers::{MAX_HEADER_BYTES, MAX_HEADERS};
use crate::grants::Grants;
use crate::rehearsal::Rehearsal;
use crate::resolver::{FilteringResolver, Reach, Resolver};

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
    public: OnceLock<Result<reqwest::Client, String>>,
    private: OnceLock<Result<reqwest::Client, String>>,
}

/// One provider's connections.
pub(crate) struct Connections {
    plain: Clients,
    proxy: Option<reqwest::Proxy>,
    resolver: Arc<dyn Resolver>,
    /// The world of a test in the place of the network.
    world: Option<Rehearsal>,
    idle: usize,
    /// Whether a private origin is asked by https.
    is_private_https: bool,
}

impl Clients {
    fn get(
        &self,
        route: Route,
        build: impl FnOnce() -> Result<reqwest::Client, String>,
    ) -> Result<&reqwest::Client, &str> {
        let client = match route {
            Route::Public => &self.public,
            Route::Private => &self.private,
        };
        client.get_or_init(build).as_ref().map_err(String::as_str)
    }
}

impl Connections {
    pub(crate) fn new(
        limits: &Limits,
        grants: &Grants,
        resolver: Arc<dyn Resolver>,
        world: Option<Rehearsal>,
    ) -> Result<Self, ProxyError> {
        let proxy = grants.proxy.as_ref().map(reqwest::Proxy::all).transpose().map_err(|_| ProxyError)?;
        Ok(Self {
            plain: Clients::default(),
            proxy,
            resolver,
            world,
            idle: limits.max_concurrency.get() as usize + SPARE_CONNECTIONS,
            is_private_https: grants.private.iter().any(crate::grants::Origin::is_https),
        })
    }

    /// The client for a route, or why there is none.
    pub(crate) fn client(&self, route: Route) -> Result<&reqwest::Client, &str> {
        self.plain.get(route, || self.build(route, None))
    }

    /// The client for a route that shows a certificate, or why there is none.
    pub(crate) fn client_showing<'a>(
        &self,
        certificate: &'a ClientCertificate,
        route: Route,
    ) -> Result<&'a reqwest::Client, &'a str> {
        certificate.clients.get(route, || self.build(route, Some(certificate)))
    }

    fn build(&self, route: Route, certificate: Option<&ClientCertificate>) -> Result<reqwest::Client, String> {
        // Already installed: someone else's choice, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // A proxy is named by the operator, so that its own address may be any; it looks the hosts up itself.
        let reach = if route == Route::Private || self.proxy.is_some() || self.world.is_some() {
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
        if let Some(world) = &self.world {
            let client = world.connect(builder).and_then(reqwest::ClientBuilder::build);
            return client.map_err(|error| format!("cannot set up a rehearsal: {}", super::answer::causes(&error)));
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
            // No certificates to load where there is no TLS.
            builder = builder.tls_certs_only([]);
        }
        builder.build().map_err(|error| format!("cannot set up connections: {}", super::answer::causes(&error)))
    }
}
