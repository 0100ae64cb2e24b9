//! Scenarios of unit tests.

/// A scenario's text: an API that takes ten requests at once, about 200 ms each, and is down as `outage` says between
/// two times.
pub(crate) fn outage_text(duration: &str, outage: &str, (from, until): (&str, &str)) -> String {
    format!(
        r#"duration = "{duration}"
max_concurrency = 20
fetch_timeout = "5s"
[api]
latency = {{ median = "200ms", sigma = 0.4 }}
concurrency = {{ limit = 10 }}
[[changes]]
at = "{from}"
api = {{ outage = "{outage}" }}
[[changes]]
at = "{until}"
api = {{ outage = "none" }}
"#
    )
}
