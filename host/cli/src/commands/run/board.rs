//! How the run goes, for whoever watches: a line for each provider, and what they wait for, said once.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use damper_core::control::admission::{BreakerStatus, LimiterSnapshot};
use damper_core::pipeline::progress::Snapshot;
use damper_local::Counts;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::film::Film;
use super::summary::Outcome;
use super::worker::Worker;
use crate::context::Context;
use crate::error::CliError;
use crate::screen::Screen;

/// How often numbers are looked at.
const TICK: Duration = Duration::from_millis(500);
/// How often a line is written where there is no terminal.
const PLAIN_LINE: Duration = Duration::from_secs(10);
/// Over how long the rate is taken.
const RATE_SPAN: Duration = Duration::from_secs(10);
/// A learned rate is tried upwards for as long as nothing refuses it; from here on it holds nothing back, and is not shown. Starts a second.
const HIGHEST_PACE: f64 = 10_000.0;
/// How long nothing may happen before it is said why.
const SILENCE: Duration = Duration::from_secs(3);

/// All providers' lines.
pub(super) struct Board {
    screen: Screen,
    rows: Vec<Row>,
    films: Vec<Film>,
    ticks: Interval,
    written: Instant,
}

struct Row {
    worker: Arc<Worker>,
    bar: ProgressBar,
    counts: Counts,
    /// Entries of a batch, as the mapping says; 0 before it was read.
    batch_size: u32,
    /// How many had ended in this run, and when.
    samples: VecDeque<(Instant, u64)>,
    /// When something happened last.
    busy: Instant,
    /// What was written last.
    written: Snapshot,
    /// What was said last of waiting.
    said: Option<&'static str>,
    is_over: bool,
}

impl Board {
    /// `charts`: whether the runs are to be taken down for [`Board::write_charts`].
    pub(super) fn new(context: &Context, workers: &[Arc<Worker>], charts: bool) -> Self {
        let screen = context.screen.clone();
        let width = workers.iter().map(|worker| worker.name().len()).max().unwrap_or_default();
        let rows = workers.iter().map(|worker| Row::new(&screen, Arc::clone(worker), width)).collect();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let films = if charts { workers.iter().cloned().map(Film::new).collect() } else { Vec::new() };
        Self { screen, rows, films, ticks, written: Instant::now() }
    }

    /// Wait for the next look at the numbers, and take it.
    pub(super) async fn tick(&mut self) {
        self.ticks.tick().await;
        for film in &mut self.films {
            film.look().await;
        }
        let is_line_due = self.written.elapsed() >= PLAIN_LINE;
        if is_line_due {
            self.written = Instant::now();
        }
        for row in self.rows.iter_mut().filter(|row| !row.is_over) {
            row.look(&self.screen).await;
            if is_line_due && !self.screen.is_terminal() && row.has_news() {
                self.screen.say(format!("{}: {}", row.worker.name(), row.text()));
            }
        }
    }

    /// Write the charts, and say where.
    ///
    /// # Errors
    /// Where one cannot be written.
    pub(super) async fn write_charts(&mut self, folder: &Path) -> Result<(), CliError> {
        for mut film in self.films.drain(..) {
            film.look().await;
            let path = film.write(folder)?;
            self.screen.say(format!("chart: {}", path.display()));
        }
        Ok(())
    }

    /// A provider has ended: say why, if it is not done.
    pub(super) async fn end(&mut self, worker: &Arc<Worker>, outcome: &Outcome) {
        let Some(row) = self.rows.iter_mut().find(|row| Arc::ptr_eq(&row.worker, worker)) else { return };
        row.is_over = true;
        row.refresh().await;
        row.bar.finish_and_clear();
        match outcome {
            Outcome::Failed(error) => self.screen.error(error),
            Outcome::Stopped(_) if worker.is_told_of_breaker() => {}
            Outcome::Stopped(error) => self.screen.error(error),
            Outcome::Done
            | Outcome::Interrupted
            | Outcome::WindowClosed(_)
            | Outcome::QuotaSpent(_)
            | Outcome::Waiting { .. }
            | Outcome::Paused => {}
        }
    }
}

