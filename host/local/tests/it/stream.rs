//! The stream, its mapping and its dead letters, through a real file.

use std::time::Duration;

use bytes::Bytes;
use damper_core::admin::Counts;
use damper_core::clock::WallClock;
use damper_core::day::Day;
use damper_core::dead_letter::{DeadLetter, Reason};
use damper_core::item::{Identity, Params, SequenceNumber};
use damper_core::ledger::{Claim, ClaimRequest, Claimed, Finish, Ledger, Owner};
use damper_core::mapping::{Mapping, MappingChange, MappingError, MappingState};
use damper_core::pipeline::report::{End, Report};
use damper_local::dead_letters::{Filter, Redrive};
use damper_local::stream::{BatchFinished, FeedError, Hold, MAX_BATCH_BYTES, MAX_PAYLOAD_BYTES};
use damper_local::{Database, DeadLetters, SqliteLedger, SqliteMapping, SqliteStream};
use jiff::Timestamp;
use tempfile::TempDir;

fn at(seconds: u64) -> Timestamp {
    "2026-11-22T10:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_secs(seconds)
}

fn database() -> (TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path().join("damper.db")).unwrap();
    (folder, database)
}

fn payloads(count: usize) -> Vec<Bytes> {
    (1..=count).map(|number| Bytes::from(format!("{{\"id\":\"{number}\"}}"))).collect()
}

fn report(ended: &[(u64, End)], first_unfinished: Option<u64>) -> Report {
    Report {
        ended: ended.iter().map(|(sequence, end)| ((*sequence).into(), *end)).collect(),
        first_unfinished: first_unfinished.map(Into::into),
        ..Report::default()
    }
}

async fn next_sequences(stream: &SqliteStream, limit: u32) -> Vec<String> {
    let batch = stream.next_batch("demo", limit).await.unwrap();
    batch.iter().map(|entry| entry.sequence.to_string()).collect()
}

async fn open_fed_stream(count: usize) -> (TempDir, SqliteStream) {
    let (folder, database) = database();
    let stream = SqliteStream::new(database);
    assert_eq!(stream.feed("demo", payloads(count), at(0)).await.unwrap(), count as u64);
    assert_eq!(stream.hold("demo", "me", at(0), at(6)).await.unwrap(), Hold::Held);
    (folder, stream)
}

#[tokio::test]
async fn entries_come_in_order_with_what_was_fed() {
    let (_folder, stream) = open_fed_stream(3).await;
    stream.feed("demo", payloads(2), at(9)).await.unwrap();
    stream.feed("other", payloads(1), at(9)).await.unwrap();
    let batch = stream.next_batch("demo", 4).await.unwrap();
    let seen: Vec<_> = batch.iter().map(|entry| (&*entry.sequence.0, &entry.payload[..], entry.arrived)).collect();
    assert_eq!(
        seen,
        [
            ("1", &b"{\"id\":\"1\"}"[..], at(0)),
            ("2", b"{\"id\":\"2\"}", at(0)),
            ("3", b"{\"id\":\"3\"}", at(0)),
            ("4", b"{\"id\":\"1\"}", at(9)),
        ]
    );
    assert_eq!(stream.providers().await.unwrap(), ["demo", "other"]);
}

#[tokio::test]
async fn the_checkpoint_stops_before_what_is_unfinished_and_ended_entries_do_not_come_again() {
    let (_folder, stream) = open_fed_stream(4).await;
    let first = report(&[(1, End::Fetched), (3, End::DeadLetter)], Some(2));
    let recorded = BatchFinished::Recorded { ended: 2, moved: true };
    assert_eq!(stream.finish_batch("demo", "me", &first).await.unwrap(), recorded);
    assert_eq!(next_sequences(&stream, 10).await, ["2", "4"]);
    let again = report(&[(3, End::Skipped)], Some(2));
    let nothing = BatchFinished::Recorded { ended: 0, moved: false };
    assert_eq!(stream.finish_batch("demo", "me", &again).await.unwrap(), nothing, "the first end stays");
    let counts = stream.counts("demo").await.unwrap();
    let expected = Counts { fed: 4, fetched: 1, skipped: 0, dead_letters: 1, pending: 2, oldest_pending: Some(at(0)) };
    assert_eq!(counts, expected);
    let rest = report(&[(2, End::Fetched), (3, End::DeadLetter), (4, End::Skipped)], None);
    stream.finish_batch("demo", "me", &rest).await.unwrap();
    assert!(next_sequences(&stream, 10).await.is_empty());
    let expected = Counts { fed: 4, fetched: 2, skipped: 1, dead_letters: 1, pending: 0, oldest_pending: None };
    assert_eq!(stream.counts("demo").await.unwrap(), expected);
}

