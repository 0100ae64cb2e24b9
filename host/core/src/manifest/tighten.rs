//! An operator's tightening in `damper.toml`, and how it is applied to a manifest.

use std::time::Duration;

use serde::Deserialize;

use super::check;
use super::error::ManifestError;
use super::tables::{Limits, Manifest, Pace, Retry, Stated};
use super::units::{deserialize_bytes, deserialize_duration};
use crate::control::window::{Span, Window};

/// An operator's settings for a provider: the tables `limits`, `pace`, `retry` and `window` under `[providers.NAME]`.
/// An absent setting leaves the manifest as it is. A limit that the manifest leaves to its default is the operator's.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tightening {
    /// Limits: the smaller of the operator's and the manifest's holds, if both say one.
    pub limits: LimitsTightening,
    /// Batch sizes: the operator's hold.
    pub pace: PaceTightening,
    /// Attempts, backoff and spread: the operator's hold.
    pub retry: RetryTightening,
    /// Window: open only where both are, closed where either is.
    pub window: WindowTightening,
}

/// `[providers.NAME.limits]`, with the bounds of [`Limits`].
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsTightening {
    /// Requests in flight at the API at any time, over all processes.
    pub max_concurrency: Option<u32>,
    /// Requests that start in a second.
    pub requests_per_second: Option<f64>,
    /// Requests in a day.
    pub daily_quota: Option<u64>,
    /// How long one fetch may take; written `"30s"`.
    #[serde(deserialize_with = "deserialize_duration")]
    pub fetch_timeout: Option<Duration>,
    /// Memory of one fetch's instance, in bytes; written `"64MiB"` or as a number.
    #[serde(deserialize_with = "deserialize_bytes")]
    pub memory: Option<u64>,
    /// The longest response, in bytes; written `"4MiB"` or as a number.
    #[serde(deserialize_with = "deserialize_bytes")]
    pub response_bytes: Option<u64>,
}

/// `[providers.NAME.pace]`, with the bounds of [`Pace`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PaceTightening {
    /// Items in the first batches. If only `max_batch` is given, the manifest's value is cut to that.
    pub start_batch: Option<u32>,
    /// Items in a batch at most.
    pub max_batch: Option<u32>,
}

/// `[providers.NAME.retry]`, with the bounds of [`Retry`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryTightening {
    /// Attempts until an item becomes a dead letter.
    pub max_attempts: Option<u32>,
    /// How often an item may be not ready before it becomes a dead letter.
    pub max_polls: Option<u32>,
    /// The wait before the second attempt; written `"2s"`.
    #[serde(deserialize_with = "deserialize_duration")]
    pub backoff: Option<Duration>,
    /// The time over which the attempts spent on the API's failures are spread at least; written `"1h"`.
    #[serde(deserialize_with = "deserialize_duration")]
    pub spread: Option<Duration>,
}

/// `[providers.NAME.window]`: spans in the window's time zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WindowTightening {
    /// The time zone, where the manifest names none.
    pub timezone: Option<String>,
    /// The local time at which a day starts, where the manifest does not say; written `"04:00"`.
    pub day_starts: Option<String>,
    /// Spans in which the operator allows calls; absent: whenever the manifest does. An empty list is an error.
    pub open: Option<Vec<Span>>,
    /// Spans in which the operator allows no calls.
    pub closed: Vec<Span>,
}

pub(super) fn tighten(mut manifest: Manifest, by: &Tightening) -> Result<Manifest, ManifestError> {
    manifest.limits = limits(manifest.limits, manifest.stated, &by.limits)?;
    manifest.pace = pace(&manifest.pace, &by.pace)?;
    manifest.retry = retry(manifest.retry, &by.retry)?;
    check::span_count("window.open", by.window.open.as_ref().map(Vec::len))?;
    check::span_count("window.closed", Some(by.window.closed.len()).filter(|count| *count > 0))?;
    let zoned = zone(manifest.window, manifest.stated, &by.window)?;
    manifest.window = zoned.tighten(by.window.open.clone(), &by.window.closed);
    Ok(manifest)
}

