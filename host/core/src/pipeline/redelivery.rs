//! Batches that are delivered again though part of them has ended: items that were fetched before are looked up at
//! once, if the ledger has a cheap way, instead of being refused claim by claim.
//!
//! A call that leaves an entry unfinished with ended ones behind it notes that entry in the control item; a batch that
//! holds a noted entry is such a batch. A call that was killed notes nothing: then the claims show it.

use crate::control::item::Control;
use crate::item::SequenceNumber;
use crate::ledger::LedgerError;
use crate::pipeline::batch::{Batch, Settled, WorkIndex};
use crate::pipeline::batch_context::BatchContext;
use crate::pipeline::report::End;

/// How many entries are noted: one a shard that is worked on, and some.
const NOTED: usize = 16;

/// The notes on redelivery that a call reads and writes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Redelivery {
    /// The noted entries that this batch holds.
    pub(crate) noted: Vec<SequenceNumber>,
    /// The entry to note: the lowest unfinished one, if entries behind it have ended.
    pub(crate) again: Option<SequenceNumber>,
}

impl Redelivery {
    /// Which of the noted entries the batch holds.
    pub(crate) fn of(batch: &Batch, control: &Control) -> Self {
        let noted = control.unfinished.iter().filter(|entry| batch.holds(entry)).cloned().collect();
        Self { noted, again: None }
    }

    /// Write into the control item what the next delivery is to know.
    pub(crate) fn note(&self, control: &mut Control) {
        let unfinished = &mut control.unfinished;
        unfinished.retain(|entry| !self.noted.contains(entry) && Some(entry) != self.again.as_ref());
        unfinished.extend(self.again.clone());
        let surplus = unfinished.len().saturating_sub(NOTED);
        unfinished.drain(..surplus);
    }
}

/// The works of a redelivered batch that were fetched before, with their ends. Looks up only entries that arrived
/// today: the claims of older ones check several days.
pub(crate) async fn find_settled(
    context: &BatchContext,
    batch: &Batch,
) -> Result<Vec<(WorkIndex, Settled)>, LedgerError> {
    let today = context.window().day(context.clock().now());
    let works: Vec<_> = batch.works().filter(|(_, work)| context.window().day(work.arrived) >= today).collect();
    let identities: Vec<_> = works.iter().map(|(_, work)| work.identity.clone()).collect();
    let done = context.ledger().find_done(context.provider(), today, &identities).await?;
    let settled = works.into_iter().filter_map(|(index, work)| {
        let by = done.get(&work.identity)?.clone();
        Some((index, Settled::Before { by, end: End::Fetched }))
    });
    Ok(settled.collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::ledger::{ClaimRequest, Ledger, Owner};
    use crate::pipeline::report::Report;
    use crate::pipeline::tests::{Fixture, MANIFEST, fixture_of};
    use crate::testing::scripted::Answer;

    async fn process(fixture: &Fixture, ids: &[&str]) -> Report {
        let entries = ids.iter().enumerate().map(|(number, id)| fixture.entry(number as u64, id)).collect();
        fixture.pipeline.process(entries, Instant::now() + Duration::from_secs(30), &CancellationToken::new()).await
    }

    /// Somebody else has the item of the entry 0 for so long.
    async fn hold_item(fixture: &Fixture, id: &str, seconds: u64) {
        let item = crate::item::Item::new(id.into(), crate::item::Params::new()).unwrap();
        let now = fixture.clock.now();
        let today = fixture.pipeline.manifest().window.day(now);
        let request = ClaimRequest {
            provider: "demo",
            identity: &item.identity(&[]).unwrap(),
            sequence: &SequenceNumber::from(0),
            today,
            since: today,
            owner: &Owner::from("other"),
            now,
            lease: now + Duration::from_secs(seconds),
        };
        fixture.ledger.claim(request).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_is_delivered_again_claims_only_what_is_not_done() {
        let fixture = fixture_of(MANIFEST, |request, _| Answer::record(&request.id));
        hold_item(&fixture, "a", 100).await;
        let report = process(&fixture, &["a", "b", "c"]).await;
        assert_eq!(report.first_unfinished, Some(SequenceNumber::from(0)));
        assert_eq!(fixture.ledger.control("demo").await.unwrap().unfinished, [SequenceNumber::from(0)]);
        tokio::time::advance(Duration::from_secs(200)).await;
        let before = fixture.ledger.claims();
        let report = process(&fixture, &["a", "b", "c"]).await;
        assert_eq!((report.ended.len(), report.first_unfinished), (3, None));
        assert!(report.ended.iter().all(|(_, end)| *end == End::Fetched), "each is what it was: {:?}", report.ended);
        assert_eq!(fixture.ledger.claims() - before, 1, "of the one that was not done");
        assert!(fixture.ledger.control("demo").await.unwrap().unfinished.is_empty());
        assert_eq!(fixture.stored_ids().await, ["a", "b", "c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_noted_where_nothing_behind_has_ended() {
        let fixture = fixture_of(MANIFEST, |request, _| Answer::record(&request.id));
        hold_item(&fixture, "b", 100).await;
        let report = process(&fixture, &["a", "b"]).await;
        assert_eq!(report.first_unfinished, Some(SequenceNumber::from(1)));
        assert!(fixture.ledger.control("demo").await.unwrap().unfinished.is_empty());
    }

    fn names(numbers: std::ops::Range<u64>) -> Vec<SequenceNumber> {
        numbers.map(SequenceNumber::from).collect()
    }

    #[test]
    fn what_was_delivered_again_is_forgotten_and_what_will_be_is_noted() {
        let mut control = Control { unfinished: names(1..4), ..Control::default() };
        let redelivery = Redelivery { noted: names(2..3), again: Some(SequenceNumber::from(9)) };
        redelivery.note(&mut control);
        assert_eq!(control.unfinished, [1, 3, 9].map(SequenceNumber::from));
        redelivery.note(&mut control);
        assert_eq!(control.unfinished, [1, 3, 9].map(SequenceNumber::from), "once");
        Redelivery { noted: names(9..10), again: None }.note(&mut control);
        assert_eq!(control.unfinished, [1, 3].map(SequenceNumber::from));
    }

    #[test]
    fn the_oldest_notes_make_room() {
        let mut control = Control { unfinished: names(0..NOTED as u64), ..Control::default() };
        Redelivery { noted: Vec::new(), again: Some(SequenceNumber::from(99)) }.note(&mut control);
        assert_eq!(control.unfinished.len(), NOTED);
        assert_eq!(control.unfinished.last(), Some(&SequenceNumber::from(99)));
        assert!(!control.unfinished.contains(&SequenceNumber::from(0)));
    }
}
