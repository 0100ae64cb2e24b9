//! The requests that a provider may send, and the redirects that are followed.

use damper_core::record::FailureKind;

use crate::common::server::{Reply, Server, redirect, reply};
use crate::common::{Setup, failure, fetch, fetch_json, fetch_traced, report, request};

#[tokio::test]
async fn a_redirect_is_checked_like_a_request() {
    let cases = [
        ("https://forbidden.damper.invalid/", "does not list it"),
        ("http://hostile.damper.invalid/", "only https"),
        ("https://hostile.damper.invalid:8443/", "only port 443"),
        ("http://127.0.0.1:1/", "loopback"),
        ("http://[::ffff:169.254.169.254]/latest/meta-data/", "link-local"),
        ("https://10.0.0.1/", "private"),
        ("file:///etc/passwd", "only https"),
        ("https://user:pw@hostile.damper.invalid/", "user name"),
        ("https://hostile.damper.invalid/", "resolves to 127.0.0.1, a loopback address"),
    ];
    for (location, part) in cases {
        let server = Server::start(move |_| redirect(302, location)).await;
        let origin = server.origin("api.test");
        let report = report(&Setup::new(&[&origin]).plugin(), request("redirect", &[("url", &origin)])).await;
        let message = report.outcome.unwrap_err().message;
        assert!(message.contains(part), "{location}: {message}");
        assert_eq!((server.requests().len(), report.unanswered_since), (1, None), "{location}");
    }
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused_unless_granted() {
    let server = Server::start(|_| reply(200, &[], "inside")).await;
    let plugin = Setup::new(&[]).plugin();
    let refused = fetch(&plugin, "get", &[("url", "https://hostile.damper.invalid/")]).await.unwrap_err();
    assert!(refused.message.starts_with("denied: the name resolves to 127.0.0.1, a loopback address"), "{refused}");
    let inside = server.origin("inside.test");
    assert!(failure(&plugin, "get", &[("url", &inside)]).await.starts_with("denied: "));
    assert_eq!(fetch_json(&Setup::new(&[&inside]).plugin(), "get", &[("url", &inside)]).await["body"], "inside");
    // The grant is for that origin, not for the address.
    let other = server.origin("other.test");
    assert!(failure(&Setup::new(&[&inside]).plugin(), "get", &[("url", &other)]).await.starts_with("denied: "));
}

#[tokio::test]
async fn what_is_not_granted_is_refused() {
    let mut setup = Setup::new(&[]);
    setup.grants.hosts.clear();
    let message = failure(&setup.plugin(), "get", &[("url", "https://hostile.damper.invalid/")]).await;
    assert!(message.contains("the operator has not granted this host"), "{message}");
}

#[tokio::test]
async fn a_redirect_within_an_origin_takes_everything_along_and_another_origin_nothing() {
    for (status, target, method, body, key) in [
        (307, "one.test", "POST", "payload", true),
        (307, "two.test", "POST", "", false),
        (303, "one.test", "GET", "", true),
        (302, "two.test", "GET", "", false),
    ] {
        let server = Server::start(move |asked| match asked.path.as_str() {
            "/from" => {
                redirect(status, &format!("http://{target}:{}/to", asked.headers["host"].rsplit(':').next().unwrap()))
            }
            _ => reply(200, &[], "there"),
        })
        .await;
        let (one, two) = (server.origin("one.test"), server.origin("two.test"));
        // The secret may go to both: it is the redirect that drops it.
        let plugin = Setup::new(&[&one, &two]).secret("key", "s3cret", &[&one, &two]).plugin();
        let url = format!("{one}/from");
        let params = [
            ("url", url.as_str()),
            ("method", "POST"),
            ("body", "payload"),
            ("credential", "key"),
            ("header-Content-Type", "text/plain"),
            ("header-X-Mine", "kept"),
        ];
        let answer = fetch_json(&plugin, "get", &params).await;
        assert_eq!(answer["body"], "there");
        assert_eq!(answer["url"], format!("http://{target}:{}/to", server.address.port()));
        let asked = server.requests();
        assert_eq!(asked[0].headers["x-api-key"], "Key s3cret");
        let last = &asked[1];
        assert_eq!((last.method.as_str(), last.body.as_slice()), (method, body.as_bytes()), "{status} {target}");
        assert_eq!(last.headers.contains_key("x-api-key"), key, "{status} {target}");
        assert_eq!(last.headers.contains_key("content-type"), !body.is_empty(), "{status} {target}");
        assert_eq!(last.headers["x-mine"], "kept");
    }
}

#[tokio::test]
async fn a_circle_of_redirects_ends_and_every_hop_is_counted() {
    let server = Server::start(|_| redirect(302, "/again")).await;
    let origin = server.origin("api.test");
    let fetch = fetch_traced(&Setup::new(&[&origin]).plugin(), "redirect", &[("url", &origin)]).await;
    assert_eq!(fetch.report.outcome.unwrap_err().message, "redirects: more than 10");
    assert_eq!((fetch.report.requests, server.requests().len(), fetch.requests.len()), (11, 11, 11));
    assert!(fetch.requests.iter().all(|request| request.outcome == Ok(302)));
}

#[tokio::test]
async fn a_redirect_to_nowhere_is_an_error() {
    let server = Server::start(|_| reply(301, &[], "")).await;
    let origin = server.origin("api.test");
    let message = failure(&Setup::new(&[&origin]).plugin(), "redirect", &[("url", &origin)]).await;
    assert_eq!(message, "redirects: status 301 without a Location");
}

#[tokio::test]
async fn headers_that_are_the_hosts_are_refused_and_nothing_is_sent() {
    let server = Server::start(|_| reply(200, &[], "sent")).await;
    let origin = server.origin("api.test");
    let response = fetch_json(&Setup::new(&[&origin]).plugin(), "headers", &[("url", &origin)]).await;
    let response = response.as_array().unwrap();
    assert_eq!(response.len(), 13);
    assert!(
        response.iter().all(|answer| answer.as_str().is_some_and(|why| why.starts_with("invalid: "))),
        "{response:?}"
    );
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_request_carries_what_the_guest_says_and_the_hosts_name() {
    let server = Server::start(|_| reply(200, &[], "")).await;
    let origin = server.origin("api.test");
    let url = format!("{origin}/path?q=%20x");
    let plugin = Setup::new(&[&origin]).plugin();
    fetch_json(&plugin, "get", &[("url", &url), ("header-Accept", "text/csv")]).await;
    fetch_json(&plugin, "get", &[("url", &url), ("header-User-Agent", "Mine/1 me@example.com")]).await;
    let asked = server.requests();
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("GET", "/path?q=%20x"));
    assert_eq!(asked[0].headers["accept"], "text/csv");
    assert!(
        asked[0].headers["user-agent"].starts_with("damper/")
            && asked[0].headers["user-agent"].ends_with("(hostile/0.1.0)")
    );
    assert_eq!(asked[1].headers["user-agent"], "Mine/1 me@example.com");
    assert!(!asked[1].headers.contains_key("referer") && !asked[1].headers.contains_key("cookie"));
}

#[tokio::test]
async fn public_hosts_are_asked_through_the_proxy_that_the_operator_names() {
    let proxy = Server::start(|_| Reply::Last(b"HTTP/1.1 403 No\r\n\r\n".to_vec())).await;
    let mut setup = Setup::new(&[]);
    setup.grants.proxy = Some(format!("http://{}", proxy.address));
    let failure = fetch(&setup.plugin(), "get", &[("url", "https://hostile.damper.invalid/x")]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable, "{failure}");
    let asked = proxy.requests();
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("CONNECT", "hostile.damper.invalid:443"));
}
