//! Behaviour specific to DynamoDB: units, throttling, missing tables, rows that outlive a race.

use std::collections::BTreeMap;

use damper_aws::{DynamoLedger, Units};
use damper_core::item::{Identity, SequenceNumber};
use damper_core::ledger::{Claim, ClaimRequest, Claimed, Finish, Finished, Ledger, LedgerError, Owner, Release};

use crate::fake::{Answer, FakeService};
use crate::fixtures::{at, identity, today};
use crate::table::TestTable;

async fn claim(ledger: &DynamoLedger, owner: &str, id: &str, second: i64) -> Result<Claim, LedgerError> {
    claim_for(ledger, owner, id, id, second).await
}

/// A claim for an entry of another name than its item.
async fn claim_for(
    ledger: &DynamoLedger,
    owner: &str,
    id: &str,
    entry: &str,
    second: i64,
) -> Result<Claim, LedgerError> {
    let request = ClaimRequest {
        provider: "demo",
        identity: &identity(id),
        sequence: &SequenceNumber::from(entry),
        today: today(),
        since: today(),
        owner: &Owner::from(owner),
        now: at(second),
        lease: at(second + 60),
    };
    ledger.claim(request).await
}

fn claim_of(id: &str) -> Claimed {
    Claimed { identity: identity(id), day: today(), sequence: SequenceNumber::from(id), lease: at(60) }
}

async fn finish_fetched(ledger: &DynamoLedger, owner: &str, ids: &[&str]) {
    let items = ids.iter().map(|id| Finish::Fetched(claim_of(id))).collect();
    let finished = ledger.finish("demo", &Owner::from(owner), items).await.unwrap();
    assert!(finished.iter().all(|finished| *finished == Finished::Written), "{finished:?}");
}

async fn release_failed(ledger: &DynamoLedger, owner: &str, id: &str) {
    let release =
        Release { claimed: claim_of(id), counted: true, not_before: at(0), error: "x".repeat(5_000), resume: None };
    ledger.release("demo", &Owner::from(owner), release).await.unwrap();
}

/// Measures the units consumed since the last reading.
struct Meter<'a> {
    ledger: &'a DynamoLedger,
    before: Units,
}

impl<'a> Meter<'a> {
    fn new(ledger: &'a DynamoLedger) -> Self {
        Self { ledger, before: ledger.consumed_units() }
    }

    fn read(&mut self) -> (f64, f64) {
        let Units { read, write } = self.ledger.consumed_units();
        let units = (read - self.before.read, write - self.before.write);
        self.before = self.ledger.consumed_units();
        units
    }
}

/// The table of docs: (read, write) request units a record. `done_again` is what a record costs that is delivered
/// again.
async fn a_record_costs_what_the_table_says(endpoint: &str, done_again: (f64, f64)) {
    let ledger = TestTable::new(endpoint).await.ledger();
    let mut meter = Meter::new(&ledger);

    claim(&ledger, "a", "x", 0).await.unwrap();
    finish_fetched(&ledger, "a", &["x"]).await;
    assert_eq!(meter.read(), (0.0, 2.0), "fetched");

    assert_eq!(ledger.find_done("demo", today(), &[identity("x")]).await.unwrap().len(), 1);
    assert_eq!(meter.read(), done_again, "delivered again, and done: no write");

    claim(&ledger, "a", "y", 0).await.unwrap();
    release_failed(&ledger, "a", "y").await;
    assert_eq!(meter.read(), (0.0, 2.0), "a failed attempt");

    assert!(matches!(claim(&ledger, "a", "y", 1).await.unwrap(), Claim::Granted { attempt: 2, .. }));
    finish_fetched(&ledger, "a", &["y"]).await;
    assert_eq!(meter.read(), (0.0, 2.0), "the attempt after it");

    assert!(matches!(claim(&ledger, "b", "x", 2).await.unwrap(), Claim::Done { .. }));
    assert_eq!(meter.read(), (0.0, 1.0), "a claim that is refused");

    ledger.control("demo").await.unwrap();
    assert_eq!(meter.read(), (1.0, 0.0), "the control item, which is read consistently");
}

