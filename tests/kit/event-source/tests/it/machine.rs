//! The state machine, move by move, without any I/O.

use std::time::Duration;

use bytes::Bytes;
use damper_event_source::{Action, Answer, Condition, Delivery, Mapping, MappingConfig, Pace, Record, SequenceNumber};
use jiff::Timestamp;

const SHARD: &str = "shardId-000000000000";

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
}

fn record(number: usize, key: &str) -> Record {
    Record {
        sequence: SequenceNumber::new(number.to_string()),
        partition_key: key.to_owned(),
        data: Bytes::from_static(b"{}"),
        arrived: at(0),
    }
}

fn with_records(config: MappingConfig, count: usize) -> Mapping {
    let pace = Pace { after_partial: Duration::ZERO, ..Pace::default() };
    let mut mapping = Mapping::new(config, pace);
    mapping.add_shard(SHARD);
    mapping.add_records(SHARD, (1..=count).map(|number| record(number, &format!("key {number}"))).collect(), at(0));
    mapping
}

fn invocations(mapping: &mut Mapping, millis: i64) -> Vec<Delivery> {
    let invoke = |action| match action {
        Action::Invoke(delivery) => delivery,
        Action::Discard(discarded) => panic!("a discard: {discarded:?}"),
    };
    mapping.due(at(millis)).into_iter().map(invoke).collect()
}

fn numbers(delivery: &Delivery) -> Vec<usize> {
    delivery.records.iter().map(|record| record.sequence.as_str().parse().unwrap()).collect()
}

fn answer_with(body: &str) -> Answer {
    Answer::Replied { request_id: "r".to_owned(), body: body.as_bytes().to_vec() }
}

