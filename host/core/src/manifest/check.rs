//! From the shape to the manifest: every value against what is allowed, with the defaults.

pub(super) mod credentials;
pub(super) mod names;

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::error::ManifestError;
use super::raw::{RawHosts, RawLimits, RawManifest, RawPace, RawRetry, RawWindow};
use super::tables::{Egress, Limits, Manifest, Pace, Retry, Stated};
use super::units::{Word, parse_bytes, parse_duration, show_bytes, show_duration};
use crate::control::window::{Span, Window, parse_time};

pub(super) const MAX_SPANS: usize = 64;
pub(super) const DEFAULT_MAX_CONCURRENCY: i128 = 4;
pub(super) const DEFAULT_FETCH_TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const DEFAULT_MEMORY_BYTES: u64 = 64 << 20;
pub(super) const DEFAULT_RESPONSE_BYTES: u64 = 4 << 20;
pub(super) const DEFAULT_START_BATCH: i128 = 500;
pub(super) const DEFAULT_MAX_BATCH: i128 = 10_000;
pub(super) const DEFAULT_MAX_ATTEMPTS: i128 = 5;
pub(super) const DEFAULT_MAX_POLLS: i128 = 1_000;
pub(super) const DEFAULT_BACKOFF: Duration = Duration::from_secs(2);
pub(super) const DEFAULT_SPREAD: Duration = Duration::from_hours(1);
pub(super) const DEFAULT_MAX_ITEM_AGE: Duration = Duration::from_hours(6 * 24);

pub(super) const MAX_CONCURRENCY: RangeInclusive<i128> = 1..=1_000;
pub(super) const MAX_REQUESTS_PER_SECOND: f64 = 10_000.0;
pub(super) const FETCH_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(10);
pub(super) const MEMORY_BYTES: RangeInclusive<u64> = (1 << 20)..=(1 << 30);
pub(super) const RESPONSE_BYTES: RangeInclusive<u64> = (1 << 10)..=(64 << 20);
pub(super) const BATCH: RangeInclusive<i128> = 1..=10_000;
pub(super) const MAX_ATTEMPTS: RangeInclusive<i128> = 1..=100;
pub(super) const MAX_POLLS: RangeInclusive<i128> = 1..=100_000;
pub(super) const BACKOFF: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(1);
pub(super) const SPREAD: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(7 * 24);
pub(super) const MAX_ITEM_AGE: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(365 * 24);

pub(super) fn manifest(raw: RawManifest) -> Result<Manifest, ManifestError> {
    let name = names::provider(raw.name)?;
    Ok(Manifest {
        component: name.clone(),
        name,
        version: names::version(raw.version)?,
        description: names::description(raw.description)?,
        identity: names::identity(raw.identity)?,
        egress: Egress { hosts: hosts(raw.egress.hosts)? },
        stated: find_stated(&raw.limits, &raw.window),
        limits: limits(&raw.limits)?,
        pace: raw_pace(&raw.pace)?,
        retry: retry(&raw.retry)?,
        window: window(&raw.window)?,
        credentials: credentials::credentials(raw.credentials)?,
        config: names::config(raw.config)?,
    })
}

fn hosts(raw: RawHosts) -> Result<Vec<String>, ManifestError> {
    match raw {
        RawHosts::Listed(hosts) => names::hosts(hosts),
        RawHosts::Operator => Ok(Vec::new()),
    }
}

fn find_stated(limits: &RawLimits, window: &RawWindow) -> Stated {
    Stated {
        max_concurrency: limits.max_concurrency.is_some(),
        fetch_timeout: limits.fetch_timeout.is_some(),
        memory: limits.memory.is_some(),
        response_bytes: limits.response_bytes.is_some(),
        timezone: window.timezone.is_some(),
        day_starts: window.day_starts.is_some(),
    }
}

fn limits(raw: &RawLimits) -> Result<Limits, ManifestError> {
    let timeout = (&raw.fetch_timeout, DEFAULT_FETCH_TIMEOUT);
    Ok(Limits {
        max_concurrency: max_concurrency(raw.max_concurrency.map_or(DEFAULT_MAX_CONCURRENCY, i128::from))?,
        requests_per_second: raw.requests_per_second.map(requests_per_second).transpose()?,
        daily_quota: raw.daily_quota.map(|value| daily_quota(value.into())).transpose()?,
        fetch_timeout: duration("limits.fetch_timeout", timeout, fetch_timeout)?,
        memory_bytes: bytes("limits.memory", (&raw.memory, DEFAULT_MEMORY_BYTES), memory_bytes)?,
        response_bytes: bytes("limits.response_bytes", (&raw.response_bytes, DEFAULT_RESPONSE_BYTES), response_bytes)?,
    })
}

