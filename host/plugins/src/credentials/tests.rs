use damper_core::manifest::Manifest;
use http::HeaderMap;

use super::*;
use crate::digest::hexadecimal;

const MANIFEST: &str = r#"
    name = "x"
    version = "0.1.0"
    [egress]
    hosts = ["api.test"]
    [credentials]
    key = { kind = "header", header = "X-Key", prefix = "K " }
    url = { kind = "query", parameter = "api_key" }
    login = { kind = "basic" }
    token = { kind = "bearer" }
    signing = { kind = "hmac" }
    client = { kind = "oauth2-client-credentials" }
    certificate = { kind = "mtls" }
"#;

fn grants(secrets: &[(&str, &str, &[&str])]) -> Grants {
    let binding = |(name, secret, hosts): &(&str, &str, &[&str])| {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        ((*name).to_owned(), SecretBinding::constant(*secret, hosts))
    };
    Grants { secrets: secrets.iter().map(binding).collect(), ..Grants::default() }
}

fn credentials(secrets: &[(&str, &str, &[&str])]) -> Result<Credentials, CredentialError> {
    Credentials::new(
        &Manifest::parse(MANIFEST).unwrap(),
        &grants(secrets),
        &Arc::default(),
        None,
        &KeyCounting::in_process(),
    )
}

#[test]
fn each_kind_is_applied_in_its_way() {
    let credentials = credentials(&[("key", "s3", &[]), ("login", "u:p", &[]), ("token", "t0", &[])]).unwrap();
    let origin = Origin::https("api.test").unwrap();
    let cases =
        [("key", "x-key", "K s3"), ("login", "authorization", "Basic dTpw"), ("token", "authorization", "Bearer t0")];
    for (name, header, value) in cases {
        let version = credentials.for_request(name, &origin).unwrap().secret.cached_version().unwrap();
        let Form::Header(applied, text) = &version.form else { panic!("{name} is no header") };
        assert_eq!((applied.as_str(), text.to_str().unwrap()), (header, value));
        let mut headers = HeaderMap::new();
        headers.insert(applied, text.clone());
        assert!(!format!("{headers:?}").contains(value), "a sensitive value prints as nothing");
    }
}

#[test]
fn a_secret_goes_only_where_it_may() {
    let credentials = credentials(&[("key", "s3", &["b.test", "http://127.0.0.1:8085"]), ("token", "t", &[])]).unwrap();
    let send = |name: &str, origin: &str| credentials.for_request(name, &origin.parse().unwrap()).map(drop);
    assert_eq!(send("key", "https://b.test"), Ok(()));
    assert_eq!(send("key", "http://127.0.0.1:8085"), Ok(()));
    assert_eq!(send("key", "https://api.test"), Err(CredentialRefusal::OriginNotAllowed));
    assert_eq!(send("key", "http://b.test"), Err(CredentialRefusal::OriginNotAllowed));
    assert_eq!(send("token", "https://api.test"), Ok(()));
    assert_eq!(send("token", "https://b.test"), Err(CredentialRefusal::OriginNotAllowed));
    assert_eq!(send("login", "https://api.test"), Err(CredentialRefusal::NoSecret));
    assert_eq!(send("other", "https://api.test"), Err(CredentialRefusal::NoSuchCredential));
    assert_eq!(send("signing", "https://api.test"), Err(CredentialRefusal::NoSuchCredential));
}

