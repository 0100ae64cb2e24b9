use std::time::Duration;

use super::*;
use crate::algorithm::Algorithm;
use crate::compare::alone;
use crate::scenario::Scenario;
use crate::test_scenarios::outage_text;

fn chart() -> String {
    let scenario = Scenario::parse("outage", &outage_text("4m", "errors", ("1m", "2m"))).unwrap();
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