/// Batch sizes; a `max_batch` below the default of `start_batch` also lowers that default.
fn raw_pace(raw: &RawPace) -> Result<Pace, ManifestError> {
    let max_batch = raw.max_batch.map_or(DEFAULT_MAX_BATCH, i128::from);
    pace(raw.start_batch.map_or(DEFAULT_START_BATCH.min(max_batch), i128::from), max_batch)
}

fn retry(raw: &RawRetry) -> Result<Retry, ManifestError> {
    Ok(Retry {
        max_attempts: max_attempts(raw.max_attempts.map_or(DEFAULT_MAX_ATTEMPTS, i128::from))?,
        max_polls: max_polls(raw.max_polls.map_or(DEFAULT_MAX_POLLS, i128::from))?,
        backoff: duration("retry.backoff", (&raw.backoff, DEFAULT_BACKOFF), backoff)?,
        spread: duration("retry.spread", (&raw.spread, DEFAULT_SPREAD), spread)?,
        max_item_age: duration("retry.max_item_age", (&raw.max_item_age, DEFAULT_MAX_ITEM_AGE), max_item_age)?,
        on_lease_expiry: raw.on_lease_expiry,
    })
}

fn window(raw: &RawWindow) -> Result<Window, ManifestError> {
    Ok(Window {
        timezone: raw.timezone.as_deref().map_or(Ok(TimeZone::UTC), timezone)?,
        day_starts: raw.day_starts.as_deref().map_or(Ok(Time::midnight()), day_starts)?,
        open: raw.open.as_deref().map(|texts| spans("window.open", texts)).transpose()?.into_iter().collect(),
        closed: if raw.closed.is_empty() { Vec::new() } else { spans("window.closed", &raw.closed)? },
    })
}

/// A time zone from the database inside the program, so that every machine agrees on its days.
pub(super) fn timezone(name: &str) -> Result<TimeZone, ManifestError> {
    let allowed = "it must be a time zone of the IANA database: write it as \"Europe/London\"";
    TimeZoneDatabase::bundled().get(name).map_err(|_| ManifestError::text("window.timezone", name, allowed))
}

pub(super) fn day_starts(text: &str) -> Result<Time, ManifestError> {
    let allowed = "it must be a time of day from 00:00 to 23:59: write it as \"12:00\"";
    parse_time(text).map_err(|_| ManifestError::text("window.day_starts", text, allowed))
}

fn spans(field: &str, texts: &[String]) -> Result<Vec<Span>, ManifestError> {
    span_count(field, Some(texts.len()))?;
    let span = |(index, text): (usize, &String)| {
        text.parse().map_err(|error| ManifestError::text(format!("{field}[{index}]"), text, format!("{error}")))
    };
    texts.iter().enumerate().map(span).collect()
}

/// Checks a list of spans: `None` is an absent list, which is allowed.
pub(super) fn span_count(field: &str, count: Option<usize>) -> Result<(), ManifestError> {
    match count {
        Some(0) => Err(ManifestError::value(field, "[]", "remove it, or list spans as in [\"Sat-Sun\"]")),
        Some(count) if count > MAX_SPANS => {
            Err(ManifestError::value(field, format!("{count} spans"), format!("it may have at most {MAX_SPANS}")))
        }
        _ => Ok(()),
    }
}

pub(super) fn max_concurrency(value: i128) -> Result<NonZeroU32, ManifestError> {
    let (field, bounds) = ("limits.max_concurrency", MAX_CONCURRENCY);
    let number = within("limits.max_concurrency", value, bounds.clone())?;
    NonZeroU32::new(number).ok_or_else(|| out_of_bounds(field, value, &bounds))
}

pub(super) fn requests_per_second(value: f64) -> Result<f64, ManifestError> {
    if value > 0.0 && value <= MAX_REQUESTS_PER_SECOND {
        return Ok(value);
    }
    Err(ManifestError::value(
        "limits.requests_per_second",
        format!("{value:?}").to_ascii_lowercase(),
        "it must be a number above 0 and at most 10000; 0.5 is one in two seconds",
    ))
}

