use std::sync::{Arc, Mutex};

use bytes::Bytes;
use damper_core::item::SequenceNumber;
use damper_core::mapping::MappingChange;
use damper_core::pipeline::report::{End, Waiting};
use tokio::time::Instant;

use super::*;

struct Bench {
    _folder: tempfile::TempDir,
    database: Database,
    clock: WallClock,
    stop: watch::Sender<bool>,
    /// Each delivery: its first entry, how many, and seconds since the beginning.
    seen: Arc<Mutex<Vec<(String, usize, u64)>>>,
    began: Instant,
}

impl Bench {
    /// A stream of `fed` entries, delivered `batch` at a time.
    async fn new(fed: usize, batch: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join("damper.db")).unwrap();
        let clock = WallClock::from_epoch("2026-11-22T10:00:00Z".parse().unwrap());
        let bench = Self {
            _folder: folder,
            database,
            clock,
            stop: watch::Sender::new(false),
            seen: Arc::default(),
            began: Instant::now(),
        };
        bench.mapping().ensure("demo", batch).await.unwrap();
        bench.feed(fed).await;
        bench
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

    fn note(&self, batch: &[Entry]) {
        let first = batch.first().map(|entry| entry.sequence.to_string()).unwrap_or_default();
        self.seen.lock().unwrap().push((first, batch.len(), self.began.elapsed().as_secs()));
    }

    fn seen(&self) -> Vec<(String, usize, u64)> {
        self.seen.lock().unwrap().clone()
    }

    async fn pending(&self) -> u64 {
        SqliteStream::new(self.database.clone()).counts("demo").await.unwrap().pending
    }
}

fn all(batch: &[Entry]) -> Report {
    Report { ended: batch.iter().map(|entry| (entry.sequence.clone(), End::Fetched)).collect(), ..Report::default() }
}

fn none(batch: &[Entry], stopped: Option<Stopped>) -> Report {
    Report { first_unfinished: batch.first().map(|entry| entry.sequence.clone()), stopped, ..Report::default() }
}

