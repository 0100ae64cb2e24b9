//! The settings of the demo API: one struct, its checks, and how a partial JSON changes it.
//!
//! Pure: nothing here reads a clock or a socket.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The largest body a `big` id may ask for: 1 GiB.
const BIG_BYTES_MAX: u64 = 1 << 30;
/// The longest any single wait may be set to: a day.
const WAIT_MAX_MS: f64 = 86_400_000.0;

/// The settings of the demo API. The default is a perfect API: at once, no errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How long a record takes.
    pub latency: Latency,
    /// Which answers arrive in small pieces.
    pub drip: Drip,
    /// The share of records answered with 500, 502 or 503, from 0 to 1.
    pub error_rate: f64,
    /// Records answered with 429 at random, however few are asked for.
    pub refusals: Refusals,
    /// The share of records answered with 200 and truncated JSON, from 0 to 1.
    pub malformed_rate: f64,
    /// A token bucket; beyond it 429. None: no limit.
    pub rate_limit: Option<RateLimit>,
    /// The most record requests in flight; beyond it 429. None: no cap.
    pub concurrency_cap: Option<u64>,
    /// How a 429 says when to come back.
    pub retry_after: RetryAfter,
    /// An outage. None: no outage.
    pub outage: Option<Outage>,
    /// Requests without this value in the header `X-Api-Key` get 401. None: no key needed.
    pub require_key: Option<String>,
    /// Every record is 404, as when an API has moved to another path.
    pub moved: bool,
    /// The size of a `big` id's body, in bytes.
    pub big_bytes: u64,
    /// The target of a `redirect` id's 302: the Location header.
    pub redirect_to: String,
    /// A request whose client is gone counts as in flight until its latency has passed, as on real servers.
    pub keep_working: bool,
    /// The seed of all chance. The response to an id depends on the seed, the id and the number of earlier requests for
    /// it, so it is the same in every order of arrival.
    pub seed: u64,
    /// How many lines `GET /log` keeps; older ones are dropped and counted.
    pub log_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            latency: Latency::default(),
            drip: Drip::default(),
            error_rate: 0.0,
            refusals: Refusals::default(),
            malformed_rate: 0.0,
            rate_limit: None,
            concurrency_cap: None,
            retry_after: RetryAfter::Seconds,
            outage: None,
            require_key: None,
            moved: false,
            big_bytes: 10_000_000,
            redirect_to: "/records/landed".to_owned(),
            keep_working: false,
            seed: 0,
            log_max: 1_000_000,
        }
    }
}

/// A log-normal latency: `median_ms * exp(sigma * N(0, 1))`, at most `max_ms`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Latency {
    /// The median in milliseconds; 0 answers at once.
    pub median_ms: f64,
    /// The spread; 0 makes every answer take the median.
    pub sigma: f64,
    /// No answer takes longer. None: no bound but a day.
    pub max_ms: Option<f64>,
}

/// Answers whose body arrives in pieces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drip {
    /// The share of records that drip, from 0 to 1.
    pub share: f64,
    /// From the first piece to the last, in milliseconds.
    pub over_ms: u64,
    /// How many pieces a body is cut into (fewer when it has fewer bytes).
    pub pieces: u32,
}

impl Default for Drip {
    fn default() -> Self {
        Self { share: 0.0, over_ms: 1_000, pieces: 8 }
    }
}

/// Answers with 429 that no limit explains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Refusals {
    /// The share of records, from 0 to 1.
    pub share: f64,
    /// When they say to come back, in milliseconds; see [`RetryAfter`] for the form.
    pub wait_ms: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { share: 0.0, wait_ms: 2_000 }
    }
}

/// A token bucket over all clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Requests per second, in the long run.
    pub per_second: f64,
    /// How many may come at once after a pause.
    #[serde(default = "one")]
    pub burst: u32,
}

fn one() -> u32 {
    1
}

/// The form of the Retry-After header (RFC 9110, 10.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum RetryAfter {
    /// Delay in whole seconds, rounded up.
    Seconds,
    /// A date, `Sun, 06 Nov 1994 08:49:37 GMT`.
    HttpDate,
    /// No header.
    None,
}

