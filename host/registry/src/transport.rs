//! Requests to a registry over HTTP: each with timeouts, a maximum size of its response, and no credential for another
//! origin.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use damper_core::error_chain::error_chain;
use damper_core::escape::escape_text;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, StatusCode};
use reqwest::Response;
use url::Url;

use crate::error::RegistryError;
use crate::reference::Reference;

/// The most redirects of one request: a registry sends the client to its storage, and that at most to another one.
const MAX_REDIRECTS: usize = 5;
const MAX_HEADERS: usize = 100;
const USER_AGENT: &str = concat!("damper/", env!("CARGO_PKG_VERSION"));
/// The registry that `docker.io` stands for.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// How a registry is used.
#[derive(Debug, Clone, Default)]
pub struct RegistryOptions {
    /// Whether to use HTTP without TLS. Registries on loopback are always used so.
    pub plain_http: bool,
    /// Docker's configuration, with credentials; usually `~/.docker/config.json`. None: there are no credentials.
    pub docker_config: Option<PathBuf>,
    /// The timeouts.
    pub timeouts: Timeouts,
}

/// How long a registry may take.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the next bytes of a response.
    pub idle: Duration,
    /// For a request that carries no component.
    pub request: Duration,
    /// For the transfer of a component.
    pub transfer: Duration,
    /// For a credential helper of docker, which may ask a person.
    pub helper: Duration,
    /// Before the second try; before the third one, three times as long.
    pub retry: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            request: Duration::from_secs(60),
            transfer: Duration::from_secs(600),
            helper: Duration::from_secs(120),
            retry: Duration::from_secs(1),
        }
    }
}

/// A request that can be sent again.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) accept: Option<&'static str>,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: Option<Bytes>,
    pub(crate) timeout: Duration,
}

/// A response whose body is not read yet.
pub(crate) struct Incoming {
    pub(crate) response: Response,
    /// Whether it came from the registry itself, not from where the registry sent us.
    pub(crate) is_from_registry: bool,
}

/// The connections to one registry.
#[derive(Debug)]
pub(crate) struct Transport {
    client: reqwest::Client,
    /// The host, as the reference names it.
    pub(crate) host: String,
    /// The registry's origin.
    pub(crate) base: Url,
    pub(crate) timeouts: Timeouts,
}

impl Transport {
    pub(crate) fn new(reference: &Reference, options: &RegistryOptions) -> Result<Self, RegistryError> {
        // An error means that another one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let is_plain = options.plain_http || reference.is_loopback();
        let timeouts = options.timeouts.clone();
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            // A digest is that of the bytes as they are sent.
            .no_gzip()
            .no_brotli()
            .http1_only()
            .http1_max_headers(MAX_HEADERS)
            .connect_timeout(timeouts.connect);
        if reference.is_loopback() {
            builder = builder.no_proxy();
        }
        builder = builder.https_only(!is_plain);
        let client = builder.build().map_err(|error| RegistryError::Setup(error_chain(&error)))?;
        let host = if reference.host() == "docker.io" { DOCKER_HUB } else { reference.host() };
        let scheme = if is_plain { "http" } else { "https" };
        let base =
            Url::parse(&format!("{scheme}://{host}/")).map_err(|error| RegistryError::Setup(error.to_string()))?;
        Ok(Self { client, host: reference.host().to_owned(), base, timeouts })
    }

    /// Whether requests of this URL may carry the registry's credentials.
    pub(crate) fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// Whether a URL that the registry names may be asked at all: one without TLS only if the registry has none.
    pub(crate) fn is_allowed(&self, url: &Url) -> bool {
        let has_userinfo = !url.username().is_empty() || url.password().is_some();
        !has_userinfo && (url.scheme() == "https" || (url.scheme() == "http" && self.base.scheme() == "http"))
    }

