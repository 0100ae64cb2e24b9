//! Ctrl-C and its kin: the first asks for a clean stop, the second ends the program at once. A service that watches its
//! files reads them again at SIGHUP.

use std::io::IsTerminal;
use std::process;
use std::sync::Arc;

use damper_runner::Stop;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::error::CliError;
use crate::screen::Screen;

/// Listen for SIGINT, SIGTERM and SIGHUP from now on. With `reload`, SIGHUP is told there and does not stop the
/// program, unless it means that the terminal is gone.
///
/// # Errors
/// If the system does not let us.
pub(crate) fn listen(screen: &Screen, reload: Option<Arc<Notify>>) -> Result<Stop, CliError> {
    let of = |kind| signal(kind).map_err(|error| CliError::internal("listen for signals", error));
    let mut signals = Signals {
        interrupt: of(SignalKind::interrupt())?,
        terminate: of(SignalKind::terminate())?,
        hang_up: of(SignalKind::hangup())?,
        reload,
        has_terminal: std::io::stderr().is_terminal(),
    };
    let (sender, asked) = watch::channel(false);
    let token = CancellationToken::new();
    let (cancel, screen) = (token.clone(), screen.clone());
    tokio::spawn(async move {
        signals.next().await;
        screen.say("stopping: fetches in flight are finished and stored (a second signal stops at once)");
        cancel.cancel();
        // Nobody listens any more where the work has ended meanwhile.
        let _ = sender.send(true);
        let second = signals.next().await;
        screen.say("stopped at once: the next run repeats the fetches that were in flight");
        process::exit(second);
    });
    Ok(Stop { token, asked })
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    reload: Option<Arc<Notify>>,
    /// Whether there was a terminal at the start.
    has_terminal: bool,
}

impl Signals {
    /// Wait for a signal that stops; returns the exit code that shells use for it: 128 plus the signal's number.
    async fn next(&mut self) -> i32 {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return 130,
                _ = self.terminate.recv() => return 143,
                _ = self.hang_up.recv() => match &self.reload {
                    Some(reload) if !self.has_lost_terminal() => reload.notify_one(),
                    _ => return 129,
                },
            }
        }
    }

    /// A terminal that hangs up is none any more.
    fn has_lost_terminal(&self) -> bool {
        self.has_terminal && !std::io::stderr().is_terminal()
    }
}
