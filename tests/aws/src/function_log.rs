//! The function's output: metrics in CloudWatch's embedded format and logs, a line of JSON each.

use damper_event_source::LogLine;
use serde_json::Value;

/// The metrics' documents.
pub fn metrics(lines: &[LogLine]) -> Vec<Value> {
    documents(lines).into_iter().filter(|document| document.get("_aws").is_some()).collect()
}

/// The logs' documents.
pub fn logs(lines: &[LogLine]) -> Vec<Value> {
    documents(lines).into_iter().filter(|document| document.get("_aws").is_none()).collect()
}

fn documents(lines: &[LogLine]) -> Vec<Value> {
    let parse = |line: &LogLine| serde_json::from_str(&line.text).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    lines.iter().map(parse).collect()
}

/// The sum of a metric over all documents.
pub fn sum(lines: &[LogLine], metric: &str) -> u64 {
    metrics(lines).iter().filter_map(|document| document[metric].as_u64()).sum()
}

/// Whether a log line of this level holds this text, in whichever field.
pub fn has(lines: &[LogLine], level: &str, text: &str) -> bool {
    logs(lines).iter().any(|line| line["level"] == level && line.to_string().contains(text))
}

/// Every line is what it has to be: nothing on standard error, JSON each, a metric's document as the specification
/// wants it, a log line with its time and level.
pub fn assert_well_formed(lines: &[LogLine]) {
    assert!(!lines.is_empty(), "the function wrote nothing");
    let errors: Vec<_> = lines.iter().filter(|line| line.is_stderr).collect();
    assert!(errors.is_empty(), "standard error: {errors:?}");
    for document in metrics(lines) {
        let aws = &document["_aws"];
        assert!(aws["Timestamp"].as_u64().is_some(), "{document}");
        for directive in aws["CloudWatchMetrics"].as_array().unwrap() {
            assert_eq!(directive["Namespace"], "Damper");
            let sets = directive["Dimensions"].as_array().unwrap();
            for name in sets.iter().flat_map(|set| set.as_array().unwrap()) {
                assert!(document[name.as_str().unwrap()].is_string(), "{name} in {document}");
            }
            for metric in directive["Metrics"].as_array().unwrap() {
                assert!(document[metric["Name"].as_str().unwrap()].is_number(), "{metric} in {document}");
            }
        }
    }
    for line in logs(lines) {
        for field in ["timestamp", "level"] {
            assert!(line[field].is_string(), "{field} in {line}");
        }
    }
}
