//! The network of a test: a server on loopback that speaks for every host. A rehearsed provider asks it as an HTTP proxy, so
//! that https requests, with their names and ports, arrive here and nowhere else; the server ends their TLS with a
//! certificate of an authority that is made for each run.
//!
//! What is answered a [`Director`] decides; what goes wrong on the wire is in `wire`. HTTP/1.1 is written by hand, because faults
//! need the wire.

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

pub(crate) use authority::{Authority, AuthorityError, client_certificate};
pub(crate) use received::Received;
use received::{Connection, Target};
use wire::After;

use crate::case::Answer;

/// The most connections of one case at a time.
const MAX_CONNECTIONS: usize = 256;

/// Decides what each request gets.
pub(crate) trait Director: Send + 'static {
    /// Whether a connection to this origin (scheme, host and port) is refused.
    fn refuses(&mut self, origin: &str) -> bool;

    /// What a request gets.
    fn answer(&mut self, request: Received) -> Answer;

    /// Whether each answer ends its connection, so that the next request comes on one of its own.
    fn closes(&self) -> bool;
}

/// A running server. It ends, with its connections, when it is dropped.
pub(crate) struct Server<D> {
    address: SocketAddr,
    director: Arc<Mutex<D>>,
    accepting: AbortHandle,
}

impl<D: Director> Server<D> {
    /// Starts a server on a port of its own.
    pub(crate) async fn start(director: D, authority: Arc<Authority>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let director = Arc::new(Mutex::new(director));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&director), authority)).abort_handle();
        Ok(Self { address, director, accepting })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The director, with what it has seen.
    pub(crate) fn director(&self) -> MutexGuard<'_, D> {
        locked(&self.director)
    }
}

impl<D> Drop for Server<D> {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn locked<D>(director: &Mutex<D>) -> MutexGuard<'_, D> {
    director.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept<D: Director>(listener: TcpListener, director: Arc<Mutex<D>>, authority: Arc<Authority>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                if let Ok((stream, _)) = accepted {
                    let (director, authority) = (Arc::clone(&director), Arc::clone(&authority));
                    // A connection that fails is the client's to tell of.
                    connections.spawn(async move { serve(stream, &director, &authority).await.ok() });
                }
            }
            _ = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// Serves a connection from its first request on, which says where the client believes to be.
async fn serve<D: Director>(stream: TcpStream, director: &Mutex<D>, authority: &Authority) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut plain = Connection::new(stream);
    let Some(first) = plain.head().await? else { return Ok(()) };
    if first.method != "CONNECT" {
        return exchanges(plain, first, &Target::Absolute, director).await;
    }
    let place = first.target.clone();
    let host = place.rsplit_once(':').map_or(place.as_str(), |(host, _)| host).trim_matches(['[', ']']).to_owned();
    if locked(director).refuses(&received::https_origin(&place)) {
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
    exchanges(tls, first, &Target::Https { place, certificate }, director).await
}

/// Answers one request after another, until the connection ends.
async fn exchanges<S: wire::Stream, D: Director>(
    mut connection: Connection<S>,
    mut head: received::Head,
    target: &Target,
    director: &Mutex<D>,
) -> io::Result<()> {
    loop {
        let is_head = head.method == "HEAD";
        let request = connection.request(head, target).await?;
        let (answer, closes) = {
            let mut director = locked(director);
            (director.answer(request), director.closes())
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