/// Owners and sequence numbers of these are as long as in AWS.
async fn a_long_identity_costs_more_units_a_write(endpoint: &str) {
    let ledger = TestTable::new(endpoint).await.ledger();
    let mut meter = Meter::new(&ledger);
    for (length, units) in [(10, 1.0), (600, 1.0), (1_500, 2.0)] {
        let long = "x".repeat(length);
        let owner = Owner::unique(at(0));
        claim_for(&ledger, owner.as_str(), &long, &"4".repeat(56), 0).await.unwrap();
        assert_eq!(meter.read(), (0.0, units), "{length} bytes");
    }
}

async fn of_a_redelivered_batch_only_what_was_fetched_is_known(endpoint: &str) {
    let ledger = TestTable::new(endpoint).await.ledger();
    let ids: Vec<String> = (0..230).map(|number| number.to_string()).collect();
    for id in &ids[..120] {
        claim(&ledger, "a", id, 0).await.unwrap();
    }
    let done: Vec<&str> = ids[..110].iter().map(String::as_str).collect();
    finish_fetched(&ledger, "a", &done).await;
    release_failed(&ledger, "a", "115").await;
    // Asked for twice, as a batch may hold them.
    let asked: Vec<Identity> = ids.iter().chain(&ids[..50]).map(|id| identity(id)).collect();
    let known = ledger.find_done("demo", today(), &asked).await.unwrap();
    let wanted: BTreeMap<_, _> = done.iter().map(|id| (identity(id), SequenceNumber::from(*id))).collect();
    assert_eq!(known, wanted);
    assert!(ledger.find_done("other", today(), &asked).await.unwrap().is_empty());
    assert!(ledger.find_done("demo", today(), &[]).await.unwrap().is_empty());
}

mod ministack {
    #[tokio::test]
    async fn a_record_costs_what_the_table_says() {
        let Some(ministack) = damper_stand_ins::ministack() else { return };
        // It tells no units of a batch of reads.
        super::a_record_costs_what_the_table_says(ministack.endpoint(), (0.0, 0.0)).await;
    }

    #[tokio::test]
    async fn a_long_identity_costs_more_units_a_write() {
        let Some(ministack) = damper_stand_ins::ministack() else { return };
        super::a_long_identity_costs_more_units_a_write(ministack.endpoint()).await;
    }

    #[tokio::test]
    async fn of_a_redelivered_batch_only_what_was_fetched_is_known() {
        let Some(ministack) = damper_stand_ins::ministack() else { return };
        super::of_a_redelivered_batch_only_what_was_fetched_is_known(ministack.endpoint()).await;
    }
}

mod moto {
    #[tokio::test]
    async fn of_a_redelivered_batch_only_what_was_fetched_is_known() {
        let Some(moto) = damper_stand_ins::moto() else { return };
        super::of_a_redelivered_batch_only_what_was_fetched_is_known(moto.endpoint()).await;
    }
}

mod dynamodb_local {
    use damper_stand_ins::dynamodb_local;

    #[tokio::test]
    #[ignore = "for `make test-dynamodb-local`"]
    async fn a_record_costs_what_the_table_says() {
        super::a_record_costs_what_the_table_says(dynamodb_local(), (0.5, 0.0)).await;
    }

    #[tokio::test]
    #[ignore = "for `make test-dynamodb-local`"]
    async fn a_long_identity_costs_more_units_a_write() {
        super::a_long_identity_costs_more_units_a_write(dynamodb_local()).await;
    }

    #[tokio::test]
    #[ignore = "for `make test-dynamodb-local`"]
    async fn of_a_redelivered_batch_only_what_was_fetched_is_known() {
        super::of_a_redelivered_batch_only_what_was_fetched_is_known(dynamodb_local()).await;
    }
}

#[tokio::test]
async fn a_missing_table_is_named_with_what_to_do() {
    for stand_in in [damper_stand_ins::moto(), damper_stand_ins::ministack()].into_iter().flatten() {
        let test_table = TestTable::new(stand_in.endpoint()).await;
        let ledger = DynamoLedger::new(test_table.client, "no-such-table", test_table.letters);
        let error = claim(&ledger, "a", "x", 0).await.unwrap_err().to_string();
        assert!(error.contains("no table \"no-such-table\"") && error.contains("deploy"), "{error}");
        let error = ledger.control("demo").await.unwrap_err().to_string();
        assert!(error.contains("no-such-table"), "{error}");
    }
}

