//! The progress of a run: a line for each provider, and the reason for each wait, reported once.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use damper_core::admin::Counts;
use damper_core::control::admission::{BreakerStatus, LimiterSnapshot};
use damper_core::pipeline::progress::Snapshot;
use damper_runner::{EndRate, Outcome, Worker};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::chart_recorder::ChartRecorder;
use crate::context::Context;
use crate::error::CliError;
use crate::screen::Screen;

/// How often numbers are looked at.
const TICK: Duration = Duration::from_millis(500);
/// How often a line is written where there is no terminal.
const PLAIN_LINE: Duration = Duration::from_secs(10);
/// A learned rate is raised as long as no request is refused. From here on it limits nothing and is not shown. Starts
/// per second.
const HIGHEST_PACE: f64 = 10_000.0;
/// How long nothing may happen before it is said why.
const SILENCE: Duration = Duration::from_secs(3);

/// All providers' lines.
pub(super) struct ProgressDisplay {
    screen: Screen,
    rows: Vec<ProviderRow>,
    recorders: Vec<ChartRecorder>,
    ticks: Interval,
    written: Instant,
}

struct ProviderRow {
    worker: Arc<Worker>,
    bar: ProgressBar,
    counts: Counts,
    /// Entries of a batch, as the mapping says; 0 before it was read.
    batch_size: u32,
    /// How fast entries end in this run.
    rate: EndRate,
    /// When something happened last.
    busy: Instant,
    /// The counters of the last written line.
    written: Snapshot,
    /// The reason for waiting that was reported last.
    last_reported: Option<&'static str>,
    is_over: bool,
}

impl ProgressDisplay {
    /// `charts`: whether the runs are to be taken down for [`ProgressDisplay::write_charts`].
    pub(super) fn new(context: &Context, workers: &[Arc<Worker>], charts: bool) -> Self {
        let screen = context.screen.clone();
        let width = workers.iter().map(|worker| worker.name().len()).max().unwrap_or_default();
        let rows = workers.iter().map(|worker| ProviderRow::new(&screen, Arc::clone(worker), width)).collect();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let recorders = if charts { workers.iter().cloned().map(ChartRecorder::new).collect() } else { Vec::new() };
        Self { screen, rows, recorders, ticks, written: Instant::now() }
    }

    /// A line for one more worker; of an earlier one of the same provider that has ended, in its place.
    pub(super) fn add(&mut self, worker: &Arc<Worker>) {
        self.rows.retain(|row| !row.is_over || row.worker.name() != worker.name());
        let width = self.rows.iter().map(|row| row.worker.name().len()).max().unwrap_or_default();
        self.rows.push(ProviderRow::new(&self.screen, Arc::clone(worker), width.max(worker.name().len())));
    }

    /// Wait for the next look at the numbers, and take it.
    pub(super) async fn tick(&mut self) {
        self.ticks.tick().await;
        for recorder in &mut self.recorders {
            recorder.record_events().await;
        }
        let is_line_due = self.written.elapsed() >= PLAIN_LINE;
        if is_line_due {
            self.written = Instant::now();
        }
        for row in self.rows.iter_mut().filter(|row| !row.is_over) {
            row.redraw(&self.screen).await;
            if is_line_due && !self.screen.is_terminal() && row.has_news() {
                self.screen.say(format!("{}: {}", row.worker.name(), row.text()));
            }
        }
    }

    /// Write the charts, and say where.
    ///
    /// # Errors
    /// If one cannot be written.
    pub(super) async fn write_charts(&mut self, folder: &Path) -> Result<(), CliError> {
        for mut recorder in self.recorders.drain(..) {
            recorder.record_events().await;
            let path = recorder.write(folder)?;
            self.screen.say(format!("chart: {}", path.display()));
        }
        Ok(())
    }