/// An outage, timed from the start or from the PUT that set it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// It begins after this many milliseconds.
    #[serde(default)]
    pub after_ms: u64,
    /// It lasts this many milliseconds. None: until the settings change.
    #[serde(default)]
    pub for_ms: Option<u64>,
    /// The response in the outage.
    #[serde(default)]
    pub mode: OutageMode,
}

/// The response to a request in an outage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum OutageMode {
    /// 503 at once.
    #[default]
    Error,
    /// The connection is closed at once, without an answer.
    Refuse,
    /// No answer until the client goes away or the outage ends; then the usual one.
    BlackHole,
}

/// The present state of an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dark {
    pub(crate) mode: OutageMode,
    /// Until it ends; None when only a change of the settings ends it.
    pub(crate) remaining: Option<Duration>,
}

impl Outage {
    /// The state when `elapsed` has passed since the outage was set; None: no outage.
    pub(crate) fn at(&self, elapsed: Duration) -> Option<Dark> {
        let since_begin = elapsed.checked_sub(Duration::from_millis(self.after_ms))?;
        let remaining = match self.for_ms {
            None => None,
            Some(for_ms) => {
                let left = Duration::from_millis(for_ms).checked_sub(since_begin)?;
                if left.is_zero() {
                    return None;
                }
                Some(left)
            }
        };
        Some(Dark { mode: self.mode, remaining })
    }
}

/// Why settings were refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The text is not JSON.
    #[error("the settings are not JSON: {0}; send an object such as {{\"error_rate\": 0.1}}")]
    NotJson(serde_json::Error),
    /// The JSON is not an object.
    #[error("the settings must be a JSON object such as {{\"error_rate\": 0.1}}")]
    NotAnObject,
    /// An unknown key or a value of the wrong type.
    #[error("the settings were not changed: {0}; GET /control shows every key")]
    Shape(serde_json::Error),
    /// A value out of its range.
    #[error("the settings were not changed: {key} is {value}, but must be {range}")]
    Range {
        /// The key, with dots.
        key: &'static str,
        /// The given value.
        value: String,
        /// The allowed values.
        range: &'static str,
    },
}

impl Settings {
    /// These settings with `patch` laid over them: objects key by key, anything else replaced; null unsets
    /// what may be unset.
    ///
    /// # Errors
    /// The patch is no object, holds an unknown key or a value of the wrong type or range.
    pub fn with_patch(&self, patch: &Value) -> Result<Self, SettingsError> {
        if !patch.is_object() {
            return Err(SettingsError::NotAnObject);
        }
        let mut whole = serde_json::to_value(self).map_err(SettingsError::Shape)?;
        lay_over(&mut whole, patch);
        let settings: Self = serde_json::from_value(whole).map_err(SettingsError::Shape)?;
        settings.check()?;
        Ok(settings)
    }

    /// Checks every value's range.
    ///
    /// # Errors
    /// The first value found out of its range.
    pub fn check(&self) -> Result<(), SettingsError> {
        let share = "from 0 to 1";
        within("error_rate", self.error_rate, 0.0..=1.0, share)?;
        within("refusals.share", self.refusals.share, 0.0..=1.0, share)?;
        within("malformed_rate", self.malformed_rate, 0.0..=1.0, share)?;
        within("drip.share", self.drip.share, 0.0..=1.0, share)?;
        let wait = "from 0 to 86400000 (a day)";
        within("latency.median_ms", self.latency.median_ms, 0.0..=WAIT_MAX_MS, wait)?;
        within("latency.sigma", self.latency.sigma, 0.0..=10.0, "from 0 to 10")?;
        if let Some(max_ms) = self.latency.max_ms {
            within("latency.max_ms", max_ms, 0.0..=WAIT_MAX_MS, wait)?;
        }
        if self.refusals.wait_ms > 86_400_000 {
            return Err(out_of_range("refusals.wait_ms", self.refusals.wait_ms, wait));
        }
        if self.drip.over_ms > 86_400_000 {
            return Err(out_of_range("drip.over_ms", self.drip.over_ms, wait));
        }
        if self.drip.pieces == 0 {
            return Err(out_of_range("drip.pieces", 0, "at least 1"));
        }
        if let Some(limit) = &self.rate_limit {
            let rate = "from 0.001 to 1000000";
            within("rate_limit.per_second", limit.per_second, 0.001..=1_000_000.0, rate)?;
            if limit.burst == 0 {
                return Err(out_of_range("rate_limit.burst", 0, "at least 1"));
            }
        }
        if self.big_bytes > BIG_BYTES_MAX {
            return Err(out_of_range("big_bytes", self.big_bytes, "at most 1073741824 (1 GiB)"));
        }
        if http::HeaderValue::try_from(&self.redirect_to).is_err() {
            let range = "a header's value: no control characters";
            return Err(out_of_range("redirect_to", format!("{:?}", self.redirect_to), range));
        }
        Ok(())
    }
}

