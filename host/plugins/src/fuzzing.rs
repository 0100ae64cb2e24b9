//! Access to private functions for the fuzz targets of `tests/fuzz` alone. This module is not part of the crate's
//! interface.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use url::Url;

use crate::component_file::ComponentFileError;
use crate::egress::{self, EgressPolicy, Route};
use crate::grants::Origin;

/// Checks a component's code as it is checked before it is compiled.
///
/// # Errors
/// If the code is damaged, or beyond a limit.
#[cfg(feature = "compile")]
pub fn check_code(bytes: &[u8]) -> Result<(), ComponentFileError> {
    crate::component_file::check_code("fuzzed", bytes).map(drop)
}

/// The egress policy of a provider.
#[derive(Debug)]
pub struct Policy(EgressPolicy);

impl Policy {
    /// A policy as a plugin makes it: the origins that the manifest asks for, those that the operator grants, and the
    /// private ones.
    #[must_use]
    pub fn new(asked: Vec<Origin>, granted: Vec<Origin>, private: Vec<Origin>) -> Self {
        Self(EgressPolicy::new(asked, granted, private))
    }

    /// Whether a request to this URL is allowed, and whether it goes to a private origin.
    ///
    /// # Errors
    /// If it is refused.
    pub fn check(&self, url: &Url) -> Result<bool, String> {
        self.0.check(url).map(|route| route == Route::Private)
    }

    /// The same for a URL that the operator named.
    ///
    /// # Errors
    /// If it is refused.
    pub fn check_named(&self, url: &Url) -> Result<bool, String> {
        self.0.check_named(url).map(|route| route == Route::Private)
    }
}

/// Reads a guest's URL.
///
/// # Errors
/// If it cannot be used.
pub fn parse_url(text: &str) -> Result<Url, String> {
    egress::parse_url(text)
}

/// Reads a guest's method.
///
/// # Errors
/// If it cannot be used.
pub fn read_method(text: &str) -> Result<Method, String> {
    egress::headers::parse_method(text)
}

/// Reads a guest's headers.
///
/// # Errors
/// If one of them is refused.
pub fn read_headers(pairs: &[(String, String)]) -> Result<HeaderMap, String> {
    egress::headers::parse_headers(pairs)
}

/// The next request of a redirect.
#[derive(Debug)]
pub struct RedirectHop {
    /// Its URL.
    pub url: Url,
    /// Its method.
    pub method: Method,
    /// Whether the body goes along.
    pub keep_body: bool,
    /// Whether credentials go along.
    pub keep_credential: bool,
}

/// The next hop after a response to `method` at `url`.
///
/// # Errors
/// If it is a redirect that leads nowhere.
pub fn next_hop(
    status: StatusCode,
    location: Option<&[u8]>,
    method: &Method,
    url: &Url,
) -> Result<Option<RedirectHop>, String> {
    let hop = egress::redirect::next_hop(status, location, method, url)?;
    Ok(hop.map(|egress::redirect::Hop { url, method, keep_body, keep_credential }| RedirectHop {
        url,
        method,
        keep_body,
        keep_credential,
    }))
}

/// A token endpoint's Retry-After.
#[must_use]
pub fn token_retry_after(headers: &HeaderMap) -> Option<Duration> {
    crate::credentials::retry_after(headers)
}

/// Takes one secret out of texts and bodies.
#[derive(Debug)]
pub struct OneSecretScrubber(crate::redaction::Scrubber);

impl OneSecretScrubber {
    /// A scrubber that knows this secret in all of its spellings; none where the secret is too long to be searched for.
    #[must_use]
    pub fn knowing(secret: &str, is_basic: bool) -> Option<Self> {
        let scrubber = crate::redaction::Scrubber::default();
        scrubber.learn("fuzzed", crate::spellings(secret, is_basic)).ok()?;
        Some(Self(scrubber))
    }

    /// The text without secrets.
    #[must_use]
    pub fn scrub_text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.0.scrub_text(text)
    }

    /// The bytes without secrets.
    #[must_use]
    pub fn scrub_bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        self.0.scrub_bytes(bytes)
    }

    /// The text as one line for a person.
    #[must_use]
    pub fn to_line(&self, text: &str, max_bytes: usize) -> String {
        self.0.to_line(text, max_bytes)
    }

    /// The text as a JSON string for a log.
    #[must_use]
    pub fn to_json(&self, text: &str, max_bytes: usize) -> String {
        self.0.to_json(text, max_bytes)
    }
}
