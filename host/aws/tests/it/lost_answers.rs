//! Every write's first answer is lost after the write was done, and the SDK sends it again: the table of
//! `damper_aws::ledger` says what comes of each.

use aws_sdk_dynamodb::config::retry::{RetryPartition, TokenBucket};
use aws_sdk_dynamodb::types::AttributeValue;
use damper_aws::dead_letters::{Letters, Redrive, Redriven};
use damper_aws::kinesis::{FeedSummary, Feeder};
use damper_aws::{DynamoLedger, LambdaMapping};
use damper_core::dead_letter::{DeadLetter, Reason};
use damper_core::item::SequenceNumber;
use damper_core::key_usage::{KeyDay, KeyUsage, KeyUsageStore};
use damper_core::ledger::{Claim, ClaimRequest, Claimed, Control, Finish, Finished, Ledger, Owner, change_control};
use damper_core::mapping::{Mapping, MappingChange, MappingError};
use damper_core::testing::contract;
use damper_stand_ins::{StandIn, sdk_config, unique};

use crate::fake::{Answer, FakeService};
use crate::fixtures::{at, identity, today};
use crate::lossy::LossyNetwork;
use crate::table::TestTable;

fn stand_ins() -> impl Iterator<Item = &'static StandIn> {
    [damper_stand_ins::moto(), damper_stand_ins::ministack()].into_iter().flatten()
}

/// A ledger in a new table whose answers are lost, and the way to the table that loses none.
async fn lossy_ledger(stand_in: &StandIn) -> (DynamoLedger, TestTable, LossyNetwork) {
    let test_table = TestTable::new(stand_in.endpoint()).await;
    let (client, lossy) = lossy_client(stand_in);
    let ledger = DynamoLedger::new(client, test_table.table.clone(), test_table.letters.clone());
    (ledger, test_table, lossy)
}

/// A client that may repeat as many requests as it likes: the SDK's budget for repeats is meant for a service that
/// answers sometimes.
fn lossy_client(stand_in: &StandIn) -> (aws_sdk_dynamodb::Client, LossyNetwork) {
    let (config, lossy) = LossyNetwork::config(stand_in.endpoint());
    let partition = RetryPartition::custom("lossy").token_bucket(TokenBucket::unlimited()).build();
    let config = aws_sdk_dynamodb::config::Builder::from(&config).retry_partition(partition).build();
    (aws_sdk_dynamodb::Client::from_conf(config), lossy)
}

/// Runs behaviours of the contract, one after the other: each has a provider of its own.
macro_rules! hold {
    ($ledger:expr => $($behaviour:ident)*) => { $(contract::$behaviour($ledger).await;)* };
}

#[tokio::test]
async fn a_ledger_keeps_its_contract_though_each_writes_answer_is_lost() {
    for stand_in in stand_ins() {
        let (ledger, _house, lossy) = lossy_ledger(stand_in).await;
        hold! { &ledger =>
            an_item_is_claimed_once
            a_claim_is_held_until_its_lease_ends
            the_same_owner_may_claim_again
            an_expired_claim_is_granted_with_the_abandoned_owner
            abandoned_owners_accumulate_through_crashes_until_a_finish
            a_release_forgets_the_abandoned_owners
            only_counted_releases_raise_the_attempt
            a_released_item_waits_until_it_is_due
            a_crash_is_no_counted_attempt
            providers_do_not_see_each_others_rows
            a_done_of_any_day_since_arrival_satisfies
            a_dead_of_any_day_since_arrival_satisfies
            a_live_claim_of_an_earlier_day_holds
            an_expired_claim_of_an_earlier_day_is_listed_with_its_day
            attempts_add_up_over_the_days
            an_earlier_day_keeps_the_item_waiting
            what_was_abandoned_before_the_arrival_is_not_listed
            a_fetched_item_is_done
            a_dead_item_is_dead
            a_finish_after_a_takeover_is_fenced
            a_release_after_a_takeover_does_nothing
            a_late_finish_without_a_takeover_holds
            a_finish_may_be_repeated
            a_release_opens_no_ended_item
            some_of_a_finish_may_be_fenced
            a_repeated_claim_is_the_same_claim
            a_repeated_claim_of_a_later_day_is_the_same_claim
            a_repeated_finish_holds
            a_repeated_release_counts_once
            a_repeated_request_for_slots_takes_no_more
            slots_never_exceed_the_cap
            slots_are_shared_with_those_who_wait
            slots_run_out
            slots_are_renewed
            slots_shrink_and_are_given_back
            slots_grow_when_others_have_left
        }
        assert!(lossy.lost_count() > 100, "{} answers were lost", lossy.lost_count());
    }
}