#[test]
fn signatures_are_those_of_the_standard() {
    // RFC 4231, test case 2.
    let credentials = credentials(&[("signing", "Jefe", &[]), ("key", "k", &[])]).unwrap();
    let payload = b"what do ya want for nothing?";
    let key = credentials.for_signing("signing").unwrap().secret.cached_version().unwrap();
    let signature = sign(&key, Algorithm::HmacSha256, payload).unwrap();
    assert_eq!(hexadecimal(&signature), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_eq!(sign(&key, Algorithm::HmacSha512, payload).unwrap().len(), 64);
    assert_eq!(credentials.for_signing("key").map(drop), Err(CredentialRefusal::NoSuchCredential));
}

#[test]
fn what_cannot_work_is_refused_at_once() {
    let problem = |secrets: &[(&str, &str, &[&str])]| credentials(secrets).unwrap_err().to_string();
    assert!(problem(&[("nope", "x", &[])]).contains("not a credential of the provider"));
    assert!(problem(&[("login", "no-colon", &[])]).contains("user:password"));
    assert!(problem(&[("key", "a\nb", &[])]).contains("control character"));
    assert!(problem(&[("url", "a\nb", &[])]).contains("control character"));
    assert!(problem(&[("url", &"x".repeat(3_000), &[])]).contains("longer than 2 KiB"));
    assert!(problem(&[("token", "", &[])]).contains("is empty"));
    assert!(problem(&[("token", &"x".repeat(70_000), &[])]).contains("longer than 64 KiB"));
    assert!(problem(&[("token", "t", &["https://a.test/path"])]).contains("not an origin"));
    assert!(problem(&[("client", "id:secret", &[])]).contains("needs a token endpoint"));
    assert!(problem(&[("certificate", "no pem", &[])]).contains("PEM"));
}

#[test]
fn a_secret_that_is_not_sent_with_each_request_has_no_quota() {
    for (name, is_refused) in [("key", false), ("url", false), ("signing", true), ("certificate", true)] {
        let mut grants = grants(&[(name, "x", &[])]);
        let limit = KeyLimit { daily_quota: std::num::NonZeroU64::MIN, counted_as: "one".to_owned() };
        grants.secrets.get_mut(name).unwrap().limit = Some(limit);
        let (manifest, counting) = (Manifest::parse(MANIFEST).unwrap(), KeyCounting::in_process());
        let refused = Credentials::new(&manifest, &grants, &Arc::default(), None, &counting).err();
        let problem = refused.map(|error| error.to_string());
        let is_of_quota = problem.as_ref().is_some_and(|problem| problem.contains("has a key with a daily quota"));
        assert_eq!(is_of_quota, is_refused, "{name}: {problem:?}");
    }
}

#[test]
fn a_certificate_is_for_tls_and_for_no_proxy() {
    let problem = |hosts: &[&str], proxy: Option<&str>, ca: Option<&str>| {
        let mut grants = grants(&[("certificate", "no pem", hosts)]);
        grants.proxy = proxy.map(str::to_owned);
        grants.secrets.get_mut("certificate").unwrap().ca = ca.map(str::to_owned);
        let credentials = Credentials::new(
            &Manifest::parse(MANIFEST).unwrap(),
            &grants,
            &Arc::default(),
            None,
            &KeyCounting::in_process(),
        );
        credentials.unwrap_err().to_string()
    };
    assert!(problem(&["http://127.0.0.1:8085"], None, None).contains("http://127.0.0.1:8085 is not https"));
    assert!(problem(&["api.test"], Some("https://proxy.test"), None).contains("https proxy"));
    assert!(problem(&["api.test"], None, Some("no pem")).contains("`ca` that is not PEM"));
    assert!(problem(&["api.test"], Some("http://proxy.test"), None).contains("holds no certificate"));
}

#[test]
fn what_is_known_at_the_start_is_scrubbed_from_the_start() {
    let scrubber = Arc::default();
    let grants = grants(&[("login", "user:hunter2", &[]), ("token", "t0ken", &[])]);
    let credentials =
        Credentials::new(&Manifest::parse(MANIFEST).unwrap(), &grants, &scrubber, None, &KeyCounting::in_process())
            .unwrap();
    assert_eq!(scrubber.scrub_text("t0ken hunter2 dXNlcjpodW50ZXIy"), "[secret] [secret] [secret]");
    let printed = format!("{credentials:?} {scrubber:?} {grants:?}");
    assert!(!printed.contains("hunter2") && !printed.contains("t0ken"), "{printed}");
}
