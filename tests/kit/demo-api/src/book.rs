//! The bookkeeping: requests in flight, responses by status, and fetches by id.
//!
//! One lock, held for a few map operations; what it counts is exact at every moment. No sockets here.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// How many ids [`Stats::examples_fetched_more_than_once_ok`] names.
const EXAMPLES: usize = 20;

/// Counts since the start or the last reset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Record requests whose head has been read.
    pub requests: u64,
    /// Record requests being handled now.
    pub in_flight: u64,
    /// The most record requests handled at the same time. A request counts from when its head has been
    /// read until its answer's last byte is handed to the connection or its client is gone (with
    /// `keep_working`: until its latency has passed).
    pub peak_in_flight: u64,
    /// Answers handed over whole, by status.
    pub by_status: BTreeMap<u16, u64>,
    /// Requests whose client left before the answer's last byte.
    pub client_left: u64,
    /// Requests that met an outage of mode `refuse`.
    pub refused: u64,
    /// Ids of which a whole record was handed over at least once.
    pub ids_fetched_ok: u64,
    /// Ids of which a whole record was handed over more than once.
    pub ids_fetched_more_than_once_ok: u64,
    /// Whole records handed over beyond the first of each id.
    pub extra_fetches_ok: u64,
    /// The first of the ids fetched more than once, at most 20.
    pub examples_fetched_more_than_once_ok: Vec<String>,
    /// Log lines no longer kept, because there were more than `log_max`.
    pub log_dropped: u64,
}

/// One finished record request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Counts requests in the order their heads were read, from 1; a reset does not start it again.
    pub seq: u64,
    /// The id, percent-decoded (as sent, where it cannot be decoded).
    pub id: String,
    /// The answer's status; None if no whole answer was handed over.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
    /// When the head had been read: milliseconds since 1970 (wall clock at the start, steady from there).
    pub started_ms: u64,
    /// When it stopped counting as in flight, likewise.
    pub finished_ms: u64,
    /// How many were in flight then, this one included.
    pub in_flight_at_start: u64,
}

/// How a record request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A whole record was handed over.
    Record,
    /// Another whole answer was: an error, half a JSON, a redirect.
    Answer,
    /// The client went away first.
    ClientLeft,
    /// An outage closed the connection.
    Refused,
    /// The server stopped first.
    Stopped,
}

/// A request in flight.
#[derive(Debug)]
pub(crate) struct Entry {
    seq: u64,
    id: String,
    started_ms: u64,
    /// In flight when this one began, itself included.
    pub(crate) in_flight_at_start: u64,
    resets: u64,
}

/// How a request ended, for [`Book::finish`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) status: Option<u16>,
    pub(crate) outcome: Outcome,
}

/// All bookkeeping, behind one lock.
#[derive(Debug, Default)]
pub(crate) struct Book(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    stats: Stats,
    seq: u64,
    resets: u64,
    log: VecDeque<LogLine>,
    log_max: usize,
    log_file: Option<File>,
    ids: HashMap<String, Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    draws: u64,
    ok: u64,
}

impl Book {
    pub(crate) fn new(log_max: usize, log_file: Option<File>) -> Self {
        Self(Mutex::new(Pages { log_max, log_file, ..Pages::default() }))
    }

    /// A request's head has been read.
    pub(crate) fn begin(&self, id: String, now_ms: u64) -> Entry {
        let mut pages = self.pages();
        pages.seq += 1;
        let seq = pages.seq;
        let resets = pages.resets;
        let stats = &mut pages.stats;
        stats.requests += 1;
        stats.in_flight += 1;
        stats.peak_in_flight = stats.peak_in_flight.max(stats.in_flight);
        Entry { seq, id, started_ms: now_ms, in_flight_at_start: stats.in_flight, resets }
    }

    /// How often chance has been asked about this id before; counts this time.
    pub(crate) fn next_draw(&self, id: &str) -> u64 {
        let mut pages = self.pages();
        let counts = pages.counts(id);
        counts.draws += 1;
        counts.draws - 1
    }

