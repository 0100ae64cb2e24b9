//! The local stand-in for a Kinesis event source mapping: it delivers one provider's batches in order, one at a time.
//!
//! It decides nothing about pace: batch size and enabled are the mapping's, and everything else is the pipeline's. An
//! entry whose item waits for long holds up no others: it is passed over until it is due.

mod redeliveries;
#[cfg(test)]
mod tests;

use std::time::Duration;

use damper_core::clock::WallClock;
use damper_core::item::{Entry, SequenceNumber};
use damper_core::ledger::Owner;
use damper_core::mapping::{Mapping, MappingError};
use damper_core::pipeline::report::{Report, Stopped};
use damper_core::pipeline::{DueEntries, DueSender, due_entries};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::database::{Database, DatabaseError};
use crate::mapping::SqliteMapping;
use crate::poller::redeliveries::Redeliveries;
use crate::stream::{BatchFinished, Hold, SqliteStream};

pub use redeliveries::MAX_REDELIVERIES;

/// How a poller waits.
#[derive(Debug, Clone, Copy)]
pub struct PollerSettings {
    /// Whether to wait for what is fed later once the stream is drained, or the gate is closed.
    pub watch: bool,
    /// How long until it looks again for entries, for a free stream and for an enabled mapping.
    pub look_again: Duration,
    /// How long it waits before it delivers again after a batch of which nothing ended.
    pub redeliver_after: Duration,
    /// How long it waits for items that wait, where nothing else is left and it does not watch; it ends rather than
    /// wait longer.
    pub wait_at_most: Duration,
    /// How long its lease of the stream lasts; it is renewed every third of it.
    pub lease: Duration,
}

impl Default for PollerSettings {
    fn default() -> Self {
        Self {
            watch: false,
            look_again: Duration::from_millis(250),
            redeliver_after: Duration::from_secs(1),
            wait_at_most: Duration::from_mins(5),
            lease: Duration::from_secs(6),
        }
    }
}

/// Why a poller ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollerEnd {
    /// Every entry has ended.
    Drained,
    /// The mapping is disabled.
    Disabled,
    /// The stop signal was given.
    Stopped,
    /// Nothing is left but entries whose items wait, all of them for longer than the poller does.
    Waiting {
        /// How many.
        entries: usize,
        /// When the first is due.
        until: Timestamp,
    },
    /// The pipeline left entries, and says why.
    Left(Stopped),
}

/// Why a poller could not go on.
#[derive(Debug, thiserror::Error)]
pub enum PollerError {
    /// The stream failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The mapping failed.
    #[error(transparent)]
    Mapping(#[from] MappingError),
}

/// Delivers the batches of one provider.
///
/// Here `process` takes the place of [`Pipeline::process`](damper_core::pipeline::Pipeline::process):
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use damper_core::{clock::WallClock, item::Entry, pipeline::report::{End, Report}};
/// # use damper_local::{Database, Poller, PollerEnd, PollerSettings, SqliteStream};
/// # use tokio::sync::watch;
/// # let folder = tempfile::tempdir()?;
/// # let database = Database::open(folder.path().join("damper.db"))?;
/// let clock = WallClock::System;
/// let stream = SqliteStream::new(database.clone());
/// stream.feed("demo", vec![r#"{"id":"41"}"#.into(), r#"{"id":"42"}"#.into()], clock.now()).await?;
///
/// let stop = watch::Sender::new(false);
/// let poller = Poller::new("demo", &database, clock, PollerSettings::default(), stop.subscribe());
/// let process = |batch: Vec<Entry>| async move {
///     let ended = batch.into_iter().map(|entry| (entry.sequence, End::Fetched)).collect();
///     Report { ended, ..Report::default() }
/// };
/// assert_eq!(poller.run(process).await?, PollerEnd::Drained);
/// assert_eq!(stream.counts("demo").await?.fetched, 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Poller {
    provider: String,
    holder: String,
    stream: SqliteStream,
    mapping: SqliteMapping,
    clock: WallClock,
    settings: PollerSettings,
    stop: watch::Receiver<bool>,
    /// Until when it has nothing to deliver but what waits; none: it delivers, or waits for something else.
    idle_until: watch::Sender<Option<Timestamp>>,
}

/// The next step of the poller's loop.
enum Next {
    Go,
    Wait(Duration),
    End(PollerEnd),
}

