//! The running server: listens on loopback, in a thread and runtime of its own, until it is dropped.
//!
//! A thread of its own, so that a test with a paused clock or a busy runtime still meets a live API; one
//! thread, because that is enough for the benchmarks and makes the order of events plain.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::book::{LogLine, Stats};
use crate::control::Shared;
use crate::routes::route;
use crate::settings::{Settings, SettingsError};

/// Connections waiting to be accepted: a thousand clients may come at once.
const BACKLOG: u32 = 4_096;

/// How to start a [`DemoApi`].
#[derive(Debug, Clone)]
pub struct Options {
    /// The address to listen on; only loopback is accepted. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// A file that gets each [`LogLine`] as its request finishes.
    pub log: Option<PathBuf>,
    /// The settings to begin with.
    pub settings: Settings,
}

impl Default for Options {
    fn default() -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { listen, log: None, settings: Settings::default() }
    }
}

/// Why the demo API did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings are out of range.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The address is not loopback.
    #[error("the demo API listens on loopback only, not on {0}; use 127.0.0.1 or ::1")]
    NotLoopback(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}; port 0 picks a free port")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The log file cannot be opened.
    #[error("cannot open the log file {path}: {source}; does its folder exist?", path = path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No thread or runtime.
    #[error("cannot start the server's thread: {0}")]
    Thread(std::io::Error),
}

/// A running demo API. Dropping it closes its connections and frees the port.
#[derive(Debug)]
pub struct DemoApi {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl DemoApi {
    /// Starts on a free port of 127.0.0.1, with no log file.
    ///
    /// # Errors
    /// The settings are out of range, or the system has no port or thread left.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        Self::start_with(Options { settings, ..Options::default() })
    }

    /// Starts with an address and a log file of one's own; it listens when this returns.
    ///
    /// # Errors
    /// As [`Self::start`]; also an address that is not loopback or is taken, or a log file that cannot be opened.
    pub fn start_with(options: Options) -> Result<Self, StartError> {
        options.settings.check()?;
        if !options.listen.ip().is_loopback() {
            return Err(StartError::NotLoopback(options.listen));
        }
        let log_file = options.log.as_ref().map(open_log).transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let (listener, addr) =
            listen(&runtime, options.listen).map_err(|source| StartError::Listen { addr: options.listen, source })?;
        let shared = Arc::new(Shared::new(options.settings, log_file));
        let (stop, stopped) = oneshot::channel();
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("demo-api".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        biased;
                        _ = stopped => {}
                        () = accept(listener, &for_thread) => {}
                    }
                });
                for_thread.stop();
            })
            .map_err(StartError::Thread)?;
        Ok(Self { addr, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its base URL, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.shared.in_force().settings.clone()
    }

    /// Replaces the settings whole; an outage counts from now, a rate limit starts with a full bucket.
    ///
    /// # Errors
    /// A value is out of its range; nothing has changed then.
    pub fn set(&self, settings: &Settings) -> Result<(), SettingsError> {
        self.shared.set(settings)
    }

    /// Lays a partial JSON over the settings, as `PUT /control` does.
    ///
    /// # Errors
    /// An unknown key, or a value of the wrong type or range; nothing has changed then.
    pub fn control(&self, patch: &Value) -> Result<Settings, SettingsError> {
        self.shared.patch(patch)
    }

    /// The stats now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.book.stats()
    }

    /// The finished record requests, in the order they finished.
    #[must_use]
    pub fn log(&self) -> Vec<LogLine> {
        self.shared.book.log()
    }

    /// Forgets stats and log; what is in flight stays in flight.
    pub fn reset(&self) {
        self.shared.book.reset();
    }

    /// Waits until the stats are as wanted, looking whenever a request begins or finishes.
    ///
    /// # Errors
    /// The stats as they were when `limit` had passed.
    pub async fn wait_for(&self, limit: Duration, wanted: impl Fn(&Stats) -> bool) -> Result<Stats, Stats> {
        let waiting = async {
            loop {
                let moved_on = self.shared.moved_on.notified();
                let stats = self.stats();
                if wanted(&stats) {
                    return stats;
                }
                moved_on.await;
            }
        };
        tokio::time::timeout(limit, waiting).await.map_err(|_| self.stats())
    }
}

impl Drop for DemoApi {
    fn drop(&mut self) {
        // From here on, what ends is not the client's doing.
        self.shared.stop();
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open_log(path: &PathBuf) -> Result<File, StartError> {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|source| StartError::Log { path: path.clone(), source })
}

fn listen(runtime: &Runtime, addr: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let _inside = runtime.enter();
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A demo API that is started again gets its old port at once.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    let listener = socket.listen(BACKLOG)?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

async fn accept(listener: TcpListener, shared: &Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Most likely out of file descriptors: some will be freed.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(shared);
        let service = service_fn(move |request| route(Arc::clone(&shared), request));
        // Without half-closed connections, so that hyper notices a client that goes away in mid-request.
        let connection = http1::Builder::new()
            .half_close(false)
            .pipeline_flush(true)
            .serve_connection(TokioIo::new(stream), service);
        // Clients or outages cause these errors; the book counts them.
        tokio::spawn(async move { drop(connection.await) });
    }
}
