//! All that is known of a provider: gathered from a backend, and judged.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AdminError, Backend, ProviderCounts, WaitingItems};
use crate::control::governor::{BlockReason, Forecast, block_reason, forecast};
use crate::control::item::ParkedHint;
use crate::control::window::Window;
use crate::day::Day;
use crate::ledger::{Control, ProviderStop};
use crate::manifest::Manifest;
use crate::mapping::{MappingError, MappingState};

/// A provider's state at one moment.
#[derive(Debug)]
pub struct ProviderState {
    /// The provider's name.
    pub provider: String,
    /// The backend's counts.
    pub counts: ProviderCounts,
    /// The control item.
    pub control: Control,
    /// The mapping, if there is one.
    pub mapping: Option<MappingState>,
    window: Window,
    /// The quota of requests a day, if there is one.
    pub quota: Option<u64>,
    /// Why window and quota are not known, where they are not.
    pub unknown: Option<String>,
    now: Timestamp,
}

impl ProviderState {
    /// Gather a provider's state. `manifest`: its manifest with what the operator tightened, or why it is not known.
    ///
    /// # Errors
    /// If the ledger, the mapping or what counts fails.
    pub async fn read(
        backend: &dyn Backend,
        provider: &str,
        manifest: Result<Manifest, String>,
        now: Timestamp,
    ) -> Result<Self, AdminError> {
        let (window, quota, unknown) = match manifest {
            Ok(manifest) => (manifest.window, manifest.limits.daily_quota, None),
            Err(reason) => (Window::always_utc(), None, Some(reason)),
        };
        let mapping = match backend.mapping().read(provider).await {
            Ok(mapping) => Some(mapping),
            Err(MappingError::Unknown(_)) => None,
            Err(error) => return Err(error.into()),
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

    /// The provider's day.
    #[must_use]
    pub fn day(&self) -> Day {
        self.window.day(self.now)
    }

    /// A time of day as it is at the provider.
    #[must_use]
    pub fn local(&self, at: Timestamp) -> String {
        at.to_zoned(self.window.timezone.clone()).strftime("%Y-%m-%d %H:%M %Z").to_string()
    }

    /// Why nothing is fetched, if that is known.
    #[must_use]
    pub fn block_reason(&self) -> Option<BlockReason> {
        block_reason(&self.control, &self.window, self.quota, self.now)
    }

    /// The requests that are left of the day's quota.
    #[must_use]
    pub fn quota_left(&self) -> Option<u64> {
        self.control.usage.remaining(self.day(), self.quota)
    }

    /// When the backlog will be done.
    #[must_use]
    pub fn forecast(&self) -> Forecast {
        let Some(counts) = &self.counts.stream else { return Forecast::Unknown };
        forecast(counts.pending, self.control.governor.rate, &self.window, self.quota_left(), self.now)
    }

    /// In a word or two, and why.
    #[must_use]
    pub fn text(&self) -> String {
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

    /// Items that wait for their next attempt: counted by the backend, or taken from the control item's hint about
    /// parked entries.
    #[must_use]
    pub fn waiting(&self) -> Option<WaitingItems> {
        let ParkedHint { count, next_due } = self.control.parked;
        self.counts.waiting.or(next_due.map(|due| WaitingItems { items: count, next_due: Some(due) }))
    }

    /// As scripts read it.
    #[must_use]
    pub fn as_json(&self) -> Value {
        let (done_at, closes_at, left) = match self.forecast() {
            Forecast::Done { at } => (Some(at), None, Some(0)),
            Forecast::WindowCloses { at, left } => (None, Some(at), Some(left)),
            Forecast::QuotaSpent { left } => (None, None, Some(left)),
            Forecast::Unknown => (None, None, None),
        };
        let Control { breaker, governor, limiter, usage, component, .. } = &self.control;
        let (day, today) = (self.day(), self.counts.today.as_ref());
        json!({
            "provider": self.provider,
            "state": self.text(),
            "component": component,
            "counts": match &self.counts.stream {
                Some(counts) => json!(counts),
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