#[tokio::test]
async fn the_checkpoint_never_passes_an_entry_that_has_not_ended_nor_moves_back() {
    let (_folder, stream) = open_fed_stream(4).await;
    stream.finish_batch("demo", "me", &report(&[(1, End::Fetched), (4, End::Fetched)], None)).await.unwrap();
    assert_eq!(next_sequences(&stream, 10).await, ["2", "3"], "a wrong report loses nothing");
    stream.finish_batch("demo", "me", &report(&[], Some(1))).await.unwrap();
    assert_eq!(next_sequences(&stream, 1).await, ["2"]);
    let wrong = Report { first_unfinished: Some(SequenceNumber::from("x")), ..Report::default() };
    assert!(stream.finish_batch("demo", "me", &wrong).await.is_err());
}

#[tokio::test]
async fn a_batch_has_at_most_six_megabytes_and_at_least_one_entry() {
    let (_folder, database) = database();
    let stream = SqliteStream::new(database);
    let large = vec![Bytes::from(vec![b'x'; MAX_PAYLOAD_BYTES]); 8];
    stream.feed("demo", large, at(0)).await.unwrap();
    assert_eq!(next_sequences(&stream, 100).await.len(), MAX_BATCH_BYTES / MAX_PAYLOAD_BYTES);
    let error = stream.feed("demo", vec![Bytes::new(), vec![b'x'; MAX_PAYLOAD_BYTES + 1].into()], at(0)).await;
    assert!(matches!(error, Err(FeedError::TooLarge { position: 2, .. })), "{error:?}");
    assert_eq!(stream.counts("demo").await.unwrap().fed, 8, "none of that feed was appended");
    assert_eq!(stream.counts("nobody").await.unwrap(), Counts::default());
}

#[tokio::test]
async fn one_poller_delivers_and_another_is_fenced() {
    let (_folder, stream) = open_fed_stream(2).await;
    assert_eq!(stream.hold("demo", "you", at(5), at(11)).await.unwrap(), Hold::Other { until: at(6) });
    assert_eq!(stream.hold("demo", "me", at(5), at(11)).await.unwrap(), Hold::Held);
    assert_eq!(stream.hold("demo", "you", at(6), at(12)).await.unwrap(), Hold::Other { until: at(11) });
    stream.free("demo", "you").await.unwrap();
    assert_eq!(stream.hold("demo", "you", at(11), at(17)).await.unwrap(), Hold::Held, "the lease ran out");
    let late = report(&[(1, End::Fetched)], Some(2));
    assert_eq!(stream.finish_batch("demo", "me", &late).await.unwrap(), BatchFinished::Fenced);
    assert_eq!(stream.counts("demo").await.unwrap().pending, 2);
    stream.free("demo", "you").await.unwrap();
    assert_eq!(stream.hold("demo", "me", at(12), at(18)).await.unwrap(), Hold::Held, "it was freed");
}

#[tokio::test]
async fn a_lease_from_before_the_clock_was_set_back_keeps_nobody_waiting() {
    let (_folder, stream) = open_fed_stream(1).await;
    assert_eq!(stream.hold("demo", "dead", at(7_200), at(7_206)).await.unwrap(), Hold::Held);
    assert_eq!(stream.hold("demo", "you", at(7_150), at(7_156)).await.unwrap(), Hold::Other { until: at(7_206) });
    assert_eq!(stream.hold("demo", "you", at(7_139), at(7_145)).await.unwrap(), Hold::Held, "a minute back");
}

#[tokio::test]
async fn a_mapping_change_holds_after_its_lag_and_is_alone_until_then() {
    tokio::time::pause();
    let (_folder, database) = database();
    let clock = WallClock::from_epoch(at(0));
    let mapping = SqliteMapping::new(database.clone(), clock.clone()).with_lag(Duration::from_secs(30));
    assert!(matches!(mapping.read("demo").await, Err(MappingError::Unknown(_))));
    let change = MappingChange { batch_size: Some(7), enabled: Some(false) };
    assert!(matches!(mapping.apply("demo", change).await, Err(MappingError::Unknown(_))));
    mapping.ensure("demo", 50).await.unwrap();
    mapping.ensure("demo", 60).await.unwrap();
    let state = |batch_size, enabled, pending| MappingState { batch_size, enabled, pending };
    assert_eq!(mapping.read("demo").await.unwrap(), state(50, true, false));
    mapping.apply("demo", change).await.unwrap();
    assert_eq!(mapping.read("demo").await.unwrap(), state(50, true, true));
    assert!(matches!(mapping.apply("demo", change).await, Err(MappingError::Pending(_))));
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(mapping.read("demo").await.unwrap(), state(7, false, false));
    let at_once = SqliteMapping::new(database, clock);
    at_once.apply("demo", MappingChange { batch_size: None, enabled: Some(true) }).await.unwrap();
    assert_eq!(at_once.read("demo").await.unwrap(), state(7, true, false));
    for wrong in [0, 10_001] {
        let change = MappingChange { batch_size: Some(wrong), enabled: None };
        assert!(matches!(at_once.apply("demo", change).await, Err(MappingError::Failed { .. })));
    }
}

