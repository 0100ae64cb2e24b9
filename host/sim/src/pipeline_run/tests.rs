use super::*;
use crate::test_scenarios::outage_text;

fn scenario(text: &str) -> Scenario {
    Scenario::parse("test", text).unwrap()
}

/// Three minutes without an answer, a slow mapping, and now and then an error.
fn outage() -> String {
    let text = outage_text("20m", "black-hole", ("8m", "11m"));
    text.replace("[api]\n", "[mapping]\nlag = \"30s\"\n[api]\nerror_rate = 0.01\n")
}

#[test]
fn the_books_balance_and_the_same_seed_gives_the_same_run() {
    let scenario = scenario(&outage());
    for algorithm in [Algorithm::Damper, Algorithm::Aimd, Algorithm::Article] {
        let whole = run(&scenario, algorithm, 1).unwrap();
        let Books { fed, fetched, skipped, dead_letters, pending } = whole.books;
        assert_eq!(fed, fetched + skipped + dead_letters + pending);
        assert!(fetched > 1_000, "{algorithm}: {:?}", whole.books);
        assert_eq!(whole.record.above_cap, 0, "{algorithm}");
        assert!(whole == run(&scenario, algorithm, 1).unwrap(), "{algorithm}");
    }
}

#[test]
fn the_books_balance_where_the_ledger_parks() {
    let scenario = scenario(&outage().replace("[mapping]", "[mapping]\nparking = true\ntick = \"1m\""));
    let whole = run(&scenario, Algorithm::Damper, 1).unwrap();
    let Books { fed, fetched, skipped, dead_letters, pending } = whole.books;
    assert_eq!(fed, fetched + skipped + dead_letters + pending);
    assert!(fetched > 1_000 && whole.record.above_cap == 0, "{:?}", whole.books);
    assert!(whole == run(&scenario, Algorithm::Damper, 1).unwrap());
}

#[test]
fn two_clients_share_one_api_and_keep_books_of_their_own() {
    let text = outage().replace("duration = \"20m\"", "duration = \"6m\"\nclients = 2");
    let whole = run(&scenario(&text), Algorithm::Damper, 1).unwrap();
    let [one, other] = [whole.record.clients[0].ok, whole.record.clients[1].ok];
    assert!(one > 1_000 && other > 1_000, "{one} and {other}");
    // Items that ended in the very last moment are fetched, but not recorded.
    assert!((one + other..one + other + 20).contains(&whole.books.fetched), "{:?}", whole.books);
}

#[test]
fn the_control_plane_is_asked_for_a_batch_size_every_two_minutes_at_most_and_for_none_in_steady_state() {
    let changing = scenario(&outage());
    let steady = outage();
    let steady = steady.split("[[changes]]").next().unwrap().replace("duration = \"20m\"", "duration = \"90m\"");
    let steady = scenario(&steady);
    for seed in 1..4 {
        for (scenario, is_steady) in [(&changing, false), (&steady, true)] {
            let requests = run(scenario, Algorithm::Damper, seed).unwrap().mapping_requests;
            assert!(requests.resized > 0, "{requests:?}");
            assert!(requests.least_between.is_none_or(|least| least >= Duration::from_secs(120)), "{requests:?}");
            assert!(!is_steady || (requests.resized_late, requests.switched) == (0, 0), "{requests:?}");
            // One read before a change and one or two after it; none otherwise.
            assert!(!is_steady || requests.reads <= 1 + 3 * requests.resized, "{requests:?}");
        }
    }
}
