use std::sync::{Arc, Mutex};

use bytes::Bytes;
use damper_core::item::SequenceNumber;
use damper_core::mapping::MappingChange;
use damper_core::pipeline::report::{End, Waiting};
use tokio::time::Instant;

use super::*;

struct TestStream {
    _folder: tempfile::TempDir,
    database: Database,
    clock: WallClock,
    stop: watch::Sender<bool>,
    /// Each delivery: its first entry, how many, and seconds since the beginning.
    deliveries: Arc<Mutex<Vec<(String, usize, u64)>>>,
    began: Instant,
}

impl TestStream {
    /// A stream of `fed` entries, delivered `batch` at a time.
    async fn new(fed: usize, batch: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join("damper.db")).unwrap();
        let clock = WallClock::from_epoch("2026-11-22T10:00:00Z".parse().unwrap());
        let stream = Self {
            _folder: folder,
            database,
            clock,
            stop: watch::Sender::new(false),
            deliveries: Arc::default(),
            began: Instant::now(),
        };
        stream.mapping().ensure("demo", batch).await.unwrap();
        stream.feed(fed).await;
        stream
    }

    async fn feed(&self, count: usize) {
        let payloads = vec![Bytes::from_static(b"{}"); count];
        SqliteStream::new(self.database.clone()).feed("demo", payloads, self.clock.now()).await.unwrap();
    }

    fn mapping(&self) -> SqliteMapping {
        SqliteMapping::new(self.database.clone(), self.clock.clone())
    }

    async fn enable(&self, enabled: bool) {
        self.mapping().apply("demo", MappingChange { enabled: Some(enabled), batch_size: None }).await.unwrap();
    }

    fn poller(&self, watch: bool) -> Poller {
        let settings = PollerSettings { watch, ..PollerSettings::default() };
        Poller::new("demo", &self.database, self.clock.clone(), settings, self.stop.subscribe())
    }

    fn record_delivery(&self, batch: &[Entry]) {
        let first = batch.first().map(|entry| entry.sequence.to_string()).unwrap_or_default();
        self.deliveries.lock().unwrap().push((first, batch.len(), self.began.elapsed().as_secs()));
    }

    fn deliveries(&self) -> Vec<(String, usize, u64)> {
        self.deliveries.lock().unwrap().clone()
    }

    async fn pending(&self) -> u64 {
        SqliteStream::new(self.database.clone()).counts("demo").await.unwrap().pending
    }
}

fn all_ended(batch: &[Entry]) -> Report {
    Report { ended: batch.iter().map(|entry| (entry.sequence.clone(), End::Fetched)).collect(), ..Report::default() }
}

fn none_ended(batch: &[Entry], stopped: Option<Stopped>) -> Report {
    Report { first_unfinished: batch.first().map(|entry| entry.sequence.clone()), stopped, ..Report::default() }
}

