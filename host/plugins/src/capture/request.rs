//! A request as it is sent, hop by hop, before credentials are applied.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE};
use http::{HeaderMap, Method};
use url::Url;

use crate::bindings::damper::provider::http::{HttpError, Request};
use crate::egress::redirect::Hop;
use crate::egress::{headers, parse_url};

/// A request to be sent. It is shared with the request log.
#[derive(Clone)]
pub(crate) struct OutgoingRequest {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) credentials: Vec<String>,
    /// Whether the URL comes from a redirect, rather than from the guest.
    pub(crate) is_redirected: bool,
}

impl OutgoingRequest {
    /// Checks the request that a guest asks for.
    pub(crate) fn parse(request: Request) -> Result<Self, HttpError> {
        let invalid = HttpError::Invalid;
        Ok(Self {
            method: headers::parse_method(&request.method).map_err(invalid)?,
            url: parse_url(&request.url).map_err(invalid)?,
            headers: headers::parse_headers(&request.headers).map_err(invalid)?,
            body: request.body.unwrap_or_default().into(),
            credentials: request.credentials,
            is_redirected: false,
        })
    }

    /// Changes to the next hop, and drops the parts that must not go there.
    pub(crate) fn advance(&mut self, hop: Hop) {
        self.url = hop.url;
        self.is_redirected = true;
        self.method = hop.method;
        if !hop.keep_body {
            self.body = Bytes::new();
            for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION] {
                self.headers.remove(name);
            }
        }
        if !hop.keep_credential {
            self.credentials.clear();
        }
    }
}