fn failed_from(number: usize) -> Answer {
    answer_with(&format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{number}"}}]}}"#))
}

fn error() -> Answer {
    Answer::Failed { request_id: "r".to_owned(), message: "told to".to_owned() }
}

fn reporting(batch_size: u32) -> MappingConfig {
    MappingConfig { batch_size, report_batch_item_failures: true, ..MappingConfig::default() }
}

fn checkpoint(mapping: &Mapping) -> Option<&str> {
    mapping.checkpoint(SHARD).map(SequenceNumber::as_str)
}

#[test]
fn the_lowest_reported_number_is_the_checkpoint_and_what_succeeded_behind_it_comes_again() {
    let mut mapping = with_records(reporting(5), 12);
    let first = invocations(&mut mapping, 0).remove(0);
    assert_eq!(numbers(&first), [1, 2, 3, 4, 5]);
    let body = r#"{"batchItemFailures":[{"itemIdentifier":"5"},{"itemIdentifier":"3"}]}"#;
    mapping.on_answer(first.batch, &answer_with(body), at(10));
    assert_eq!(checkpoint(&mapping), Some("2"));
    let again = invocations(&mut mapping, 10).remove(0);
    assert_eq!((numbers(&again), again.attempt), (vec![3, 4, 5], 1));
    assert_ne!(again.batch, first.batch);
}

#[test]
fn without_report_batch_item_failures_the_answer_is_not_read() {
    let config = MappingConfig { batch_size: 5, ..MappingConfig::default() };
    let mut mapping = with_records(config, 5);
    let first = invocations(&mut mapping, 0).remove(0);
    mapping.on_answer(first.batch, &failed_from(1), at(10));
    assert_eq!(checkpoint(&mapping), Some("5"));
}

#[test]
fn a_failed_batch_blocks_its_shard_and_backs_off() {
    let mut mapping = with_records(reporting(2), 4);
    let first = invocations(&mut mapping, 0).remove(0);
    mapping.on_answer(first.batch, &error(), at(0));
    assert_eq!(invocations(&mut mapping, 499), []);
    assert_eq!(mapping.next_wake(), Some(at(500)));
    let again = invocations(&mut mapping, 500).remove(0);
    assert_eq!((again.batch, again.attempt, numbers(&again)), (first.batch, 2, vec![1, 2]));
    mapping.on_answer(again.batch, &error(), at(500));
    assert_eq!(mapping.next_wake(), Some(at(1_500)));
}

#[test]
fn a_failure_from_the_first_record_on_is_no_progress_and_spends_the_budget() {
    let mut mapping = with_records(MappingConfig { maximum_retry_attempts: Some(1), ..reporting(2) }, 2);
    for attempt in 1..=2 {
        let delivery = invocations(&mut mapping, 0).remove(0);
        assert_eq!(delivery.attempt, attempt);
        let discarded = mapping.on_answer(delivery.batch, &failed_from(1), at(0));
        assert_eq!(discarded.is_some(), attempt == 2);
        if let Some(discarded) = discarded {
            // The good record beside it is lost with it. Therefore Damper sets -1 and counts attempts itself.
            assert_eq!(discarded.records.len(), 2);
            assert_eq!((discarded.condition, discarded.invoke_count), (Condition::RetryAttemptsExhausted, 2));
        }
    }
    assert_eq!(checkpoint(&mapping), Some("2"));
}

#[test]
fn bisecting_isolates_the_poison_and_splitting_costs_no_retry() {
    let config = MappingConfig {
        bisect_batch_on_function_error: true,
        maximum_retry_attempts: Some(0),
        batch_size: 4,
        ..MappingConfig::default()
    };
    let mut mapping = with_records(config, 4);
    let (mut delivered, mut discarded) = (Vec::new(), Vec::new());
    let mut millis = 0;
    while checkpoint(&mapping) != Some("4") {
        for delivery in invocations(&mut mapping, millis) {
            let is_poisoned = numbers(&delivery).contains(&3);
            let answer = if is_poisoned { error() } else { answer_with("") };
            delivered.push(numbers(&delivery));
            discarded.extend(mapping.on_answer(delivery.batch, &answer, at(millis)));
        }
        millis += 60_000;
    }
    assert_eq!(delivered, [vec![1, 2, 3, 4], vec![1, 2], vec![3, 4], vec![3], vec![4]]);
    let [poison] = discarded.as_slice() else { panic!("not one: {discarded:?}") };
    assert_eq!((poison.records.len(), poison.records[0].sequence.as_str()), (1, "3"));
}

#[test]
fn with_both_the_batch_is_split_where_the_answer_says() {
    let config = MappingConfig { bisect_batch_on_function_error: true, ..reporting(4) };
    let mut mapping = with_records(config, 4);
    let first = invocations(&mut mapping, 0).remove(0);
    mapping.on_answer(first.batch, &failed_from(4), at(0));
    assert_eq!(numbers(&invocations(&mut mapping, 0)[0]), [4]);
}

#[test]
fn a_batch_waits_for_its_window_unless_it_is_full() {
    let config = MappingConfig { batch_size: 3, batching_window: Duration::from_secs(2), ..MappingConfig::default() };
    let mut mapping = with_records(config, 5);
    let full = invocations(&mut mapping, 0).remove(0);
    assert_eq!(numbers(&full), [1, 2, 3]);
    mapping.on_answer(full.batch, &answer_with(""), at(5));
    assert_eq!(invocations(&mut mapping, 1_999), []);
    assert_eq!(numbers(&invocations(&mut mapping, 2_000)[0]), [4, 5]);
}

#[test]
fn an_event_is_six_megabytes_at_most() {
    let mut mapping = Mapping::new(MappingConfig::default(), Pace::default());
    mapping.add_shard(SHARD);
    let megabyte = Bytes::from(vec![b'x'; 1_000_000]);
    let records = (1..=10).map(|number| Record { data: megabyte.clone(), ..record(number, "key") }).collect();
    mapping.add_records(SHARD, records, at(0));
    // In base64 each is 1.33 MB.
    assert_eq!(numbers(&invocations(&mut mapping, 0)[0]), [1, 2, 3, 4]);
}

#[test]
fn a_factor_of_two_has_two_batches_of_a_shard_in_flight_and_never_one_key_in_both() {
    let config = MappingConfig { parallelization_factor: 2, batch_size: 2, ..MappingConfig::default() };
    let mut mapping = Mapping::new(config, Pace::default());
    mapping.add_shard(SHARD);
    let keys = ["a", "b", "c", "d", "e", "f"];
    let records = (1..=24).map(|number| record(number, keys[number % keys.len()])).collect();
    mapping.add_records(SHARD, records, at(0));
    let flying = invocations(&mut mapping, 0);
    assert_eq!((flying.len(), mapping.in_flight()), (2, 2));
    let keys_of = |delivery: &Delivery| {
        delivery.records.iter().map(|record| record.partition_key.clone()).collect::<std::collections::BTreeSet<_>>()
    };
    assert!(keys_of(&flying[0]).is_disjoint(&keys_of(&flying[1])));
    // The one whose records come later ends first: the checkpoint waits for the other.
    let later = flying.iter().max_by_key(|delivery| delivery.records[0].sequence.clone()).unwrap();
    mapping.on_answer(later.batch, &answer_with(""), at(1));
    assert_eq!(checkpoint(&mapping), None);
}

#[test]
fn what_is_paused_is_read_again_from_the_checkpoint() {
    let mut mapping = with_records(reporting(2), 6);
    let first = invocations(&mut mapping, 0).remove(0);
    mapping.pause();
    assert_eq!((invocations(&mut mapping, 0), mapping.shards_to_read()), (vec![], vec![]));
    // A late invocation's answer still counts.
    mapping.on_answer(first.batch, &failed_from(2), at(10));
    assert_eq!(checkpoint(&mapping), Some("1"));
    mapping.resume();
    assert_eq!(mapping.shards_to_read(), [(SHARD.to_owned(), Some(SequenceNumber::new("1")))]);
    mapping.add_records(SHARD, (2..=6).map(|number| record(number, "key")).collect(), at(20));
    assert_eq!(numbers(&invocations(&mut mapping, 20)[0]), [2, 3]);
}

#[test]
fn what_is_in_flight_while_it_resumes_is_not_delivered_twice() {
    let mut mapping = with_records(reporting(2), 3);
    let first = invocations(&mut mapping, 0).remove(0);
    mapping.pause();
    mapping.resume();
    mapping.add_records(SHARD, (1..=3).map(|number| record(number, "key")).collect(), at(1));
    assert_eq!(invocations(&mut mapping, 1), []);
    mapping.on_answer(first.batch, &answer_with(""), at(2));
    assert_eq!(numbers(&invocations(&mut mapping, 2)[0]), [3]);
}

#[test]
fn a_new_batch_size_holds_from_the_next_batch_on() {
    let mut mapping = with_records(reporting(2), 9);
    let first = invocations(&mut mapping, 0).remove(0);
    mapping.configure(&reporting(5));
    mapping.on_answer(first.batch, &error(), at(0));
    let again = invocations(&mut mapping, 1_000).remove(0);
    assert_eq!(numbers(&again), [1, 2]);
    mapping.on_answer(again.batch, &answer_with(""), at(1_000));
    assert_eq!(numbers(&invocations(&mut mapping, 1_000)[0]), [3, 4, 5, 6, 7]);
}

#[test]
fn a_throttled_invocation_counts_for_nothing() {
    let mut mapping = with_records(MappingConfig { maximum_retry_attempts: Some(0), ..reporting(2) }, 2);
    let first = invocations(&mut mapping, 0).remove(0);
    assert_eq!(mapping.on_answer(first.batch, &Answer::NotInvoked, at(0)), None);
    let again = invocations(&mut mapping, 500).remove(0);
    assert_eq!((again.batch, again.attempt), (first.batch, 1));
}