#[tokio::test]
async fn slots_and_claims_hold_between_two_whose_answers_are_lost() {
    for stand_in in stand_ins() {
        let (one, test_table, lossy) = lossy_ledger(stand_in).await;
        let (client, _) = lossy_client(stand_in);
        let other = DynamoLedger::new(client, test_table.table.clone(), test_table.letters.clone());
        contract::one_of_many_claimants_wins(&one, &other).await;
        contract::slots_hold_under_contention(&one, &other).await;
        contract::no_change_of_a_control_item_is_lost_or_doubled(&one, &other).await;
        assert!(lossy.lost_count() > 10);
    }
}

/// A reservation of quota and its return count once each.
#[tokio::test]
async fn a_share_of_a_quota_is_set_aside_and_given_back_once() {
    for stand_in in stand_ins() {
        let (ledger, test_table, lossy) = lossy_ledger(stand_in).await;
        for _ in 0..3 {
            let mut granted = 0;
            let reserve = |control: &mut Control| {
                granted = control.usage.reserve(today(), 20, Some(60));
                true
            };
            change_control(&ledger, "demo", reserve).await.unwrap();
            assert_eq!(granted, 20);
        }
        let give_back = |control: &mut Control| {
            control.usage.give_back(today(), 15);
            true
        };
        change_control(&ledger, "demo", give_back).await.unwrap();
        assert_eq!(lossy.lost_count(), 4);
        assert_eq!(test_table.ledger().control("demo").await.unwrap().usage.on(today()), 45);
    }
}

/// A reservation of a key's requests counts twice, never less; a return counts once.
#[tokio::test]
async fn requests_of_a_key_are_never_counted_too_few() {
    for stand_in in stand_ins() {
        let (ledger, test_table, lossy) = lossy_ledger(stand_in).await;
        let key = KeyDay { provider: "demo", key: "0f3a", day: today() };
        let count = async || test_table.ledger().read_key_usage(key).await.unwrap();
        assert!(ledger.reserve_requests(key, 10, 25).await.unwrap().is_granted);
        assert_eq!(count().await, KeyUsage { requests: 20, version: 0 });
        // The first of the two is counted, and the repeated one is refused.
        assert!(!ledger.reserve_requests(key, 5, 25).await.unwrap().is_granted);
        assert_eq!(count().await, KeyUsage { requests: 25, version: 0 });
        // Nobody knows that it was done, and it is done once.
        assert!(!ledger.return_requests(key, 4, 0).await.unwrap());
        assert_eq!(count().await, KeyUsage { requests: 21, version: 1 });
        assert_eq!(lossy.lost_count(), 3);
    }
}

