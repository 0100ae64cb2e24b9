use damper_core::record::FailureKind::{Broken, OutOfQuota, Throttled, Unauthorized, Unavailable};

use super::*;
use crate::credentials::client::Client;

const SECOND: Duration = Duration::from_secs(1);
const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn tokens(scopes: &[&str], client_auth: ClientAuth) -> Tokens {
    let url = "https://auth.test/token?tenant=1".parse().unwrap();
    let endpoint = TokenEndpoint {
        url,
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        client_auth,
        audience: None,
    };
    Tokens::new("client", endpoint, Arc::default())
}

fn parse(status: u16, headers: &[(&'static str, &str)], body: &str) -> Result<Token, TokenFailure> {
    let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    let status = StatusCode::from_u16(status).unwrap();
    tokens(&[], ClientAuth::Basic).parse_response(status, &headers, body.as_bytes(), Instant::now())
}

fn body_of(request: &reqwest::Request) -> &str {
    std::str::from_utf8(request.body().unwrap().as_bytes().unwrap()).unwrap()
}

#[test]
fn a_client_is_named_in_the_header_or_in_the_body() {
    let client = Form::Client(Client::read("the id:s/ecret").unwrap());
    let agent = HeaderValue::from_static("damper");
    let request = tokens(&["read", "write:all"], ClientAuth::Basic).build_request(&client, agent.clone(), NOW).unwrap();
    assert_eq!((request.method(), request.url().as_str()), (&Method::POST, "https://auth.test/token?tenant=1"));
    assert_eq!(body_of(&request), "grant_type=client_credentials&scope=read+write%3Aall");
    // the+id:s%2Fecret
    assert_eq!(request.headers()["authorization"], "Basic dGhlK2lkOnMlMkZlY3JldA==");
    assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded");
    assert!(!format!("{request:?}").contains("dGhl"));
    let request = tokens(&[], ClientAuth::Body).build_request(&client, agent, NOW).unwrap();
    assert_eq!(body_of(&request), "grant_type=client_credentials&client_id=the+id&client_secret=s%2Fecret");
    assert!(!request.headers().contains_key("authorization"));
}

#[test]
fn a_token_is_replaced_before_its_end() {
    let now = Instant::now();
    for (expires_in, replaced_after, lifetime) in [
        ("3600", 3_240, 3_600),
        ("\"3600\"", 3_240, 3_600),
        ("100.0", 70, 100),
        ("60", 30, 60),
        ("20", 10, 20),
        ("null", 3_240, 3_600),
        ("\"soon\"", 3_240, 3_600),
        ("1e300", 24 * 365 * 3_240, 24 * 365 * 3_600),
    ] {
        let tokens = tokens(&[], ClientAuth::Basic);
        let body = format!(r#"{{"access_token": "t0ken", "token_type": "bearer", "expires_in": {expires_in}}}"#);
        let token = tokens.parse_response(StatusCode::OK, &HeaderMap::new(), body.as_bytes(), now).unwrap();
        assert_eq!(token.header(), "Bearer t0ken");
        assert_eq!(tokens.scrubber.scrub_text("a t0ken"), "a [secret]", "from the moment it was read");
        assert!(!format!("{token:?} {:?}", token.header()).contains("t0ken"));
        let ends = (token.replace_at - now, token.ends_at - now);
        assert_eq!(ends, (SECOND * replaced_after, SECOND * lifetime), "{expires_in}");
    }
    let token = parse(200, &[], r#"{"access_token": "t", "token_type": "Bearer", "expires_in": -5}"#).unwrap();
    assert_eq!(token.ends_at - token.replace_at, SECOND / 2, "a second at least");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_used_to_its_end_where_it_cannot_be_replaced() {
    let tokens = tokens(&[], ClientAuth::Basic);
    let now = Instant::now();
    let Some(leader) = tokens.flight.try_lead() else { panic!("nobody else has a turn") };
    let token = Token::new(HeaderValue::from_static("Bearer t"), Some(SECOND * 1_000), now);
    leader.complete(Ok(Arc::new(token))).unwrap();
    assert!(tokens.fresh_token(now + SECOND * 899).is_some());
    assert!(tokens.fresh_token(now + SECOND * 900).is_none() && tokens.valid_token(now + SECOND * 900).is_some());
    tokens.postpone_early_renewal(now + SECOND * 900);
    assert!(tokens.fresh_token(now + SECOND * 929).is_some() && tokens.fresh_token(now + SECOND * 930).is_none());
    tokens.postpone_early_renewal(now + SECOND * 990);
    assert!(tokens.fresh_token(now + SECOND * 1_000).is_none() && tokens.valid_token(now + SECOND * 1_000).is_none());
}

#[test]
fn each_answer_is_the_right_failure() {
    let invalid_client = r#"{"error": "invalid_client", "error_description": "no client s3cret"}"#;
    for (status, body, kind, is_client_refused) in [
        (400, invalid_client, Unauthorized, true),
        (401, "no", Unauthorized, true),
        (403, "{}", Unauthorized, true),
        (400, r#"{"error": "invalid_grant"}"#, Unauthorized, true),
        (400, r#"{"error": "invalid_scope"}"#, Unauthorized, false),
        (404, "<html>", Unauthorized, false),
        (429, "", Throttled, false),
        (408, "", Throttled, false),
        (500, "", Unavailable, false),
        (503, "", Unavailable, false),
        (302, "", Broken, false),
        (200, "<html>", Unavailable, false),
        (200, r#"{"access_token": "t", "token_type": "mac"}"#, Unavailable, false),
        (200, r#"{"access_token": "", "token_type": "bearer"}"#, Unavailable, false),
        (200, r#"{"access_token": "a\nb", "token_type": "bearer"}"#, Unavailable, false),
    ] {
        let failed = parse(status, &[], body).unwrap_err();
        assert_eq!((&failed.failure.kind, failed.is_client_refused), (&kind, is_client_refused), "{status} {body}");
        assert_eq!(failed.failure.is_of_token_endpoint, kind != Broken, "{status} {body}");
        let message = &failed.failure.message;
        assert!(
            message.starts_with("no token for the credential \"client\" from https://auth.test/token: "),
            "{message}"
        );
        assert!(!message.contains("s3cret") && !message.contains("tenant"), "{message}");
    }
    let message = parse(400, &[], invalid_client).unwrap_err().failure.message;
    assert!(message.ends_with("its response is 400 (invalid_client)"), "{message}");
    let forged = parse(400, &[], r#"{"error": "Contact me at http://evil.test"}"#).unwrap_err().failure.message;
    assert!(forged.ends_with("its response is 400"), "{forged}");
}

#[test]
fn an_endpoint_is_left_alone_as_long_as_it_asks() {
    let wait = |headers: &[(&'static str, &str)]| parse(429, headers, "").unwrap_err().failure.retry_after;
    assert_eq!(wait(&[("retry-after", "7")]), Some(SECOND * 7));
    assert_eq!(wait(&[("retry-after", "99999999")]), Some(MAX_RETRY_AFTER));
    let (noon, later) = ("Thu, 01 Jan 2026 12:00:00 GMT", "Thu, 01 Jan 2026 12:01:00 GMT");
    assert_eq!(wait(&[("date", noon), ("retry-after", later)]), Some(SECOND * 60));
    for headers in [&[("retry-after", later)] as &[_], &[("retry-after", "soon"), ("date", noon)], &[]] {
        assert_eq!(wait(headers), None, "{headers:?}");
    }
    let (tokens, now) = (tokens(&[], ClientAuth::Basic), Instant::now());
    let failed = parse(503, &[("retry-after", "10")], "").unwrap_err();
    assert_eq!(tokens.record_failure(failed, now).failure.retry_after, Some(SECOND * 10));
    let held = tokens.active_refusal(now + SECOND * 4).unwrap().failure;
    assert_eq!((held.kind, held.retry_after), (Unavailable, Some(SECOND * 6)));
    assert_eq!(tokens.active_refusal(now + SECOND * 10), None);
    tokens.record_failure(parse(401, &[], "").unwrap_err(), now);
    let held = tokens.active_refusal(now + SECOND * 59).unwrap().failure;
    assert_eq!((held.kind, held.retry_after), (Unauthorized, Some(SECOND)), "a wrong client is not retried at once");
    tokens.record_success();
    assert_eq!(tokens.active_refusal(now), None);
}

#[test]
fn an_endpoint_that_fails_again_and_again_is_asked_ever_less_often() {
    let (tokens, now) = (tokens(&[], ClientAuth::Basic), Instant::now());
    let fail = || tokens.record_failure(parse(500, &[], "").unwrap_err(), now).failure.retry_after.unwrap().as_secs();
    assert_eq!([0; 8].map(|_| fail()), [1, 2, 4, 8, 16, 32, 60, 60]);
    tokens.record_success();
    assert_eq!(fail(), 1);
    let unreadable = parse(200, &[], "<html>").unwrap_err();
    assert_eq!(tokens.record_failure(unreadable, now).failure.retry_after, Some(SECOND * 2));
    let no_fault_of_it = tokens.failure(OutOfQuota, "the day's quota of requests is spent");
    assert_eq!(tokens.record_failure(no_fault_of_it, now).failure.retry_after, None);
}

#[tokio::test(start_paused = true)]
async fn an_early_renewal_waits_as_long_as_the_endpoint_asks() {
    let (tokens, now) = (tokens(&[], ClientAuth::Basic), Instant::now());
    let Some(leader) = tokens.flight.try_lead() else { panic!("nobody else has a turn") };
    let token = Token::new(HeaderValue::from_static("Bearer t"), Some(SECOND * 1_000), now);
    leader.complete(Ok(Arc::new(token))).unwrap();
    let renewal = now + SECOND * 900;
    tokens.record_failure(parse(429, &[("retry-after", "80")], "").unwrap_err(), renewal);
    tokens.postpone_early_renewal(renewal);
    assert!(tokens.fresh_token(renewal + SECOND * 79).is_some() && tokens.fresh_token(renewal + SECOND * 80).is_none());
}