fn letter(sequence: &str, reason: Reason) -> DeadLetter {
    DeadLetter {
        provider: "demo".to_owned(),
        sequence: sequence.into(),
        arrived: at(0),
        died: at(1),
        payload: Bytes::from_static(b"{\"id\":\"\xff\"}"),
        reason,
        message: "no such \"record\"\n".to_owned(),
        status: Some(404),
        attempts: 3,
        component: "sha256:00".to_owned(),
        bundle: None,
    }
}

fn day() -> Day {
    "2026-11-22".parse().unwrap()
}

async fn claim(ledger: &SqliteLedger, identity: &Identity, sequence: &str) -> Claim {
    let request = ClaimRequest {
        provider: "demo",
        identity,
        sequence: &sequence.into(),
        today: day(),
        since: day(),
        owner: &Owner::from("me"),
        now: at(0),
        lease: at(60),
    };
    ledger.claim(request).await.unwrap()
}

async fn record_death(ledger: &SqliteLedger, identity: &Identity, sequence: &str, reason: Reason) {
    let claimed = Claimed { identity: identity.clone(), day: day(), sequence: sequence.into(), lease: at(60) };
    let dead = Finish::Dead { claimed: Some(claimed), letter: letter(sequence, reason) };
    ledger.finish("demo", &Owner::from("me"), vec![dead]).await.unwrap();
}

#[tokio::test]
async fn a_redriven_letter_is_fed_again_whole_and_its_item_is_open() {
    let (_folder, database) = database();
    let (stream, ledger) = (SqliteStream::new(database.clone()), SqliteLedger::new(database.clone()));
    let letters = DeadLetters::new(database);
    stream.feed("demo", payloads(1), at(0)).await.unwrap();
    let identity = Identity::of("x", &Params::new(), &[]).unwrap();
    claim(&ledger, &identity, "1").await;
    record_death(&ledger, &identity, "1", Reason::AttemptsSpent).await;
    let stored = letters.list(Filter::default(), 10).await.unwrap();
    assert_eq!(stored.iter().map(|stored| &stored.letter).collect::<Vec<_>>(), [&letter("1", Reason::AttemptsSpent)]);
    let id = stored[0].id;

    assert_eq!(letters.redrive(Redrive::Letter(id), at(100)).await.unwrap(), 1);
    assert_eq!(letters.redrive(Redrive::Letter(id), at(101)).await.unwrap(), 0, "not twice");
    let batch = stream.next_batch("demo", 10).await.unwrap();
    assert_eq!((&*batch[1].sequence.0, batch[1].arrived), ("2", at(100)));
    assert_eq!(batch[1].payload, letter("1", Reason::AttemptsSpent).payload);
    assert_eq!(
        claim(&ledger, &identity, "2").await,
        Claim::Granted { attempt: 1, abandoned: Vec::new(), resume: None }
    );
    assert!(letters.list(Filter::default(), 10).await.unwrap().is_empty());
    let all = letters.list(Filter { with_redriven: true, ..Filter::default() }, 10).await.unwrap();
    assert_eq!(all[0].redriven, Some(at(100)));
    assert_eq!(letters.show(id).await.unwrap().as_ref(), all.first());
    assert_eq!(letters.show(id + 1).await.unwrap(), None);

    record_death(&ledger, &identity, "2", Reason::NotFound).await;
    let new = letters.list(Filter::default(), 10).await.unwrap();
    assert_eq!(new.iter().map(|stored| &*stored.letter.sequence.0).collect::<Vec<_>>(), ["2"], "a letter of its own");
}

#[tokio::test]
async fn letters_are_redriven_by_provider_and_reason() {
    let (_folder, database) = database();
    let (stream, ledger) = (SqliteStream::new(database.clone()), SqliteLedger::new(database.clone()));
    let letters = DeadLetters::new(database);
    for (sequence, reason) in [("1", Reason::NotFound), ("2", Reason::Rejected), ("3", Reason::NotFound)] {
        let dead = Finish::Dead { claimed: None, letter: letter(sequence, reason) };
        ledger.finish("demo", &Owner::from("me"), vec![dead]).await.unwrap();
    }
    let of = |provider: &str, reason| Redrive::Provider { provider: provider.to_owned(), reason };
    assert_eq!(letters.count(Filter::default()).await.unwrap(), 3);
    assert_eq!(letters.redrive(of("other", None), at(1)).await.unwrap(), 0);
    assert_eq!(letters.redrive(of("demo", Some(Reason::NotFound)), at(1)).await.unwrap(), 2);
    let filter = Filter { reason: Some(Reason::Rejected), ..Filter::default() };
    assert_eq!(letters.list(filter, 10).await.unwrap().len(), 1);
    assert_eq!(letters.redrive(of("demo", None), at(1)).await.unwrap(), 1);
    assert_eq!(stream.counts("demo").await.unwrap().pending, 3);
}