pub(super) fn daily_quota(value: i128) -> Result<u64, ManifestError> {
    let quota = u64::try_from(value).ok().filter(|quota| *quota > 0);
    quota.ok_or_else(|| {
        ManifestError::value("limits.daily_quota", value, "it must be at least 1; for no quota, remove it")
    })
}

pub(super) fn max_attempts(value: i128) -> Result<u32, ManifestError> {
    within("retry.max_attempts", value, MAX_ATTEMPTS)
}

pub(super) fn max_polls(value: i128) -> Result<u32, ManifestError> {
    within("retry.max_polls", value, MAX_POLLS)
}

pub(super) fn pace(start_batch: i128, max_batch: i128) -> Result<Pace, ManifestError> {
    let max_batch = within("pace.max_batch", max_batch, BATCH)?;
    let start_batch_bounded = within("pace.start_batch", start_batch, BATCH)?;
    if start_batch_bounded > max_batch {
        let allowed = format!("it must be at most pace.max_batch, which is {max_batch}");
        return Err(ManifestError::value("pace.start_batch", start_batch, allowed));
    }
    Ok(Pace { start_batch: start_batch_bounded, max_batch })
}

pub(super) fn fetch_timeout(value: Duration) -> Result<Duration, ManifestError> {
    within_durations("limits.fetch_timeout", value, FETCH_TIMEOUT)
}

pub(super) fn backoff(value: Duration) -> Result<Duration, ManifestError> {
    within_durations("retry.backoff", value, BACKOFF)
}

pub(super) fn spread(value: Duration) -> Result<Duration, ManifestError> {
    within_durations("retry.spread", value, SPREAD)
}

fn max_item_age(value: Duration) -> Result<Duration, ManifestError> {
    within_durations("retry.max_item_age", value, MAX_ITEM_AGE)
}

pub(super) fn memory_bytes(value: u64) -> Result<u64, ManifestError> {
    within_bytes("limits.memory", value, MEMORY_BYTES)
}

pub(super) fn response_bytes(value: u64) -> Result<u64, ManifestError> {
    within_bytes("limits.response_bytes", value, RESPONSE_BYTES)
}

fn within(field: &str, value: i128, bounds: RangeInclusive<i128>) -> Result<u32, ManifestError> {
    let number = u32::try_from(value).ok().filter(|_| bounds.contains(&value));
    number.ok_or_else(|| out_of_bounds(field, value, &bounds))
}

fn out_of_bounds(field: &str, value: i128, bounds: &RangeInclusive<i128>) -> ManifestError {
    ManifestError::value(field, value, format!("it must be a whole number from {} to {}", bounds.start(), bounds.end()))
}

fn within_durations(field: &str, value: Duration, bounds: RangeInclusive<Duration>) -> Result<Duration, ManifestError> {
    if bounds.contains(&value) {
        return Ok(value);
    }
    let (least, most) = (show_duration(*bounds.start()), show_duration(*bounds.end()));
    Err(ManifestError::text(field, &show_duration(value), format!("it must be from \"{least}\" to \"{most}\"")))
}

fn within_bytes(field: &str, value: u64, bounds: RangeInclusive<u64>) -> Result<u64, ManifestError> {
    if bounds.contains(&value) {
        return Ok(value);
    }
    let (least, most) = (show_bytes(*bounds.start()), show_bytes(*bounds.end()));
    Err(ManifestError::text(field, &show_bytes(value), format!("it must be from \"{least}\" to \"{most}\"")))
}

/// A duration as it was written, or its default, and checked; errors show it as it was written.
fn duration(
    field: &str,
    (word, default): (&Option<Word>, Duration),
    check: fn(Duration) -> Result<Duration, ManifestError>,
) -> Result<Duration, ManifestError> {
    let Some(word) = word else { return Ok(default) };
    let value = parse_duration(&word.text)
        .map_err(|how| ManifestError::value(field, word, format!("it is not a duration; {how}")))?;
    check(value).map_err(|error| error.with_written_value(word))
}

/// A size as it was written, or its default, and checked; errors show it as it was written.
fn bytes(
    field: &str,
    (word, default): (&Option<Word>, u64),
    check: fn(u64) -> Result<u64, ManifestError>,
) -> Result<u64, ManifestError> {
    let Some(word) = word else { return Ok(default) };
    let value =
        parse_bytes(&word.text).map_err(|how| ManifestError::value(field, word, format!("it is not a size; {how}")))?;
    check(value).map_err(|error| error.with_written_value(word))
}
