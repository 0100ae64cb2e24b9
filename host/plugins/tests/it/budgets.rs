//! The memory and the time that the host spends on a provider's behalf are bounded, and its neighbours do not notice.

use std::time::Duration;

use damper_core::fetcher::Permits;
use damper_core::record::FailureKind;
use damper_plugins::{HostOptions, MemoryLimits, PluginHost};
use futures::future::join_all;

use crate::common::server::{Server, reply};
use crate::common::{Setup, fetch, fetch_json, fetch_traced, options, report, request, request_with_timeout};

const MEBIBYTE: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answers_of_a_call_are_bounded_together() {
    let server = Server::start(|_| reply(200, &[], "x".repeat(MEBIBYTE - 1_000))).await;
    let mut setup = Setup::new(&[&server.origin("api.test")]);
    setup.manifest.limits.response_bytes = 1 << 20;
    setup.manifest.limits.memory_bytes = 256 << 20;
    let plugin = setup.plugin();
    let url = format!("{}/x", server.origin("api.test"));
    let params = [("url", url.as_str()), ("count", "64"), ("summary", "yes")];
    let (response, neighbour) = tokio::join!(fetch_json(&plugin, "get-all", &params), fetch(&plugin, "ok", &[]));
    let answers = response.as_array().unwrap();
    let good = answers.iter().filter(|answer| answer["status"] == 200).count();
    let refused = answers.iter().filter(|answer| **answer == "too large: 10485760").count();
    assert!((1..=10).contains(&good), "{good} of 64 answers of a mebibyte");
    assert_eq!((answers.len(), good + refused), (64, 64));
    assert!(neighbour.is_ok());
}

#[tokio::test]
async fn a_list_of_too_many_requests_is_not_even_read() {
    for (count, part) in [
        ("5000", "it sends 5000 requests at once, and at most 64 are allowed"),
        ("400000", "too much data is being copied between the host and the guest"),
    ] {
        let mut setup = Setup::new(&[]);
        setup.manifest.limits.memory_bytes = 256 << 20;
        let failed = report(&setup.plugin(), request("get-all", &[("count", count)])).await.outcome.unwrap_err();
        assert_eq!(failed.kind, FailureKind::Trapped);
        assert!(failed.message.contains(part), "{failed}");
    }
}

#[tokio::test]
async fn the_requests_of_a_list_are_bounded_together() {
    let mut setup = Setup::new(&[]);
    setup.manifest.limits.response_bytes = 1 << 20;
    setup.manifest.limits.memory_bytes = 256 << 20;
    let body = "x".repeat(MEBIBYTE);
    let params = [("url", "https://forbidden.damper.invalid/"), ("body", body.as_str()), ("count", "20")];
    let response = fetch_json(&setup.plugin(), "get-all", &params).await;
    assert!(response.as_array().unwrap().iter().all(|answer| answer == "too large: 10485760"), "{response}");
}

#[tokio::test]
async fn a_trace_of_very_many_requests_is_cut_and_says_so() {
    let fetch = fetch_traced(&Setup::new(&[]).plugin(), "refused", &[("count", "5000")]).await;
    assert!(fetch.report.outcome.is_ok());
    assert_eq!((fetch.requests.len(), fetch.left_out), (1_000, 4_000));
}

