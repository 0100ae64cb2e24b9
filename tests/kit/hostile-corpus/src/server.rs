//! A server on loopback that plays one script on each connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How long a script goes on at the most: long after every client should have gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server's script for a connection.
#[derive(Clone, Copy)]
pub enum Script {
    /// With a plain one.
    Plain(fn(&mut Connection) -> io::Result<()>),
    /// With one through TLS, on which HTTP/2 was agreed on.
    Tls(fn(&mut Connection) -> io::Result<()>),
}

/// A connection, plain or through TLS.
pub struct Connection {
    stream: Stream,
    address: SocketAddr,
    begun: Instant,
    served: Arc<ServerStats>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

/// A running server. It ends when it is dropped.
pub struct Server {
    address: SocketAddr,
    is_tls: bool,
    stopped: Arc<AtomicBool>,
    served: Arc<ServerStats>,
    thread: Option<JoinHandle<()>>,
}

/// The counts of a server.
#[derive(Debug, Default)]
pub struct ServerStats {
    /// How many connections have come.
    pub connections: AtomicU64,
    /// How many bytes it has read, decrypted: none if no client came as far as a request.
    pub read_bytes: AtomicU64,
    /// The longest that one of its connections has lasted, in milliseconds.
    pub longest_ms: AtomicU64,
}

/// An authority that is made for this process, and the key and certificate of 127.0.0.1.
struct Authority {
    pem: String,
    config: Arc<ServerConfig>,
}

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "the hostile corpus");
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = pem(params.self_signed(&key).unwrap().der());
    let issuer = Issuer::new(params, key);
    let server_key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&server_key, &issuer).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![server.der().clone()], private).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Authority { pem, config: Arc::new(config) }
});

/// The certificate of the authority that all servers' certificates are of, as PEM.
#[must_use]
pub fn authority() -> &'static str {
    &AUTHORITY.pem
}

/// A certificate as text (RFC 7468).
fn pem(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

impl Server {
    /// Starts on a free port.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stopped, served) = (Arc::new(AtomicBool::new(false)), Arc::new(ServerStats::default()));
        let (has_stopped, seen) = (Arc::clone(&stopped), Arc::clone(&served));
        let accept = move || {
            for stream in listener.incoming() {
                if has_stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || serve(stream, address, script, &seen));
            }
        };
        let thread = std::thread::spawn(accept);
        Self { address, is_tls: matches!(script, Script::Tls(_)), stopped, served, thread: Some(thread) }
    }

    /// Its origin.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}://{}", if self.is_tls { "https" } else { "http" }, self.address)
    }

    /// The counts so far.
    #[must_use]
    pub fn stats(&self) -> &ServerStats {
        &self.served
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // The thread that it waits for.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(stream: TcpStream, address: SocketAddr, script: Script, served: &Arc<ServerStats>) {
    served.connections.fetch_add(1, Ordering::SeqCst);
    let begun = Instant::now();
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    let (stream, play) = match script {
        Script::Plain(play) => (Stream::Plain(stream), play),
        Script::Tls(play) => {
            let Ok(connection) = ServerConnection::new(Arc::clone(&AUTHORITY.config)) else { return };
            (Stream::Tls(Box::new(StreamOwned::new(connection, stream))), play)
        }
    };
    let mut connection = Connection { stream, address, begun, served: Arc::clone(served) };
    // A client that has gone ends it, too.
    if play(&mut connection).is_ok() {
        connection.wait_for_the_end();
    }
    let lasted = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    served.longest_ms.fetch_max(lasted, Ordering::SeqCst);
}

impl Connection {
    /// The address of the server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the script may go on.
    ///
    /// # Errors
    /// If it has run for so long that no client can be there.
    pub fn go_on(&self) -> io::Result<()> {
        if self.begun.elapsed() < PATIENCE { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// If the client has gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.go_on()?;
        self.write_all(bytes.as_ref())?;
        self.flush()
    }

    /// Sends these bytes again and again.
    ///
    /// # Errors
    /// Always: it ends when the client has gone.
    pub fn send_for_ever(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        loop {
            self.send(bytes.as_ref())?;
        }
    }

    /// Sends these bytes again and again, with a pause between.
    ///
    /// # Errors
    /// Always: it ends when the client has gone.
    pub fn drip_for_ever(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        loop {
            self.send(bytes.as_ref())?;
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Reads a request's head.
    ///
    /// # Errors
    /// If none comes.
    pub fn read_head(&mut self) -> io::Result<String> {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            self.read_exact(&mut byte)?;
            head.extend_from_slice(&byte);
        }
        Ok(String::from_utf8_lossy(&head).into_owned())
    }

    /// Ends the connection with a reset.
    ///
    /// # Errors
    /// If it has gone already.
    pub fn reset(&mut self) -> io::Result<()> {
        let socket = self.socket();
        socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO))?;
        Err(io::ErrorKind::ConnectionReset.into())
    }

    /// Ends the sending side.
    ///
    /// # Errors
    /// If it has gone already.
    pub fn close(&mut self) -> io::Result<()> {
        self.socket().shutdown(Shutdown::Write)
    }

    fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref(),
        }
    }

    /// Reads on until the client has gone.
    fn wait_for_the_end(&mut self) {
        let mut buffer = [0; 4096];
        while self.go_on().is_ok() && self.read(&mut buffer).is_ok_and(|read| read > 0) {}
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }?;
        self.served.read_bytes.fetch_add(read as u64, Ordering::SeqCst);
        Ok(read)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}
