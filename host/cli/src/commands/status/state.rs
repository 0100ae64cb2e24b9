//! All that is known of a provider, gathered, and told to people and scripts.

use damper_core::clock::WallClock;
use damper_core::control::governor::{Forecast, Obstacle, forecast, obstacle};
use damper_core::control::window::Window;
use damper_core::ledger::{Breaker, Control, Ledger};
use damper_core::mapping::{Mapping, MappingState};
use damper_local::{Counts, DayCounts, SqliteLedger, SqliteMapping, SqliteStream};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::counts_in_json;
use crate::config::Config;
use crate::error::CliError;
use crate::provider;

/// Where states are gathered from.
pub(super) struct House {
    pub(super) stream: SqliteStream,
    pub(super) ledger: SqliteLedger,
    pub(super) mapping: SqliteMapping,
    pub(super) clock: WallClock,
    pub(super) config: Config,
}

/// A provider's state.
pub(super) struct State {
    provider: String,
    counts: Counts,
    today: DayCounts,
    control: Control,
    mapping: Option<MappingState>,
    window: Window,
    quota: Option<u64>,
    /// Why window and quota are not known, where they are not.
    unknown: Option<String>,
    now: Timestamp,
}

impl House {
    /// Gather a provider's state.
    pub(super) async fn state(&self, provider: &str) -> Result<State, CliError> {
        let now = self.clock.now();
        let (window, quota, unknown) = match provider::manifest(&self.config, provider) {
            Ok(manifest) => (manifest.window, manifest.limits.daily_quota, None),
            Err(error) => (Window::always_utc(), None, Some(error.to_string())),
        };
        Ok(State {
            counts: self.stream.counts(provider).await?,
            today: self.ledger.day_counts(provider, window.day(now)).await?,
            control: self.ledger.control(provider).await?,
            mapping: self.mapping.read(provider).await.ok(),
            provider: provider.to_owned(),
            window,
            quota,
            unknown,
            now,
        })
    }
}

impl State {
    fn obstacle(&self) -> Option<Obstacle> {
        obstacle(&self.control, &self.window, self.quota, self.now)
    }

    fn quota_left(&self) -> Option<u64> {
        self.control.usage.left(self.window.day(self.now), self.quota)
    }

    fn forecast(&self) -> Forecast {
        forecast(self.counts.pending, self.control.governor.rate, &self.window, self.quota_left(), self.now)
    }

    /// In a word or two, and why.
    fn text(&self) -> String {
        let reason = || match &self.control.breaker {
            Breaker::Open { since, reason, .. } => format!("since {since:.0}: {reason}"),
            Breaker::Closed => String::new(),
        };
        let off = if self.control.governor.disabled.is_some() { ", tried at each tick" } else { "" };
        match self.obstacle() {
            Some(Obstacle::Operator) => format!("paused {}", reason()),
            Some(Obstacle::Config) => format!("stopped {}", reason()),
            Some(Obstacle::ApiDown { .. }) => format!("API down{off} {}", reason()),
            Some(Obstacle::Window { until: Some(until) }) => format!("window closed until {}", self.local(until)),
            Some(Obstacle::Window { until: None }) => "window never opens".to_owned(),
            Some(Obstacle::Quota { until }) => format!("quota spent until {}", self.local(until)),
            Some(Obstacle::Asked { until }) => format!("asked to wait until {}", self.local(until)),
            None if self.mapping.is_some_and(|mapping| !mapping.enabled) => "mapping disabled".to_owned(),
            None if self.counts.pending == 0 => "done".to_owned(),
            None => "ready".to_owned(),
        }
    }

    /// A time of day as it is at the provider.
    fn local(&self, at: Timestamp) -> String {
        at.to_zoned(self.window.timezone.clone()).strftime("%Y-%m-%d %H:%M %Z").to_string()
    }

    /// The provider in one line of a table.
    pub(super) fn as_line(&self) -> Vec<String> {
        let Counts { fed, fetched, skipped, dead_letters, pending, .. } = self.counts;
        let numbers = [fed, fetched, skipped, dead_letters, pending].map(|number| number.to_string());
        let mut line = vec![self.provider.clone()];
        line.extend(numbers);
        line.push(self.control.limiter.as_ref().map_or_else(|| "-".to_owned(), |saved| saved.limit.to_string()));
        line.push(self.mapping.map_or_else(|| "-".to_owned(), |mapping| mapping.batch_size.to_string()));
        line.push(self.text());
        line
    }

