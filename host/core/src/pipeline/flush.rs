//! Store a chunk, then finish its items: never the other way round.

use crate::day::Day;
use crate::ledger::{Claimed, Finish, Finished, LedgerError, Owner};
use crate::pipeline::batch::WorkIndex;
use crate::pipeline::chunks::{BatchPart, Chunk, Flush, NumberUse};
use crate::pipeline::stores::Stores;
use crate::sink::{SinkError, Stored, object_path, store_chunk};

/// A flush, ended.
#[derive(Debug, Default)]
pub(crate) struct FinishedFlush {
    /// Its items that have ended, or that another owner has by now.
    pub(crate) finished: Vec<(BatchPart, Finish, Finished)>,
    /// Items whose record is not in the sink and never will be from this owner: to be given back.
    pub(crate) not_stored: Vec<(WorkIndex, Claimed)>,
    /// The use of the chunk's number, if it had one.
    pub(crate) number: Option<(Day, NumberUse)>,
    /// Why it failed, if it did. Items that are not listed keep their claims: these expire, and the next owner of the
    /// items looks for their records.
    pub(crate) failure: Option<FlushError>,
}

/// Why a flush failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlushError {
    /// The chunk is not stored, or that is unknown.
    #[error(transparent)]
    Sink(SinkError),
    /// The ledger may not have recorded the ends.
    #[error(transparent)]
    Ledger(LedgerError),
}

/// Store and finish one chunk.
pub(crate) async fn flush(stores: Stores, provider: String, owner: Owner, flush: Flush) -> FinishedFlush {
    let Flush { day, number, chunk: Chunk { lines, records, mut finishes, .. } } = flush;
    let mut flushed = FinishedFlush::default();
    let stored = match number {
        Some(number) if !lines.is_empty() => {
            let path = object_path(&provider, day, &owner, number);
            let stored = store_chunk(&*stores.sink, &path, stores.compression, lines).await;
            flushed.number = Some((day, number_use(&stored)));
            Some(stored)
        }
        _ => None,
    };
    let records = records.into_iter();
    match stored {
        Some(Stored::Yes) => {
            finishes.extend(records.map(|(index, claimed)| (BatchPart::Work(index), Finish::Fetched(claimed))));
        }
        Some(Stored::Refused(error) | Stored::Sealed(error)) => {
            flushed.not_stored = records.collect();
            flushed.failure = Some(FlushError::Sink(error));
        }
        Some(Stored::Unknown(error)) => flushed.failure = Some(FlushError::Sink(error)),
        // The owner may store nothing more on this day, and has said why before.
        None => flushed.not_stored = records.collect(),
    }
    if finishes.is_empty() {
        return flushed;
    }
    let items = finishes.iter().map(|(_, finish)| finish.clone()).collect();
    match stores.ledger.finish(&provider, &owner, items).await {
        Ok(answers) => {
            let finished = finishes.into_iter().zip(answers);
            flushed.finished = finished.map(|((waiting, finish), answer)| (waiting, finish, answer)).collect();
        }
        Err(error) => {
            flushed.failure.get_or_insert(FlushError::Ledger(error));
        }
    }
    flushed
}

fn number_use(stored: &Stored) -> NumberUse {
    match stored {
        Stored::Yes => NumberUse::Used,
        Stored::Refused(_) => NumberUse::Free,
        Stored::Sealed(_) | Stored::Unknown(_) => NumberUse::Ended,
    }
}
