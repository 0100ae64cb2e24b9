//! Redriving dead letters: the row opens again, the payload goes back into the stream, the letter is moved.

use damper_core::dead_letter::Reason;
use damper_core::item::SequenceNumber;
use damper_core::ledger::LedgerError;
use futures::stream::TryChunksError;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;

use super::listing::PAGE;
use super::{Detail, Filter, Letters, LettersError, Redriven, StoredLetter};
use crate::kinesis::{FeedError, Feeder};
use crate::ledger::DynamoLedger;

/// Which letters to redrive, of one provider.
#[derive(Debug, Clone)]
pub enum Redrive {
    /// That of this entry.
    Letter(SequenceNumber),
    /// All that have not been redriven, of one reason if there is one.
    All(Option<Reason>),
}

/// Why letters were not redriven. Those before it were; the others can be redriven again.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    /// The bucket.
    #[error(transparent)]
    Letters(#[from] LettersError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The stream.
    #[error(transparent)]
    Feed(#[from] FeedError),
}

impl Letters {
    /// Feed letters of a provider again through `feeder`, one after the other. A letter that was redriven before is not
    /// fed twice.
    ///
    /// # Errors
    /// If the bucket, the ledger or the stream fails.
    pub async fn redrive(
        &self,
        ledger: &DynamoLedger,
        feeder: &Feeder,
        provider: &str,
        which: &Redrive,
        now: Timestamp,
    ) -> Result<Redriven, RedriveError> {
        let mut redriven = Redriven::default();
        match which {
            Redrive::Letter(sequence) => {
                let letter = self.show(provider, sequence).await?;
                if let Some(letter) = letter.filter(|stored| stored.redriven.is_none()) {
                    self.redrive_one(ledger, feeder, letter, now, &mut redriven).await?;
                }
            }
            Redrive::All(reason) => {
                let filter = Filter { provider: Some(provider.to_owned()), reason: *reason, with_redriven: false };
                let mut pages = self.names(&filter).try_chunks(PAGE);
                while let Some(page) = pages.next().await {
                    let page = page.map_err(|TryChunksError(_, error)| error)?;
                    for letter in self.read_page(&filter, &page, Detail::Whole).await? {
                        self.redrive_one(ledger, feeder, letter, now, &mut redriven).await?;
                    }
                }
            }
        }
        Ok(redriven)
    }

    async fn redrive_one(
        &self,
        ledger: &DynamoLedger,
        feeder: &Feeder,
        letter: StoredLetter,
        now: Timestamp,
        redriven: &mut Redriven,
    ) -> Result<(), RedriveError> {
        let is_fed = self.feed_again(ledger, feeder, letter, now).await?;
        let count = if is_fed { &mut redriven.fed } else { &mut redriven.fetched_meanwhile };
        *count = count.saturating_add(1);
        Ok(())
    }

    async fn feed_again(
        &self,
        ledger: &DynamoLedger,
        feeder: &Feeder,
        stored: StoredLetter,
        now: Timestamp,
    ) -> Result<bool, RedriveError> {
        let is_wanted = match (&stored.identity, stored.day) {
            (Some(identity), Some(day)) => ledger.reopen(&stored.letter.provider, identity, day, now).await?,
            _ => true,
        };
        if is_wanted {
            feeder.feed(vec![stored.letter.payload.clone()]).await?;
        }
        self.move_redriven(stored, now).await?;
        Ok(is_wanted)
    }
}
