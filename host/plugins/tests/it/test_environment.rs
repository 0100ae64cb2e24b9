//! The test environment: one server for all hosts, with fixed clocks and random numbers.

use damper_plugins::{Plugin, PluginHost, TestEnvironment, TestEnvironmentError};

use crate::common::server::{Server, reply};
use crate::common::{HOST, HOSTILE, Setup, failure, fetch_json, fetch_traced, options, report, request};

fn authority() -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.self_signed(&key).unwrap().der().to_vec()
}

fn test_plugin(server: &Server, private: &[&str]) -> Plugin {
    let Setup { manifest, grants } = Setup::new(private);
    let world = TestEnvironment::new(server.address, &authority()).unwrap();
    HOST.load_for_test(&HOSTILE, manifest, grants, world).unwrap()
}

#[tokio::test]
async fn every_granted_origin_is_the_test_server_and_no_other_is_reached() {
    let server = Server::start(|_| reply(200, &[], "from the test")).await;
    let origins = ["http://10.1.2.3:81", "http://nowhere.example", "http://127.0.0.1:1"];
    let plugin = test_plugin(&server, &origins);
    for origin in origins {
        assert_eq!(fetch_json(&plugin, "get", &[("url", origin)]).await["body"], "from the test", "{origin}");
    }
    let asked: Vec<String> = server.requests().into_iter().map(|asked| asked.path).collect();
    assert_eq!(asked, origins.map(|origin| format!("{origin}/")), "as a proxy is asked");
    for (url, part) in [
        ("https://forbidden.damper.invalid/", "does not list it"),
        ("http://hostile.damper.invalid/", "only https"),
        ("http://127.0.0.1:2/", "loopback"),
    ] {
        assert!(failure(&plugin, "get", &[("url", url)]).await.contains(part), "{url}");
    }
    assert_eq!(server.requests().len(), origins.len(), "what is refused goes nowhere");
}

#[tokio::test]
async fn a_test_environment_stays_on_this_machine() {
    let address = "93.184.216.34:443".parse().unwrap();
    assert_eq!(TestEnvironment::new(address, &authority()).unwrap_err(), TestEnvironmentError::NotLoopback(address));
}

#[tokio::test]
async fn time_and_chance_are_the_same_each_time() {
    let server = Server::start(|_| reply(200, &[], "")).await;
    let (one, other) = (test_plugin(&server, &[]), test_plugin(&server, &[]));
    let clocks = fetch_json(&one, "clocks", &[]).await;
    assert_eq!(clocks, fetch_json(&other, "clocks", &[]).await);
    assert_ne!(clocks, fetch_json(&Setup::new(&[]).plugin(), "clocks", &[]).await);
}

#[tokio::test]
async fn instructions_are_counted_by_a_metered_host_alone() {
    let metered = PluginHost::with_metering(options(None)).unwrap();
    let (metered, plain) = (Setup::new(&[]).plugin_of(&metered), Setup::new(&[]).plugin());
    let (one, other) = (fetch_traced(&metered, "ok", &[]).await.usage, fetch_traced(&metered, "ok", &[]).await.usage);
    assert!(one.instructions.is_some_and(|count| count > 100), "{one:?}");
    // The times differ.
    assert_eq!((one.instructions, one.peak_memory_bytes), (other.instructions, other.peak_memory_bytes));
    let usage = fetch_traced(&plain, "ok", &[]).await.usage;
    assert_eq!((usage.instructions, usage.peak_memory_bytes), (None, one.peak_memory_bytes));
    assert!(report(&plain, request("ok", &[])).await.outcome.is_ok());
}

#[tokio::test]
async fn what_is_recorded_names_the_credential_and_holds_no_secret() {
    let echo = reply(200, &[("x-echo", "hunter2-secret")], "you sent hunter2-secret");
    let echo = match echo {
        crate::common::server::Reply::Raw(bytes) => bytes,
        _ => Vec::new(),
    };
    let server = Server::start(move |_| crate::common::server::Reply::Raw(echo.clone())).await;
    let origin = server.origin("api.test");
    let plugin = Setup::new(&[&origin]).secret("key", "hunter2-secret", &[&origin]).plugin();
    let request = request("get", &[("url", &origin), ("credential", "key")]);
    let fetch = plugin.fetch_recorded(request, damper_core::fetcher::Permits::new(0)).await;
    let recorded = fetch.requests[0].recorded.as_ref().unwrap();
    let answer = recorded.response.as_ref().unwrap();
    assert_eq!(
        (recorded.credentials.as_slice(), answer.body.as_slice()),
        (&["key".to_owned()][..], b"you sent [secret]".as_slice())
    );
    assert!(answer.headers.contains(&("x-echo".to_owned(), "[secret]".to_owned())));
    assert!(!format!("{:?}", fetch.requests).contains("hunter2"));
    assert_eq!(server.requests()[0].headers["x-api-key"], "Key hunter2-secret");
}
