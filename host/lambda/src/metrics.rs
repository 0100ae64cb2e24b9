//! Metrics as lines of CloudWatch's embedded metric format on standard output: CloudWatch makes metrics of them, and no
//! call of an API is needed. One document for each invocation and provider, and one for each kind of failure.
//!
//! Format: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.

use std::collections::BTreeMap;
use std::time::Duration;

use damper_core::control::admission::{BreakerStatus, LimiterSnapshot};
use damper_core::control::item::{Control, OpenedBy, ProviderStop, RunningComponent};
use damper_core::day::Day;
use damper_core::pipeline::progress::{Event, EventKind, Progress, Snapshot};
use damper_core::record::FailureKind;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The namespace of all of Damper's metrics.
const NAMESPACE: &str = "Damper";

/// A process's counters of one provider at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct CounterSnapshot {
    snapshot: Snapshot,
    failures: BTreeMap<FailureKind, u64>,
}

/// The difference between two [`CounterSnapshot`]s, with peaks and latencies of the events in between.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct MetricsDelta {
    fetched: u64,
    skipped: u64,
    dead_letters: u64,
    requests: u64,
    failures: BTreeMap<FailureKind, u64>,
    peak_in_flight: u64,
    latencies: Vec<Duration>,
}

impl CounterSnapshot {
    /// The counters now.
    pub(crate) fn of(progress: &Progress) -> Self {
        Self { snapshot: progress.snapshot(), failures: progress.failures() }
    }

    /// The difference between this and a `later` snapshot; `events` are the fetch starts and ends in between.
    pub(crate) fn delta_to(&self, later: &Self, events: &[Event]) -> MetricsDelta {
        let (before, after) = (&self.snapshot, &later.snapshot);
        let failures = later.failures.iter().map(|(kind, count)| {
            (kind.clone(), count.saturating_sub(self.failures.get(kind).copied().unwrap_or_default()))
        });
        let mut delta = MetricsDelta {
            fetched: after.fetched.saturating_sub(before.fetched),
            skipped: after.skipped.saturating_sub(before.skipped),
            dead_letters: after.dead.saturating_sub(before.dead),
            requests: after.requests.saturating_sub(before.requests),
            failures: failures.filter(|(_, count)| *count > 0).collect(),
            ..MetricsDelta::default()
        };
        let mut in_flight = 0_u64;
        for event in events {
            match event.kind {
                EventKind::Sent => in_flight += 1,
                EventKind::Ended { latency, .. } => {
                    in_flight = in_flight.saturating_sub(1);
                    delta.latencies.push(latency);
                }
            }
            delta.peak_in_flight = delta.peak_in_flight.max(in_flight);
        }
        delta.latencies.sort_unstable();
        delta
    }
}

/// The part of the control item that charts show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProviderStatus {
    /// 0: closed, 1: half open, 2: open.
    breaker: u8,
    /// Whether a person has to see to it: something only they can mend.
    needs_mending: bool,
    quota_left: Option<u64>,
    limit: u32,
    /// Entries that have not ended, and with which the stream is done.
    parked: u64,
}

impl ProviderStatus {
    /// How a provider stands by its control item and what its limiter says.
    pub(crate) fn of(control: &Control, reading: LimiterSnapshot, today: Day, quota: Option<u64>) -> Self {
        let (breaker, needs_mending) = match &control.breaker {
            ProviderStop::Open { by: OpenedBy::Config, .. } => (2, true),
            ProviderStop::Open { by: OpenedBy::Operator, .. } => (2, false),
            ProviderStop::Open { .. } if matches!(reading.breaker, BreakerStatus::HalfOpen { .. }) => (1, false),
            ProviderStop::Open { .. } => (2, false),
            ProviderStop::Closed => (0, false),
        };
        let (quota_left, parked) = (control.usage.remaining(today, quota), control.parked.count);
        Self { breaker, needs_mending, quota_left, limit: reading.limit, parked }
    }
}

/// The kind of invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invocation {
    /// A batch of so many entries.
    Batch { entries: usize },
    /// One record that somebody waits for: no batch, and nothing that a batch's size is to be seen in.
    AdHoc,
    /// Parked entries that were due: no batch either.
    Parked,
    /// The governor's turn: nothing is fetched.
    Tick,
}

