use damper_plugins::grants::{ClientAuth, SecretBinding, TokenEndpoint};

use super::*;

fn set(hosts: &[&str]) -> BTreeSet<String> {
    hosts.iter().map(|host| (*host).to_owned()).collect()
}

fn pin(component: &str, hosts: &[&str], key: Option<&[&str]>) -> Pin {
    let credentials = key.map(|hosts| ("key".to_owned(), set(hosts))).into_iter().collect();
    Pin { component: component.to_owned(), hosts: set(hosts), credentials, token_hosts: BTreeMap::new() }
}

/// A provider without credentials.
pub(super) fn candidate_of(provider: &str, hosts: &[&str]) -> Candidate {
    Candidate { provider: provider.to_owned(), ..candidate(pin("sha256:1", hosts, None)) }
}

/// With `hosts = "manifest"`.
fn candidate(pin: Pin) -> Candidate {
    Candidate {
        provider: "demo".into(),
        pin,
        has_manifest_hosts: true,
        listed_credentials: BTreeSet::new(),
        named_endpoints: BTreeSet::new(),
    }
}

/// A provider whose credential gets its tokens from this host.
fn with_token_host(component: &str, host: &str) -> Pin {
    let token_hosts = [("key".to_owned(), host.to_owned())].into();
    Pin { token_hosts, ..pin(component, &["a.test"], Some(&["a.test"])) }
}

fn lock(pin: Pin) -> Lock {
    let mut lock = Lock::default();
    lock.providers.insert("demo".into(), pin);
    lock
}

fn growth(verdict: Verdict) -> String {
    match verdict {
        Verdict::Refused(growth) => growth.to_string(),
        verdict => panic!("{verdict:?}"),
    }
}

#[test]
fn the_first_use_is_pinned_and_the_same_again_is_unchanged() {
    let one = candidate(pin("sha256:1", &["a.test"], Some(&["a.test"])));
    let mut lock = Lock::default();
    assert_eq!(lock.judge(&one), Verdict::New);
    lock.pin(&one);
    assert_eq!(lock.judge(&one), Verdict::Unchanged);
    assert_eq!(lock.providers["demo"].component, "sha256:1");
}

#[test]
fn a_new_build_that_asks_for_no_more_is_followed() {
    let lock = lock(pin("sha256:1", &["a.test", "b.test"], Some(&["a.test", "b.test"])));
    for now in [
        pin("sha256:2", &["a.test", "b.test"], Some(&["a.test", "b.test"])),
        pin("sha256:2", &["a.test"], Some(&["a.test"])),
        pin("sha256:2", &["b.test"], None),
        pin("sha256:2", &[], None),
    ] {
        assert_eq!(lock.judge(&candidate(now)), Verdict::Changed);
    }
}

#[test]
fn a_new_build_that_asks_for_more_is_refused_with_what_it_would_get() {
    let lock = lock(pin("sha256:1", &["a.test", "b.test"], Some(&["a.test"])));
    let more = candidate(pin("sha256:2", &["a.test", "evil.test"], Some(&["a.test", "evil.test"])));
    assert_eq!(growth(lock.judge(&more)), "the host evil.test; the credential \"key\" for evil.test");
    let wider = candidate(pin("sha256:1", &["a.test", "b.test"], Some(&["a.test", "b.test"])));
    assert_eq!(growth(lock.judge(&wider)), "the credential \"key\" for b.test");
    let bare = candidate(pin("sha256:2", &["c.test", "d.test"], None));
    assert_eq!(growth(lock.judge(&bare)), "the hosts c.test, d.test");
}

#[test]
fn a_credential_that_was_bound_since_goes_to_pinned_hosts_only() {
    let lock = lock(pin("sha256:1", &["a.test"], None));
    let bound = candidate(pin("sha256:1", &["a.test"], Some(&["a.test"])));
    assert_eq!(lock.judge(&bound), Verdict::Changed);
    let more = candidate(pin("sha256:1", &["a.test", "b.test"], Some(&["a.test", "b.test"])));
    assert_eq!(growth(lock.judge(&more)), "the host b.test; the credential \"key\" for b.test");
}

