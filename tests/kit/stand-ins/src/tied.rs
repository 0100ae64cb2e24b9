//! A program that ends with this process, however that ends.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Runs a program until it ends, or until nobody holds our standard input open, which the kernel closes when the test
/// process ends. Then the whole group goes.
const SCRIPT: &str = r#"{ "$@"; kill -9 0; } & read -r end; kill -9 0"#;
/// How often a port is tried: a listening program sends no event.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How many lines of what it said are kept.
const LAST_LINES: usize = 200;

/// A running program. It ends when this is dropped, and when this process ends, be it by a kill.
#[derive(Debug)]
pub struct TiedProcess {
    child: Child,
    lifeline: Option<ChildStdin>,
    said: Arc<Mutex<VecDeque<String>>>,
}

impl TiedProcess {
    /// Start a program; `configure` gives it arguments and variables.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(program: &Path, configure: impl FnOnce(&mut Command)) -> Result<Self, String> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh"]).arg(program).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        configure(&mut command);
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let (lifeline, said) = (child.stdin.take(), Arc::default());
        if let Some(stdout) = child.stdout.take() {
            collect_output(stdout, Arc::clone(&said));
        }
        if let Some(stderr) = child.stderr.take() {
            collect_output(stderr, Arc::clone(&said));
        }
        Ok(Self { child, lifeline, said })
    }

    /// Wait until it listens on this port of loopback.
    ///
    /// # Errors
    /// With what it said, where it ends instead or does not listen in time.
    pub fn wait_for_port(&mut self, port: u16, patience: Duration) -> Result<(), String> {
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let has_ended = self.child.try_wait().is_ok_and(|status| status.is_some());
            if has_ended || begun.elapsed() > patience {
                let why = if has_ended { "it ended instead of listening" } else { "it did not listen in time" };
                return Err(format!("{why}; it said: {}", self.output_tail().replace('\n', " / ")));
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// The last lines that it said.
    #[must_use]
    pub fn output_tail(&self) -> String {
        lock(&self.said).iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for TiedProcess {
    fn drop(&mut self) {
        self.lifeline = None;
        // It kills its whole group; what cannot be waited for is gone.
        let _ = self.child.wait();
    }
}

/// Read what it says for as long as it says something: a full pipe would stop it.
fn collect_output(output: impl Read + Send + 'static, said: Arc<Mutex<VecDeque<String>>>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let mut said = lock(&said);
            if said.len() == LAST_LINES {
                said.pop_front();
            }
            said.push_back(line);
        }
    });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_ends_with_its_guard_and_with_the_pipe_that_holds_it() {
        let start = || {
            TiedProcess::start(Path::new("sleep"), |command| {
                command.arg("1000");
            })
            .unwrap()
        };
        drop(start());
        let mut held = start();
        // As the kernel does it when this process is killed.
        held.lifeline = None;
        assert!(!held.child.wait().unwrap().success());
    }

    #[test]
    fn a_program_that_ends_instead_of_listening_is_told_with_what_it_said() {
        let says = |command: &mut Command| {
            command.args(["-c", "echo no such file >&2"]);
        };
        let mut tied = TiedProcess::start(Path::new("sh"), says).unwrap();
        let error = tied.wait_for_port(1, Duration::from_secs(60)).unwrap_err();
        assert!(error.starts_with("it ended instead"), "{error}");
    }
}
