use super::*;
use crate::test_scenarios::outage_text;

fn scenario() -> Scenario {
    let about = "about = \"a cap, and two minutes of errors\"\n";
    Scenario::parse("outage", &format!("{about}{}", outage_text("15m", "errors", ("6m", "8m")))).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let scenario = scenario();
    let (one, other) =
        (run(&scenario, Algorithm::Damper, Some(7)).unwrap(), run(&scenario, Algorithm::Damper, Some(7)).unwrap());
    assert!(one.json() == other.json() && one.svg().unwrap() == other.svg().unwrap());
    let another = run(&scenario, Algorithm::Damper, Some(8)).unwrap();
    assert!(one.json() != another.json());
}

#[test]
fn damper_survives_a_short_outage_and_the_table_says_so() {
    let scenario = scenario();
    let simulation = run(&scenario, Algorithm::Damper, None).unwrap();
    assert_eq!(simulation.books().dead_letters, 0);
    assert_eq!(simulation.record().above_cap, 0);
    assert!(simulation.record().sent_into_outage < 60, "{}", simulation.record().sent_into_outage);
    let recoveries = simulation.recoveries();
    assert_eq!(recoveries.len(), 1);
    assert!(recoveries[0].after_s.is_some_and(|after| after < 60), "{recoveries:?}");
    let table = simulation.table();
    assert!(
        table.starts_with("outage: a cap, and two minutes of errors\ndamper, seed 1, 15:00 simulated\n"),
        "{table}"
    );
    assert!(table.contains("dead letters 0"), "{table}");
}
