//! Items out of a file, fed to a backend piece by piece, so that a file may be larger than memory.

mod format;
mod rows;

use std::io::BufRead;

use bytes::Bytes;
use damper_core::admin::{AdminError, Backend};
use damper_core::clock::WallClock;
use damper_core::item::Item;

pub use format::ItemFormat;
pub use rows::{ItemRow, ItemRows, Problem, RowsError};

/// Items that are enqueued at a time at most, and bytes of their payload.
const CHUNK_ITEMS: usize = 5_000;
const CHUNK_BYTES: usize = 4 * 1024 * 1024;
/// Malformed lines that are remembered.
const REMEMBERED: usize = 10;

/// Feeds the items of a file to a provider's stream.
pub struct ItemFeeder<'a> {
    backend: &'a dyn Backend,
    clock: &'a WallClock,
    provider: &'a str,
    /// The parameters that belong to an item's identity.
    identity: Vec<String>,
    keep_malformed: bool,
    chunk: Vec<Bytes>,
    chunk_bytes: usize,
    counts: FileCounts,
}

/// The outcomes of a file's rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileCounts {
    /// Items that are enqueued.
    pub accepted: u64,
    /// Rows that are no items.
    pub malformed: u64,
    /// Malformed rows that are enqueued all the same.
    pub kept: u64,
    /// The first malformed rows: their lines and what is wrong.
    pub first: Vec<(u64, String)>,
}

/// Why a file was not fed, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ItemsError {
    /// The file.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The backend.
    #[error(transparent)]
    Backend(#[from] AdminError),
}

impl<'a> ItemFeeder<'a> {
    /// `identity`: the parameters that belong to an item's identity; an item without one of them is malformed.
    /// `keep_malformed`: whether malformed rows are enqueued, to become dead letters.
    #[must_use]
    pub fn new(
        backend: &'a dyn Backend,
        clock: &'a WallClock,
        provider: &'a str,
        identity: Vec<String>,
        keep_malformed: bool,
    ) -> Self {
        let (chunk, counts) = (Vec::new(), FileCounts::default());
        Self { backend, clock, provider, identity, keep_malformed, chunk, chunk_bytes: 0, counts }
    }

    /// The outcomes of the rows so far.
    #[must_use]
    pub fn counts(&self) -> &FileCounts {
        &self.counts
    }

    /// Feed all rows.
    ///
    /// # Errors
    /// If the file cannot be read or the stream fails; what [`ItemFeeder::counts`] has accepted until then is enqueued.
    pub async fn feed(&mut self, mut rows: ItemRows<impl BufRead>) -> Result<(), ItemsError> {
        let end = loop {
            match rows.next_row() {
                Ok(Some(row)) => self.feed_row(row).await?,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            }
        };
        // The rows before an unreadable one count as accepted, too.
        self.flush().await?;
        end
    }

    async fn feed_row(&mut self, ItemRow { line, item }: ItemRow) -> Result<(), AdminError> {
        match item.and_then(|item| self.check(item)) {
            Ok(item) => {
                self.counts.accepted = self.counts.accepted.saturating_add(1);
                self.push(item.to_payload()).await
            }
            Err(problem) => self.on_malformed(line, problem).await,
        }
    }

    /// Check what the provider asks of an item.
    fn check(&self, item: Item) -> Result<Item, Problem> {
        match item.identity(&self.identity) {
            Ok(_) => Ok(item),
            Err(error) => Err(Problem { why: error.to_string(), raw: Some(item.to_payload()) }),
        }
    }

    async fn on_malformed(&mut self, line: u64, problem: Problem) -> Result<(), AdminError> {
        self.counts.malformed = self.counts.malformed.saturating_add(1);
        if self.counts.first.len() < REMEMBERED {
            self.counts.first.push((line, problem.why));
        }
        match problem.raw {
            Some(raw) if self.keep_malformed => {
                self.counts.kept = self.counts.kept.saturating_add(1);
                self.push(raw).await
            }
            _ => Ok(()),
        }
    }

    async fn push(&mut self, payload: Bytes) -> Result<(), AdminError> {
        self.chunk_bytes = self.chunk_bytes.saturating_add(payload.len());
        self.chunk.push(payload);
        if self.chunk.len() < CHUNK_ITEMS && self.chunk_bytes < CHUNK_BYTES { Ok(()) } else { self.flush().await }
    }

    /// Enqueue what has been read, on this machine in one transaction.
    async fn flush(&mut self) -> Result<(), AdminError> {
        self.chunk_bytes = 0;
        let chunk = std::mem::take(&mut self.chunk);
        if chunk.is_empty() {
            return Ok(());
        }
        let (items, kept) = (chunk.len() as u64, self.counts.kept);
        let fed = self.backend.feed(self.provider, chunk, self.clock.now()).await;
        fed.map_err(|failure| {
            // Items that were not enqueued are not counted.
            let lost = items.saturating_sub(failure.accepted);
            self.counts.accepted = self.counts.accepted.saturating_add(kept).saturating_sub(lost);
            self.counts.kept = 0;
            failure.error
        })
    }
}
