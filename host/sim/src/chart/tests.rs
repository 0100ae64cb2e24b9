use std::time::Duration;

use super::*;
use crate::algorithm::Algorithm;
use crate::compare::alone;
use crate::scenario::Scenario;

const TEXT: &str = r#"
duration = "4m"
max_concurrency = 20
fetch_timeout = "5s"
[api]
concurrency = { limit = 10 }
[[changes]]
at = "1m"
api = { outage = "errors" }
[[changes]]
at = "2m"
api = { outage = "none" }
"#;

fn chart() -> String {
    let scenario = Scenario::parse("outage", TEXT).unwrap();
    let record = alone(&scenario, Algorithm::Aimd, 1);
    assert_eq!(record.duration, Duration::from_secs(240));
    svg("outage, aimd", &scenario.plan, &record).unwrap()
}

#[test]
fn a_chart_says_what_it_shows_and_is_the_same_every_time() {
    let text = chart();
    for word in
        ["outage, aimd", "in flight", "limit", "refused (429)", "median", "99th percentile", "optimal API concurrency"]
    {
        assert!(text.contains(word), "{word}");
    }
    assert!(!text.contains("batch size"), "there is no mapping");
    assert_eq!(text, chart());
}