fn number(first: &str, count: usize, seconds: u64) -> (String, usize, u64) {
    (first.to_owned(), count, seconds)
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_drained_in_batches_of_the_mappings_size() {
    let bench = Bench::new(5, 2).await;
    let process = |batch: Vec<Entry>| {
        bench.note(&batch);
        async move { all(&batch) }
    };
    assert_eq!(bench.poller(false).run(process).await.unwrap(), Ended::Drained);
    assert_eq!(bench.seen(), [number("1", 2, 0), number("3", 2, 0), number("5", 1, 0)]);
    assert_eq!(bench.pending().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_exist_is_drained() {
    let bench = Bench::new(0, 2).await;
    let poller =
        Poller::new("nobody", &bench.database, bench.clock.clone(), PollerSettings::default(), bench.stop.subscribe());
    assert_eq!(poller.run(|batch| async move { all(&batch) }).await.unwrap(), Ended::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_which_nothing_ended_is_delivered_again_after_a_pause() {
    let bench = Bench::new(1, 10).await;
    let process = |batch: Vec<Entry>| {
        bench.note(&batch);
        let tried = bench.seen().len();
        async move { if tried < 3 { none(&batch, None) } else { all(&batch) } }
    };
    assert_eq!(bench.poller(false).run(process).await.unwrap(), Ended::Drained);
    assert_eq!(bench.seen(), [number("1", 1, 0), number("1", 1, 1), number("1", 1, 2)]);
}

#[tokio::test(start_paused = true)]
async fn only_what_has_not_ended_is_delivered_again() {
    let bench = Bench::new(4, 10).await;
    let process = |batch: Vec<Entry>| {
        bench.note(&batch);
        async move {
            let mut report = all(&batch);
            if batch.len() == 4 {
                report.ended.remove(1);
                report.first_unfinished = Some(SequenceNumber::from("2"));
            }
            report
        }
    };
    assert_eq!(bench.poller(false).run(process).await.unwrap(), Ended::Drained);
    assert_eq!(bench.seen(), [number("1", 4, 0), number("2", 1, 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_poller_ends_with_what_the_pipeline_says() {
    for reason in [Stopped::BreakerOpen, Stopped::WindowClosed, Stopped::Storage("the disk is full".into())] {
        let bench = Bench::new(1, 10).await;
        let process = |batch: Vec<Entry>| {
            let reason = reason.clone();
            async move { none(&batch, Some(reason)) }
        };
        assert_eq!(bench.poller(false).run(process).await.unwrap(), Ended::Left(reason.clone()));
        assert_eq!(bench.pending().await, 1);
    }
    let bench = Bench::new(1, 10).await;
    let process = |batch: Vec<Entry>| async move { none(&batch, Some(Stopped::Asked)) };
    assert_eq!(bench.poller(false).run(process).await.unwrap(), Ended::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_watching_poller_outlives_a_closed_gate_and_a_drained_stream() {
    let bench = Bench::new(1, 10).await;
    let process = |batch: Vec<Entry>| {
        bench.note(&batch);
        let tried = bench.seen().len();
        async move { if tried == 1 { none(&batch, Some(Stopped::BreakerOpen)) } else { all(&batch) } }
    };
    let operator = async {
        sleep(Duration::from_secs(10)).await;
        bench.feed(2).await;
        sleep(Duration::from_secs(10)).await;
        bench.stop.send_replace(true);
    };
    let poller = bench.poller(true);
    let (ended, ()) = tokio::join!(poller.run(process), operator);
    assert_eq!(ended.unwrap(), Ended::Stopped);
    assert_eq!(bench.seen(), [number("1", 1, 0), number("1", 1, 1), number("2", 2, 10)]);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_mapping_delivers_nothing_until_it_is_enabled() {
    let bench = Bench::new(1, 10).await;
    bench.enable(false).await;
    let process = |batch: Vec<Entry>| {
        bench.note(&batch);
        bench.stop.send_replace(true);
        async move { all(&batch) }
    };
    assert_eq!(bench.poller(false).run(process).await.unwrap(), Ended::Disabled);
    let poller = bench.poller(true);
    let operator = async {
        sleep(Duration::from_secs(30)).await;
        bench.enable(true).await;
    };
    let (ended, ()) = tokio::join!(poller.run(process), operator);
    assert_eq!(ended.unwrap(), Ended::Stopped);
    assert_eq!(bench.seen(), [number("1", 1, 30)]);
}

#[tokio::test(start_paused = true)]
async fn two_pollers_never_deliver_the_same_batch_however_long_it_takes() {
    let bench = Bench::new(3, 1).await;
    let process = |batch: Vec<Entry>| {
        bench.note(&batch);
        async move {
            // Many times the lease: it has to be renewed meanwhile.
            sleep(Duration::from_secs(60)).await;
            all(&batch)
        }
    };
    let (one, other) = (bench.poller(false), bench.poller(false));
    let (one, other) = tokio::join!(one.run(process), other.run(process));
    assert_eq!((one.unwrap(), other.unwrap()), (Ended::Drained, Ended::Drained));
    let delivered: Vec<_> = bench.seen().into_iter().map(|(first, _, _)| first).collect();
    assert_eq!(delivered, ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn the_stream_of_a_poller_that_crashed_is_taken_over_when_its_lease_ends() {
    let bench = Bench::new(1, 10).await;
    let crashed = bench.poller(false);
    crashed.hold().await.unwrap();
    let process = |batch: Vec<Entry>| {
        bench.note(&batch);
        async move { all(&batch) }
    };
    assert_eq!(bench.poller(false).run(process).await.unwrap(), Ended::Drained);
    assert_eq!(bench.seen(), [number("1", 1, 6)]);
}

/// Entry 1 waits for `seconds`, `times` times; the others end.
fn first_waits(bench: &Bench, batch: &[Entry], seconds: u64, times: usize) -> Report {
    let mut report = all(batch);
    let tried = bench.seen().iter().filter(|(first, _, _)| first == "1").count();
    if batch.iter().any(|entry| *entry.sequence.0 == *"1") && tried <= times {
        report.ended.retain(|(sequence, _)| *sequence.0 != *"1");
        let until = bench.clock.now() + Duration::from_secs(seconds);
        report.waiting = vec![Waiting { sequence: "1".into(), until }];
        report.first_unfinished = Some("1".into());
    }
    report
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_waits_holds_up_no_others() {
    let bench = Bench::new(74, 10).await;
    let process = |batch: Vec<Entry>| {
        bench.note(&batch);
        let report = first_waits(&bench, &batch, 30, 10);
        async move { report }
    };
    assert_eq!(bench.poller(false).run(process).await.unwrap(), Ended::Drained);
    let seen = bench.seen();
    let fresh: Vec<_> = seen.iter().take(8).map(|(_, count, at)| (*count, *at)).collect();
    assert_eq!(fresh, [(10, 0), (10, 0), (10, 0), (10, 0), (10, 0), (10, 0), (10, 0), (4, 0)], "{seen:?}");
    let again: Vec<_> = seen.iter().skip(8).map(|(first, count, at)| (first.as_str(), *count, *at)).collect();
    let expected: Vec<_> = (1..=10).map(|time| ("1", 1, time * 30)).collect();
    assert_eq!(again, expected, "when it is due, and then at once");
    assert_eq!(bench.pending().await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_longer_than_the_poller_ends_it() {
    let bench = Bench::new(3, 10).await;
    let process = |batch: Vec<Entry>| {
        bench.note(&batch);
        let report = first_waits(&bench, &batch, 3_600, 1);
        async move { report }
    };
    let due = bench.clock.now() + Duration::from_secs(3_600);
    let Ended::Waiting { entries, until } = bench.poller(false).run(process).await.unwrap() else {
        panic!("it waited");
    };
    assert_eq!((entries, until.duration_since(due).as_secs()), (1, 0));
    assert!(bench.began.elapsed() < Duration::from_secs(1));
    assert_eq!(bench.pending().await, 1);

    // One that watches fetches it when it is due, and others meanwhile.
    bench.seen.lock().unwrap().clear();
    let operator = async {
        sleep(Duration::from_secs(600)).await;
        bench.feed(1).await;
        sleep(Duration::from_secs(3_600)).await;
        bench.stop.send_replace(true);
    };
    let poller = bench.poller(true);
    let (ended, ()) = tokio::join!(poller.run(process), operator);
    assert_eq!(ended.unwrap(), Ended::Stopped);
    assert_eq!(bench.seen(), [number("1", 1, 0), number("4", 1, 600), number("1", 1, 3_600)]);
    assert_eq!(bench.pending().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_poller_says_until_when_nothing_is_due() {
    let bench = Bench::new(1, 10).await;
    let says = watch::Sender::new(None);
    let heard = std::sync::Mutex::new(Vec::new());
    let process = |batch: Vec<Entry>| {
        bench.note(&batch);
        heard.lock().unwrap().push(says.borrow().is_some());
        let report = first_waits(&bench, &batch, 20, 1);
        async move { report }
    };
    let listening = async {
        sleep(Duration::from_secs(10)).await;
        assert!(says.borrow().is_some());
    };
    let poller = bench.poller(false).saying(says.clone());
    let (ended, ()) = tokio::join!(poller.run(process), listening);
    assert_eq!(ended.unwrap(), Ended::Drained);
    assert_eq!(*heard.lock().unwrap(), [false, false], "not while something is delivered");
}

#[test]
fn fresh_entries_are_held_back_while_too_many_are_left() {
    let mut left = Left::default();
    let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
    let later = now + Duration::from_secs(60);
    let names: Vec<SequenceNumber> = (1..=MOST_LEFT as u64).map(SequenceNumber::from).collect();
    let waiting = |until| names.iter().map(|name| Waiting { sequence: name.clone(), until }).collect();
    let report = Report { waiting: waiting(later), ..Report::default() };
    assert!(!left.keep(&names, &report));
    let wanted = left.next(now, 500);
    assert_eq!((wanted.due.len(), wanted.fresh), (0, 0), "an API that fails for most does not run through the stream");
    assert_eq!(left.next_due(), Some(later));
    let wanted = left.next(later, 500);
    assert_eq!((wanted.due.first(), wanted.due.len(), wanted.fresh), (Some(&1), 500, 0));
    left.forget(&wanted.due);
    let wanted = left.next(now, 500);
    assert_eq!((wanted.fresh, wanted.after), (500, MOST_LEFT as i64));
}
