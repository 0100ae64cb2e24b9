//! Ctrl-C and its kin: the first asks for a clean stop, the second ends the program at once.

use std::process;

use damper_runner::Stop;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::error::CliError;
use crate::screen::Screen;

/// Listen for SIGINT, SIGTERM and SIGHUP from now on.
///
/// # Errors
/// If the system does not let us.
pub(crate) fn listen(screen: &Screen) -> Result<Stop, CliError> {
    let of = |kind| signal(kind).map_err(|error| CliError::internal("listen for signals", error));
    let mut signals = Signals {
        interrupt: of(SignalKind::interrupt())?,
        terminate: of(SignalKind::terminate())?,
        hang_up: of(SignalKind::hangup())?,
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
}

impl Signals {
    /// Wait for a signal; returns the exit code that shells use for it: 128 plus the signal's number.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
            _ = self.hang_up.recv() => 129,
        }
    }
}
