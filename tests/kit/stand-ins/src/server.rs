//! One stand-in as a process: started on a free port of loopback, awaited, and ended.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::environment::say;
use crate::python::python;

/// It starts in a second or two; a machine that is busy building may take a while longer.
const START_TIME: Duration = Duration::from_secs(120);
/// Both servers say this when they listen.
const LISTENING: &str = "Running on http://127.0.0.1:";
/// Another process may take the port that was free a moment ago.
const TRIES: u32 = 5;
/// How many lines of what it said are told where it does not start.
const LAST_LINES: usize = 5;

const LAUNCH: &str = include_str!("launch.py");

/// Which stand-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The moto server.
    Moto,
    /// ministack.
    Ministack,
    /// ministack, which asks the policies of roles and buckets who may do what.
    MinistackWithRoles,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Moto => "moto",
            Self::Ministack => "ministack",
            Self::MinistackWithRoles => "ministack with roles",
        }
    }
}

/// A running stand-in. It ends when this is dropped, and when this process ends, be it by a kill.
#[derive(Debug)]
pub struct StandIn {
    endpoint: String,
    child: Child,
    /// Its end is the stand-in's: see `launch.py`.
    lifeline: Option<ChildStdin>,
}

impl StandIn {
    /// Start one.
    ///
    /// # Errors
    /// Says what is missing, or what it said instead of starting.
    pub fn start(kind: Kind) -> Result<Self, String> {
        let mut said = String::new();
        for _ in 0..TRIES {
            let port = free_port()?;
            match Self::start_on(kind, port) {
                Ok(stand_in) => {
                    say(&format!("stand-ins: {} runs on {}", kind.name(), stand_in.endpoint));
                    return Ok(stand_in);
                }
                Err(Refusal::PortTaken(error)) => said = error,
                Err(Refusal::Other(error)) => return Err(error),
            }
        }
        Err(said)
    }

    /// Its URL, for example `http://127.0.0.1:40123`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn start_on(kind: Kind, port: u16) -> Result<Self, Refusal> {
        let mut child = command(kind, port)?.spawn().map_err(|error| Refusal::Other(error.to_string()))?;
        let lifeline = child.stdin.take();
        let (lines, heard) = channel();
        if let Some(stdout) = child.stdout.take() {
            collect_output(stdout, lines.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            collect_output(stderr, lines);
        }
        let stand_in = Self { endpoint: format!("http://127.0.0.1:{port}"), child, lifeline };
        wait(&heard)?;
        Ok(stand_in)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.lifeline = None;
        // It kills its whole group; what cannot be waited for is gone.
        let _ = self.child.wait();
    }
}

enum Refusal {
    PortTaken(String),
    Other(String),
}

fn command(kind: Kind, port: u16) -> Result<Command, Refusal> {
    let mut command = Command::new(python().map_err(Refusal::Other)?);
    command.args(["-c", LAUNCH]).env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        // Variables that configure AWS's tools for a person must not reach a stand-in.
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    match kind {
        Kind::Moto => command.args(["moto.server", "--host", "127.0.0.1", "--port", &port.to_string()]),
        Kind::Ministack | Kind::MinistackWithRoles => command
            .arg("ministack")
            .env("AUTH", (kind == Kind::MinistackWithRoles).to_string())
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("MINISTACK_REGION", crate::sdk::REGION)
            // For the functions that it runs: where they find it.
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
            // Listeners on every interface, for services that nobody uses here.
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .env("S3_PERSIST", "0"),
    };
    Ok(command)
}

/// A port of loopback that is free now.
///
/// # Errors
/// If there is none.
pub fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| format!("no free port: {error}"))?;
    listener.local_addr().map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}

/// Read what it says for as long as it says something: a full pipe would stop it.
fn collect_output(output: impl Read + Send + 'static, lines: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Nobody listens any more once it runs.
            let _ = lines.send(line);
        }
    });
}

/// Wait until it says that it listens.
fn wait(heard: &Receiver<String>) -> Result<(), Refusal> {
    let (begun, mut last) = (Instant::now(), VecDeque::new());
    loop {
        match heard.recv_timeout(START_TIME.saturating_sub(begun.elapsed())) {
            Ok(line) if line.contains(LISTENING) => return Ok(()),
            Ok(line) => {
                last.push_back(line);
                if last.len() > LAST_LINES {
                    last.pop_front();
                }
            }
            Err(error) => {
                let said = last.make_contiguous().join(" / ");
                let taken = said.contains("in use");
                let why = match error {
                    RecvTimeoutError::Timeout => "it did not start in time",
                    RecvTimeoutError::Disconnected => "it ended instead of starting",
                };
                let text = format!("{why}; it said: {said}");
                return Err(if taken { Refusal::PortTaken(text) } else { Refusal::Other(text) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn is_up(endpoint: &str) -> bool {
        TcpStream::connect(endpoint.trim_start_matches("http://")).is_ok()
    }

    #[test]
    fn a_stand_in_listens_while_it_is_held_and_ends_with_its_guard() {
        for kind in [Kind::Moto, Kind::Ministack] {
            let stand_in = match StandIn::start(kind) {
                Ok(stand_in) => stand_in,
                Err(why) => return crate::missing(kind.name(), &why),
            };
            let endpoint = stand_in.endpoint().to_owned();
            assert!(is_up(&endpoint), "{endpoint}");
            drop(stand_in);
            assert!(!is_up(&endpoint), "{endpoint}");
        }
    }

    #[test]
    fn a_stand_in_ends_when_nobody_holds_its_standard_input() {
        let mut stand_in = match StandIn::start(Kind::Moto) {
            Ok(stand_in) => stand_in,
            Err(why) => return crate::missing("moto", &why),
        };
        // As the kernel does it when this process is killed.
        stand_in.lifeline = None;
        assert!(!stand_in.child.wait().unwrap().success());
    }
}