async fn claim_and_die(ledger: &DynamoLedger, id: &str) {
    let request = ClaimRequest {
        provider: "demo",
        identity: &identity(id),
        sequence: &SequenceNumber::from(id),
        today: today(),
        since: today(),
        owner: &Owner::from("a"),
        now: at(0),
        lease: at(60),
    };
    assert_eq!(
        ledger.claim(request).await.unwrap(),
        Claim::Granted { attempt: 1, abandoned: Vec::new(), resume: None }
    );
    let letter = DeadLetter {
        provider: "demo".to_owned(),
        sequence: SequenceNumber::from(id),
        arrived: at(0),
        died: at(1),
        payload: format!(r#"{{"id":"{id}"}}"#).into(),
        reason: Reason::NotFound,
        message: "gone".to_owned(),
        status: Some(404),
        attempts: 1,
        component: String::new(),
        bundle: None,
    };
    let claimed = Claimed { identity: identity(id), day: today(), sequence: SequenceNumber::from(id), lease: at(60) };
    let finish = Finish::Dead { claimed: Some(claimed), letter };
    assert_eq!(ledger.finish("demo", &Owner::from("a"), vec![finish]).await.unwrap(), [Finished::Written]);
}

/// The payloads in a stream of one shard.
async fn read_payloads(kinesis: &aws_sdk_kinesis::Client, stream: &str) -> Vec<String> {
    let shards = kinesis.list_shards().stream_name(stream).send().await.unwrap();
    let iterator = kinesis.get_shard_iterator().stream_name(stream).shard_id(shards.shards()[0].shard_id());
    let iterator = iterator.shard_iterator_type(aws_sdk_kinesis::types::ShardIteratorType::TrimHorizon).send();
    let records = kinesis.get_records().shard_iterator(iterator.await.unwrap().shard_iterator.unwrap()).send().await;
    let payload = |record: &aws_sdk_kinesis::types::Record| String::from_utf8(record.data().as_ref().to_vec()).unwrap();
    records.unwrap().records().iter().map(payload).collect()
}

/// The row is opened once; what Kinesis took twice is one identity, which is fetched once.
#[tokio::test]
async fn a_letter_is_redriven_once_though_each_answer_is_lost() {
    let Some(moto) = damper_stand_ins::moto() else { return };
    let (ledger, test_table, _) = lossy_ledger(moto).await;
    let kinesis = aws_sdk_kinesis::Client::new(&sdk_config(moto.endpoint()));
    let stream = unique("damper-demo");
    kinesis.create_stream().stream_name(&stream).shard_count(1).send().await.unwrap();
    let (config, lossy) = LossyNetwork::config(moto.endpoint());
    let feeder = Feeder::new(aws_sdk_kinesis::Client::new(&config), &stream);
    claim_and_die(&ledger, "x").await;

    let letters = Letters::new(test_table.letters.clone());
    let redriven = letters.redrive(&ledger, &feeder, "demo", &Redrive::All(None), at(100)).await.unwrap();
    assert_eq!((redriven, lossy.lost_count()), (Redriven { fed: 1, fetched_meanwhile: 0 }, 1));
    assert_eq!(read_payloads(&kinesis, &stream).await, [r#"{"id":"x"}"#; 2]);
    let key = [
        ("pk".to_owned(), AttributeValue::S("r#demo#x".to_owned())),
        ("sk".to_owned(), AttributeValue::S(today().to_string())),
    ];
    let row =
        test_table.client.get_item().table_name(&test_table.table).set_key(Some(key.into())).send().await.unwrap();
    let row = row.item.unwrap();
    assert_eq!((&row["g"], &row["n"]), (&AttributeValue::N("1".to_owned()), &AttributeValue::N("0".to_owned())));
}

#[tokio::test]
async fn what_a_stream_took_twice_counts_as_fed_once() {
    let Some(moto) = damper_stand_ins::moto() else { return };
    let kinesis = aws_sdk_kinesis::Client::new(&sdk_config(moto.endpoint()));
    let stream = unique("damper-demo");
    kinesis.create_stream().stream_name(&stream).shard_count(1).send().await.unwrap();
    let (config, _) = LossyNetwork::config(moto.endpoint());
    let payloads = (0..3).map(|number| format!(r#"{{"id":"{number}"}}"#).into()).collect();
    let accepted = Feeder::new(aws_sdk_kinesis::Client::new(&config), &stream).feed(payloads).await.unwrap();
    assert_eq!(accepted, FeedSummary { accepted: 3, resent: 0 });
    assert_eq!(read_payloads(&kinesis, &stream).await.len(), 6);
}

/// A mapping that is being changed refuses the repeated change: it counts as pending, and the next tick reads what it
/// is.
#[tokio::test]
async fn a_mapping_whose_answer_is_lost_is_pending_and_then_as_was_asked() {
    let uuid = "11111111-2222-3333-4444-555555555555";
    let arn = "arn:aws:kinesis:us-east-1:123456789012:stream/damper-demo";
    let mapping = |state| format!(r#"{{"UUID":"{uuid}","EventSourceArn":"{arn}","State":"{state}","BatchSize":10}}"#);
    let list = |state| Answer::ok(&format!(r#"{{"EventSourceMappings":[{}]}}"#, mapping(state)));
    let in_use = Answer::error(400, "ResourceInUseException", "it is being updated");
    let fake =
        FakeService::answering([list("Enabled"), Answer::ok(&mapping("Disabling")), in_use, list("Disabled")]).await;
    let (config, lossy) = LossyNetwork::config(fake.endpoint());
    let mapping = || LambdaMapping::new(aws_sdk_lambda::Client::new(&config), "damper", "damper-");
    let off = MappingChange { batch_size: None, enabled: Some(false) };
    assert!(matches!(mapping().apply("demo", off).await, Err(MappingError::Pending(_))));
    assert_eq!(lossy.lost_count(), 1);
    assert!(!mapping().read("demo").await.unwrap().enabled);
}
