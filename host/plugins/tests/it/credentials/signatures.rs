//! AWS Signature Version 4, against an API that looks at what is signed. That the signatures are right is tested with
//! AWS's own test suite, beside the code.

use damper_core::manifest::CredentialKind;
use damper_plugins::LoadError;
use damper_plugins::grants::{SecretBinding, SigningScope};

use crate::common::server::{ReceivedRequest, Server, redirect, reply};
use crate::common::vault::Vault;
use crate::common::{HOST, HOSTILE, Setup, fetch_json, fetch_traced};

const KEY: &str = "AKIDEXAMPLE:hunter2-hunter2";

fn kind() -> CredentialKind {
    CredentialKind::AwsSigv4 { region: None, service: None }
}

fn signing(binding: SecretBinding) -> SecretBinding {
    let scope = SigningScope { region: "eu-west-1".to_owned(), service: "execute-api".to_owned() };
    SecretBinding { signing: Some(scope), ..binding }
}

fn signature(request: &ReceivedRequest) -> &str {
    request.headers["authorization"].rsplit_once("Signature=").unwrap().1
}

#[tokio::test]
async fn each_hop_is_signed_by_itself_and_another_origin_gets_no_signature() {
    let other = Server::start(|_| reply(200, &[], "")).await;
    let elsewhere = other.origin("other.test");
    let to = elsewhere.clone();
    let api = Server::start(move |asked| match &*asked.path {
        "/first?x=1" => redirect(307, "/second"),
        "/second" => redirect(307, &to),
        _ => reply(404, &[], ""),
    })
    .await;
    let origin = api.origin("api.test");
    let binding = signing(SecretBinding::constant(KEY, vec![origin.clone()]));
    let plugin = Setup::new(&[&origin, &elsewhere]).credential("aws", kind(), binding).plugin();
    let url = format!("{origin}/first?x=1");
    assert_eq!(fetch_json(&plugin, "get", &[("url", &url), ("credential", "aws")]).await["status"], 200);
    let asked = api.requests();
    for request in &asked {
        let authorization = &request.headers["authorization"];
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{authorization}");
        assert!(authorization.contains("/eu-west-1/execute-api/aws4_request, SignedHeaders="), "{authorization}");
        assert!(request.headers.contains_key("x-amz-date"));
    }
    assert_eq!(asked.len(), 2);
    assert_ne!(signature(&asked[0]), signature(&asked[1]));
    let headers = &other.requests()[0].headers;
    assert!(!headers.contains_key("authorization") && !headers.contains_key("x-amz-date"), "{headers:?}");
}

#[tokio::test]
async fn a_session_that_has_ended_is_read_again_and_no_part_of_a_key_is_written() {
    let api = Server::start(|asked| {
        let is_new = asked.headers.get("x-amz-security-token").is_some_and(|token| token == "session-new");
        reply(if is_new { 200 } else { 403 }, &[], format!("{:?}", asked.headers))
    })
    .await;
    let origin = api.origin("api.test");
    let vault = Vault::holding("AKIDEXAMPLE:hunter2-hunter2:session-old");
    let binding = signing(vault.binding(&[&origin]));
    let plugin = Setup::new(&[&origin]).credential("aws", kind(), binding).plugin();
    let params = [("url", origin.as_str()), ("credential", "aws")];
    assert_eq!(fetch_json(&plugin, "get", &params).await["status"], 403);
    vault.put("AKIDEXAMPLE:swordfish-swordfish:session-new");
    super::pass(std::time::Duration::from_secs(61)).await;
    let fetch = fetch_traced(&plugin, "get", &params).await;
    let body = String::from_utf8(fetch.report.outcome.unwrap().body.to_vec()).unwrap();
    assert!(body.contains("200"), "{body}");
    for written in [&body, &format!("{:?}", fetch.requests)] {
        for secret in ["hunter2", "swordfish", "session-old", "session-new"] {
            assert!(!written.contains(secret), "{written}");
        }
    }
}

#[tokio::test]
async fn a_key_without_a_region_or_of_another_form_is_refused_at_once() {
    let load = |binding: SecretBinding| -> Result<(), LoadError> {
        let Setup { manifest, grants } = Setup::new(&["http://api.test:1"]).credential("aws", kind(), binding);
        HOST.load(&HOSTILE, manifest, grants).map(drop)
    };
    let constant = |secret: &str| SecretBinding::constant(secret, vec!["http://api.test:1".to_owned()]);
    assert!(load(constant(KEY)).unwrap_err().to_string().contains("needs a region and a service"));
    let error = load(signing(constant("hunter2"))).unwrap_err().to_string();
    assert!(error.contains("access_key_id:secret_access_key") && !error.contains("hunter2"), "{error}");
}
