//! Secrets: applied by the host, seen by no guest, written nowhere.

mod assertions;
mod certificates;
mod keys;
mod leaks;
mod query;
mod quotas;
mod refresh;
mod rotation;
mod shared;
#[cfg(feature = "aws-sigv4")]
mod signatures;
mod tokens;

use std::time::Duration;

use damper_core::record::FailureKind;
use damper_plugins::LoadError;

use crate::common::server::{Server, reply};
use crate::common::{HOST, HOSTILE, Setup, failure, fetch, fetch_json, fetch_traced, text};

const SECRET: &str = "hunter2-hunter2";

/// Moves the clock without letting it run by itself meanwhile: the network's answers take their own time.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn each_kind_reaches_the_api_and_not_the_guest() {
    let cases = [
        ("key", SECRET, "x-api-key", "Key hunter2-hunter2"),
        ("token", SECRET, "authorization", "Bearer hunter2-hunter2"),
        ("login", "user:hunter2-hunter2", "authorization", "Basic dXNlcjpodW50ZXIyLWh1bnRlcjI="),
    ];
    for (credential, secret, header, value) in cases {
        // An API that tells back what it was sent.
        let server = Server::start(|asked| {
            let echo = format!("{:?}", asked.headers);
            reply(401, &[("x-echo", &echo)], &echo)
        })
        .await;
        let origin = server.origin("api.test");
        let plugin = Setup::new(&[&origin]).secret(credential, secret, &[&origin]).plugin();
        let url = format!("{origin}/?key={secret}");
        let fetch = fetch_traced(&plugin, "get", &[("url", &url), ("credential", credential)]).await;
        assert_eq!(server.requests()[0].headers[header], value);
        let body = String::from_utf8(fetch.report.outcome.unwrap().body.to_vec()).unwrap();
        let trace = format!("{:?}", fetch.requests);
        for written in [&body, &trace] {
            assert!(!written.contains("hunter2") && !written.contains("dXNlcjpodW50"), "{written}");
            assert!(written.contains("[secret]"), "{written}");
        }
    }
}

#[tokio::test]
async fn several_credentials_go_together_and_only_where_each_may() {
    let server = Server::start(|_| reply(200, &[], "")).await;
    let (one, two) = (server.origin("one.test"), server.origin("two.test"));
    let plugin = Setup::new(&[&one, &two])
        .secret("key", SECRET, &[&one, &two])
        .secret("login", "user:swordfish", &[&one])
        .plugin();
    let (to_one, to_two) =
        ([("url", one.as_str()), ("credential", "key,login")], [("url", two.as_str()), ("credential", "key,login")]);
    assert!(fetch(&plugin, "get", &to_one).await.is_ok());
    assert!(
        fetch(&plugin, "get", &to_two)
            .await
            .unwrap_err()
            .message
            .contains("\"login\" may not be sent to http://two.test")
    );
    let asked = server.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].headers["x-api-key"], "Key hunter2-hunter2");
    assert_eq!(asked[0].headers["authorization"], "Basic dXNlcjpzd29yZGZpc2g=");
}

#[tokio::test]
async fn a_secret_is_scrubbed_from_whatever_a_guest_writes() {
    let plugin = Setup::new(&[]).secret("token", SECRET, &[]).plugin();
    let message = format!("it is {SECRET}, indeed");
    assert_eq!(failure(&plugin, "say", &[("message", &message)]).await, "it is [secret], indeed");
    assert_eq!(
        failure(&plugin, "no-such-behaviour hunter2-hunter2", &[]).await,
        r#"no behaviour "no-such-behaviour [secret]""#
    );
    let panic = fetch_traced(&plugin, "trap", &[("message", &message)]).await;
    assert!(panic.report.outcome.unwrap_err().message.ends_with("it is [secret], indeed"));
    assert!(panic.lines.iter().all(|line| !line.json.contains("hunter2")), "{:?}", panic.lines);
}