fn delivery(first: &str, count: usize, seconds: u64) -> (String, usize, u64) {
    (first.to_owned(), count, seconds)
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_drained_in_batches_of_the_mappings_size() {
    let stream = TestStream::new(5, 2).await;
    let process = |batch: Vec<Entry>| {
        stream.record_delivery(&batch);
        async move { all_ended(&batch) }
    };
    assert_eq!(stream.poller(false).run(process).await.unwrap(), PollerEnd::Drained);
    assert_eq!(stream.deliveries(), [delivery("1", 2, 0), delivery("3", 2, 0), delivery("5", 1, 0)]);
    assert_eq!(stream.pending().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_exist_is_drained() {
    let stream = TestStream::new(0, 2).await;
    let poller = Poller::new(
        "nobody",
        &stream.database,
        stream.clock.clone(),
        PollerSettings::default(),
        stream.stop.subscribe(),
    );
    assert_eq!(poller.run(|batch| async move { all_ended(&batch) }).await.unwrap(), PollerEnd::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_which_nothing_ended_is_delivered_again_after_a_pause() {
    let stream = TestStream::new(1, 10).await;
    let process = |batch: Vec<Entry>| {
        stream.record_delivery(&batch);
        let tried = stream.deliveries().len();
        async move { if tried < 3 { none_ended(&batch, None) } else { all_ended(&batch) } }
    };
    assert_eq!(stream.poller(false).run(process).await.unwrap(), PollerEnd::Drained);
    assert_eq!(stream.deliveries(), [delivery("1", 1, 0), delivery("1", 1, 1), delivery("1", 1, 2)]);
}

#[tokio::test(start_paused = true)]
async fn only_what_has_not_ended_is_delivered_again() {
    let stream = TestStream::new(4, 10).await;
    let process = |batch: Vec<Entry>| {
        stream.record_delivery(&batch);
        async move {
            let mut report = all_ended(&batch);
            if batch.len() == 4 {
                report.ended.remove(1);
                report.first_unfinished = Some(SequenceNumber::from("2"));
            }
            report
        }
    };
    assert_eq!(stream.poller(false).run(process).await.unwrap(), PollerEnd::Drained);
    assert_eq!(stream.deliveries(), [delivery("1", 4, 0), delivery("2", 1, 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_poller_ends_with_what_the_pipeline_says() {
    for reason in [Stopped::BreakerOpen, Stopped::WindowClosed, Stopped::Storage("the disk is full".into())] {
        let stream = TestStream::new(1, 10).await;
        let process = |batch: Vec<Entry>| {
            let reason = reason.clone();
            async move { none_ended(&batch, Some(reason)) }
        };
        assert_eq!(stream.poller(false).run(process).await.unwrap(), PollerEnd::Left(reason.clone()));
        assert_eq!(stream.pending().await, 1);
    }
    let stream = TestStream::new(1, 10).await;
    let process = |batch: Vec<Entry>| async move { none_ended(&batch, Some(Stopped::Asked)) };
    assert_eq!(stream.poller(false).run(process).await.unwrap(), PollerEnd::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_watching_poller_outlives_a_closed_gate_and_a_drained_stream() {
    let stream = TestStream::new(1, 10).await;
    let process = |batch: Vec<Entry>| {
        stream.record_delivery(&batch);
        let tried = stream.deliveries().len();
        async move { if tried == 1 { none_ended(&batch, Some(Stopped::BreakerOpen)) } else { all_ended(&batch) } }
    };
    let operator = async {
        sleep(Duration::from_secs(10)).await;
        stream.feed(2).await;
        sleep(Duration::from_secs(10)).await;
        stream.stop.send_replace(true);
    };
    let poller = stream.poller(true);
    let (ended, ()) = tokio::join!(poller.run(process), operator);
    assert_eq!(ended.unwrap(), PollerEnd::Stopped);
    assert_eq!(stream.deliveries(), [delivery("1", 1, 0), delivery("1", 1, 1), delivery("2", 2, 10)]);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_mapping_delivers_nothing_until_it_is_enabled() {
    let stream = TestStream::new(1, 10).await;
    stream.enable(false).await;
    let process = |batch: Vec<Entry>| {
        stream.record_delivery(&batch);
        stream.stop.send_replace(true);
        async move { all_ended(&batch) }
    };
    assert_eq!(stream.poller(false).run(process).await.unwrap(), PollerEnd::Disabled);
    let poller = stream.poller(true);
    let operator = async {
        sleep(Duration::from_secs(30)).await;
        stream.enable(true).await;
    };
    let (ended, ()) = tokio::join!(poller.run(process), operator);
    assert_eq!(ended.unwrap(), PollerEnd::Stopped);
    assert_eq!(stream.deliveries(), [delivery("1", 1, 30)]);
}

#[tokio::test(start_paused = true)]
async fn two_pollers_never_deliver_the_same_batch_however_long_it_takes() {
    let stream = TestStream::new(3, 1).await;
    let process = |batch: Vec<Entry>| {
        stream.record_delivery(&batch);
        async move {
            // Many times the lease: it has to be renewed meanwhile.
            sleep(Duration::from_secs(60)).await;
            all_ended(&batch)
        }
    };
    let (one, other) = (stream.poller(false), stream.poller(false));
    let (one, other) = tokio::join!(one.run(process), other.run(process));
    assert_eq!((one.unwrap(), other.unwrap()), (PollerEnd::Drained, PollerEnd::Drained));
    let delivered: Vec<_> = stream.deliveries().into_iter().map(|(first, _, _)| first).collect();
    assert_eq!(delivered, ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn the_stream_of_a_poller_that_crashed_is_taken_over_when_its_lease_ends() {
    let stream = TestStream::new(1, 10).await;
    let crashed = stream.poller(false);
    crashed.hold().await.unwrap();
    let process = |batch: Vec<Entry>| {
        stream.record_delivery(&batch);
        async move { all_ended(&batch) }
    };
    assert_eq!(stream.poller(false).run(process).await.unwrap(), PollerEnd::Drained);
    assert_eq!(stream.deliveries(), [delivery("1", 1, 6)]);
}

/// Entry 1 waits for `seconds`, `times` times; the others end.
fn first_waits(stream: &TestStream, batch: &[Entry], seconds: u64, times: usize) -> Report {
    let mut report = all_ended(batch);
    let tried = stream.deliveries().iter().filter(|(first, _, _)| first == "1").count();
    if batch.iter().any(|entry| *entry.sequence.0 == *"1") && tried <= times {
        report.ended.retain(|(sequence, _)| *sequence.0 != *"1");
        let until = stream.clock.now() + Duration::from_secs(seconds);
        report.waiting = vec![Waiting { sequence: "1".into(), until }];
        report.first_unfinished = Some("1".into());
    }
    report
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_waits_holds_up_no_others() {
    let stream = TestStream::new(74, 10).await;
    let process = |batch: Vec<Entry>| {
        stream.record_delivery(&batch);
        let report = first_waits(&stream, &batch, 30, 10);
        async move { report }
    };
    assert_eq!(stream.poller(false).run(process).await.unwrap(), PollerEnd::Drained);
    let deliveries = stream.deliveries();
    let fresh: Vec<_> = deliveries.iter().take(8).map(|(_, count, at)| (*count, *at)).collect();
    assert_eq!(fresh, [(10, 0), (10, 0), (10, 0), (10, 0), (10, 0), (10, 0), (10, 0), (4, 0)], "{deliveries:?}");
    let again: Vec<_> = deliveries.iter().skip(8).map(|(first, count, at)| (first.as_str(), *count, *at)).collect();
    let expected: Vec<_> = (1..=10).map(|time| ("1", 1, time * 30)).collect();
    assert_eq!(again, expected, "when it is due, and then at once");
    assert_eq!(stream.pending().await, 0);
}

/// A batch may take many minutes.
#[tokio::test(start_paused = true)]
async fn an_entry_that_becomes_due_is_handed_in_to_the_batch_in_progress() {
    let stream = TestStream::new(4, 2).await;
    let handed_in = std::sync::Mutex::new(Vec::new());
    let process = |batch: Vec<Entry>, mut due: DueEntries| {
        stream.record_delivery(&batch);
        let mut report = first_waits(&stream, &batch, 30, 1);
        let (stream, handed_in) = (&stream, &handed_in);
        async move {
            if report.waiting.is_empty() {
                let start = stream.began.elapsed();
                let entries = due.next().await.unwrap();
                handed_in.lock().unwrap().push((entries.len(), (stream.began.elapsed() - start).as_secs()));
                report.ended.extend(all_ended(&entries).ended);
                sleep(Duration::from_secs(300)).await;
            }
            report
        }
    };
    assert_eq!(stream.poller(false).run_with_due(process).await.unwrap(), PollerEnd::Drained);
    assert_eq!(stream.deliveries(), [delivery("1", 2, 0), delivery("3", 2, 0)], "it is not delivered once more");
    assert_eq!(*handed_in.lock().unwrap(), [(1, 30)]);
    assert_eq!(stream.pending().await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_the_batch_does_not_take_is_delivered_with_the_next() {
    for takes in [false, true] {
        let stream = TestStream::new(4, 2).await;
        let process = |batch: Vec<Entry>, due: DueEntries| {
            stream.record_delivery(&batch);
            let report = first_waits(&stream, &batch, 30, 1);
            async move {
                // Either the batch takes none any more, or it ends before it looks.
                let kept = takes.then_some(due);
                if report.waiting.is_empty() {
                    sleep(Duration::from_secs(60)).await;
                }
                drop(kept);
                report
            }
        };
        assert_eq!(stream.poller(false).run_with_due(process).await.unwrap(), PollerEnd::Drained);
        assert_eq!(stream.deliveries(), [delivery("1", 2, 0), delivery("3", 2, 0), delivery("1", 1, 60)]);
        assert_eq!(stream.pending().await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_longer_than_the_poller_ends_it() {
    let stream = TestStream::new(3, 10).await;
    let process = |batch: Vec<Entry>| {
        stream.record_delivery(&batch);
        let report = first_waits(&stream, &batch, 3_600, 1);
        async move { report }
    };
    let due = stream.clock.now() + Duration::from_secs(3_600);
    let PollerEnd::Waiting { entries, until } = stream.poller(false).run(process).await.unwrap() else {
        panic!("it waited");
    };
    assert_eq!((entries, until.duration_since(due).as_secs()), (1, 0));
    assert!(stream.began.elapsed() < Duration::from_secs(1));
    assert_eq!(stream.pending().await, 1);

    // One that watches fetches it when it is due, and others meanwhile.
    stream.deliveries.lock().unwrap().clear();
    let operator = async {
        sleep(Duration::from_secs(600)).await;
        stream.feed(1).await;
        sleep(Duration::from_secs(3_600)).await;
        stream.stop.send_replace(true);
    };
    let poller = stream.poller(true);
    let (ended, ()) = tokio::join!(poller.run(process), operator);
    assert_eq!(ended.unwrap(), PollerEnd::Stopped);
    assert_eq!(stream.deliveries(), [delivery("1", 1, 0), delivery("4", 1, 600), delivery("1", 1, 3_600)]);
    assert_eq!(stream.pending().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_poller_says_until_when_nothing_is_due() {
    let stream = TestStream::new(1, 10).await;
    let says = watch::Sender::new(None);
    let heard = std::sync::Mutex::new(Vec::new());
    let process = |batch: Vec<Entry>| {
        stream.record_delivery(&batch);
        heard.lock().unwrap().push(says.borrow().is_some());
        let report = first_waits(&stream, &batch, 20, 1);
        async move { report }
    };
    let listening = async {
        sleep(Duration::from_secs(10)).await;
        assert!(says.borrow().is_some());
    };
    let poller = stream.poller(false).with_idle_signal(says.clone());
    let (ended, ()) = tokio::join!(poller.run(process), listening);
    assert_eq!(ended.unwrap(), PollerEnd::Drained);
    assert_eq!(*heard.lock().unwrap(), [false, false], "not while something is delivered");
}

#[test]
fn fresh_entries_are_held_back_while_too_many_are_left() {
    let mut redeliveries = Redeliveries::default();
    let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
    let later = now + Duration::from_secs(60);
    let names: Vec<SequenceNumber> = (1..=MAX_REDELIVERIES as u64).map(SequenceNumber::from).collect();
    let waiting = |until| names.iter().map(|name| Waiting { sequence: name.clone(), until }).collect();
    let report = Report { waiting: waiting(later), ..Report::default() };
    assert!(!redeliveries.record_batch(&names, &report));
    let query = redeliveries.next_query(now, 500);
    assert_eq!((query.due.len(), query.fresh), (0, 0), "an API that fails for most does not run through the stream");
    assert_eq!(redeliveries.next_due(), Some(later));
    let query = redeliveries.next_query(later, 500);
    assert_eq!((query.due.first(), query.due.len(), query.fresh), (Some(&1), 500, 0));
    redeliveries.forget(&query.due);
    let query = redeliveries.next_query(now, 500);
    assert_eq!((query.fresh, query.after), (500, MAX_REDELIVERIES as i64));
}
