//! All that is known of a provider, gathered, and told to people and scripts.

use damper_config::Config;
use damper_config::provider;
use damper_core::admin::{Backend, Counts, DayCounts, ProviderCounts, WaitingItems};
use damper_core::control::governor::{BlockReason, Forecast, block_reason, forecast};
use damper_core::control::item::ParkedHint;
use damper_core::control::window::Window;
use damper_core::ledger::{Control, ProviderStop};
use damper_core::mapping::{MappingError, MappingState};
use damper_core::pipeline::AdaptError;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::error::CliError;

/// A provider's state.
pub(super) struct ProviderState {
    provider: String,
    counts: ProviderCounts,
    control: Control,
    mapping: Option<MappingState>,
    window: Window,
    quota: Option<u64>,
    /// Why window and quota are not known, where they are not.
    unknown: Option<String>,
    now: Timestamp,
}

impl ProviderState {
    /// Gather a provider's state.
    ///
    /// # Errors
    /// If the ledger, the mapping or what counts fails.
    pub(super) async fn read(
        backend: &dyn Backend,
        config: &Config,
        provider: &str,
        now: Timestamp,
    ) -> Result<Self, CliError> {
        let (window, quota, unknown) = match provider::manifest(config, provider) {
            Ok(manifest) => (manifest.window, manifest.limits.daily_quota, None),
            Err(error) => (Window::always_utc(), None, Some(error.to_string())),
        };
        let mapping = match backend.mapping().read(provider).await {
            Ok(mapping) => Some(mapping),
            Err(MappingError::Unknown(_)) => None,
            Err(error) => return Err(AdaptError::from(error).into()),
        };
        Ok(Self {
            counts: backend.count_provider(provider, window.day(now), now).await?,
            control: backend.ledger().control(provider).await?,
            mapping,
            provider: provider.to_owned(),
            window,
            quota,
            unknown,
            now,
        })
    }

    fn block_reason(&self) -> Option<BlockReason> {
        block_reason(&self.control, &self.window, self.quota, self.now)
    }

    fn quota_left(&self) -> Option<u64> {
        self.control.usage.remaining(self.window.day(self.now), self.quota)
    }

    fn forecast(&self) -> Forecast {
        let Some(counts) = &self.counts.stream else { return Forecast::Unknown };
        forecast(counts.pending, self.control.governor.rate, &self.window, self.quota_left(), self.now)
    }

    /// In a word or two, and why.
    fn text(&self) -> String {
        let reason = || match &self.control.breaker {
            ProviderStop::Open { since, reason, .. } => format!("since {since:.0}: {reason}"),
            ProviderStop::Closed => String::new(),
        };
        let off = if self.control.governor.disabled.is_some() { ", tried at each tick" } else { "" };
        match self.block_reason() {
            Some(BlockReason::Operator) => format!("paused {}", reason()),
            Some(BlockReason::Config) => format!("stopped {}", reason()),
            Some(BlockReason::ApiDown { .. }) => format!("API down{off} {}", reason()),
            Some(BlockReason::Window { until: Some(until) }) => format!("window closed until {}", self.local(until)),
            Some(BlockReason::Window { until: None }) => "window never opens".to_owned(),
            Some(BlockReason::Quota { until }) => format!("quota spent until {}", self.local(until)),
            Some(BlockReason::RetryAfter { until }) => format!("asked to wait until {}", self.local(until)),
            None if self.mapping.is_some_and(|mapping| !mapping.enabled) => "mapping disabled".to_owned(),
            None if self.mapping.is_none() && self.counts.stream.is_none() => "no mapping".to_owned(),
            None if self.counts.stream.is_some_and(|counts| counts.pending == 0) => "done".to_owned(),
            None => "ready".to_owned(),
        }
    }

    /// A time of day as it is at the provider.
    fn local(&self, at: Timestamp) -> String {
        at.to_zoned(self.window.timezone.clone()).strftime("%Y-%m-%d %H:%M %Z").to_string()
    }

    /// The provider in one line of a table.
    pub(super) fn as_line(&self) -> Vec<String> {
        let numbers = match self.counts.stream {
            Some(Counts { fed, fetched, skipped, dead_letters, pending, .. }) => {
                [fed, fetched, skipped, dead_letters, pending].map(Some)
            }
            None => [None, None, None, Some(self.counts.letters), None],
        };
        let mut line = vec![self.provider.clone()];
        line.extend(numbers.map(|number| number.map_or_else(|| "-".to_owned(), |number| number.to_string())));
        line.push(self.control.limiter.as_ref().map_or_else(|| "-".to_owned(), |saved| saved.limit.to_string()));
        line.push(self.mapping.map_or_else(|| "-".to_owned(), |mapping| mapping.batch_size.to_string()));
        line.push(self.text());
        line
    }