fn within(
    key: &'static str,
    value: f64,
    allowed: std::ops::RangeInclusive<f64>,
    range: &'static str,
) -> Result<(), SettingsError> {
    if allowed.contains(&value) { Ok(()) } else { Err(out_of_range(key, value, range)) }
}

fn out_of_range(key: &'static str, value: impl ToString, range: &'static str) -> SettingsError {
    SettingsError::Range { key, value: value.to_string(), range }
}

fn lay_over(whole: &mut Value, patch: &Value) {
    match (whole, patch) {
        (Value::Object(whole), Value::Object(patch)) => {
            for (key, value) in patch {
                lay_over(whole.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (whole, patch) => *whole = patch.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_partial_json_changes_only_what_it_names() {
        let before = Settings { error_rate: 0.5, ..Settings::default() };
        let after = before.with_patch(&json!({"latency": {"sigma": 0.4}, "moved": true})).unwrap();
        let wanted = Settings { latency: Latency { sigma: 0.4, ..Latency::default() }, moved: true, ..before };
        assert_eq!(after, wanted);
    }

    #[test]
    fn null_unsets_what_may_be_unset_and_nothing_else() {
        let before = Settings { require_key: Some("k".into()), ..Settings::default() };
        assert_eq!(before.with_patch(&json!({"require_key": null})).unwrap().require_key, None);
        assert!(before.with_patch(&json!({"latency": null})).is_err());
    }

    #[test]
    fn unknown_keys_are_refused_by_name_at_every_depth() {
        for patch in [
            json!({"latncy": {}}),
            json!({"latncy": null}),
            json!({"latency": {"latncy": 1}}),
            json!({"outage": {"latncy": 1}}),
        ] {
            let error = Settings::default().with_patch(&patch).unwrap_err().to_string();
            assert!(error.contains("unknown field `latncy`, expected"), "{error}");
        }
    }

    #[test]
    fn values_out_of_range_are_refused_by_key() {
        for (patch, key) in [
            (json!({"error_rate": 1.1}), "error_rate is 1.1"),
            (json!({"latency": {"median_ms": -1}}), "latency.median_ms is -1"),
            (json!({"drip": {"pieces": 0}}), "drip.pieces is 0"),
            (json!({"refusals": {"share": 2}}), "refusals.share is 2"),
            (json!({"refusals": {"wait_ms": 86_400_001}}), "refusals.wait_ms is 86400001"),
            (json!({"rate_limit": {"per_second": 0}}), "rate_limit.per_second is 0"),
            (json!({"big_bytes": u64::MAX}), "big_bytes"),
            (json!({"redirect_to": "a\nb"}), "redirect_to"),
            (json!([]), "must be a JSON object"),
        ] {
            let error = Settings::default().with_patch(&patch).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn outage_begins_and_ends_on_the_millisecond() {
        let outage = Outage { after_ms: 10, for_ms: Some(5), mode: OutageMode::Refuse };
        let dark = |ms| outage.at(Duration::from_millis(ms)).map(|dark| dark.remaining);
        assert_eq!(dark(9), None);
        assert_eq!(dark(10), Some(Some(Duration::from_millis(5))));
        assert_eq!(dark(14), Some(Some(Duration::from_millis(1))));
        assert_eq!(dark(15), None);
    }

    #[test]
    fn outage_without_an_end_stays() {
        let outage = Outage { after_ms: 0, for_ms: None, mode: OutageMode::Error };
        let dark = outage.at(Duration::from_secs(1_000_000)).unwrap();
        assert_eq!(dark, Dark { mode: OutageMode::Error, remaining: None });
    }
}