/// The lines to write for an invocation.
pub(crate) fn format_lines(
    (provider, component): (&str, &RunningComponent),
    now: Timestamp,
    invocation: Invocation,
    delta: &MetricsDelta,
    status: ProviderStatus,
) -> Vec<String> {
    let mut metrics = Metrics::default();
    // Properties, no dimensions: a new version is no new metric.
    metrics.note("Component", &component.name);
    metrics.note("ComponentVersion", &component.version);
    metrics.note("ComponentDigest", &component.digest);
    if let Invocation::Batch { entries } = invocation {
        metrics.count("BatchSize", entries as u64);
    }
    if invocation != Invocation::Tick {
        metrics.count("InFlight", delta.peak_in_flight);
        metrics.count("Fetched", delta.fetched);
        metrics.count("Skipped", delta.skipped);
        metrics.count("DeadLetters", delta.dead_letters);
        metrics.count("Requests", delta.requests);
        metrics.count("Throttled", delta.failures.get(&FailureKind::Throttled).copied().unwrap_or_default());
        metrics.milliseconds("LatencyP50", percentile(&delta.latencies, 50));
        metrics.milliseconds("LatencyP99", percentile(&delta.latencies, 99));
    }
    metrics.count("Limit", status.limit.into());
    metrics.count("Parked", status.parked);
    metrics.count("BreakerState", status.breaker.into());
    metrics.count("NeedsMending", status.needs_mending.into());
    if let Some(left) = status.quota_left {
        metrics.count("QuotaLeft", left);
    }
    let mut lines = vec![metrics.into_document(now, &[("Provider", provider)])];
    for (kind, count) in &delta.failures {
        let mut failed = Metrics::default();
        failed.count("Failed", *count);
        lines.push(failed.into_document(now, &[("Provider", provider), ("Kind", &kind_name(kind))]));
    }
    lines
}

/// The name of a kind, as a dimension: a guest's own kinds are all `other`, for each value is a metric that costs.
fn kind_name(kind: &FailureKind) -> String {
    let named = serde_json::to_value(kind).ok();
    named.as_ref().and_then(Value::as_str).unwrap_or("other").to_owned()
}

/// The nearest rank; none where there is nothing to rank.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

/// The metrics of one document.
#[derive(Debug, Default)]
struct Metrics {
    definitions: Vec<Value>,
    values: Map<String, Value>,
}

impl Metrics {
    fn count(&mut self, name: &str, value: u64) {
        self.put(name, "Count", value.into());
    }

    fn milliseconds(&mut self, name: &str, value: Option<Duration>) {
        if let Some(value) = value {
            self.put(name, "Milliseconds", json!(value.as_secs_f64() * 1_000.0));
        }
    }

    /// A property that is no metric.
    fn note(&mut self, name: &str, text: &str) {
        self.values.insert(name.to_owned(), text.into());
    }

    fn put(&mut self, name: &str, unit: &str, value: Value) {
        self.definitions.push(json!({ "Name": name, "Unit": unit }));
        self.values.insert(name.to_owned(), value);
    }