/// The window with the operator's time zone and start of the day. The author's own are facts of the API, and spans and
/// days would mean other times: an operator may repeat them and not change them.
fn zone(window: Window, stated: Stated, by: &WindowTightening) -> Result<Window, ManifestError> {
    let timezone = by.timezone.as_deref().map(check::timezone).transpose()?;
    if let (true, Some(theirs)) = (stated.timezone, timezone.as_ref().filter(|theirs| **theirs != window.timezone)) {
        let ours = window.timezone.iana_name().unwrap_or("UTC").to_owned();
        return Err(contradiction("window.timezone", theirs.iana_name().unwrap_or("UTC"), &ours));
    }
    let day_starts = by.day_starts.as_deref().map(check::day_starts).transpose()?;
    if let (true, Some(_)) = (stated.day_starts, day_starts.filter(|theirs| *theirs != window.day_starts)) {
        let ours = window.day_starts.strftime("%H:%M").to_string();
        return Err(contradiction("window.day_starts", by.day_starts.as_deref().unwrap_or_default(), &ours));
    }
    Ok(Window {
        timezone: timezone.unwrap_or(window.timezone),
        day_starts: day_starts.unwrap_or(window.day_starts),
        ..window
    })
}

fn contradiction(field: &str, theirs: &str, ours: &str) -> ManifestError {
    ManifestError::text(field, theirs, format!("the component's manifest says {ours:?}; remove it here"))
}

fn limits(limits: Limits, stated: Stated, by: &LimitsTightening) -> Result<Limits, ManifestError> {
    let max_concurrency = by.max_concurrency.map(|value| check::max_concurrency(value.into())).transpose()?;
    let fetch_timeout = by.fetch_timeout.map(check::fetch_timeout).transpose()?;
    let memory_bytes = by.memory.map(check::memory_bytes).transpose()?;
    let response_bytes = by.response_bytes.map(check::response_bytes).transpose()?;
    let requests_per_second = by.requests_per_second.map(check::requests_per_second).transpose()?;
    let daily_quota = by.daily_quota.map(|value| check::daily_quota(value.into())).transpose()?;
    Ok(Limits {
        max_concurrency: in_force(limits.max_concurrency, stated.max_concurrency, max_concurrency),
        requests_per_second: match (limits.requests_per_second, requests_per_second) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        },
        daily_quota: daily_quota.map(|theirs| stricter(theirs, limits.daily_quota)).or(limits.daily_quota),
        fetch_timeout: in_force(limits.fetch_timeout, stated.fetch_timeout, fetch_timeout),
        memory_bytes: in_force(limits.memory_bytes, stated.memory, memory_bytes),
        response_bytes: in_force(limits.response_bytes, stated.response_bytes, response_bytes),
    })
}

/// The limit in force: the stricter of the author's and the operator's, or the operator's where the author has written
/// none.
fn in_force<T: Ord>(ours: T, is_stated: bool, theirs: Option<T>) -> T {
    match theirs {
        Some(theirs) if !is_stated => theirs,
        theirs => stricter(ours, theirs),
    }
}

fn stricter<T: Ord>(ours: T, theirs: Option<T>) -> T {
    match theirs {
        Some(theirs) if theirs < ours => theirs,
        _ => ours,
    }
}

fn pace(pace: &Pace, by: &PaceTightening) -> Result<Pace, ManifestError> {
    let max_batch = by.max_batch.unwrap_or(pace.max_batch);
    let start_batch = by.start_batch.unwrap_or(pace.start_batch.min(max_batch));
    check::pace(start_batch.into(), max_batch.into())
}

fn retry(retry: Retry, by: &RetryTightening) -> Result<Retry, ManifestError> {
    let max_attempts = by.max_attempts.map(|value| check::max_attempts(value.into())).transpose()?;
    let max_polls = by.max_polls.map(|value| check::max_polls(value.into())).transpose()?;
    let backoff = by.backoff.map(check::backoff).transpose()?;
    let spread = by.spread.map(check::spread).transpose()?;
    Ok(Retry {
        spread: spread.unwrap_or(retry.spread),
        max_attempts: max_attempts.unwrap_or(retry.max_attempts),
        max_polls: max_polls.unwrap_or(retry.max_polls),
        backoff: backoff.unwrap_or(retry.backoff),
        ..retry
    })
}