#[test]
fn a_new_build_that_moves_the_token_endpoint_needs_the_operators_word() {
    let pinned = lock(with_token_host("sha256:1", "auth.test"));
    assert_eq!(pinned.judge(&candidate(with_token_host("sha256:2", "auth.test"))), Verdict::Changed);
    let moved = candidate(with_token_host("sha256:2", "evil.test"));
    assert_eq!(growth(pinned.judge(&moved)), "tokens of the credential \"key\" from evil.test");
    // Pinned before manifests could name an endpoint, or by a build that named none.
    let before = lock(pin("sha256:1", &["a.test"], Some(&["a.test"])));
    let named = candidate(with_token_host("sha256:2", "auth.test"));
    assert_eq!(growth(before.judge(&named)), "tokens of the credential \"key\" from auth.test");
    for approved in [
        Candidate { named_endpoints: set(&["key"]), ..moved.clone() },
        Candidate { has_manifest_hosts: false, ..moved },
    ] {
        assert_eq!(pinned.judge(&approved), Verdict::Changed);
    }
}

#[test]
fn an_endpoint_is_pinned_whether_or_not_a_secret_is_bound() {
    let manifest = "name = \"x\"\nversion = \"0.1.0\"\negress.hosts = [\"a.test\"]\n\
        [credentials]\nkey = { kind = \"oauth2-client-credentials\", token_url = \"https://auth.test/token\" }\n\
        open = { kind = \"oauth2-client-credentials\" }\nother = { kind = \"bearer\" }\n";
    let manifest = Manifest::parse(manifest).unwrap();
    let mut grants = Grants::default();
    let host = |grants: &Grants| token_hosts(&manifest, grants);
    assert_eq!(host(&grants), [("key".to_owned(), "auth.test".to_owned())].into());
    let url = "http://127.0.0.1:8085/token".parse().unwrap();
    let tokens = TokenEndpoint { url, scopes: Vec::new(), client_auth: ClientAuth::Basic, audience: None };
    let binding = SecretBinding { tokens: Some(tokens), ..SecretBinding::constant("id:s", Vec::new()) };
    grants.secrets.insert("key".to_owned(), binding);
    assert_eq!(host(&grants), [("key".to_owned(), "http://127.0.0.1:8085".to_owned())].into());
}

#[test]
fn what_the_operator_lists_is_never_refused() {
    let lock = lock(pin("sha256:1", &["a.test"], Some(&["a.test"])));
    let listed = Candidate {
        has_manifest_hosts: false,
        ..candidate(pin("sha256:1", &["a.test", "b.test"], Some(&["a.test", "b.test"])))
    };
    assert_eq!(lock.judge(&listed), Verdict::Changed);
    let receivers = Candidate {
        listed_credentials: set(&["key"]),
        ..candidate(pin("sha256:1", &["a.test"], Some(&["http://127.0.0.1:8085"])))
    };
    assert_eq!(lock.judge(&receivers), Verdict::Changed);
}

#[test]
fn a_lock_is_read_as_it_was_written_and_has_one_text() {
    let mut lock = lock(pin("sha256:1", &["b.test", "a.test"], Some(&["a.test"])));
    lock.providers.insert("bare".into(), pin("sha256:2", &[], None));
    lock.providers.insert("tokens".into(), with_token_host("sha256:3", "auth.test"));
    let text = lock.text().unwrap();
    assert_eq!(Lock::parse(&text).unwrap(), lock);
    insta::assert_snapshot!(text);
}

#[test]
fn what_is_no_lock_is_told() {
    let parse_error = |text: &str| Lock::parse(text).unwrap_err().0;
    assert!(parse_error("").contains("version"));
    assert!(parse_error("version = 2\nanything = 1\n").contains("version 2"));
    assert!(parse_error("version = 1\n[providers.demo]\nhosts = [\"a\"]\n").contains("component"));
    assert!(parse_error("version = 1\n[providers.demo]\ncomponent = \"x\"\nhost = []\n").contains("host"));
    assert!(parse_error("version = 1\n<<<<<<< ours\n").contains("2"));
}

#[test]
fn a_host_has_one_spelling() {
    let hosts = ["https://a.test", "a.test", "http://b.test", "https://a.test:444"].map(str::to_owned);
    assert_eq!(alike(&hosts), set(&["a.test", "a.test:444", "http://b.test"]));
}