impl Poller {
    /// A poller for `provider`, which needs no stream yet. It ends soon after `stop` turns true, or its sender is
    /// dropped while it is true.
    #[must_use]
    pub fn new(
        provider: &str,
        database: &Database,
        clock: WallClock,
        settings: PollerSettings,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            provider: provider.to_owned(),
            holder: Owner::unique(clock.now()).as_str().to_owned(),
            stream: SqliteStream::new(database.clone()),
            mapping: SqliteMapping::new(database.clone(), clock.clone()),
            clock,
            settings,
            stop,
            idle_until: watch::Sender::default(),
        }
    }

    /// The same, which says to `idle_until` when the first item is due where it has none but such that wait.
    #[must_use]
    pub fn with_idle_signal(self, idle_until: watch::Sender<Option<Timestamp>>) -> Self {
        Self { idle_until, ..self }
    }

    /// Deliver batches to `process` until there is a reason to end. A batch that is being processed is waited for, also
    /// after the stop signal: `process` ends early by itself.
    ///
    /// # Errors
    /// If the database fails. Entries that were processed but not recorded are delivered again, and then skipped.
    pub async fn run<F, P>(&self, mut process: F) -> Result<PollerEnd, PollerError>
    where
        F: FnMut(Vec<Entry>) -> P,
        P: Future<Output = Report>,
    {
        self.run_with_due(|entries, _| process(entries)).await
    }

    /// The same, where a batch in progress is handed the entries that become due meanwhile, as
    /// [`Pipeline::process_with_due`](damper_core::pipeline::Pipeline::process_with_due) takes them.
    ///
    /// # Errors
    /// As [`Poller::run`].
    pub async fn run_with_due<F, P>(&self, mut process: F) -> Result<PollerEnd, PollerError>
    where
        F: FnMut(Vec<Entry>, DueEntries) -> P,
        P: Future<Output = Report>,
    {
        let ended = self.deliver_until_end(&mut process).await;
        let freed = self.stream.free(&self.provider, &self.holder).await;
        let ended = ended?;
        freed?;
        Ok(ended)
    }

    async fn deliver_until_end<F, P>(&self, process: &mut F) -> Result<PollerEnd, PollerError>
    where
        F: FnMut(Vec<Entry>, DueEntries) -> P,
        P: Future<Output = Report>,
    {
        let mut redeliveries = Redeliveries::default();
        loop {
            if self.is_stopped() {
                return Ok(PollerEnd::Stopped);
            }
            match self.deliver_next_batch(&mut redeliveries, process).await? {
                Next::Go => {}
                Next::Wait(pause) => self.wait(pause).await,
                Next::End(ended) => return Ok(ended),
            }
        }
    }

    /// At most one batch.
    async fn deliver_next_batch<F, P>(
        &self,
        redeliveries: &mut Redeliveries,
        process: &mut F,
    ) -> Result<Next, PollerError>
    where
        F: FnMut(Vec<Entry>, DueEntries) -> P,
        P: Future<Output = Report>,
    {
        let mapping = match self.mapping.read(&self.provider).await {
            Err(MappingError::Unknown(_)) => return Ok(self.next_when_idle(PollerEnd::Drained)),
            mapping => mapping?,
        };
        if !mapping.enabled {
            return Ok(self.next_when_idle(PollerEnd::Disabled));
        }
        if self.stream.counts(&self.provider).await?.pending == 0 {
            return Ok(self.next_when_idle(PollerEnd::Drained));
        }
        if let Hold::Other { .. } = self.hold().await? {
            // This poller does not know what the other one delivers meanwhile.
            *redeliveries = Redeliveries::default();
            return Ok(Next::Wait(self.settings.look_again));
        }
        let query = redeliveries.next_query(self.clock.now(), mapping.batch_size);
        let read = self.stream.read(&self.provider, query).await?;
        redeliveries.forget(&read.found);
        if read.entries.is_empty() {
            return Ok(self.next_when_nothing_due(redeliveries));
        }
        self.idle_until.send_replace(None);
        let mut delivered: Vec<_> = read.entries.iter().map(|entry| entry.sequence.clone()).collect();
        let (sender, due) = due_entries();
        let report = tokio::select! {
            biased;
            report = self.run_while_renewing_lease(process(read.entries, due)) => report,
            () = self.hand_in_due(&sender, mapping.batch_size, redeliveries, &mut delivered) => Report::default(),
        };
        let finished = self.stream.finish_batch(&self.provider, &self.holder, &report).await?;
        let is_any_due = redeliveries.record_batch(&delivered, &report);
        if finished == BatchFinished::Fenced {
            *redeliveries = Redeliveries::default();
        }
        Ok(self.next_after_batch(report, finished, is_any_due))
    }

    /// Hand the entries that become due in to the batch in progress, and add them to `delivered`. Never ends.
    async fn hand_in_due(
        &self,
        batch: &DueSender,
        limit: u32,
        redeliveries: &mut Redeliveries,
        delivered: &mut Vec<SequenceNumber>,
    ) {
        loop {
            sleep(self.settings.look_again).await;
            let query = redeliveries.due_query(self.clock.now(), limit);
            if query.due.is_empty() || !batch.has_room() {
                continue;
            }
            match self.stream.read(&self.provider, query).await {
                Ok(read) => {
                    redeliveries.forget(&read.found);
                    delivered.extend(read.entries.iter().map(|entry| entry.sequence.clone()));
                    // If the batch has ended, its report does not name them, and the next batch begins with them.
                    let _ = batch.try_send(read.entries);
                }
                Err(error) => {
                    tracing::warn!(provider = self.provider, %error, "due entries were not read; they are read again");
                }
            }
        }
    }

    /// Nothing can be delivered now: all that is pending waits, if anything is.
    fn next_when_nothing_due(&self, redeliveries: &Redeliveries) -> Next {
        let Some(until) = redeliveries.next_due() else { return self.next_when_idle(PollerEnd::Drained) };
        self.idle_until.send_replace(Some(until));
        let wait = Duration::try_from(until.duration_since(self.clock.now())).unwrap_or_default();
        if self.settings.watch {
            return Next::Wait(wait.min(self.settings.look_again));
        }
        if wait > self.settings.wait_at_most {
            return Next::End(PollerEnd::Waiting { entries: redeliveries.count(), until });
        }
        Next::Wait(wait.min(self.settings.redeliver_after))
    }

    fn next_after_batch(&self, report: Report, finished: BatchFinished, is_any_due: bool) -> Next {
        let pause = match finished {
            BatchFinished::Recorded { ended: 0, moved: false } if is_any_due => {
                Next::Wait(self.settings.redeliver_after)
            }
            BatchFinished::Recorded { .. } => Next::Go,
            BatchFinished::Fenced => Next::Wait(self.settings.look_again),
        };
        match report.stopped {
            Some(Stopped::Asked) => Next::End(PollerEnd::Stopped),
            Some(Stopped::Storage(message)) => Next::End(PollerEnd::Left(Stopped::Storage(message))),
            Some(closed @ (Stopped::BreakerOpen | Stopped::WindowClosed | Stopped::QuotaSpent)) => {
                if self.settings.watch {
                    return Next::Wait(self.settings.redeliver_after);
                }
                Next::End(PollerEnd::Left(closed))
            }
            // The mapping is disabled by now, or soon will be; ticks try the API.
            Some(Stopped::ApiDown | Stopped::Deadline | Stopped::TakenOver) | None => pause,
        }
    }

    fn next_when_idle(&self, ended: PollerEnd) -> Next {
        if self.settings.watch { Next::Wait(self.settings.look_again) } else { Next::End(ended) }
    }

    /// Wait for `work` and renew the lease meanwhile.
    async fn run_while_renewing_lease(&self, work: impl Future<Output = Report>) -> Report {
        let mut renewals = interval(self.settings.lease / 3);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        renewals.reset();
        let renewing = async {
            loop {
                renewals.tick().await;
                match self.hold().await {
                    Ok(Hold::Held) => {}
                    // The ledger's claims keep both from fetching the same; what this one finishes is recorded by the
                    // other.
                    Ok(Hold::Other { until }) => {
                        tracing::warn!(provider = self.provider, %until, "another poller holds the lease of this stream; the claims prevent that an item is fetched twice");
                    }
                    Err(error) => {
                        tracing::warn!(provider = self.provider, %error, "the poller's lease was not renewed; the poller tries again")
                    }
                }
            }
        };
        tokio::select! {
            biased;
            report = work => report,
            () = renewing => Report::default(),
        }
    }

    async fn hold(&self) -> Result<Hold, DatabaseError> {
        let now = self.clock.now();
        let until = now.saturating_add(self.settings.lease).unwrap_or(Timestamp::MAX);
        self.stream.hold(&self.provider, &self.holder, now, until).await
    }

    fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    async fn wait(&self, pause: Duration) {
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            // A sender that is gone will not stop anybody any more.
            Ok(_) = stop.wait_for(|stopped| *stopped) => {}
            () = sleep(pause) => {}
        }
    }
}
