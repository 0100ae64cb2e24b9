//! Redriving dead letters: the row opens again, the payload goes back into the stream, the letter is moved.

use damper_core::dead_letter::Reason;
use damper_core::item::SequenceNumber;
use damper_core::ledger::LedgerError;
use jiff::Timestamp;

use super::{Filter, Letters, LettersError, Redriven, StoredLetter};
use crate::kinesis::{FeedError, Feeder};
use crate::ledger::DynamoLedger;

/// Which letters to redrive, of one provider.
#[derive(Debug, Clone)]
pub enum Redrive {
    /// That of this entry.
    Letter(SequenceNumber),
    /// All that have not been redriven, of one reason where there is one.
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
    /// Feed letters of a provider again through `feeder`, one after the other. A letter that was redriven before is not fed
    /// twice.
    ///
    /// # Errors
    /// Where the bucket, the ledger or the stream fails.
    pub async fn redrive(
        &self,
        ledger: &DynamoLedger,
        feeder: &Feeder,
        provider: &str,
        which: &Redrive,
        now: Timestamp,
    ) -> Result<Redriven, RedriveError> {
        let letters = match which {
            Redrive::Letter(sequence) => {
                let letter = self.show(provider, sequence).await?;
                letter.into_iter().filter(|stored| stored.redriven.is_none()).collect()
            }
            Redrive::All(reason) => {
                let filter = Filter { provider: Some(provider.to_owned()), reason: *reason, with_redriven: false };
                self.list(&filter, usize::MAX).await?
            }
        };
        let mut redriven = Redriven::default();
        for letter in letters {
            if self.feed_again(ledger, feeder, letter, now).await? {
                redriven.fed = redriven.fed.saturating_add(1);
            } else {
                redriven.fetched_meanwhile = redriven.fetched_meanwhile.saturating_add(1);
            }
        }
        Ok(redriven)
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
