//! Errors of requests: converted from the HTTP client's, without secrets, and in a few words for a trace.

use std::error::Error;

use crate::bindings::damper::provider::http::HttpError;
use crate::egress::RefusedAddress;
use crate::egress::headers::MAX_HEADER_BYTES;
use crate::redaction::Scrubber;

/// The longest explanation of an error, in bytes.
const MAX_CAUSES_BYTES: usize = 512;

/// Converts an HTTP client's error.
pub(super) fn to_http_error(error: &reqwest::Error, scrubber: &Scrubber) -> HttpError {
    if let Some(refused) = sources(error).find_map(|source| source.downcast_ref::<RefusedAddress>()) {
        return HttpError::Denied(refused.to_string());
    }
    let why = scrubber.to_line(&causes(error), MAX_CAUSES_BYTES);
    if error.is_connect() {
        HttpError::Unreachable(why)
    } else if error.is_timeout() {
        HttpError::TimedOut
    } else if error.is_builder() {
        HttpError::Invalid(why)
    } else if why.contains("message head is too large") {
        // hyper reports its own limits by this text alone.
        HttpError::TooLarge(MAX_HEADER_BYTES as u64)
    } else {
        HttpError::Broken(why)
    }
}

/// Whether a server has closed the connection because it does not accept our certificate, which it reports by a TLS
/// alert (RFC 8446, section 6.2).
pub(super) fn is_certificate_refused(error: &HttpError) -> bool {
    let (HttpError::Unreachable(why) | HttpError::Broken(why)) = error else { return false };
    let alerts = [
        "BadCertificate",
        "CertificateExpired",
        "CertificateRevoked",
        "CertificateUnknown",
        "UnknownCA",
        "AccessDenied",
    ];
    // The type of the TLS library's error is not accessible here; only its text is.
    why.split_once("received fatal alert: ").is_some_and(|(_, alert)| alerts.iter().any(|name| alert.starts_with(name)))
}

/// An error and what caused it, without the URL.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut causes: Vec<String> = sources(error).skip(1).map(ToString::to_string).collect();
    // Each layer tends to repeat the one below it.
    causes.dedup();
    if causes.is_empty() { "the request failed".to_owned() } else { causes.join(": ") }
}

fn sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source())
}

/// The error without secrets, for a text that a server has chosen.
pub(super) fn scrub_error(error: HttpError, scrubber: &Scrubber) -> HttpError {
    let text = |why: String| scrubber.scrub_text(&why).into_owned();
    match error {
        HttpError::Denied(why) => HttpError::Denied(text(why)),
        HttpError::Invalid(why) => HttpError::Invalid(text(why)),
        HttpError::Unreachable(why) => HttpError::Unreachable(text(why)),
        HttpError::Broken(why) => HttpError::Broken(text(why)),
        HttpError::Redirects(why) => HttpError::Redirects(text(why)),
        HttpError::Other(why) => HttpError::Other(text(why)),
        HttpError::TimedOut | HttpError::TooLarge(_) => error,
    }
}

/// An error in a few words, for a trace.
pub(super) fn explain(error: &HttpError) -> String {
    match error {
        HttpError::Denied(why) => format!("denied: {why}"),
        HttpError::Invalid(why) => format!("invalid: {why}"),
        HttpError::Unreachable(why) => format!("unreachable: {why}"),
        HttpError::Broken(why) => format!("broken: {why}"),
        HttpError::TimedOut => "timed out".to_owned(),
        HttpError::TooLarge(limit) => format!("too large: more than {limit} bytes"),
        HttpError::Redirects(why) => format!("redirects: {why}"),
        HttpError::Other(why) => why.clone(),
    }
}
