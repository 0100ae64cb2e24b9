//! The network of a test: a server on loopback that answers for every host. A provider under test uses it as an HTTP
//! proxy, so https requests, with their names and ports, arrive here and nowhere else. The server terminates their TLS
//! with a certificate of an authority that is made for each run.
//!
//! A [`Responder`] chooses the responses; faults on the wire are in `wire`. The server writes HTTP/1.1 by hand, because
//! faults need control over the bytes.

mod authority;
mod received;
mod wire;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

pub(crate) use authority::{Authority, AuthorityError, assertion_key, client_certificate};
pub(crate) use received::ReceivedRequest;
use received::{Connection, Target};
use wire::After;

use crate::case::Answer;

/// The most connections of one case at a time.
const MAX_CONNECTIONS: usize = 256;

/// Decides the response to each request.
pub(crate) trait Responder: Send + 'static {
    /// Handles a new connection to an origin (scheme, host and port). Returns whether it is refused.
    fn on_connect(&mut self, origin: &str) -> bool;

    /// Returns the response to a request.
    fn answer(&mut self, request: ReceivedRequest) -> Answer;

    /// Whether each response closes its connection, so that the next request opens a new one.
    fn closes_after_answer(&self) -> bool;
}

/// A running server. It ends, with its connections, when it is dropped.
pub(crate) struct Server<D> {
    address: SocketAddr,
    responder: Arc<Mutex<D>>,
    accepting: AbortHandle,
}

impl<D: Responder> Server<D> {
    /// Starts a server on a port of its own.
    pub(crate) async fn start(responder: D, authority: Arc<Authority>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let responder = Arc::new(Mutex::new(responder));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&responder), authority)).abort_handle();
        Ok(Self { address, responder, accepting })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The responder, with the requests that it has received.
    pub(crate) fn responder(&self) -> MutexGuard<'_, D> {
        lock(&self.responder)
    }
}

impl<D> Drop for Server<D> {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock<D>(responder: &Mutex<D>) -> MutexGuard<'_, D> {
    responder.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept<D: Responder>(listener: TcpListener, responder: Arc<Mutex<D>>, authority: Arc<Authority>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                if let Ok((stream, _)) = accepted {
                    let (responder, authority) = (Arc::clone(&responder), Arc::clone(&authority));
                    // The client reports a failed connection.
                    connections.spawn(async move { serve(stream, &responder, &authority).await.ok() });
                }
            }
            _ = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// Serves a connection. Its first request tells the host that the client wants.
async fn serve<D: Responder>(stream: TcpStream, responder: &Mutex<D>, authority: &Authority) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut plain = Connection::new(stream);
    let Some(first) = plain.head().await? else { return Ok(()) };
    if first.method != "CONNECT" {
        return serve_requests(plain, first, &Target::Absolute, responder).await;
    }
    let place = first.target.clone();
    let host = place.rsplit_once(':').map_or(place.as_str(), |(host, _)| host).trim_matches(['[', ']']).to_owned();
    if lock(responder).on_connect(&received::https_origin(&place)) {
        // As a proxy says it; to the client there is no connection.
        plain.stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await?;
        return plain.stream.shutdown().await;
    }
    plain.stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    let config = authority.server(&host).map_err(io::Error::other)?;
    let mut tls = Connection::new(TlsAcceptor::from(config).accept(plain.stream).await?);
    let Some(first) = tls.head().await? else { return Ok(()) };
    let (_, session) = tls.stream.get_ref();
    let certificate = session.peer_certificates().and_then(<[_]>::first).map(|certificate| certificate.to_vec());
    serve_requests(tls, first, &Target::Https { place, certificate }, responder).await
}

/// Answers one request after another, until the connection ends.
async fn serve_requests<S: wire::Stream, D: Responder>(
    mut connection: Connection<S>,
    mut head: received::Head,
    target: &Target,
    responder: &Mutex<D>,
) -> io::Result<()> {
    loop {
        let is_head = head.method == "HEAD";
        let request = connection.request(head, target).await?;
        let (answer, closes) = {
            let mut responder = lock(responder);
            (responder.answer(request), responder.closes_after_answer())
        };
        match wire::answer(&mut connection.stream, &answer, closes, is_head).await? {
            After::Closed => return Ok(()),
            After::Open => {}
        }
        head = match connection.head().await? {
            Some(next) => next,
            None => return Ok(()),
        };
    }
}
