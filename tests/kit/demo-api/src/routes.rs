//! Which request is answered by what.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::{Value, json};

use crate::control::Shared;
use crate::enquiry;
use crate::records::{Refused, record};
use crate::reply::ReplyBody;
use crate::settings::SettingsError;

/// The longest body of a request that is read.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The body of any answer.
pub(crate) enum AnyBody {
    Record(ReplyBody),
    Plain(Full<Bytes>),
}

/// Answers one request; an error closes its connection without an answer.
pub(crate) async fn route(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<AnyBody>, Refused> {
    let path = request.uri().path();
    if let Some(raw_id) = path.strip_prefix("/records/") {
        if request.method() != Method::GET {
            return Ok(not_allowed("GET"));
        }
        let response = record(&shared, raw_id, request.headers()).await?;
        return Ok(response.map(AnyBody::Record));
    }
    if let Some(vendor) = path.strip_prefix("/enquiry/") {
        if request.method() != Method::POST {
            return Ok(not_allowed("POST"));
        }
        let vendor = vendor.to_owned();
        return Ok(enquire(&vendor, request).await);
    }
    let (method, path) = (request.method().clone(), path.to_owned());
    let response = match (path.as_str(), method) {
        ("/health", Method::GET) => json(StatusCode::OK, &json!({ "status": "ok" })),
        ("/stats", Method::GET) => json(StatusCode::OK, &shared.book.stats()),
        ("/log", Method::GET) => log(&shared),
        ("/control", Method::GET) => json(StatusCode::OK, &shared.in_force().settings),
        ("/control", Method::PUT) => put_control(&shared, request).await,
        ("/reset", Method::POST) => {
            shared.book.reset();
            json(StatusCode::OK, &shared.book.stats())
        }
        ("/health" | "/stats" | "/log", _) => not_allowed("GET"),
        ("/control", _) => not_allowed("GET, PUT"),
        ("/reset", _) => not_allowed("POST"),
        _ => no_route(),
    };
    Ok(response)
}

async fn put_control(shared: &Shared, request: Request<Incoming>) -> Response<AnyBody> {
    let body = match read_body(request).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let patch: Result<Value, _> = serde_json::from_slice(&body).map_err(SettingsError::NotJson);
    match patch.and_then(|patch| shared.patch(&patch)) {
        Ok(settings) => json(StatusCode::OK, &settings),
        Err(error) => json(StatusCode::BAD_REQUEST, &json!({ "error": error.to_string() })),
    }
}

async fn enquire(vendor: &str, request: Request<Incoming>) -> Response<AnyBody> {
    let headers = request.headers().clone();
    let body = match read_body(request).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    tokio::time::sleep(enquiry::LATENCY).await;
    let answer = enquiry::answer(vendor, &headers, &String::from_utf8_lossy(&body));
    plain(answer.status, answer.content_type, answer.body.into_bytes())
}

/// The body of a request, or the answer that refuses it.
async fn read_body(request: Request<Incoming>) -> Result<Bytes, Response<AnyBody>> {
    match Limited::new(request.into_body(), MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => {
            let why = format!("the body could not be read: {error}; it may have 64 KiB");
            Err(json(StatusCode::BAD_REQUEST, &json!({ "error": why })))
        }
    }
}

fn log(shared: &Shared) -> Response<AnyBody> {
    let mut text = Vec::new();
    for line in shared.book.log() {
        // A struct of strings and numbers cannot fail to become JSON.
        text.extend(serde_json::to_vec(&line).unwrap_or_default());
        text.push(b'\n');
    }
    plain(StatusCode::OK, "application/x-ndjson", text)
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<AnyBody> {
    // A struct of strings and numbers cannot fail to become JSON.
    plain(status, "application/json", serde_json::to_vec(value).unwrap_or_default())
}

fn not_allowed(allow: &'static str) -> Response<AnyBody> {
    let why = format!("this path allows only {allow}");
    let mut response = json(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": why }));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

fn no_route() -> Response<AnyBody> {
    let why = "no such path; there are /records/{id}, /enquiry/{vendor}, /control, /stats, /log, /reset and /health";
    json(StatusCode::NOT_FOUND, &json!({ "error": why }))
}

fn plain(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<AnyBody> {
    let mut response = Response::new(AnyBody::Plain(Full::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

impl Body for AnyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Record(body) => Pin::new(body).poll_frame(context),
            Self::Plain(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Record(body) => body.is_end_stream(),
            Self::Plain(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Record(body) => body.size_hint(),
            Self::Plain(body) => body.size_hint(),
        }
    }
}