    fn into_document(self, now: Timestamp, dimensions: &[(&str, &str)]) -> String {
        let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
        let mut document = self.values;
        document.extend(dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())));
        document.insert(
            "_aws".to_owned(),
            json!({
                "Timestamp": now.as_millisecond(),
                "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": [names], "Metrics": self.definitions }],
            }),
        );
        Value::Object(document).to_string()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn sample_delta() -> MetricsDelta {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let ended = |ms| EventKind::Ended { latency: Duration::from_millis(ms), outcome: None };
        let events = [
            Event { at: at(0), kind: EventKind::Sent },
            Event { at: at(1), kind: EventKind::Sent },
            Event { at: at(40), kind: ended(40) },
            Event { at: at(41), kind: EventKind::Sent },
            Event { at: at(90), kind: ended(89) },
            Event { at: at(91), kind: ended(50) },
        ];
        let before = CounterSnapshot {
            snapshot: Snapshot { fetched: 10, dead: 1, ..Snapshot::default() },
            failures: BTreeMap::from([(FailureKind::Throttled, 2), (FailureKind::NotFound, 1)]),
        };
        let after = CounterSnapshot {
            snapshot: Snapshot { fetched: 12, dead: 2, requests: 3, ..Snapshot::default() },
            failures: BTreeMap::from([
                (FailureKind::Throttled, 2),
                (FailureKind::NotFound, 2),
                (FailureKind::TimedOut, 1),
                (FailureKind::Other(String::new()), 4),
            ]),
        };
        before.delta_to(&after, &events)
    }

    fn component() -> RunningComponent {
        RunningComponent { name: "entities".into(), version: "1.2.0".into(), digest: "sha256:00".into() }
    }

    const STATUS: ProviderStatus =
        ProviderStatus { breaker: 0, needs_mending: false, quota_left: Some(7), limit: 4, parked: 3 };

    #[test]
    fn a_batch_is_what_happened_since_the_one_before() {
        let delta = sample_delta();
        assert_eq!((delta.fetched, delta.dead_letters, delta.peak_in_flight), (2, 1, 2));
        assert_eq!(delta.failures.values().sum::<u64>(), 6, "{delta:?}");
        let lines = format_lines(
            ("gleif", &component()),
            Timestamp::UNIX_EPOCH,
            Invocation::Batch { entries: 20 },
            &delta,
            STATUS,
        );
        let first: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!((&first["BatchSize"], &first["Fetched"], &first["QuotaLeft"]), (&20.into(), &2.into(), &7.into()));
        assert_eq!((&first["LatencyP50"], &first["LatencyP99"]), (&50.0.into(), &89.0.into()));
        assert_eq!(first["Throttled"], 0, "none of this batch");
        let component = [&first["Component"], &first["ComponentVersion"], &first["ComponentDigest"]];
        assert_eq!(component, ["entities", "1.2.0", "sha256:00"]);
        let kinds: Vec<Value> = lines[1..].iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let kinds: Vec<_> =
            kinds.iter().map(|line| (line["Kind"].as_str().unwrap(), line["Failed"].as_u64())).collect();
        assert_eq!(kinds, [("timed-out", Some(1)), ("not-found", Some(1)), ("other", Some(4))]);
    }

    /// The specification requires that each defined metric is present and that each dimension is a string.
    #[test]
    fn every_line_is_a_whole_document() {
        for line in format_lines(
            ("gleif", &component()),
            Timestamp::UNIX_EPOCH,
            Invocation::Batch { entries: 1 },
            &sample_delta(),
            STATUS,
        ) {
            let document: Value = serde_json::from_str(&line).unwrap();
            assert!(!line.contains('\n') && document["_aws"]["Timestamp"].is_u64(), "{line}");
            for directive in document["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
                assert_eq!(directive["Namespace"], "Damper");
                for name in directive["Dimensions"].as_array().unwrap().iter().flat_map(|set| set.as_array().unwrap()) {
                    assert!(document[name.as_str().unwrap()].is_string(), "{name}");
                }
                for metric in directive["Metrics"].as_array().unwrap() {
                    assert!(document[metric["Name"].as_str().unwrap()].is_number(), "{metric}");
                }
            }
        }
    }

    /// A size of one would pull the mean of batches down.
    #[test]
    fn a_record_that_somebody_waits_for_is_no_batch() {
        let lines =
            format_lines(("gleif", &component()), Timestamp::UNIX_EPOCH, Invocation::AdHoc, &sample_delta(), STATUS);
        let first: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!((&first["Fetched"], &first["LatencyP99"]), (&2.into(), &89.0.into()));
        assert!(!lines.concat().contains("BatchSize"), "{}", lines[0]);
    }

    #[test]
    fn a_tick_tells_only_how_a_provider_stands() {
        let lines = format_lines(
            ("gleif", &component()),
            Timestamp::UNIX_EPOCH,
            Invocation::Tick,
            &MetricsDelta::default(),
            STATUS,
        );
        assert_eq!(lines.len(), 1);
        assert!(!lines[0].contains("Fetched") && lines[0].contains("BreakerState"), "{}", lines[0]);
        assert!(lines[0].contains("\"Parked\":3"), "what is pending beside the stream: {}", lines[0]);
    }

    #[test]
    fn a_percentile_is_a_latency_that_was() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 50), Some(Duration::from_millis(100)));
        assert_eq!(percentile(&sorted, 99), Some(Duration::from_millis(198)));
        assert_eq!(percentile(&sorted[..1], 99), Some(Duration::from_millis(1)));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn who_is_needed_is_told_apart() {
        let reading =
            LimiterSnapshot { limit: 3, breaker: BreakerStatus::Closed, gate: None, rate: None, phase: "hold" };
        let today: Day = "2026-11-25".parse().unwrap();
        let open = |by| Control {
            breaker: ProviderStop::Open { since: Timestamp::UNIX_EPOCH, by, reason: String::new() },
            ..Control::default()
        };
        let status = |control: &Control, breaker| {
            let status = ProviderStatus::of(control, LimiterSnapshot { breaker, ..reading }, today, Some(9));
            (status.breaker, status.needs_mending)
        };
        let half_open = BreakerStatus::HalfOpen { since: Duration::ZERO };
        assert_eq!(status(&Control::default(), BreakerStatus::Closed), (0, false));
        assert_eq!(status(&open(OpenedBy::Breaker), half_open), (1, false));
        assert_eq!(status(&open(OpenedBy::Breaker), BreakerStatus::Closed), (2, false));
        assert_eq!(status(&open(OpenedBy::Operator), BreakerStatus::Closed), (2, false));
        assert_eq!(status(&open(OpenedBy::Config), half_open), (2, true));
    }
}
