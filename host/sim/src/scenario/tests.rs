use super::*;
use crate::api::Outage;

const SMALL: &str = r#"
about = "a cap that falls and rises"
duration = "30m"
max_concurrency = 50
fetch_timeout = "10s"

[api]
latency = { median = "200ms", sigma = 0.3 }
concurrency = { limit = 20 }

[[changes]]
at = "10m"
api = { concurrency = { limit = 5, retry_after = "2s" } }

[[changes]]
at = "20m"
api = { outage = "black-hole" }
"#;

fn error(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from));
    Scenario::parse("small", &SMALL.replace(from, to)).unwrap_err().to_string()
}

#[test]
fn a_scenario_says_what_the_api_is_like_over_time() {
    let scenario = Scenario::parse("small", SMALL).unwrap();
    assert_eq!((scenario.clients, scenario.seed, scenario.work), (1, 1, Work::ENDLESS));
    let minute = |minutes: u64| scenario.plan.at(Duration::from_secs(60 * minutes));
    assert_eq!(minute(9).concurrency.unwrap().limit, 20);
    assert_eq!(minute(10).concurrency.unwrap().retry_after, Some(Duration::from_secs(2)));
    assert_eq!((minute(19).outage(), minute(20).outage()), (Outage::None, Outage::BlackHole));
    assert_eq!(minute(20).concurrency.unwrap().limit, 5, "what a change does not name stays");
}

#[test]
fn a_change_may_come_again_and_again() {
    let every = SMALL.replace("at = \"20m\"", "at = \"20m\"\nevery = \"4m\"");
    let scenario = Scenario::parse("small", &every).unwrap();
    assert_eq!(scenario.plan.capacities().len(), 5, "at first, at 10, 20, 24 and 28 minutes");
}

#[test]
fn errors_name_the_key_and_what_is_allowed() {
    assert_eq!(error("= 50", "= 0"), "scenario \"small\": max_concurrency is 0: it must be 1 to 1000");
    assert_eq!(
        error("limit = 5", "limit = 0"),
        "scenario \"small\": changes[0].api.concurrency.limit is 0: it must be 1 or more"
    );
    assert!(error("sigma = 0.3", "sigma = 9.0").ends_with("api.latency.sigma is 9.0: it must be 0 to 5"));
    let unknown = error("limit = 20", "limits = 20");
    assert!(unknown.contains("unknown field `limits`, expected one of `limit`"), "{unknown}");
    let duration = error("\"10s\"", "\"10 seconds\"");
    assert!(duration.contains("\"10 seconds\" is not a duration: write it as \"30s\""), "{duration}");
    let outage = error("black-hole", "gone");
    assert!(outage.contains("unknown variant `gone`, expected one of `none`, `errors`, `black-hole`"), "{outage}");
}

#[test]
fn all_our_scenarios_can_be_read() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios"));
    let mut all = Scenario::read_all(folder).unwrap();
    assert_eq!(all.len(), 13);
    all.extend(Scenario::read_all(&folder.join("more")).unwrap());
    for scenario in &all {
        assert!(!scenario.about.is_empty(), "{} says what it is about", scenario.name);
    }
}
