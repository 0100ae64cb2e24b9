//! Dead letters: kept by the ledger, listed, shown, and redriven through a stream.

use std::sync::{Arc, Mutex};

use aws_sdk_kinesis::Client;
use damper_aws::dead_letters::{Detail, Filter, Letters, Redrive, Redriven};
use damper_aws::kinesis::Feeder;
use damper_aws::{DynamoLedger, StoredLetter};
use damper_core::dead_letter::{DeadLetter, Reason};
use damper_core::item::{Identity, Params, SequenceNumber};
use damper_core::ledger::{Claim, ClaimRequest, Claimed, Finish, Finished, Ledger, Owner};
use damper_core::testing::store::{FaultyStore, StoreAction, StoreFault};
use damper_stand_ins::{sdk_config, unique};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;

use crate::fixtures::{at, today};
use crate::table::TestTable;

/// A provider's ledger, letters and stream.
struct TestProvider {
    ledger: DynamoLedger,
    letters: Letters,
    feeder: Feeder,
    kinesis: Client,
    stream: String,
}

impl TestProvider {
    async fn new() -> Option<Self> {
        let moto = damper_stand_ins::moto()?;
        let test_table = TestTable::new(moto.endpoint()).await;
        let kinesis = Client::new(&sdk_config(moto.endpoint()));
        let stream = unique("damper-demo");
        kinesis.create_stream().stream_name(&stream).shard_count(1).send().await.unwrap();
        Some(Self {
            ledger: test_table.ledger(),
            letters: Letters::new(test_table.letters.clone()),
            feeder: Feeder::new(kinesis.clone(), &stream),
            kinesis,
            stream,
        })
    }

    async fn claim(&self, id: &str, second: i64) -> Claim {
        let request = ClaimRequest {
            provider: "demo",
            identity: &Identity::of(id, &Params::new(), &[]).unwrap(),
            sequence: &SequenceNumber::from(id),
            today: today(),
            since: today(),
            owner: &Owner::from("a"),
            now: at(second),
            lease: at(second + 60),
        };
        self.ledger.claim(request).await.unwrap()
    }

    /// The item of the entry `id` dies; `None`: the entry was no item.
    async fn record_death(&self, id: &str, claimed: bool, reason: Reason, second: i64) -> Finished {
        let claimed = claimed.then(|| Claimed {
            identity: Identity::of(id, &Params::new(), &[]).unwrap(),
            day: today(),
            sequence: SequenceNumber::from(id),
            lease: at(60),
        });
        let letter = DeadLetter {
            provider: "demo".to_owned(),
            sequence: SequenceNumber::from(id),
            arrived: at(0),
            died: at(second),
            payload: format!(r#"{{"id":"{id}"}}"#).into(),
            reason,
            message: format!("at {second}"),
            status: None,
            attempts: 1,
            component: String::new(),
            bundle: None,
        };
        let finish = Finish::Dead { claimed, letter };
        self.ledger.finish("demo", &Owner::from("a"), vec![finish]).await.unwrap()[0]
    }

    async fn list(&self, filter: Filter) -> Vec<(String, bool)> {
        let row = |stored: &StoredLetter| (stored.letter.sequence.to_string(), stored.redriven.is_some());
        self.letters.list(&filter, 100, Detail::Head).await.unwrap().iter().map(row).collect()
    }

    async fn redrive(&self, which: Redrive) -> Redriven {
        self.letters.redrive(&self.ledger, &self.feeder, "demo", &which, at(100)).await.unwrap()
    }

    async fn count_stream_records(&self) -> usize {
        let shard = self.kinesis.list_shards().stream_name(&self.stream).send().await.unwrap();
        let iterator =
            self.kinesis.get_shard_iterator().stream_name(&self.stream).shard_id(shard.shards()[0].shard_id());
        let iterator = iterator.shard_iterator_type(aws_sdk_kinesis::types::ShardIteratorType::TrimHorizon).send();
        let iterator = iterator.await.unwrap().shard_iterator.unwrap();
        self.kinesis.get_records().shard_iterator(iterator).send().await.unwrap().records().len()
    }
}

#[tokio::test]
async fn letters_are_listed_by_provider_and_reason_the_first_to_die_first() {
    let Some(provider) = TestProvider::new().await else { return };
    for (id, reason, second) in [("2", Reason::NotFound, 20), ("1", Reason::Rejected, 30), ("3", Reason::NotFound, 10)]
    {
        provider.claim(id, 0).await;
        assert_eq!(provider.record_death(id, true, reason, second).await, Finished::Written);
    }
    provider.record_death("7/0", false, Reason::Unreadable, 40).await;
    provider.record_death("7/0", false, Reason::Unreadable, 50).await;
    let names = |listed: Vec<(String, bool)>| listed.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(provider.list(Filter::default()).await), ["3", "2", "1", "7/0"]);
    let not_found = Filter { reason: Some(Reason::NotFound), ..Filter::default() };
    assert_eq!(names(provider.list(not_found.clone()).await), ["3", "2"]);
    let other = Filter { provider: Some("dem".to_owned()), ..Filter::default() };
    assert!(provider.list(other).await.is_empty());
    assert_eq!(provider.letters.count(&Filter::default()).await.unwrap(), Some(4));
    assert_eq!(provider.letters.count(&not_found).await.unwrap(), None, "it would read each letter");
    let shown = provider.letters.show("demo", &SequenceNumber::from("7/0")).await.unwrap().unwrap();
    assert_eq!((shown.letter.message.as_str(), shown.day), ("at 40", None), "the first stays");
    let shown = provider.letters.show("demo", &SequenceNumber::from("2")).await.unwrap().unwrap();
    assert_eq!((shown.identity.unwrap().as_str(), shown.day), ("2", Some(today())));
    assert_eq!(provider.letters.show("demo", &SequenceNumber::from("9")).await.unwrap(), None);
}

