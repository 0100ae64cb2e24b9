//! Each misbehaviour fails the one fetch that misbehaves, and no other.

use std::time::Duration;

use damper_core::fetcher::{FetchRequest, Fetcher, Permits};
use damper_core::record::FailureKind;

use crate::common::server::{Reply, Server, reply};
use crate::common::{
    HOSTILE, Setup, failure, fetch, fetch_json, fetch_traced, report, request, request_with_timeout, text,
};

const SOON: Duration = Duration::from_millis(500);

/// An id with its params, whether it ends by its time, and the failure's kind and a part of its message.
type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, bool, FailureKind, &'a str);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_misbehaviour_fails_that_fetch_and_no_other() {
    let server =
        Server::start(|asked| if asked.path == "/never" { Reply::Never } else { reply(200, &[], "fine") }).await;
    let origin = server.origin("api.test");
    let (never, fine) = (format!("{origin}/never"), format!("{origin}/fine"));
    let plugin = Setup::new(&[&origin]).plugin();
    let trapped = FailureKind::Trapped;
    let cases: Vec<Case<'_>> = vec![
        ("loop", vec![], true, trapped.clone(), "did not end within 500ms: it was computing"),
        ("memory", vec![], false, trapped.clone(), "more memory than limits.memory allows (16777216 bytes)"),
        ("stack", vec![], false, trapped.clone(), "call stack exhausted"),
        ("trap", vec![("message", "42")], false, trapped.clone(), "lib.rs"),
        ("exit", vec![], false, trapped, "exit code"),
        ("sleep", vec![], true, FailureKind::TimedOut, "no record within 500ms: the component was sleeping"),
        ("wait", vec![("url", &never)], true, FailureKind::TimedOut, "no record within 500ms"),
        ("huge", vec![], false, FailureKind::Malformed, "1048576 bytes, more than limits.response_bytes"),
        (
            "huge",
            vec![("bytes", "8000000")],
            false,
            FailureKind::Malformed,
            "8000000 bytes, more than limits.response_bytes",
        ),
        ("attributes", vec![], false, FailureKind::Malformed, "10000 attributes"),
        ("forbidden-host", vec![], false, FailureKind::Rejected, "does not list it"),
    ];
    for (id, params, ends_by_time, kind, part) in cases {
        let asked = if ends_by_time { request_with_timeout(id, &params, SOON) } else { request(id, &params) };
        let good = [("url", fine.as_str())];
        let (bad, one, two) =
            tokio::join!(report(&plugin, asked), fetch(&plugin, "ok", &[]), fetch_json(&plugin, "get", &good));
        let failure = bad.outcome.unwrap_err();
        assert_eq!(failure.kind, kind, "{id}: {failure}");
        assert!(failure.message.contains(part), "{id}: {failure}");
        assert_eq!(one.unwrap().body, r#"{"ok":true}"#, "beside {id}");
        assert_eq!(two["body"], "fine", "beside {id}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_guest_that_computes_gives_way_to_others() {
    let plugin = Setup::new(&[]).plugin();
    let looping = report(&plugin, request_with_timeout("loop", &[], Duration::from_secs(3600)));
    let others = async {
        for _ in 0..20 {
            fetch(&plugin, "ok", &[]).await.unwrap();
        }
    };
    tokio::select! {
        biased;
        _ = looping => panic!("the loop has no end"),
        () = others => {}
    }
}

#[tokio::test]
async fn a_panic_is_told_with_its_place_and_message() {
    let message = failure(&Setup::new(&[]).plugin(), "trap", &[("message", "no \u{1b}[2J such")]).await;
    assert!(message.starts_with("the component panicked at "), "{message}");
    assert!(message.ends_with(r"as asked for: no \u{1b}[2J such"), "{message}");
}

#[tokio::test]
async fn what_a_guest_prints_is_bounded_and_harmless() {
    let plugin = Setup::new(&[]).plugin();
    for id in ["print", "log"] {
        let fetch = fetch_traced(&plugin, id, &[]).await;
        assert!(fetch.report.outcome.is_ok());
        let bytes: usize = fetch.lines.iter().map(|line| line.json.len()).sum();
        assert!((10..=200).contains(&fetch.lines.len()) && bytes < 128 * 1024, "{id}: {} lines", fetch.lines.len());
        for line in fetch.lines {
            let text: String = serde_json::from_str(&line.json).unwrap();
            assert!(!text.is_empty() && line.json.chars().all(|character| !character.is_control()), "{}", line.json);
        }
    }
}

#[tokio::test]
async fn a_guest_sees_clocks_and_nothing_else_of_the_machine() {
    let response = fetch_json(&Setup::new(&[]).plugin(), "clocks", &[]).await;
    assert!(response["time"].as_str().unwrap().contains("Instant"), "{response}");
    assert_eq!(
        (&response["args"], &response["variables"], &response["input"]),
        (&"0".into(), &"0".into(), &"0".into())
    );
    assert_eq!(response["file"], "false");
}

#[tokio::test]
async fn a_failure_arrives_as_the_guest_meant_it() {
    let plugin = Setup::new(&[]).plugin();
    let cases = [
        ("throttled", FailureKind::Throttled),
        ("unavailable", FailureKind::Unavailable),
        ("unauthorized", FailureKind::Unauthorized),
        ("not-found", FailureKind::NotFound),
        ("rejected", FailureKind::Rejected),
        ("malformed", FailureKind::Malformed),
        ("odd\u{1b}", FailureKind::Other(r"odd\u{1b}".to_owned())),
    ];
    let failure =
        fetch(&plugin, "say", &[("kind", "throttled"), ("retry-after-ms", "18446744073709551615")]).await.unwrap_err();
    assert_eq!(failure.retry_after, Some(Duration::from_hours(30 * 24)));
    for (kind, expected) in cases {
        let params = [("kind", kind), ("message", "why\n"), ("retry-after-ms", "1500"), ("repeat", "10000")];
        let failure = fetch(&plugin, "say", &params).await.unwrap_err();
        assert_eq!(failure.kind, expected);
        assert_eq!((failure.status, failure.retry_after), (Some(418), Some(Duration::from_millis(1500))));
        assert!(failure.message.starts_with(r"why\nwhy\nwhy") && failure.message.len() < 4_096);
    }
}

#[tokio::test]
async fn a_resume_state_comes_back_in_the_next_call() {
    let plugin = Setup::new(&[]).plugin();
    let longest = [("state", "x"), ("repeat", "4096")];
    let failure = fetch(&plugin, "order", &longest).await.unwrap_err();
    assert_eq!((&failure.kind, failure.retry_after), (&FailureKind::NotReady, Some(Duration::from_millis(1_500))));
    let again = FetchRequest { resume: Some(failure.resume.clone().into()), ..request("order", &longest) };
    let record = plugin.fetch(again, Permits::new(0)).await.outcome.unwrap();
    assert_eq!(record.body[..], failure.resume[..]);

    let failure = fetch(&plugin, "order", &[("state", "x"), ("repeat", "4097")]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Malformed);
    assert!(failure.message.contains("4097 bytes, more than 4096"), "{failure}");
}

/// Scrubbing it would tell the component in its next call which of its guesses is right.
#[tokio::test]
async fn a_resume_state_that_holds_a_secret_stops_the_provider() {
    let plugin = Setup::new(&[]).secret("signing", "hunter22", &[]).plugin();
    fetch(&plugin, "sign", &[("credential", "signing"), ("payload", "x")]).await.unwrap();
    let failure = fetch(&plugin, "order", &[("state", "order 7 of hunter22")]).await.unwrap_err();
    assert_eq!((&failure.kind, failure.resume.len()), (&FailureKind::Broken, 0));
    assert!(!failure.message.contains("hunter22"), "{failure}");
    let failure = fetch(&plugin, "order", &[("state", "order 7 of hunter23")]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::NotReady);
}

#[tokio::test]
async fn a_component_that_cannot_start_is_broken() {
    let mut setup = Setup::new(&[]);
    setup.manifest.limits.memory_bytes = 1 << 16;
    let failure = fetch(&setup.plugin(), "ok", &[]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Broken);
    assert!(failure.message.contains("limits.memory (65536 bytes)"), "{failure}");
}

#[tokio::test]
async fn settings_are_the_operators_or_the_defaults() {
    assert_eq!(text(&Setup::new(&[]).plugin(), "config", &[("key", "greeting")]).await, "hello");
    let mut setup = Setup::new(&[]);
    setup.grants.config.insert("greeting".to_owned(), "hi".to_owned());
    let plugin = setup.plugin();
    assert_eq!(text(&plugin, "config", &[("key", "greeting")]).await, "hi");
    assert_eq!(text(&plugin, "config", &[("key", "other")]).await, "none");
}

#[tokio::test]
async fn a_fetch_names_what_fetched() {
    assert_eq!(Setup::new(&[]).plugin().digest(), HOSTILE.digest);
}

#[tokio::test]
async fn a_dropped_fetch_leaves_nothing_behind() {
    let server = Server::start(|_| Reply::Never).await;
    let origin = server.origin("api.test");
    let plugin = Setup::new(&[&origin]).plugin();
    for _ in 0..200 {
        // More than the host has room for at a time: each must give its room back.
        let waiting = plugin.fetch(request("wait", &[("url", &origin)]), Permits::new(0));
        tokio::select! {
            biased;
            _ = waiting => panic!("nobody answers"),
            () = tokio::task::yield_now() => {}
        }
    }
    fetch(&plugin, "ok", &[]).await.unwrap();
}
