//! Reads whole responses within their limits, and converts errors of the HTTP client.

use std::error::Error;
use std::sync::Arc;

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, SET_COOKIE};

use super::{OutgoingRequest, Response};
use crate::bindings::damper::provider::http::HttpError;
use crate::egress::headers::{MAX_HEADER_BYTES, MAX_HEADERS};
use crate::host_memory::{HEADER_BYTES, HostMemory};
use crate::resolver::RefusedAddress;
use crate::text::Scrubber;

/// The longest explanation of an error, in bytes.
const MAX_CAUSES_BYTES: usize = 512;
/// The largest buffer that is allocated before the body arrives.
const MAX_EARLY_CAPACITY: u64 = 64 * 1024;

/// Headers that reveal the length or a digest of the body before secrets were removed.
const OF_THE_WHOLE_BODY: [&str; 6] =
    ["content-digest", "content-md5", "content-range", "digest", "etag", "repr-digest"];

/// The whole response, decompressed and without secrets, and whether it contained any.
pub(super) async fn read(
    response: reqwest::Response,
    outgoing: &OutgoingRequest,
    max_bytes: u64,
    scrubber: &Arc<Scrubber>,
    memory: &HostMemory,
) -> Result<(Response, bool), HttpError> {
    let header_bytes = header_bytes(response.headers())?;
    let url = outgoing.url.as_str();
    memory.reserve_in_transit(header_bytes + response.headers().len() * HEADER_BYTES + url.len()).await?;
    let (mut headers, has_secret_header) = guest_headers(response.headers(), scrubber);
    let status = response.status().as_u16();
    let body = read_body(response, max_bytes, scrubber, Some(memory)).await?;
    let scrubbed = scrubber.replace_in_body(body).await;
    let (body, has_secret_body) =
        scrubbed.ok_or_else(|| HttpError::Other("the response could not be searched for secrets".to_owned()))?;
    if has_secret_body {
        headers.retain(|(name, _)| !OF_THE_WHOLE_BODY.contains(&name.as_str()));
    }
    let url = if outgoing.is_redirected { scrubber.scrub_text(url).into_owned() } else { url.to_owned() };
    let whole =
        Response { status, headers: Arc::new(headers), body: Arc::new(body), url, duration_ms: 0, extras: Vec::new() };
    Ok((whole, has_secret_header || has_secret_body))
}

/// A response's whole body, decompressed, with secrets.
pub(super) async fn read_body(
    mut response: reqwest::Response,
    max_bytes: u64,
    scrubber: &Scrubber,
    memory: Option<&HostMemory>,
) -> Result<Vec<u8>, HttpError> {
    let too_large = || HttpError::TooLarge(max_bytes);
    // The length of a compressed response does not limit its size.
    let announced = response.content_length().filter(|_| !response.headers().contains_key(CONTENT_ENCODING));
    if announced.is_some_and(|length| length > max_bytes) {
        return Err(too_large());
    }
    let capacity = announced.unwrap_or_default().min(MAX_EARLY_CAPACITY);
    let mut body = Vec::with_capacity(usize::try_from(capacity).unwrap_or_default());
    while let Some(chunk) = response.chunk().await.map_err(|why| to_http_error(&why, scrubber))? {
        if (body.len() + chunk.len()) as u64 > max_bytes {
            return Err(too_large());
        }
        if let Some(memory) = memory {
            memory.reserve_in_transit(chunk.len()).await?;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The size of a response's headers, if it is within the limits.
fn header_bytes(map: &HeaderMap) -> Result<usize, HttpError> {
    let bytes: usize = map.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > MAX_HEADER_BYTES || map.len() > MAX_HEADERS {
        return Err(HttpError::TooLarge(MAX_HEADER_BYTES as u64));
    }
    Ok(bytes)
}

/// The headers that the guest gets, and whether one of them contained a secret. Content-Length is left out: in a response that repeats a
/// secret it would reveal the secret's length.
fn guest_headers(map: &HeaderMap, scrubber: &Scrubber) -> (Vec<(String, String)>, bool) {
    let mut has_secret = false;
    let given = map.iter().filter(|(name, _)| **name != SET_COOKIE && **name != CONTENT_LENGTH);
    let given = given.map(|(name, value)| {
        let value = decode_value(value.as_bytes());
        let scrubbed = scrubber.scrub_text(&value);
        has_secret |= *scrubbed != value;
        (name.to_string(), scrubbed.into_owned())
    });
    (given.collect(), has_secret)
}

/// A value as UTF-8, or else as Latin-1.
fn decode_value(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().copied().map(char::from).collect(),
    }
}

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

/// Whether a server has closed the connection because it does not accept our certificate, which it reports by a TLS alert (RFC 8446,
/// section 6.2).
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
