//! SIGKILL at random moments, twenty times, and SIGTERM: nothing lost, nothing doubled.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use damper_demo_api::{Latency, LogLine, Outcome, Settings};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::task::JoinSet;

use crate::local_setup::{LocalSetup, ids, ids_of, signal, text, wait};

const KILLS: usize = 20;
/// Items that cannot be fetched, in each setup.
const UNKNOWN: usize = 40;

/// A kill, as the test saw it.
struct Kill {
    /// When the process was certainly dead, in Unix milliseconds.
    at_ms: u64,
    /// The ids in the sink at that time.
    stored: BTreeSet<String>,
}

#[allow(clippy::disallowed_methods, reason = "compared with the times in the API's log, which are the machine's")]
fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_lose_nothing_and_double_nothing() {
    survives(KILLS, 4_000, 20, "compression = \"none\"").await;
}

/// Ten setups side by side: after each kill a run waits for what the dead one held, which takes seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 12)]
#[ignore = "a campaign: `make chaos`"]
async fn chaos_a_thousand_kills() {
    const HOUSES: usize = 10;
    const KILLS_OF_ONE: usize = 100;
    let begun = std::time::Instant::now();
    let mut setups = JoinSet::new();
    for seed in 0..HOUSES {
        setups.spawn(survives(KILLS_OF_ONE, 14_000, seed as u64, "compression = \"none\""));
    }
    let survived = setups.join_all().await.len();
    let seconds = begun.elapsed().as_secs_f64();
    println!("| SIGKILL | {} | 0 lost, 0 doubled | {seconds:.0} s |", survived * KILLS_OF_ONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_compressed_is_recovered_and_exported_too() {
    let setup = survives(KILLS / 4, 4_000, 20, "compression = \"zstd\"").await;
    let exported = setup.run(&["export", "demo"]);
    assert!(exported.status.success(), "{}", text(&exported));
    let exported: BTreeSet<String> = ids_of(&String::from_utf8(exported.stdout).unwrap()).collect();
    assert_eq!(exported, setup.stored_ids_once());
    // A seal under the other name is empty.
    let is_seal = |object: &PathBuf| object.metadata().unwrap().len() == 0;
    let is_compressed = |object: &PathBuf| object.extension().is_some_and(|extension| extension == "zst");
    assert!(setup.objects().iter().all(|object| is_compressed(object) || is_seal(object)), "{:?}", setup.objects());
}

/// Feeds a number of items, and kills their runs at moments that the seed chooses.
async fn survives(deaths: usize, items: usize, seed: u64, setting: &str) -> LocalSetup {
    let latency = Latency { median_ms: 25.0, sigma: 0.5, max_ms: Some(500.0) };
    let setup =
        LocalSetup::demo(Settings { latency, keep_working: true, ..Settings::default() }, "fetch_timeout = \"1s\"")
            .with_setting(setting);
    let mut fed = ids("account", items);
    fed.extend(ids("account", 200));
    // Spread out: many in a row would rightly stop the provider.
    for (number, unknown) in ids("unknown", UNKNOWN).into_iter().enumerate() {
        fed.insert(number * items / 45, unknown);
    }
    setup.feed(&fed);
    let mut random = StdRng::seed_from_u64(seed);
    let mut kills = Vec::new();
    for _ in 0..deaths {
        let mut child = setup.start(&["run", "demo"]);
        let (before, more) = (setup.api.stats().requests, random.random_range(1..180));
        setup.wait_for_api(|stats| stats.requests >= before + more).await;
        // Somewhere between two requests, a flush or a finish.
        tokio::time::sleep(Duration::from_micros(random.random_range(0..30_000))).await;
        child.kill().unwrap();
        child.wait().unwrap();
        kills.push(Kill { at_ms: unix_ms(), stored: setup.stored_ids_once() });
    }
    setup.drain();
    setup.assert_all_ended(fed.len() as u64).await;
    assert_eq!(setup.stored_ids_once().len(), items);
    assert_eq!(setup.counts().await.dead_letters, UNKNOWN as u64);
    assert!(setup.api.stats().peak_in_flight <= 16, "{:?}", setup.api.stats());
    assert_fetches_are_bounded(&setup.api.log(), &kills);
    setup
}

/// No id is fetched again once it was stored, and at most once more for each kill that caught it before.
fn assert_fetches_are_bounded(log: &[LogLine], kills: &[Kill]) {
    let mut fetches: BTreeMap<&str, Vec<&LogLine>> = BTreeMap::new();
    for line in log.iter().filter(|line| line.id.starts_with("account")) {
        fetches.entry(&line.id).or_default().push(line);
    }
    for (id, lines) in fetches {
        for kill in kills.iter().filter(|kill| kill.stored.contains(id)) {
            let later = lines.iter().filter(|line| line.started_ms > kill.at_ms).count();
            assert_eq!(later, 0, "{id} was fetched again after it was stored");
        }
        let caught = |kill: &&Kill| !kill.stored.contains(id) && lines.iter().any(|line| line.started_ms <= kill.at_ms);
        let whole = lines.iter().filter(|line| matches!(line.outcome, Outcome::Record | Outcome::ClientLeft)).count();
        assert!(whole <= 1 + kills.iter().filter(caught).count(), "{id} was fetched {whole} times");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_leaves_nothing_in_flight_and_the_next_run_goes_on_at_once() {
    let latency = Latency { median_ms: 50.0, ..Latency::default() };
    let setup = LocalSetup::demo(Settings { latency, ..Settings::default() }, "");
    setup.feed(ids("account", 1_000));
    for name in ["TERM", "INT"] {
        let child = setup.start(&["run", "demo"]);
        let before = setup.api.stats().requests;
        setup.wait_for_api(|stats| stats.requests >= before + 60).await;
        signal(&child, name);
        let output = wait(child, &["run"]);
        assert_eq!(output.status.code(), Some(6), "{}", text(&output));
        assert_eq!(setup.stored_ids_once().len() as u64, setup.counts().await.fetched);
    }
    setup.drain();
    setup.assert_all_ended(1_000).await;
    assert_eq!(setup.api.stats().ids_fetched_more_than_once_ok, 0);
    assert_eq!(setup.api.stats().client_left, 0, "what was in flight was finished");
}