    /// All that is known, a row each.
    pub(super) fn as_rows(&self) -> Vec<Vec<String>> {
        let Counts { fed, fetched, skipped, dead_letters, pending, oldest_pending } = self.counts;
        let mut rows = vec![vec!["provider".to_owned(), self.provider.clone()]];
        let mut row = |name: &str, text: String| rows.push(vec![name.to_owned(), text]);
        row("state", self.text());
        row(
            "stream",
            format!(
                "{fed} fed = {fetched} fetched + {skipped} skipped + {dead_letters} dead letters + {pending} pending"
            ),
        );
        if let Some(oldest) = oldest_pending {
            row("oldest item", format!("fed {oldest:.0}"));
        }
        let DayCounts { fetched, dead, waiting } = self.today;
        let (day, sent) = (self.window.day(self.now), self.control.usage.on(self.window.day(self.now)));
        row(
            "today",
            format!(
                "{day}: {fetched} fetched, {dead} dead letters, {waiting} under way or to be tried again, {sent} requests"
            ),
        );
        row(
            "quota",
            match (self.quota, self.quota_left()) {
                (Some(quota), Some(left)) => format!("{left} of {quota} requests left today"),
                _ => "none".to_owned(),
            },
        );
        if let Some(saved) = &self.control.limiter {
            row("limit", format!("{} in flight, as of {:.0}", saved.limit, saved.at));
        }
        if let Some(mapping) = self.mapping {
            let lag = if mapping.pending { ", a change is under way" } else { "" };
            row(
                "batch",
                format!(
                    "{} entries, mapping {}{lag}",
                    mapping.batch_size,
                    if mapping.enabled { "enabled" } else { "disabled" }
                ),
            );
        }
        if let Some(disabled) = &self.control.governor.disabled {
            let until = disabled.until.map(|until| format!(", until {}", self.local(until))).unwrap_or_default();
            row("disabled", format!("since {:.0} by {}{until}", disabled.since, disabled.by));
        }
        if pending > 0 {
            row("forecast", self.forecast_text());
        }
        if let Some(unknown) = &self.unknown {
            row("manifest", format!("not known, so that window and quota are not: {unknown}"));
        }
        rows
    }

    fn forecast_text(&self) -> String {
        let rate = self.control.governor.rate.map(|rate| format!(", at {rate:.1} a second")).unwrap_or_default();
        match self.forecast() {
            Forecast::Done { at } => format!("the backlog is done about {}{rate}", self.local(at)),
            Forecast::WindowCloses { at, left } => {
                format!("the window closes first, {}, with about {left} left{rate}", self.local(at))
            }
            Forecast::QuotaSpent { left } => format!("the day's quota is spent first, with about {left} left"),
            Forecast::Unknown => "not known before a batch has ended".to_owned(),
        }
    }

    /// As scripts read it.
    pub(super) fn as_json(&self) -> Value {
        let (done_at, closes_at, left) = match self.forecast() {
            Forecast::Done { at } => (Some(at), None, Some(0)),
            Forecast::WindowCloses { at, left } => (None, Some(at), Some(left)),
            Forecast::QuotaSpent { left } => (None, None, Some(left)),
            Forecast::Unknown => (None, None, None),
        };
        let Control { breaker, governor, limiter, usage, .. } = &self.control;
        let day = self.window.day(self.now);
        json!({
            "provider": self.provider,
            "state": self.text(),
            "counts": counts_in_json(&self.counts),
            "breaker": breaker,
            "limit": limiter.as_ref().map(|saved| saved.limit),
            "mapping": self.mapping.map(|mapping| json!({
                "batch_size": mapping.batch_size, "enabled": mapping.enabled, "pending": mapping.pending,
            })),
            "disabled": governor.disabled,
            "rate": governor.rate,
            "today": {
                "day": day, "fetched": self.today.fetched, "dead_letters": self.today.dead, "waiting": self.today.waiting,
                "requests": usage.on(day), "quota": self.quota, "quota_left": self.quota_left(),
            },
            "forecast": { "done_at": done_at, "window_closes_at": closes_at, "left": left },
        })
    }
}