    /// All that is known, a row each.
    pub(super) fn as_rows(&self) -> Vec<Vec<String>> {
        let mut rows = vec![vec!["provider".to_owned(), self.provider.clone()]];
        let mut row = |name: &str, text: String| rows.push(vec![name.to_owned(), text]);
        row("state", self.text());
        row("stream", self.stream_text());
        if let Some(oldest) = self.counts.stream.and_then(|counts| counts.oldest_pending) {
            row("oldest item", format!("fed {oldest:.0}"));
        }
        if let Some(waiting) = self.waiting_text() {
            row("waiting", waiting);
        }
        row("today", self.today_text());
        row(
            "quota",
            match (self.quota, self.quota_left()) {
                (Some(quota), Some(left)) => format!("{left} of {quota} requests left today"),
                _ if self.unknown.is_some() => "not known".to_owned(),
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
        match (&self.counts.stream, self.control.governor.rate) {
            (Some(counts), _) if counts.pending > 0 => row("forecast", self.forecast_text()),
            (None, Some(rate)) => row("rate", format!("{rate:.1} items a second, when it was measured last")),
            _ => {}
        }
        if let Some(unknown) = &self.unknown {
            row("manifest", format!("not known, so that window and quota are not: {unknown}"));
        }
        rows
    }

    fn stream_text(&self) -> String {
        match &self.counts.stream {
            Some(Counts { fed, fetched, skipped, dead_letters, pending, .. }) => format!(
                "{fed} fed = {fetched} fetched + {skipped} skipped + {dead_letters} dead letters + {pending} pending"
            ),
            None => format!(
                "{} dead letters are kept; what is fed, fetched and pending is not counted here: see the dashboard",
                self.counts.letters
            ),
        }
    }

    /// Items that wait for their next attempt: counted by the backend, or taken from the control item's hint about parked entries.
    fn waiting(&self) -> Option<WaitingItems> {
        let ParkedHint { count, next_due } = self.control.parked;
        self.counts.waiting.or(next_due.map(|due| WaitingItems { items: count, next_due: Some(due) }))
    }

    /// Items that wait for their next attempt, as text; `None` if there are none.
    fn waiting_text(&self) -> Option<String> {
        let WaitingItems { items, next_due } = self.waiting()?;
        let next_due = self.local(next_due?);
        Some(format!("{items} items wait for their next attempt, the first until {next_due}"))
    }

    fn today_text(&self) -> String {
        let day = self.window.day(self.now);
        let sent = self.control.usage.on(day);
        match &self.counts.today {
            Some(DayCounts { fetched, dead, waiting }) => format!(
                "{day}: {fetched} fetched, {dead} dead letters, {waiting} under way or to be tried again, {sent} requests"
            ),
            None => format!("{day}: {sent} requests"),
        }
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
        let (day, today) = (self.window.day(self.now), self.counts.today.as_ref());
        json!({
            "provider": self.provider,
            "state": self.text(),
            "counts": match &self.counts.stream {
                Some(counts) => counts_in_json(counts),
                None => json!({
                    "fed": null, "fetched": null, "skipped": null, "dead_letters": self.counts.letters,
                    "pending": null, "oldest_pending": null,
                }),
            },
            "breaker": breaker,
            "limit": limiter.as_ref().map(|saved| saved.limit),
            "mapping": self.mapping.map(|mapping| json!({
                "batch_size": mapping.batch_size, "enabled": mapping.enabled, "pending": mapping.pending,
            })),
            "disabled": governor.disabled,
            "rate": governor.rate,
            "today": {
                "day": day, "fetched": today.map(|today| today.fetched), "dead_letters": today.map(|today| today.dead),
                "waiting": today.map(|today| today.waiting),
                "requests": usage.on(day), "quota": self.quota, "quota_left": self.quota_left(),
            },
            "waiting": self.waiting().map(|waiting| json!({
                "items": waiting.items, "next_due": waiting.next_due,
            })),
            "forecast": { "done_at": done_at, "window_closes_at": closes_at, "left": left },
        })
    }
}

/// Counts as scripts read them.
pub(crate) fn counts_in_json(counts: &Counts) -> Value {
    json!({
        "fed": counts.fed, "fetched": counts.fetched, "skipped": counts.skipped, "dead_letters": counts.dead_letters,
        "pending": counts.pending, "oldest_pending": counts.oldest_pending,
    })
}
