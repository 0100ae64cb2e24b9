//! Orders and polls: a component that is not ready at first, over processes and with the ledger between them.

use std::time::Duration;

use damper_valuation_api::damper_run::{DamperRun, Programs, Summary};
use damper_valuation_api::policies::{self, Kind};
use damper_valuation_api::{Settings, ValuationApi};

use crate::local_setup::{LocalSetup, require_built, target, wait};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every item is not ready once, in one run: nothing is lost, doubled or given up.
#[tokio::test]
async fn a_run_polls_its_orders_until_their_records_are_there() {
    let setup = LocalSetup::for_component("hostile", damper_demo_api::Settings::default(), "");
    let ids: Vec<String> = (0..20).map(|number| format!("order:{number:02}")).collect();
    setup.feed(&ids);
    let ended = setup.run(&["run", "hostile"]);
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    let said = text(&ended.stdout) + &text(&ended.stderr);
    assert!(said.contains("20 fetched") && said.contains("20 not ready") && said.contains("0 retried"), "{said}");
    assert!(setup.stored_ids_once().iter().eq(&ids));
    setup.assert_all_ended(20).await;
}

/// Also where an earlier fetch placed the order. The record is stored, and a run does not fetch it again.
#[tokio::test]
async fn a_single_fetch_waits_for_its_record_and_stores_it() {
    let setup = LocalSetup::for_component("hostile", damper_demo_api::Settings::default(), "");
    let at_once = setup.run(&["fetch", "hostile", "order:7"]);
    assert!(!at_once.status.success());
    assert!(text(&at_once.stderr).contains("--wait"), "{}", text(&at_once.stderr));

    let waited = setup.run(&["fetch", "hostile", "order:7", "--wait"]);
    assert!(waited.status.success(), "{}", text(&waited.stderr));
    assert_eq!(text(&waited.stdout), "order:7\n", "the component's record is its resume state");
    assert!(text(&waited.stderr).contains("the API has taken the order"), "{}", text(&waited.stderr));
    assert_eq!(setup.stored_ids(), ["order:7"]);

    let again = setup.run(&["fetch", "hostile", "order:7", "--wait", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(json["outcome"], "fetched-before");
    setup.feed(["order:7"]);
    assert!(setup.run(&["run", "hostile"]).status.success());
    assert_eq!(setup.stored_ids(), ["order:7"]);
}

/// Orders, polls and tokens at an API that refuses one of twenty requests at random. A locked policy is polled until
/// all others have their documents: if it held their batch, the run would not end.
#[test]
fn orders_at_an_api_with_random_faults_are_taken_once_and_polled_when_the_api_says() {
    let policies = policies::list(130);
    let settings = Settings {
        latency: (Duration::from_millis(5), Duration::from_millis(15)),
        poll_wait: Duration::from_secs(1),
        refusal_wait: Duration::from_secs(1),
        locked_wait: Duration::from_secs(3),
        ..Settings::calm(4, policies.len() - 1).with_chaos()
    };
    let api = ValuationApi::start(settings).unwrap();
    let programs = Programs {
        damper: require_built(&target().join("debug/damper")),
        component: require_built(&target().join("components/valuation.wasm")),
    };
    let run = DamperRun::new(&programs, &api.origin(), &policies).unwrap();
    let summary = Summary::parse(&wait(run.build_command().spawn().unwrap(), &["run"])).unwrap();
    let unknown = policies.iter().filter(|policy| Kind::of(policy) == Kind::Unknown).count() as u64;
    let ends = (summary.fetched, summary.dead_letters, summary.pending);
    assert_eq!(ends, (policies.len() as u64 - unknown, unknown, 0), "{}", summary.log);

    let book = api.book();
    assert!(book.by_status[&503] > 0 && book.by_status[&429] > 0, "{:?}", book.by_status);
    let (requests, needed) = (book.requests(), book.requests_needed());
    assert!(requests * 10 <= needed * 12, "{requests} requests, and {needed} were needed: {book:?}");
    assert!(book.peak_in_flight <= 4, "{}", book.peak_in_flight);
    assert_eq!(book.tokens - book.tokens_refused, 1, "one token serves all");
    for (policy, history) in &book.policies {
        let jobs = if Kind::of(policy) == Kind::Forgotten { 2 } else { 1 };
        assert_eq!((history.jobs, history.orders_again), (jobs, 0), "{policy}: {history:?}");
        assert!(history.early.is_empty(), "{policy} was asked for before Retry-After: {history:?}");
    }
}
