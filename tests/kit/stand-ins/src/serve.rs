//! A small HTTP server on loopback, for what stands in for a part of AWS inside a test: the Runtime API, the control
//! plane, a meter, the chaos proxy.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// An answer whose body is complete.
pub type Response = hyper::Response<Full<Bytes>>;
/// A request whose body is still coming.
pub type Request = hyper::Request<Incoming>;

/// A running server; dropping it closes its connections and frees its port.
#[derive(Debug)]
pub struct Server {
    /// The address that it listens on.
    pub addr: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The connection is cut instead of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("cut instead of an answer")
    }
}

impl std::error::Error for Cut {}

/// Serves on a free port of loopback.
///
/// # Errors
/// The system has no port left.
pub async fn serve<H, F>(handler: H) -> std::io::Result<Server>
where
    H: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    serve_or_cut(move |request| {
        let answer = handler(request);
        async move { Ok(answer.await) }
    })
    .await
}

/// The same, where the handler may cut the connection.
///
/// # Errors
/// As [`serve`].
pub async fn serve_or_cut<H, F>(handler: H) -> std::io::Result<Server>
where
    H: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Response, Cut>> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = listener.local_addr()?;
    let handler = Arc::new(handler);
    let accepting = tokio::spawn(async move {
        // With the server go its connections.
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            while connections.try_join_next().is_some() {}
            let _ = stream.set_nodelay(true);
            let handler = Arc::clone(&handler);
            let service = service_fn(move |request| handler(request));
            // Not half closed: a process that was killed in mid-request is noticed.
            let connection = http1::Builder::new().half_close(false).serve_connection(TokioIo::new(stream), service);
            connections.spawn(async move { drop(connection.await) });
        }
    });
    Ok(Server { addr, accepting })
}

/// Reads a body of at most `most` bytes; none, if it is larger or breaks off.
pub async fn body(request: Request, most: usize) -> Option<Bytes> {
    Limited::new(request.into_body(), most).collect().await.ok().map(|body| body.to_bytes())
}

/// A JSON answer.
#[must_use]
pub fn json(status: u16, body: &serde_json::Value) -> Response {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
