//! Entries of earlier batches that become due while a batch is processed.
//!
//! A batch may take many minutes. An entry that was left waiting, until its order is polled for example, does not wait
//! for the end of that batch: its stream hands it in, and it is started before the fresh entries of the batch. Only a
//! stream that keeps account of each entry can do this ([`LongWaits::Reported`](crate::ledger::LongWaits)).

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::item::Entry;

/// Hands due entries in to a batch that is processed.
#[derive(Debug)]
pub struct DueSender(mpsc::Sender<Vec<Entry>>);

/// The due entries that a batch is handed.
#[derive(Debug)]
pub struct DueEntries(mpsc::Receiver<Vec<Entry>>);

/// A way to hand due entries in to one batch. One group waits at a time.
#[must_use]
pub fn due_entries() -> (DueSender, DueEntries) {
    let (sender, receiver) = mpsc::channel(1);
    (DueSender(sender), DueEntries(receiver))
}

impl DueSender {
    /// Whether the batch can be handed entries now: it has taken the last ones, and is not over.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !self.0.is_closed() && self.0.capacity() > 0
    }

    /// Hand entries in. The batch's report says how they ended; those that it does not name were not taken, and are
    /// due still.
    ///
    /// # Errors
    /// If the batch takes none now; the entries are returned.
    pub fn try_send(&self, entries: Vec<Entry>) -> Result<(), Vec<Entry>> {
        self.0.try_send(entries).map_err(|error| match error {
            TrySendError::Full(entries) | TrySendError::Closed(entries) => entries,
        })
    }
}

impl DueEntries {
    /// For a batch that is handed none.
    #[must_use]
    pub fn none() -> Self {
        due_entries().1
    }

    /// The next group; `None` if there will be none. May be dropped while it waits.
    pub async fn next(&mut self) -> Option<Vec<Entry>> {
        self.0.recv().await
    }
}