fn throttling_answer() -> Answer {
    Answer::error(400, "com.amazonaws.dynamodb.v20120810#ThrottlingException", "Rate exceeded")
}

#[tokio::test(start_paused = true)]
async fn a_throttled_claim_is_tried_again_with_patience() {
    let fake = FakeService::answering([throttling_answer(), throttling_answer(), Answer::ok("{}")]).await;
    let ledger = DynamoLedger::new(fake.dynamodb(), "t", std::sync::Arc::new(object_store::memory::InMemory::new()));
    assert!(matches!(claim(&ledger, "a", "x", 0).await.unwrap(), Claim::Granted { attempt: 1, .. }));
    assert_eq!(fake.requests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_meets_anothers_transaction_is_tried_again() {
    let conflict = Answer::error(400, "com.amazonaws.dynamodb.v20120810#TransactionConflictException", "ongoing");
    let fake = FakeService::answering([conflict, Answer::ok("{}")]).await;
    let ledger = DynamoLedger::new(fake.dynamodb(), "t", std::sync::Arc::new(object_store::memory::InMemory::new()));
    assert!(matches!(claim(&ledger, "a", "x", 0).await.unwrap(), Claim::Granted { attempt: 1, .. }));
    assert_eq!(fake.requests().len(), 2);
}

/// Half a unit for an item, where a consistent read costs a whole one; each request's units are counted as DynamoDB
/// tells them.
#[tokio::test]
async fn what_is_done_is_read_at_half_price() {
    let told = r#"{"Responses":{"t":[]},"ConsumedCapacity":[{"TableName":"t","CapacityUnits":0.5}]}"#;
    let fake = FakeService::answering([Answer::ok(told)]).await;
    let ledger = DynamoLedger::new(fake.dynamodb(), "t", std::sync::Arc::new(object_store::memory::InMemory::new()));
    ledger.find_done("demo", today(), &[identity("a")]).await.unwrap();
    assert_eq!(ledger.consumed_units(), Units { read: 0.5, write: 0.0 });
    let asked = &fake.requests()[0];
    assert!(asked.contains("\"ReturnConsumedCapacity\":\"TOTAL\"") && !asked.contains("ConsistentRead"), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn a_table_that_throttles_for_ever_is_an_error_with_a_hint() {
    let fake = FakeService::always(throttling_answer()).await;
    let ledger = DynamoLedger::new(fake.dynamodb(), "t", std::sync::Arc::new(object_store::memory::InMemory::new()));
    let error = claim(&ledger, "a", "x", 0).await.unwrap_err().to_string();
    assert!(error.contains("throttled") && error.contains("on-demand"), "{error}");
    assert_eq!(fake.requests().len(), 9);
}

#[tokio::test(start_paused = true)]
async fn keys_left_unprocessed_are_asked_for_again() {
    let left = r#"{"Responses":{"t":[{"pk":{"S":"r#demo#a"},"st":{"S":"DONE"},"by":{"S":"1"}}]},
        "UnprocessedKeys":{"t":{"Keys":[{"pk":{"S":"r#demo#b"},"sk":{"S":"2026-11-22"}}]}}}"#;
    let rest = r#"{"Responses":{"t":[{"pk":{"S":"r#demo#b"},"st":{"S":"DONE"},"by":{"S":"2"}}]},"UnprocessedKeys":{}}"#;
    let fake = FakeService::answering([Answer::ok(left), Answer::ok(rest)]).await;
    let ledger = DynamoLedger::new(fake.dynamodb(), "t", std::sync::Arc::new(object_store::memory::InMemory::new()));
    let known = ledger.find_done("demo", today(), &[identity("a"), identity("b")]).await.unwrap();
    assert_eq!(known.len(), 2);
    let requests = fake.requests();
    assert_eq!(requests.len(), 2);
    assert!(!requests[1].contains("r#demo#a"), "only what was left: {}", requests[1]);
}