#[tokio::test]
async fn a_credential_without_a_secret_breaks_the_fetch_whatever_the_guest_makes_of_it() {
    let server = Server::start(|_| reply(200, &[], "")).await;
    let origin = server.origin("api.test");
    let plugin = Setup::new(&[&origin]).plugin();
    for (id, params) in [
        ("get", vec![("url", origin.as_str()), ("credential", "key")]),
        ("get-all", vec![("url", origin.as_str()), ("credential", "key")]),
        ("sign", vec![("credential", "signing")]),
    ] {
        let failure = fetch(&plugin, id, &params).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Broken, "{id}");
        assert!(failure.message.contains("bind it in damper.toml under [providers.hostile.credentials."), "{failure}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_credential_that_the_manifest_does_not_have_is_answered_with_those_that_it_has() {
    let server = Server::start(|_| reply(200, &[], "")).await;
    let origin = server.origin("api.test");
    let plugin = Setup::new(&[&origin]).secret("key", SECRET, &[&origin]).plugin();
    for unknown in ["kee", "signing"] {
        let failure = failure(&plugin, "get", &[("url", &origin), ("credential", unknown)]).await;
        assert!(failure.contains(&format!("no credential {unknown:?} that can be sent")), "{failure}");
        assert!(failure.contains("those that can are key, login, token"), "{failure}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_secret_goes_only_to_the_hosts_that_it_is_bound_to() {
    let server = Server::start(|_| reply(200, &[], "")).await;
    let (one, two) = (server.origin("one.test"), server.origin("two.test"));
    let plugin = Setup::new(&[&one, &two]).secret("key", SECRET, &[&one]).secret("token", SECRET, &[]).plugin();
    let ask = |url: String, credential: &'static str| {
        let plugin = &plugin;
        async move { fetch(plugin, "get", &[("url", &url), ("credential", credential)]).await }
    };
    assert!(ask(one.clone(), "key").await.is_ok());
    let refused = ask(two, "key").await.unwrap_err();
    assert!(refused.message.contains("may not be sent to http://two.test"), "{refused}");
    // Bound to no host in particular: to the manifest's, and to no private origin. That is the operator's to mend, and
    // no item's fault.
    let forgotten = ask(one.clone(), "token").await.unwrap_err();
    assert_eq!(forgotten.kind, FailureKind::Broken, "{forgotten}");
    assert!(
        forgotten.message.contains("may not be sent to http://one.test")
            && forgotten.message.contains("`hosts` of [providers.hostile.credentials.token]"),
        "{forgotten}"
    );
    assert!(ask(one, "signing").await.unwrap_err().message.starts_with("invalid: "));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_payload_is_signed() {
    let plugin = Setup::new(&[]).secret("signing", "Jefe", &[]).plugin();
    let params = [("credential", "signing"), ("payload", "what do ya want for nothing?")];
    // RFC 4231, test case 2.
    assert_eq!(
        text(&plugin, "sign", &params).await,
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
    assert!(failure(&plugin, "sign", &[("credential", "key")]).await.contains("NoSuchCredential"));
}

#[tokio::test]
async fn a_login_is_kept_between_calls_until_it_is_not_accepted() {
    let plugin = Setup::new(&[]).plugin();
    assert_eq!(text(&plugin, "cache", &[("key", "session")]).await, "none");
    assert_eq!(text(&plugin, "cache", &[("key", "session"), ("put", "abc")]).await, "abc");
    assert_eq!(text(&plugin, "cache", &[("key", "session")]).await, "abc");
    assert_eq!(
        text(&Setup::new(&[]).plugin(), "cache", &[("key", "session")]).await,
        "none",
        "another provider's memory"
    );
    failure(&plugin, "say", &[("kind", "unavailable")]).await;
    assert_eq!(text(&plugin, "cache", &[("key", "session")]).await, "abc");
    failure(&plugin, "say", &[("kind", "unauthorized")]).await;
    assert_eq!(text(&plugin, "cache", &[("key", "session")]).await, "none");
    let large = [("key", "k"), ("put", "x"), ("times", "70000")];
    assert_eq!(text(&plugin, "cache", &large).await, "none");
}

#[tokio::test]
async fn grants_that_do_not_fit_the_manifest_are_refused() {
    let refusal = |setup: Setup| HOST.load(&HOSTILE, setup.manifest, setup.grants).unwrap_err();
    assert!(matches!(refusal(Setup::new(&[]).secret("nope", "x", &[])), LoadError::Credential(_)));
    let mut setup = Setup::new(&[]);
    setup.grants.config.insert("greting".to_owned(), "hi".to_owned());
    assert!(refusal(setup).to_string().contains("it has greeting"));
    let mut setup = Setup::new(&[]);
    setup.manifest.config.insert("account".to_owned(), String::new());
    assert!(refusal(setup).to_string().contains("[providers.hostile.config]"));
    let mut setup = Setup::new(&[]);
    setup.grants.hosts.push("not a host".to_owned());
    assert!(matches!(refusal(setup), LoadError::Host(_)));
    let mut setup = Setup::new(&[]);
    setup.grants.proxy = Some("::".to_owned());
    assert!(matches!(refusal(setup), LoadError::Proxy(_)));
    assert!(fetch_json(&Setup::new(&[]).plugin(), "clocks", &[]).await.is_object());
}
