//! Store a chunk, then finish its items: never the other way round.

use crate::ledger::Owner;
use crate::ledger::{Finish, Finished, LedgerError};
use crate::pipeline::Stores;
use crate::pipeline::chunks::{Chunk, Flush, Waiting};
use crate::sink::{SinkError, object_path, store_chunk};

/// A flush, ended.
#[derive(Debug)]
pub(crate) struct Flushed {
    /// Its items that have ended, or that somebody else owns by now.
    pub(crate) finished: Vec<(Waiting, Finish, Finished)>,
    /// Why it failed, if it did.
    pub(crate) failure: Option<FlushFailure>,
}

/// Why a flush failed, with what it held.
#[derive(Debug)]
pub(crate) enum FlushFailure {
    /// Nothing was stored: the items are to be given back.
    Store(SinkError, Vec<(Waiting, Finish)>),
    /// Stored, but the ledger does not know: the claims expire and are recovered from the objects.
    Ledger(LedgerError),
}

/// Store and finish one chunk.
pub(crate) async fn flush(stores: Stores, provider: String, owner: Owner, flush: Flush) -> Flushed {
    let Flush { day, number, chunk: Chunk { lines, finishes, .. } } = flush;
    if !lines.is_empty() {
        let path = object_path(&provider, day, &owner, number);
        if let Err(error) = store_chunk(&*stores.sink, &path, stores.compression, lines).await {
            return Flushed { finished: Vec::new(), failure: Some(FlushFailure::Store(error, finishes)) };
        }
    }
    let items = finishes.iter().map(|(_, finish)| finish.clone()).collect();
    match stores.ledger.finish(&provider, &owner, items).await {
        Ok(answers) => {
            let finished =
                finishes.into_iter().zip(answers).map(|((waiting, finish), answer)| (waiting, finish, answer));
            Flushed { finished: finished.collect(), failure: None }
        }
        Err(error) => Flushed { finished: Vec::new(), failure: Some(FlushFailure::Ledger(error)) },
    }
}
