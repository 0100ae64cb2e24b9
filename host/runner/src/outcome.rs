//! How a provider's part of a run ends, and how a stop is asked for.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::error::RunError;

/// How a provider's part of a run ended.
#[derive(Debug)]
pub enum Outcome<E = RunError> {
    /// Nothing is pending.
    Done,
    /// A signal came first.
    Interrupted,
    /// The window is closed; when it opens.
    WindowClosed(String),
    /// The day's quota is spent; when the next day begins.
    QuotaSpent(String),
    /// Nothing is left but items that wait for their next attempt.
    Waiting {
        /// How many entries.
        entries: usize,
        /// When the first is due, a text for people.
        until: String,
    },
    /// Its mapping is disabled.
    Paused,
    /// Its breaker is open.
    Stopped(E),
    /// It could not go on.
    Failed(E),
}

impl<E> Outcome<E> {
    /// The same outcome, with its error as another type.
    pub fn map_error<F>(self, map: impl FnOnce(E) -> F) -> Outcome<F> {
        match self {
            Self::Done => Outcome::Done,
            Self::Interrupted => Outcome::Interrupted,
            Self::WindowClosed(opens) => Outcome::WindowClosed(opens),
            Self::QuotaSpent(begins) => Outcome::QuotaSpent(begins),
            Self::Waiting { entries, until } => Outcome::Waiting { entries, until },
            Self::Paused => Outcome::Paused,
            Self::Stopped(error) => Outcome::Stopped(map(error)),
            Self::Failed(error) => Outcome::Failed(map(error)),
        }
    }
}

/// A clean stop that is asked for: as a token for the pipeline, as a value for the poller.
#[derive(Debug, Clone)]
pub struct Stop {
    /// Cancelled when the stop is asked for.
    pub token: CancellationToken,
    /// True from then on.
    pub asked: watch::Receiver<bool>,
}

impl Stop {
    /// A stop of one provider: when this is asked for, and when the token that is returned is cancelled.
    #[must_use]
    pub fn child(&self) -> (Self, CancellationToken) {
        let token = self.token.child_token();
        let (sender, asked) = watch::channel(false);
        let cancelled = token.clone();
        tokio::spawn(async move {
            cancelled.cancelled().await;
            // Nobody listens any more where the provider has ended meanwhile.
            let _ = sender.send(true);
        });
        (Self { token: token.clone(), asked }, token)
    }
}