#[tokio::test]
async fn a_redriven_item_is_fetched_again_with_no_attempts_spent() {
    let Some(provider) = TestProvider::new().await else { return };
    provider.claim("x", 0).await;
    provider.record_death("x", true, Reason::AttemptsSpent, 10).await;
    provider.record_death("no item", false, Reason::Unreadable, 11).await;
    assert_eq!(
        provider.redrive(Redrive::Letter(SequenceNumber::from("x"))).await,
        Redriven { fed: 1, fetched_meanwhile: 0 }
    );
    assert_eq!(provider.redrive(Redrive::Letter(SequenceNumber::from("x"))).await, Redriven::default(), "not twice");
    assert_eq!(provider.claim("x", 100).await, Claim::Granted { attempt: 1, abandoned: Vec::new(), resume: None });
    assert_eq!(provider.redrive(Redrive::All(None)).await, Redriven { fed: 1, fetched_meanwhile: 0 });
    assert_eq!(provider.count_stream_records().await, 2);
    assert!(provider.list(Filter::default()).await.is_empty());
    let all = Filter { with_redriven: true, ..Filter::default() };
    assert_eq!(provider.list(all).await, [("x".to_owned(), true), ("no item".to_owned(), true)]);
    // It dies again: the letter is there anew.
    assert_eq!(provider.record_death("x", true, Reason::NotFound, 200).await, Finished::Written);
    assert_eq!(provider.list(Filter::default()).await, [("x".to_owned(), false)]);
}

#[tokio::test]
async fn what_was_fetched_meanwhile_is_not_fed_again() {
    let Some(provider) = TestProvider::new().await else { return };
    provider.claim("x", 0).await;
    // As an owner does that is slow beyond measure: its letter is kept, and its end is fenced.
    let claimed = Claimed {
        identity: Identity::of("x", &Params::new(), &[]).unwrap(),
        day: today(),
        sequence: SequenceNumber::from("x"),
        lease: at(60),
    };
    provider.ledger.finish("demo", &Owner::from("a"), vec![Finish::Fetched(claimed)]).await.unwrap();
    assert_eq!(provider.record_death("x", true, Reason::NotFound, 10).await, Finished::Fenced);
    assert_eq!(provider.redrive(Redrive::All(None)).await, Redriven { fed: 0, fetched_meanwhile: 1 });
    assert_eq!(provider.count_stream_records().await, 0);
    assert!(provider.list(Filter::default()).await.is_empty());
}

/// A letter with a bundle, as it lies in the bucket.
fn large_letter(number: usize) -> String {
    let bundle = "x".repeat(200_000);
    format!(
        r#"{{"identity":"i{number}","day":"2026-11-22","provider":"demo","sequence":"{number:03}","arrived":"2026-11-22T10:00:00Z",
        "died":"2026-11-22T11:00:00Z","payload":"{{\"id\":\"i{number}\"}}","reason":"not-found","message":"gone","status":404,
        "attempts":1,"component":"sha256:00","bundle":{{"day":"2026-11-22","attempt":1,"kind":"not-found","exchanges":[
        {{"method":"GET","url":"https://api.test/{number}","answer":{{"failed":{{"why":"{bundle}"}}}}}}]}}}}"#
    )
}

/// A bucket of large letters, and what is read of it.
async fn large_letters(count: usize) -> (Letters, Arc<Mutex<Vec<String>>>) {
    let (memory, reads) = (Arc::new(InMemory::new()), Arc::new(Mutex::new(Vec::new())));
    for number in 0..count {
        let path = Path::from(format!("dead-letters/demo/{number:03}.json"));
        memory.put(&path, large_letter(number).into()).await.unwrap();
    }
    let seen = Arc::clone(&reads);
    let counting = FaultyStore::new(memory, move |operation| {
        if operation.action == StoreAction::Get {
            seen.lock().unwrap().push(operation.path.to_string());
        }
        StoreFault::None
    });
    (Letters::new(Arc::new(counting)), reads)
}

#[tokio::test]
async fn no_more_letters_are_read_than_are_listed_and_none_for_their_number() {
    let (letters, reads) = large_letters(300).await;
    let listed = letters.list(&Filter::default(), 5, Detail::Head).await.unwrap();
    let names: Vec<_> = listed.iter().map(|stored| stored.letter.sequence.to_string()).collect();
    assert_eq!(names, ["000", "001", "002", "003", "004"]);
    assert!(listed.iter().all(|stored| stored.letter.bundle.is_none()), "only their heads were read");
    assert_eq!(reads.lock().unwrap().len(), 5, "once each");
    assert_eq!(letters.count(&Filter::default()).await.unwrap(), Some(300));
    assert_eq!(reads.lock().unwrap().len(), 5);

    let not_found = Filter { reason: Some(Reason::NotFound), ..Filter::default() };
    assert_eq!(letters.list(&not_found, 5, Detail::Head).await.unwrap().len(), 5);
    assert!(reads.lock().unwrap().len() <= 5 + 64, "a page, of three hundred");
}

#[tokio::test]
async fn a_letter_that_is_wanted_whole_has_its_bundle() {
    let (letters, _) = large_letters(2).await;
    let listed = letters.list(&Filter::default(), 100, Detail::Whole).await.unwrap();
    assert!(listed.len() == 2 && listed.iter().all(|stored| stored.letter.bundle.is_some()));
}
