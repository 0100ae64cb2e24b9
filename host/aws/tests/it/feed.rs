//! Feeding a stream: moto for what is accepted, a fake for what is refused.

use std::collections::BTreeMap;

use aws_sdk_kinesis::Client;
use bytes::Bytes;
use damper_aws::kinesis::{FeedError, FeedSummary, Feeder};
use damper_stand_ins::{sdk_config, unique};

use crate::fake::{Answer, FakeService};

fn payloads(count: usize) -> Vec<Bytes> {
    (0..count).map(|number| Bytes::from(format!(r#"{{"id":"{number}"}}"#))).collect()
}

/// An answer in which those of `refused` (of `count`) were refused.
fn accept_all_but(count: usize, refused: &[usize]) -> Answer {
    let record = |number| {
        if refused.contains(&number) {
            r#"{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"Rate exceeded"}"#.to_owned()
        } else {
            format!(r#"{{"SequenceNumber":"{number}","ShardId":"shardId-000000000000"}}"#)
        }
    };
    let records: Vec<_> = (0..count).map(record).collect();
    Answer::ok(&format!(r#"{{"FailedRecordCount":{},"Records":[{}]}}"#, refused.len(), records.join(",")))
}

fn feeder(fake: &FakeService) -> Feeder {
    Feeder::new(Client::new(&fake.config()), "damper-demo")
}

async fn read_all_records(client: &Client, stream: &str) -> BTreeMap<String, Vec<String>> {
    let mut by_shard: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let shards = client.list_shards().stream_name(stream).send().await.unwrap();
    for shard in shards.shards() {
        let iterator = client.get_shard_iterator().stream_name(stream).shard_id(shard.shard_id());
        let iterator = iterator.shard_iterator_type(aws_sdk_kinesis::types::ShardIteratorType::TrimHorizon).send();
        let mut next = iterator.await.unwrap().shard_iterator;
        while let Some(iterator) = next {
            let page = client.get_records().shard_iterator(iterator).limit(10_000).send().await.unwrap();
            let texts = page.records().iter().map(|record| String::from_utf8(record.data().as_ref().to_vec()).unwrap());
            by_shard.entry(shard.shard_id().to_owned()).or_default().extend(texts);
            next = page.next_shard_iterator.filter(|_| !page.records.is_empty());
        }
    }
    by_shard
}

#[tokio::test]
async fn everything_is_fed_and_one_id_meets_in_one_shard() {
    let Some(moto) = damper_stand_ins::moto() else { return };
    let client = Client::new(&sdk_config(moto.endpoint()));
    let stream = unique("damper-demo");
    client.create_stream().stream_name(&stream).shard_count(2).send().await.unwrap();
    let twice: Vec<_> = payloads(600).into_iter().chain(payloads(600)).collect();
    let fed = Feeder::new(client.clone(), &stream).feed(twice).await.unwrap();
    assert_eq!(fed, FeedSummary { accepted: 1_200, resent: 0 });
    let by_shard = read_all_records(&client, &stream).await;
    assert_eq!(by_shard.values().map(Vec::len).sum::<usize>(), 1_200);
    assert!(by_shard.values().all(|records| !records.is_empty()), "both shards are used");
    for records in by_shard.values() {
        let mut times: BTreeMap<&String, usize> = BTreeMap::new();
        records.iter().for_each(|record| *times.entry(record).or_default() += 1);
        assert!(times.values().all(|times| *times == 2));
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_was_refused_is_sent_again() {
    let fake =
        FakeService::answering([accept_all_but(5, &[1, 3]), accept_all_but(2, &[1]), accept_all_but(1, &[])]).await;
    assert_eq!(feeder(&fake).feed(payloads(5)).await.unwrap(), FeedSummary { accepted: 5, resent: 3 });
    let sent: Vec<usize> = fake.requests().iter().map(|request| request.matches("PartitionKey").count()).collect();
    assert_eq!(sent, [5, 2, 1]);
    assert!(fake.requests()[2].contains(r#""PartitionKey":"3""#), "{}", fake.requests()[2]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_refuses_for_ever_is_given_up_on_with_what_it_took() {
    let all = Answer::error(400, "ProvisionedThroughputExceededException", "Rate exceeded for stream");
    let fake = FakeService::always(all).await;
    let error = feeder(&fake).feed(payloads(3)).await.unwrap_err();
    assert!(matches!(error, FeedError::Refused { accepted: 0, left: 3, .. }), "{error}");
    assert!(error.to_string().contains("add shards"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn who_may_not_feed_is_told_so_and_not_to_try_again() {
    let denied = Answer::error(400, "AccessDeniedException", "not authorized to perform: kinesis:PutRecords");
    let fake = FakeService::answering([accept_all_but(500, &[]), denied]).await;
    let error = feeder(&fake).feed(payloads(600)).await.unwrap_err();
    assert!(matches!(error, FeedError::Denied { accepted: 500, .. }), "{error}");
    assert!(error.to_string().contains("allow kinesis:PutRecords"), "{error}");
    assert_eq!((error.accepted_count(), fake.requests().len()), (500, 2));
}

#[tokio::test]
async fn a_missing_stream_is_named_with_what_to_do() {
    let Some(moto) = damper_stand_ins::moto() else { return };
    let feeder = Feeder::new(Client::new(&sdk_config(moto.endpoint())), "no-such-stream");
    let error = feeder.feed(payloads(1)).await.unwrap_err();
    assert!(matches!(error, FeedError::Unknown { accepted: 0, .. }), "{error}");
    assert!(error.to_string().contains("\"no-such-stream\": deploy"), "{error}");
}

#[tokio::test]
async fn what_no_record_can_hold_is_refused_before_anything_is_fed() {
    let fake = FakeService::answering([]).await;
    let given = vec![Bytes::from_static(b"{}"), Bytes::from(vec![b'x'; 2 * 1024 * 1024])];
    let error = feeder(&fake).feed(given).await.unwrap_err().to_string();
    assert!(error.starts_with("entry 2 of 2 "), "{error}");
    assert!(fake.requests().is_empty());
}