    /// A request is no longer in flight.
    pub(crate) fn finish(&self, entry: Entry, end: End, now_ms: u64) {
        let mut pages = self.pages();
        pages.stats.in_flight = pages.stats.in_flight.saturating_sub(1);
        let line = LogLine {
            seq: entry.seq,
            id: entry.id,
            status: end.status,
            outcome: end.outcome,
            started_ms: entry.started_ms,
            finished_ms: now_ms,
            in_flight_at_start: entry.in_flight_at_start,
        };
        pages.append_to_file(&line);
        // A request that began before a reset is not counted.
        if entry.resets == pages.resets {
            pages.count(&line);
            pages.keep(line);
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        self.pages().stats.clone()
    }

    pub(crate) fn log(&self) -> Vec<LogLine> {
        self.pages().log.iter().cloned().collect()
    }

    pub(crate) fn keep_lines(&self, log_max: usize) {
        let mut pages = self.pages();
        pages.log_max = log_max;
        pages.drop_old_lines();
    }

    /// Forgets everything but what is in flight.
    pub(crate) fn reset(&self) {
        let mut pages = self.pages();
        let in_flight = pages.stats.in_flight;
        pages.stats = Stats { in_flight, peak_in_flight: in_flight, ..Stats::default() };
        pages.resets += 1;
        pages.log.clear();
        pages.ids.clear();
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn counts(&mut self, id: &str) -> &mut Counts {
        self.ids.entry(id.to_owned()).or_default()
    }

    fn count(&mut self, line: &LogLine) {
        match line.outcome {
            Outcome::Refused => self.stats.refused += 1,
            Outcome::ClientLeft => self.stats.client_left += 1,
            Outcome::Record | Outcome::Answer | Outcome::Stopped => {}
        }
        if let Some(status) = line.status {
            *self.stats.by_status.entry(status).or_default() += 1;
        }
        if line.outcome == Outcome::Record {
            self.count_record(&line.id);
        }
    }

    fn count_record(&mut self, id: &str) {
        let counts = self.counts(id);
        counts.ok += 1;
        let ok = counts.ok;
        let stats = &mut self.stats;
        match ok {
            1 => stats.ids_fetched_ok += 1,
            2 => {
                stats.ids_fetched_more_than_once_ok += 1;
                if stats.examples_fetched_more_than_once_ok.len() < EXAMPLES {
                    stats.examples_fetched_more_than_once_ok.push(id.to_owned());
                }
            }
            _ => {}
        }
        stats.extra_fetches_ok += u64::from(ok > 1);
    }

    fn keep(&mut self, line: LogLine) {
        self.log.push_back(line);
        self.drop_old_lines();
    }

    fn drop_old_lines(&mut self) {
        while self.log.len() > self.log_max {
            self.log.pop_front();
            self.stats.log_dropped += 1;
        }
    }

    /// Line by line and unbuffered, so that a reader of the file sees every request that has finished.
    fn append_to_file(&mut self, line: &LogLine) {
        let Some(file) = &mut self.log_file else { return };
        let written = serde_json::to_vec(line).map_err(std::io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            file.write_all(&line)
        });
        if let Err(error) = written {
            eprintln!("demo API: writing the log file failed, it ends here: {error}");
            self.log_file = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: End = End { status: Some(200), outcome: Outcome::Record };
    const LEFT: End = End { status: None, outcome: Outcome::ClientLeft };

    fn book() -> Book {
        Book::new(10, None)
    }

    #[test]
    fn peak_is_the_most_at_the_same_time() {
        let book = book();
        let (a, b) = (book.begin("a".into(), 1), book.begin("b".into(), 2));
        assert_eq!((a.in_flight_at_start, b.in_flight_at_start), (1, 2));
        book.finish(a, RECORD, 3);
        let c = book.begin("c".into(), 4);
        book.finish(b, LEFT, 5);
        book.finish(c, RECORD, 6);
        let stats = book.stats();
        assert_eq!((stats.requests, stats.in_flight, stats.peak_in_flight), (3, 0, 2));
        assert_eq!(stats.client_left, 1);
        assert_eq!(stats.by_status, BTreeMap::from([(200, 2)]));
        let finished: Vec<_> = book.log().into_iter().map(|line| (line.seq, line.status)).collect();
        assert_eq!(finished, [(1, Some(200)), (2, None), (3, Some(200))]);
    }

    #[test]
    fn only_whole_records_count_as_fetched_again() {
        let book = book();
        let ends = [RECORD, LEFT, End { status: Some(500), outcome: Outcome::Answer }];
        for end in ends {
            book.finish(book.begin("a".into(), 0), end, 0);
        }
        assert_eq!(book.stats().ids_fetched_more_than_once_ok, 0);
        book.finish(book.begin("a".into(), 0), RECORD, 0);
        book.finish(book.begin("a".into(), 0), RECORD, 0);
        let stats = book.stats();
        assert_eq!((stats.ids_fetched_ok, stats.ids_fetched_more_than_once_ok), (1, 1));
        assert_eq!(stats.extra_fetches_ok, 2);
        assert_eq!(stats.examples_fetched_more_than_once_ok, ["a"]);
    }

    #[test]
    fn reset_forgets_all_but_what_is_in_flight() {
        let book = book();
        let over = book.begin("over".into(), 0);
        book.finish(book.begin("a".into(), 0), RECORD, 0);
        assert_eq!(book.next_draw("a"), 0);
        book.reset();
        assert_eq!(book.next_draw("a"), 0);
        assert_eq!(book.stats(), Stats { in_flight: 1, peak_in_flight: 1, ..Stats::default() });
        book.finish(over, RECORD, 0);
        assert_eq!(book.stats(), Stats { peak_in_flight: 1, ..Stats::default() });
        assert_eq!(book.log(), []);
    }

    #[test]
    fn the_log_keeps_the_newest_lines_and_counts_the_dropped() {
        let book = book();
        for n in 0..12 {
            book.finish(book.begin(n.to_string(), 0), RECORD, 0);
        }
        assert_eq!(book.log().first().unwrap().id, "2");
        assert_eq!(book.stats().log_dropped, 2);
        book.keep_lines(0);
        assert_eq!((book.log().len(), book.stats().log_dropped), (0, 12));
    }
}
