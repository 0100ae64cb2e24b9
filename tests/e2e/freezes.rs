//! A process freezes or dies in the middle of a put, another one takes over, and the frozen one goes on: nothing lost,
//! nothing doubled.

use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::time::Duration;

use damper_demo_api::{Latency, Settings};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::local_setup::{LocalSetup, PATIENCE, ids, signal, text, wait};
use crate::shim::wait_until_stopped;

const ITEMS: usize = 260;
/// A chunk is put when it is five seconds old. They pass in steps that are shorter than a fetch timeout.
const CHUNK_AGES: [Duration; 4] = [Duration::from_millis(1_270); 4];
/// Longer than any lease: fetch timeout, chunk age, flush and margin are 18 s.
const AFTER_THE_LEASE: Duration = Duration::from_secs(60);

fn slow_api() -> Settings {
    let latency = Latency { median_ms: 100.0, sigma: 0.3, max_ms: Some(400.0) };
    Settings { latency, keep_working: true, ..Settings::default() }
}

/// A setup whose process puts its first chunk in the middle of a batch, with requests in flight.
async fn in_mid_put(order: &str) -> (LocalSetup, Child) {
    let setup = LocalSetup::demo(slow_api(), "").with_shim();
    setup.feed(ids("account", ITEMS));
    setup.shim().order(order);
    let child = setup.start(&["run", "demo"]);
    for age in CHUNK_AGES {
        let before = setup.api.stats().requests;
        let is_further = |setup: &LocalSetup| setup.api.stats().requests >= before + 16 || setup.shim().is_met();
        // On a busy machine five seconds pass by themselves; then nothing more may come of a process that was killed.
        tokio::time::timeout(PATIENCE, async {
            while !is_further(&setup) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
        .expect("the process never got there");
        setup.shim().pass(age);
    }
    (setup, child)
}

async fn assert_once(setup: &LocalSetup) {
    setup.drain();
    setup.assert_all_ended(ITEMS as u64).await;
    assert_eq!(setup.stored_ids_once().len(), ITEMS);
    assert!(setup.api.stats().peak_in_flight <= 16, "{:?}", setup.api.stats());
}

/// Freeze a process, but not in the middle of a transaction: nobody else could use the database until it goes on.
async fn freeze(setup: &LocalSetup, child: &Child) {
    for _ in 0..1_000 {
        signal(child, "STOP");
        wait_until_stopped(child).await;
        if !setup.is_database_locked() {
            return;
        }
        signal(child, "CONT");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("the database was locked at every look");
}

/// One freeze. The second process is so many requests into its work when the first one goes on; none: it has ended.
async fn survives_a_freeze(wakes_after: Option<u64>) {
    let (setup, frozen) = in_mid_put("w").await;
    setup.shim().wait_until_all_met().await;
    // Records that are fetched during the put go to the next chunk.
    let before = setup.api.stats().requests;
    setup.wait_for_api(|stats| stats.requests >= before + 30).await;
    freeze(&setup, &frozen).await;
    assert!(setup.objects().is_empty(), "the chunk has no name yet");
    // It has its name as soon as the process goes on.
    setup.shim().let_go();
    // Of the frozen process alone no time has passed: its monotonic clock stands still, as that of a virtual machine
    // that is suspended.
    setup.shim().step_forward(AFTER_THE_LEASE);
    let before = setup.api.stats().requests;
    let second = setup.start(&["run", "demo"]);
    let second = if let Some(requests) = wakes_after {
        setup.wait_for_api(|stats| stats.requests >= before + requests).await;
        signal(&frozen, "CONT");
        wait(second, &["run"])
    } else {
        let second = wait(second, &["run"]);
        signal(&frozen, "CONT");
        second
    };
    let first = wait(frozen, &["run"]);
    for output in [first, second] {
        assert!(!text(&output).contains("panicked"), "{}", text(&output));
    }
    assert_once(&setup).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_freezes_in_a_put_and_goes_on_after_another_took_over_doubles_nothing() {
    tokio::join!(survives_a_freeze(None), survives_a_freeze(Some(100)));
}

/// SIGKILL just before, or just after, the chunk gets its name.
async fn survives_a_kill(order: &str) {
    let (setup, killed) = in_mid_put(order).await;
    let output = wait(killed, &["run"]);
    assert_eq!(output.status.signal(), Some(9), "{}", text(&output));
    assert_eq!(setup.objects().len(), usize::from(order == "K"));
    let stored = setup.stored_ids_once();
    setup.shim().pass(AFTER_THE_LEASE);
    assert_once(&setup).await;
    let log = setup.api.log();
    for id in stored {
        assert_eq!(log.iter().filter(|line| line.id == id).count(), 1, "{id} was stored and fetched again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_just_before_or_just_after_a_put_loses_and_doubles_nothing() {
    tokio::join!(survives_a_kill("k"), survives_a_kill("K"));
}

/// A put fails, with its chunk stored or not, and the next one is the last thing that the process does.
async fn survives_a_failed_put_and_a_kill(order: &str) {
    let (setup, killed) = in_mid_put(order).await;
    let output = wait(killed, &["run"]);
    // A process that stores nothing more after the failed put ends with the storage's exit code, and lives.
    let is_over = output.status.signal() == Some(9) || output.status.code() == Some(5);
    assert!(is_over, "{}", text(&output));
    setup.shim().order("");
    setup.shim().pass(AFTER_THE_LEASE);
    assert_once(&setup).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_fails_and_a_kill_in_the_next_one_leave_nothing_that_recovery_cannot_end() {
    tokio::join!(survives_a_failed_put_and_a_kill("eK"), survives_a_failed_put_and_a_kill("EK"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign: `make chaos`"]
async fn chaos_a_hundred_freezes_in_a_put() {
    let mut random = StdRng::seed_from_u64(100);
    for round in 0..50 {
        let wakes = [(); 2].map(|()| random.random_bool(0.7).then(|| random.random_range(1..200)));
        tokio::join!(survives_a_freeze(wakes[0]), survives_a_freeze(wakes[1]));
        println!("{} freezes in a put: 0 lost, 0 doubled", 2 * (round + 1));
    }
}