    /// A provider has ended: say why, if it is not done.
    pub(super) async fn on_worker_ended(&mut self, worker: &Arc<Worker>, outcome: &Outcome<CliError>) {
        let Some(row) = self.rows.iter_mut().find(|row| Arc::ptr_eq(&row.worker, worker)) else { return };
        row.is_over = true;
        row.refresh().await;
        row.bar.finish_and_clear();
        match outcome {
            Outcome::Failed(error) => self.screen.error(error),
            Outcome::Stopped(_) if worker.mark_breaker_reported() => {}
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

impl ProviderRow {
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
            rate: EndRate::default(),
            busy: now,
            written: Snapshot::default(),
            last_reported: None,
            is_over: false,
        }
    }

    /// Whether something happened since a line was written.
    fn has_news(&mut self) -> bool {
        let snapshot = self.worker.snapshot();
        std::mem::replace(&mut self.written, snapshot) != snapshot || snapshot.in_flight > 0
    }

    async fn redraw(&mut self, screen: &Screen) {
        self.refresh().await;
        self.report_breaker(screen).await;
        self.report_waiting(screen);
        self.bar.set_length(self.counts.fed);
        self.bar.set_position(self.counts.fed.saturating_sub(self.left_count()));
        self.bar.set_message(self.text());
    }

    async fn refresh(&mut self) {
        // The worker reports a database that fails.
        if let Ok(counts) = self.worker.counts().await {
            self.counts = counts;
        }
        if let Some(mapping) = self.worker.mapping().await {
            self.batch_size = mapping.batch_size;
        }
        let (now, ended) = (Instant::now(), self.ended_count());
        let has_ended_more = self.rate.sample(now, ended);
        if has_ended_more || self.worker.snapshot().in_flight > 0 {
            self.busy = now;
            self.last_reported = None;
        }
    }

    /// In a watch the breaker may open and close again while we run.
    async fn report_breaker(&mut self, screen: &Screen) {
        match self.worker.find_stop_error().await {
            Ok(Some(error)) => {
                if !self.worker.mark_breaker_reported() {
                    screen.error(&error.into());
                }
            }
            Ok(None) => {
                if self.worker.clear_breaker_reported() {
                    self.busy = Instant::now();
                    screen.say(format!("{} continues: its breaker is closed", self.worker.name()));
                }
            }
            // The worker reports a database that fails.
            Err(_) => {}
        }
    }

    fn report_waiting(&mut self, screen: &Screen) {
        if self.counts.pending == 0 || self.worker.has_reported_breaker() || self.busy.elapsed() < SILENCE {
            return;
        }
        let (kind, text) = self.worker.waiting_reason();
        if self.last_reported != Some(kind) {
            self.last_reported = Some(kind);
            screen.say(format!("{} waits: {text}", self.worker.name()));
        }
    }

    /// How many have ended in this run.
    fn ended_count(&self) -> u64 {
        let snapshot = self.worker.snapshot();
        snapshot.fetched.saturating_add(snapshot.skipped).saturating_add(snapshot.dead)
    }

    /// How many are left. The stream counts a batch at its end; the pipeline counts at once.
    fn left_count(&self) -> u64 {
        let since_batch = self.ended_count().saturating_sub(self.recorded_count());
        self.counts.pending.saturating_sub(since_batch)
    }

    /// How many of this run's ends the stream has counted.
    fn recorded_count(&self) -> u64 {
        let (totals, _) = self.worker.totals(&self.counts);
        totals.sum()
    }

    fn text(&self) -> String {
        let snapshot = self.worker.snapshot();
        let (rate, left, reading) = (self.rate.per_second(), self.left_count(), self.worker.reading());
        let eta = match left {
            0 => "0s".to_owned(),
            _ if rate > 0.0 => short_duration(left as f64 / rate),
            _ => "?".to_owned(),
        };
        // The most important values come first: a narrow terminal cuts the end.
        format!(
            "{rate:.0}/s, eta {eta}; {} of {} in flight, batch {}, {}; {} done, {} skipped, {} retried, {} dead, {left} left",
            snapshot.in_flight,
            reading.limit,
            self.batch_size,
            breaker_text(&reading),
            snapshot.fetched,
            snapshot.skipped,
            snapshot.retried,
            snapshot.dead,
        )
    }
}

/// The breaker's state for people, and the learned rate if there is one.
fn breaker_text(reading: &LimiterSnapshot) -> String {
    let state = match reading.breaker {
        BreakerStatus::Closed => "breaker closed",
        BreakerStatus::Open { .. } => "breaker open",
        BreakerStatus::HalfOpen { .. } => "breaker half-open",
    };
    let rate = reading.rate.filter(|rate| *rate < HIGHEST_PACE);
    rate.map_or_else(|| state.to_owned(), |rate| format!("{state}, paced at {rate:.1}/s"))
}

/// A length of time for people.
pub(crate) fn short_duration(seconds: f64) -> String {
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
            breaker_text(&LimiterSnapshot { limit: 4, breaker: BreakerStatus::Closed, gate: None, rate, phase: "hold" })
        };
        assert_eq!(shown(None), "breaker closed");
        assert_eq!(shown(Some(2.5)), "breaker closed, paced at 2.5/s");
        assert_eq!(shown(Some(1e6)), "breaker closed", "it holds nothing back");
    }
}