#[tokio::test]
async fn what_is_signed_is_bounded() {
    let setup = || {
        let mut setup = Setup::new(&[]).secret("signing", "key", &[]);
        setup.manifest.limits.memory_bytes = 64 << 20;
        setup.plugin()
    };
    let failed = report(&setup(), request("sign-large", &[("credential", "signing"), ("bytes", "1048577")])).await;
    let failed = failed.outcome.unwrap_err();
    assert_eq!(failed.kind, FailureKind::Trapped);
    assert!(failed.message.contains("the payload to sign has 1048577 bytes, more than 1048576"), "{failed}");
    // HMAC-SHA256 of zeros with the key "key", as any other implementation computes it.
    for (bytes, expected) in [
        ("1000", "0bbf26119bcf4605b14fa5570413d562918a401175b3d7449d49591d7deccbc6"),
        ("1048576", "e3d84148cba1435c36f9addfbd2dd0720663aee5963809750c840e21ea1d893e"),
    ] {
        let signed = fetch(&setup(), "sign-large", &[("credential", "signing"), ("bytes", bytes)]).await.unwrap();
        assert_eq!(signed.body, expected, "{bytes} bytes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_takes_all_memory_leaves_some_for_its_neighbour() {
    let memory = Some(MemoryLimits { guests: 16 * MEBIBYTE, host: 16 * MEBIBYTE });
    let host = PluginHost::new(HostOptions { memory, ..options(None) }).unwrap();
    let (greedy, neighbour) = (Setup::new(&[]).plugin_of(&host), Setup::new(&[]).plugin_of(&host));
    neighbour.prepare().await.unwrap();
    let greedy = || async {
        report(&greedy, request_with_timeout("sleep", &[], Duration::from_secs(3))).await.outcome.unwrap_err()
    };
    let many = join_all((0..40).map(|_| greedy()));
    let beside = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for _ in 0..20 {
            let asked = request_with_timeout("ok", &[], Duration::from_secs(1));
            report(&neighbour, asked).await.outcome.unwrap();
        }
    };
    let (failures, ()) = tokio::join!(many, beside);
    let waited = failures.iter().filter(|failure| failure.message.contains("waited for memory that other calls use"));
    assert!(waited.count() >= 10, "{failures:?}");
    assert!(failures.iter().all(|failure| failure.kind == FailureKind::TimedOut), "{failures:?}");
}

#[tokio::test]
async fn a_component_that_needs_more_than_the_process_has_says_so() {
    let memory = Some(MemoryLimits { guests: MEBIBYTE / 2, host: MEBIBYTE });
    let host = PluginHost::new(HostOptions { memory, ..options(None) }).unwrap();
    let failure = fetch(&Setup::new(&[]).plugin_of(&host), "ok", &[]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Broken);
    assert!(failure.message.contains("needs more memory to start than this process has for one provider"), "{failure}");
}

#[tokio::test]
async fn no_error_tells_a_guest_whether_its_guess_is_a_secret() {
    let server = Server::start(|_| reply(200, &[], "fine")).await;
    let origin = server.origin("api.test");
    let url = format!("{origin}/x");
    let plugin = |secret: &str| {
        Setup::new(&[&origin]).secret("token", secret, &[&origin]).secret("signing", secret, &[]).plugin()
    };
    let right = plugin("hunter22");
    // The secrets are known to the host from their first use on.
    fetch(&right, "sign", &[("credential", "signing"), ("payload", "x")]).await.unwrap();
    fetch(&right, "get", &[("url", &url), ("credential", "token")]).await.unwrap();
    let guessed = fetch_json(&right, "guess", &[("url", &url), ("guess", "hunter22")]).await;
    let missed = fetch_json(&right, "guess", &[("url", &url), ("guess", "hunter23")]).await;
    assert_eq!(guessed, missed);
    assert!(guessed.to_string().contains("GUESS"), "{guessed}");
    assert_eq!(server.requests().len(), 1, "a guess costs no request");
    // A person sees no secret in what the guest was told.
    let traced = right.fetch_traced(request("guess", &[("url", &url), ("guess", "hunter22")]), Permits::new(0)).await;
    assert!(!format!("{:?}", traced.requests).contains("hunter22"), "{:?}", traced.requests);
}

#[tokio::test]
async fn an_echo_tells_neither_a_secret_nor_its_length_nor_its_digest() {
    let server = Server::start(|asked| {
        let sent = asked.headers.get("authorization").cloned().unwrap_or_default();
        let headers = [("ETag", "\"0123\""), ("Content-MD5", "x"), ("Repr-Digest", "sha-256=:x:"), ("X-Kind", "kept")];
        reply(200, &headers, format!("you sent {sent}"))
    })
    .await;
    let origin = server.origin("api.test");
    let url = format!("{origin}/x");
    let plugin = Setup::new(&[&origin]).secret("token", "hunter22", &[&origin]).plugin();
    let echo = fetch_json(&plugin, "get", &[("url", &url), ("credential", "token")]).await;
    assert!(echo["body"].as_str().unwrap().contains("[secret]"), "{echo}");
    let names: Vec<&str> = echo["headers"].as_array().unwrap().iter().filter_map(|pair| pair[0].as_str()).collect();
    assert!(names.contains(&"x-kind"), "{names:?}");
    for hidden in ["content-length", "etag", "content-md5", "repr-digest"] {
        assert!(!names.contains(&hidden), "{hidden}");
    }
    let plain = fetch_json(&plugin, "get", &[("url", &url)]).await;
    let names: Vec<&str> = plain["headers"].as_array().unwrap().iter().filter_map(|pair| pair[0].as_str()).collect();
    assert!(names.contains(&"etag") && !names.contains(&"content-length"), "{names:?}");
}