impl Row {
    fn new(screen: &Screen, worker: Arc<Worker>, width: usize) -> Self {
        let bar = if screen.is_terminal() { screen.bars().add(ProgressBar::new(1)) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template(&format!("{{prefix:{width}}} {{bar:12}} {{wide_msg}}")) {
            bar.set_style(style);
        }
        bar.set_prefix(worker.name().to_owned());
        let now = Instant::now();
        Self {
            worker,
            bar,
            counts: Counts::default(),
            batch_size: 0,
            samples: VecDeque::new(),
            busy: now,
            written: Snapshot::default(),
            said: None,
            is_over: false,
        }
    }

    /// Whether something happened since a line was written.
    fn has_news(&mut self) -> bool {
        let snapshot = self.worker.snapshot();
        std::mem::replace(&mut self.written, snapshot) != snapshot || snapshot.in_flight > 0
    }

    async fn look(&mut self, screen: &Screen) {
        self.refresh().await;
        self.notice_breaker(screen).await;
        self.notice_waiting(screen);
        self.bar.set_length(self.counts.fed);
        self.bar.set_position(self.counts.fed.saturating_sub(self.left()));
        self.bar.set_message(self.text());
    }

    async fn refresh(&mut self) {
        // A database that fails is told of by the worker.
        if let Ok(counts) = self.worker.counts().await {
            self.counts = counts;
        }
        if let Some(mapping) = self.worker.mapping().await {
            self.batch_size = mapping.batch_size;
        }
        let (now, ended) = (Instant::now(), self.ended());
        let snapshot = self.worker.snapshot();
        if snapshot.in_flight > 0 || self.samples.back().is_none_or(|(_, before)| *before != ended) {
            self.busy = now;
            self.said = None;
        }
        self.samples.push_back((now, ended));
        while self.samples.len() > 2 && self.samples.front().is_some_and(|(at, _)| now.duration_since(*at) > RATE_SPAN)
        {
            self.samples.pop_front();
        }
    }

    /// In a watch the breaker may open and close again while we run.
    async fn notice_breaker(&mut self, screen: &Screen) {
        match self.worker.stopped().await {
            Ok(Some(error)) => {
                if !self.worker.is_told_of_breaker() {
                    screen.error(&error);
                }
            }
            Ok(None) => {
                if self.worker.forget_breaker() {
                    self.busy = Instant::now();
                    screen.say(format!("{} goes on: its breaker is closed", self.worker.name()));
                }
            }
            // A database that fails is told of by the worker.
            Err(_) => {}
        }
    }

    fn notice_waiting(&mut self, screen: &Screen) {
        if self.counts.pending == 0 || self.worker.is_stopped() || self.busy.elapsed() < SILENCE {
            return;
        }
        let (kind, text) = match self.worker.closed_window() {
            Some(opens) => ("window", format!("the window is closed; {opens}")),
            None if self.worker.reading().breaker != BreakerStatus::Closed => {
                ("breaker", "the API fails; it is tried again by itself, ever more seldom".to_owned())
            }
            None if self.worker.reading().gate.is_some() => {
                ("gate", "the API asked to be left alone for a while (Retry-After)".to_owned())
            }
            None if let Some(until) = self.worker.idle_until() => (
                "attempt",
                format!("nothing is left but items that wait for their next attempt, the first until {until}"),
            ),
            None if !self.worker.is_delivering() => {
                ("lease", "another run delivers this stream; this one takes over when it ends".to_owned())
            }
            None => (
                "slots",
                "nothing is due: items wait for their next attempt, or other runs have the slots or the claims"
                    .to_owned(),
            ),
        };
        if self.said != Some(kind) {
            self.said = Some(kind);
            screen.say(format!("{} waits: {text}", self.worker.name()));
        }
    }

    /// How many have ended in this run.
    fn ended(&self) -> u64 {
        let snapshot = self.worker.snapshot();
        snapshot.fetched.saturating_add(snapshot.skipped).saturating_add(snapshot.dead)
    }

    /// How many are left. The stream counts a batch at its end; the pipeline counts at once.
    fn left(&self) -> u64 {
        let since_batch = self.ended().saturating_sub(self.recorded());
        self.counts.pending.saturating_sub(since_batch)
    }

    /// How many of this run's ends the stream has counted.
    fn recorded(&self) -> u64 {
        let (did, _) = self.worker.did(&self.counts);
        did.sum()
    }

    fn rate(&self) -> f64 {
        let (Some((begun, before)), Some((now, after))) = (self.samples.front(), self.samples.back()) else {
            return 0.0;
        };
        let seconds = now.duration_since(*begun).as_secs_f64();
        if seconds > 0.0 { after.saturating_sub(*before) as f64 / seconds } else { 0.0 }
    }

    fn text(&self) -> String {
        let snapshot = self.worker.snapshot();
        let (rate, left, reading) = (self.rate(), self.left(), self.worker.reading());
        let eta = match left {
            0 => "0s".to_owned(),
            _ if rate > 0.0 => short(left as f64 / rate),
            _ => "?".to_owned(),
        };
        // What matters most stands first: a narrow terminal cuts the end.
        format!(
            "{rate:.0}/s, eta {eta}; {} of {} in flight, batch {}, {}; {} done, {} skipped, {} retried, {} dead, {left} left",
            snapshot.in_flight,
            reading.limit,
            self.batch_size,
            breaker(&reading),
            snapshot.fetched,
            snapshot.skipped,
            snapshot.retried,
            snapshot.dead,
        )
    }
}

/// The breaker's state for people, and the learned rate where there is one.
fn breaker(reading: &LimiterSnapshot) -> String {
    let state = match reading.breaker {
        BreakerStatus::Closed => "breaker closed",
        BreakerStatus::Open { .. } => "breaker open",
        BreakerStatus::HalfOpen { .. } => "breaker half-open",
    };
    let rate = reading.rate.filter(|rate| *rate < HIGHEST_PACE);
    rate.map_or_else(|| state.to_owned(), |rate| format!("{state}, paced at {rate:.1}/s"))
}

/// A length of time for people.
pub(crate) fn short(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_shown_where_there_is_one() {
        let shown = |rate| {
            breaker(&LimiterSnapshot { limit: 4, breaker: BreakerStatus::Closed, gate: None, rate, phase: "hold" })
        };
        assert_eq!(shown(None), "breaker closed");
        assert_eq!(shown(Some(2.5)), "breaker closed, paced at 2.5/s");
        assert_eq!(shown(Some(1e6)), "breaker closed", "it holds nothing back");
    }
}