    /// Sends a request, and follows redirects if it reads. The authorization goes to the registry alone.
    pub(crate) async fn send(
        &self,
        outgoing: &Outgoing,
        authorization: Option<&HeaderValue>,
    ) -> Result<Incoming, RegistryError> {
        let mut url = outgoing.url.clone();
        let mut is_from_registry = self.is_own(&url);
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send_once(outgoing, &url, authorization.filter(|_| is_from_registry)).await?;
            let reads = matches!(outgoing.method, Method::GET | Method::HEAD);
            if !reads || !is_redirect(response.status()) {
                return Ok(Incoming { response, is_from_registry });
            }
            url = self.find_redirect_target(&url, &response)?;
            // Never again: another host must not choose what is asked with the credentials.
            is_from_registry &= self.is_own(&url);
        }
        Err(self.protocol_error(format!("it redirects more than {MAX_REDIRECTS} times")))
    }

    async fn send_once(
        &self,
        outgoing: &Outgoing,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, RegistryError> {
        let mut request = self.client.request(outgoing.method.clone(), url.clone()).timeout(outgoing.timeout);
        let headers = [(ACCEPT, outgoing.accept), (CONTENT_TYPE, outgoing.content_type)];
        for (name, value) in headers.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            request = request.header(name, value);
        }
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        // An upload is silent until all of it was sent and stored.
        let patience = if outgoing.body.is_some() { outgoing.timeout } else { self.timeouts.idle };
        if let Some(body) = &outgoing.body {
            request = request.body(body.clone());
        }
        match tokio::time::timeout(patience, request.send()).await {
            Ok(sent) => sent.map_err(|error| self.name_failure(error, url)),
            Err(_) => Err(self.timeout_error(url)),
        }
    }

    fn find_redirect_target(&self, from: &Url, response: &Response) -> Result<Url, RegistryError> {
        let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let target = location.and_then(|location| from.join(location).ok());
        match target {
            Some(target) if self.is_allowed(&target) => Ok(target),
            Some(target) => {
                let place = escape_text(target.host_str().unwrap_or("an unknown host"));
                Err(self.protocol_error(format!("it redirects to {place} without TLS")))
            }
            None => Err(self.protocol_error("it redirects without a usable Location".to_owned())),
        }
    }

    /// Reads a body of at most `limit` bytes.
    pub(crate) async fn read_body(&self, mut response: Response, limit: usize) -> Result<Vec<u8>, RegistryError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.read_chunk(&mut response).await? {
            if body.len().saturating_add(chunk.len()) > limit {
                return Err(self.protocol_error(format!("its response has more than {limit} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Reads the next part of a body.
    pub(crate) async fn read_chunk(&self, response: &mut Response) -> Result<Option<Bytes>, RegistryError> {
        match tokio::time::timeout(self.timeouts.idle, response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(self.name_failure(error, &response.url().clone())),
            Err(_) => Err(self.timeout_error(response.url())),
        }
    }

    /// Sends a request to the registry's token service, which redirects nowhere. Returns the status and the body.
    pub(crate) async fn ask_token_service(
        &self,
        outgoing: &Outgoing,
        authorization: Option<&HeaderValue>,
        limit: usize,
    ) -> Result<(StatusCode, Vec<u8>), RegistryError> {
        let response = self.send_once(outgoing, &outgoing.url, authorization).await?;
        let status = response.status();
        Ok((status, self.read_body(response, limit).await?))
    }

    pub(crate) fn protocol_error(&self, problem: String) -> RegistryError {
        RegistryError::Protocol { host: self.host.clone(), problem }
    }

    /// A request that got no whole response. The URL is not named: it may be signed.
    fn name_failure(&self, error: reqwest::Error, url: &Url) -> RegistryError {
        if error.is_timeout() && !error.is_connect() {
            return self.timeout_error(url);
        }
        let host = self.name_host(url);
        let error = error.without_url();
        let problem = escape_text(&error_chain(&error));
        if error.is_connect() {
            RegistryError::Unreachable { host, problem }
        } else {
            RegistryError::Failed { host, problem }
        }
    }

    fn timeout_error(&self, url: &Url) -> RegistryError {
        RegistryError::Failed { host: self.name_host(url), problem: "it did not answer in time".to_owned() }
    }

    /// The host of a URL, for messages.
    fn name_host(&self, url: &Url) -> String {
        if self.is_own(url) { self.host.clone() } else { escape_text(url.host_str().unwrap_or_default()) }
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}
