//! Tests of the manifest as a whole: what is read, what is refused and with which words, and what tightening does.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::control::window::Window;

const LEAST: &str = "name = \"gleif\"\nversion = \"0.1.0\"\n[egress]\nhosts = [\"api.gleif.org\"]\n";
const WHOLE: &str = r#"
name = "gleif"
version = "0.1.0-rc.1"
description = "Legal entities"
identity = ["lang"]
[egress]
hosts = ["API.Gleif.org", "xn--bcher-kva.example"]
[limits]
max_concurrency = 8
requests_per_second = 1
daily_quota = 10000
fetch_timeout = "500ms"
memory = "32MiB"
response_bytes = 65536
[pace]
start_batch = 10
max_batch = 100
[retry]
max_attempts = 3
backoff = "10s"
spread = "90s"
max_item_age = "2d"
on_lease_expiry = "park"
[window]
timezone = "Europe/London"
day_starts = "12:00"
open = ["Mon-Fri 20:00-06:00", "Sat-Sun"]
closed = ["Sun 02:00-04:00"]
[credentials.key]
kind = "header"
header = "X-Api-Key"
prefix = "Token "
[credentials.login]
kind = "oauth2-client-credentials"
token_url = "https://AUTH.gleif.org:443/token?tenant=1"
scopes = ["read", "https://api.gleif.org/.default"]
client_auth = "body"
[config]
page = 2
ratio = 1.0
deep = true
base = "/v1"
account = ""
"#;

fn parse(text: &str) -> Manifest {
    Manifest::parse(text).unwrap()
}

fn error(text: &str) -> String {
    Manifest::parse(text).unwrap_err().to_string()
}

/// The error of the least manifest with more lines.
fn error_with(lines: &str) -> String {
    error(&format!("{LEAST}{lines}"))
}

#[test]
fn least_manifest_has_defaults() {
    let manifest = parse(LEAST);
    assert_eq!(
        manifest.limits,
        Limits {
            max_concurrency: NonZeroU32::new(4).unwrap(),
            requests_per_second: None,
            daily_quota: None,
            fetch_timeout: Duration::from_secs(30),
            memory_bytes: 64 << 20,
            response_bytes: 4 << 20,
        }
    );
    assert_eq!(manifest.pace, Pace { start_batch: 500, max_batch: 10_000 });
    assert_eq!(
        manifest.retry,
        Retry {
            max_attempts: 5,
            max_polls: 1_000,
            backoff: Duration::from_secs(2),
            spread: Duration::from_hours(1),
            max_item_age: Duration::from_hours(144),
            on_lease_expiry: OnLeaseExpiry::Refetch,
        }
    );
    assert_eq!(manifest.window, Window::always_utc());
    assert!(manifest.description.is_empty() && manifest.identity.is_empty());
    assert!(manifest.credentials.is_empty() && manifest.config.is_empty());
}

#[test]
fn whole_manifest_is_read() {
    let manifest = parse(WHOLE);
    assert_eq!(manifest.egress.hosts, ["api.gleif.org", "xn--bcher-kva.example"]);
    assert_eq!(manifest.identity, ["lang"]);
    assert_eq!(manifest.limits.requests_per_second, Some(1.0));
    assert_eq!(manifest.limits.fetch_timeout, Duration::from_millis(500));
    assert_eq!((manifest.limits.memory_bytes, manifest.limits.response_bytes), (32 << 20, 65_536));
    assert_eq!((manifest.retry.on_lease_expiry, manifest.retry.spread), (OnLeaseExpiry::Park, Duration::from_secs(90)));
    assert_eq!(manifest.window.timezone.iana_name(), Some("Europe/London"));
    assert_eq!((manifest.window.open.len(), manifest.window.closed.len()), (1, 1));
    let header = CredentialKind::Header { header: "X-Api-Key".to_owned(), prefix: "Token ".to_owned() };
    assert_eq!(manifest.credentials["key"], header);
    let tokens = TokenSettings {
        token_url: Some("https://auth.gleif.org/token?tenant=1".to_owned()),
        scopes: vec!["read".to_owned(), "https://api.gleif.org/.default".to_owned()],
        client_auth: ClientAuth::Body,
        audience: None,
    };
    assert_eq!(manifest.credentials["login"], CredentialKind::Oauth2ClientCredentials(tokens));
    let config: Vec<(&str, &str)> = manifest.config.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(config, [("account", ""), ("base", "/v1"), ("deep", "true"), ("page", "2"), ("ratio", "1.0")]);
}

#[test]
fn small_max_batch_lowers_the_default_of_start_batch() {
    assert_eq!(parse(&format!("{LEAST}[pace]\nmax_batch = 20\n")).pace, Pace { start_batch: 20, max_batch: 20 });
}

#[test]
fn unknown_key_is_named_with_its_place_and_the_known_ones() {
    insta::assert_snapshot!(error_with("[limits]\nmax_concurency = 4\n"), @"limits.max_concurency: unknown field `max_concurency`, expected one of `max_concurrency`, `requests_per_second`, `daily_quota`, `fetch_timeout`, `memory`, `response_bytes` (line 6, column 1)");
    insta::assert_snapshot!(error("nmae = \"gleif\"\n"), @"nmae: unknown field `nmae`, expected one of `name`, `version`, `description`, `identity`, `egress`, `limits`, `pace`, `retry`, `window`, `credentials`, `config` (line 1, column 1)");
}

#[test]
fn control_characters_of_a_manifest_reach_no_terminal() {
    for key in ["\\u001b[2J", "a\\nb"] {
        for lines in [format!("[limits]\n\"{key}\" = 1\n"), format!("[config]\n\"{key}\" = [1]\n")] {
            let error = error_with(&lines);
            assert!(!error.chars().any(char::is_control), "{error:?}");
        }
        for lines in [format!("[config]\n\"{key}\" = 1\n"), format!("[credentials.\"{key}\"]\nkind = \"basic\"\n")] {
            let error = error_with(&lines);
            assert!(error.ends_with("column 1)") || error.ends_with("column 2)"), "{error:?}");
            assert!(!error.chars().any(char::is_control), "{error:?}");
        }
    }
}

#[test]
fn what_is_missing_or_of_another_type_is_named() {
    insta::assert_snapshot!(error("name = \"gleif\"\nversion = \"0.1.0\"\n"), @"missing field `egress` (line 1, column 1)");
    insta::assert_snapshot!(error("name = \"gleif\"\nversion = \"0.1.0\"\n[egress]\n"), @"egress: missing field `hosts` (line 3, column 1)");
    insta::assert_snapshot!(error_with("[limits]\nmax_concurrency = \"4\"\n"), @r#"limits.max_concurrency: invalid type: string "4", expected a whole number (line 6, column 19)"#);
    insta::assert_snapshot!(error_with("[config]\nlist = [1]\n"), @"config.list: invalid type: sequence, expected text, a number or a boolean (line 6, column 8)");
    insta::assert_snapshot!(error_with("[retry]\non_lease_expiry = \"again\"\n"), @"retry.on_lease_expiry: unknown variant `again`, expected `refetch` or `park` (line 6, column 19)");
    insta::assert_snapshot!(error("name = "), @"string values must be quoted, expected literal string (line 1, column 8)");
    insta::assert_snapshot!(error_with("[credentials.key]\nkind = \"header\"\n"), @r#"credentials.key.header is missing: name the header, as in header = "X-Api-Key" (line 5, column 1)"#);
}

#[test]
fn values_that_are_not_allowed_are_shown_with_what_is() {
    insta::assert_snapshot!(error_with("[limits]\nfetch_timeout = \"5 parsecs\"\n"), @r#"limits.fetch_timeout is "5 parsecs": it is not a duration; write it as "30s"; units are ms, s, m, h and d (line 6, column 17)"#);
    insta::assert_snapshot!(error_with("[limits]\nfetch_timeout = \"60m\"\n"), @r#"limits.fetch_timeout is "60m": it must be from "100ms" to "10m" (line 6, column 17)"#);
    insta::assert_snapshot!(error_with("[limits]\nfetch_timeout = 30\n"), @r#"limits.fetch_timeout is 30: it is not a duration; write it as "30s"; units are ms, s, m, h and d (line 6, column 17)"#);
    insta::assert_snapshot!(error_with("[limits]\nmemory = \"2KB\"\n"), @r#"limits.memory is "2KB": it must be from "1MiB" to "1GiB" (line 6, column 10)"#);
    insta::assert_snapshot!(error_with("[limits]\nmax_concurrency = -1\n"), @"limits.max_concurrency is -1: it must be a whole number from 1 to 1000 (line 6, column 19)");
    insta::assert_snapshot!(error_with("[limits]\nrequests_per_second = nan\n"), @"limits.requests_per_second is nan: it must be a number above 0 and at most 10000; 0.5 is one in two seconds (line 6, column 23)");
    insta::assert_snapshot!(error_with("[limits]\ndaily_quota = 0\n"), @"limits.daily_quota is 0: it must be at least 1; for no quota, remove it (line 6, column 15)");
    insta::assert_snapshot!(error_with("[pace]\nstart_batch = 30\nmax_batch = 20\n"), @"pace.start_batch is 30: it must be at most pace.max_batch, which is 20 (line 6, column 15)");
    insta::assert_snapshot!(error_with("[retry]\nmax_item_age = \"0s\"\n"), @r#"retry.max_item_age is "0s": it must be from "1m" to "365d" (line 6, column 16)"#);
    insta::assert_snapshot!(error_with("[window]\ntimezone = \"Mars/Base\"\n"), @r#"window.timezone is "Mars/Base": it must be a time zone of the IANA database: write it as "Europe/London" (line 6, column 12)"#);
    insta::assert_snapshot!(error_with("[window]\nday_starts = \"24:00\"\n"), @r#"window.day_starts is "24:00": it must be a time of day from 00:00 to 23:59: write it as "12:00" (line 6, column 14)"#);
    insta::assert_snapshot!(error_with("[window]\nopen = []\n"), @r#"window.open is []: remove it, or list spans as in ["Sat-Sun"] (line 6, column 8)"#);
    insta::assert_snapshot!(error_with("[window]\nopen = [\"Sat-Sun\", \"Mon 08:00\"]\n"), @r#"window.open[1] is "Mon 08:00": "08:00" has no end; write a span as "Mon-Fri 20:00-06:00", "Mon,Wed 08:00-12:00", "Sat-Sun" or "20:00-06:00" (line 6, column 20)"#);
    insta::assert_snapshot!(error_with("[credentials.key]\nkind = \"header\"\nheader = \"Proxy-Authorization\"\n"), @r#"credentials.key.header is "Proxy-Authorization": only the host sets this header; name another (line 7, column 10)"#);
    for name in
        ["TE", "Upgrade", "expect", "Range", "If-Range", "Trailer", "Keep-Alive", "HTTP2-Settings", "Host", "Cookie"]
    {
        let text = error_with(&format!("[credentials.key]\nkind = \"header\"\nheader = \"{name}\"\n"));
        assert!(text.contains("only the host sets this header"), "{text}");
    }
    insta::assert_snapshot!(error_with("[credentials.key]\nkind = \"header\"\nheader = \"X: a\"\n"), @r#"credentials.key.header is "X: a": it must be the name of an HTTP header: write it as "X-Api-Key" (line 7, column 10)"#);
    insta::assert_snapshot!(error_with("[credentials.key]\nkind = \"basic\"\nheader = \"X-Key\"\n"), @r#"credentials.key.header is "X-Key": only a credential of kind "header" has it; remove it (line 7, column 10)"#);
    insta::assert_snapshot!(error_with("[credentials.key]\nkind = \"query\"\n"), @r#"credentials.key.parameter is missing: name the parameter, as in parameter = "api_key" (line 5, column 1)"#);
    insta::assert_snapshot!(error_with("[credentials.key]\nkind = \"query\"\nparameter = \"a&b\"\n"), @r#"credentials.key.parameter is "a&b": it must be 1 to 128 of letters, digits, "-", ".", "_" and "~": write it as "api_key" (line 7, column 13)"#);
    insta::assert_snapshot!(error_with("[credentials.Key]\nkind = \"basic\"\n"), @r#"credentials."Key" is not the name of a credential: write 1 to 64 of a-z, 0-9, "-" and "_" (line 5, column 2)"#);
    insta::assert_snapshot!(error(&LEAST.replace("gleif\"", "Gleif\"")), @r#"name is "Gleif": it must be 1 to 64 of a-z, 0-9 and "-", starting with a letter (line 1, column 8)"#);
    insta::assert_snapshot!(error(&LEAST.replace("0.1.0", "0.1")), @r#"version is "0.1": it must be MAJOR.MINOR.PATCH: write it as "0.1.0" or "0.1.0-rc.1" (line 2, column 11)"#);
    insta::assert_snapshot!(error(&format!("identity = [\"a\", \"a\"]\n{LEAST}")), @r#"identity[1] is "a": it is listed twice; list each param once (line 1, column 18)"#);
}

#[test]
fn token_endpoints_and_scopes_are_checked() {
    let oauth2 = |lines: &str| format!("[credentials.key]\nkind = \"oauth2-client-credentials\"\n{lines}\n");
    let bare = parse(&format!("{LEAST}{}", oauth2("")));
    assert_eq!(bare.credentials["key"].token_settings(), Some(&TokenSettings::default()), "as the operator says");
    for (url, reason) in [
        ("auth.test/token", "the URL of the token endpoint"),
        ("/token", "the URL of the token endpoint"),
        ("http://auth.test/token", "it must be https"),
        ("https://auth.test:8443/token", "at port 443"),
        ("https://u:p@auth.test/token", "no user, no password"),
        ("https://auth.test/token#x", "no fragment"),
        ("https://127.0.0.1/token", "not an IP address"),
        ("https://[::1]/token", "not an IP address"),
        ("https://auth_1.test/token", "a host name of letters"),
        (&format!("https://auth.test/{}", "x".repeat(1_024)), "at most 1024 bytes"),
    ] {
        let error = error_with(&oauth2(&format!("token_url = {url:?}")));
        assert!(error.starts_with("credentials.key.token_url is ") && error.contains(reason), "{url}: {error}");
        assert!(error.ends_with("(line 7, column 13)"), "{error}");
    }
    insta::assert_snapshot!(error_with(&oauth2("scopes = [\"a\", \"b c\"]")), @r#"credentials.key.scopes[1] is "b c": it must be one scope, without spaces: list each scope by itself (line 7, column 16)"#);
    insta::assert_snapshot!(error_with(&oauth2("scopes = [\"a\", \"a\"]")), @r#"credentials.key.scopes[1] is "a": it is listed twice; list each scope once (line 7, column 16)"#);
    insta::assert_snapshot!(error_with(&oauth2("client_auth = \"digest\"")), @"credentials.key.client_auth: unknown variant `digest`, expected `basic` or `body` (line 7, column 15)");
    insta::assert_snapshot!(error_with(&oauth2("audience = \"a\"")), @r#"credentials.key.audience is "a": only a credential of kind "jwt-bearer" has it; remove it (line 7, column 12)"#);
    let refresh =
        parse(&format!("{LEAST}{}", oauth2("client_auth = \"body\"").replace("client-credentials", "refresh-token")));
    let kind = &refresh.credentials["key"];
    assert!(kind.is_rotated() && kind.token_settings().is_some_and(|tokens| tokens.client_auth == ClientAuth::Body));
    let jwt = |audience: &str| format!("[credentials.key]\nkind = \"jwt-bearer\"\naudience = {audience:?}\n");
    let settings = parse(&format!("{LEAST}{}", jwt("urn:api"))).credentials["key"].token_settings().cloned().unwrap();
    assert_eq!(settings.audience.as_deref(), Some("urn:api"));
    insta::assert_snapshot!(error_with(&jwt("a b")), @r#"credentials.key.audience is "a b": it must be 1 to 1024 printable ASCII characters without spaces (line 7, column 12)"#);
    insta::assert_snapshot!(error_with("[credentials.key]\nkind = \"bearer\"\nscopes = [\"a\"]\n"), @r#"credentials.key.scopes is ["a"]: only a credential of kind "oauth2-client-credentials" or "oauth2-refresh-token" or "jwt-bearer" has it; remove it (line 7, column 10)"#);
}

#[test]
fn hosts_that_are_no_host_names_are_refused() {
    for (host, reason) in [
        ("https://api.gleif.org", "without a scheme"),
        ("api.gleif.org/v1", "without a path"),
        ("user@api.gleif.org", "without a path or a user"),
        ("*.gleif.org", "not a wildcard"),
        ("api.gleif.org:8443", "without a port"),
        ("127.0.0.1", "not an IP address"),
        ("127.1", "not an IP address"),
        ("0x7f000001", "not an IP address"),
        ("1.2.3.4.", "not an IP address"),
        ("::1", "not an IP address"),
        ("[::1]", "not an IP address"),
        ("bücher.example", "in ASCII"),
        ("", "a host name of letters"),
        ("api..gleif.org", "a host name of letters"),
        ("api.gleif.org.", "a host name of letters"),
        ("-api.gleif.org", "a host name of letters"),
        ("api_1.gleif.org", "a host name of letters"),
        ("api gleif.org", "a host name of letters"),
        ("api.gleif.org\", \"API.gleif.org", "it is listed twice"),
        (&"a".repeat(64), "a host name of letters"),
    ] {
        let error = error(&LEAST.replace("api.gleif.org", host));
        assert!(error.starts_with("egress.hosts[") && error.contains(reason), "{host}: {error}");
    }
    assert!(
        error(&LEAST.replace("\"api.gleif.org\"", "")).starts_with("egress.hosts is []: it needs at least one host")
    );
}

#[test]
fn versions_are_three_numbers_and_an_optional_prerelease() {
    for version in ["0.1.0", "10.20.30", "1.0.0-alpha", "1.0.0-rc.1", "1.0.0-x-y.0"] {
        assert_eq!(parse(&LEAST.replace("0.1.0", version)).version, version);
    }
    for version in
        ["", "1", "1.0", "1.0.0.0", "01.0.0", "1.0.x", "1.0.0-", "1.0.0-a..b", "1.0.0+build", "v1.0.0", "1.0.-1"]
    {
        assert!(error(&LEAST.replace("0.1.0", version)).starts_with("version is "), "{version}");
    }
}

#[test]
fn manifest_that_is_too_long_is_refused() {
    let error = error(&format!("{LEAST}# {}", "x".repeat(MAX_MANIFEST_BYTES)));
    assert!(error.starts_with("the manifest has 65"), "{error}");
}

fn tightening(text: &str) -> Tightening {
    toml::from_str(text).unwrap()
}

#[test]
fn empty_tightening_changes_nothing() {
    assert_eq!(parse(WHOLE).tighten(&Tightening::default()), Ok(parse(WHOLE)));
}

#[test]
fn stricter_limit_of_the_two_holds() {
    let lower = tightening(
        "[limits]\nmax_concurrency = 2\nrequests_per_second = 0.5\ndaily_quota = 10\nfetch_timeout = \"200ms\"\nmemory = \"8MiB\"\nresponse_bytes = 2048\n",
    );
    let expected = Limits {
        max_concurrency: NonZeroU32::new(2).unwrap(),
        requests_per_second: Some(0.5),
        daily_quota: Some(10),
        fetch_timeout: Duration::from_millis(200),
        memory_bytes: 8 << 20,
        response_bytes: 2048,
    };
    assert_eq!(parse(WHOLE).tighten(&lower).unwrap().limits, expected);
    let higher = tightening(
        "[limits]\nmax_concurrency = 1000\nrequests_per_second = 100\ndaily_quota = 1000000\nfetch_timeout = \"10m\"\nmemory = \"1GiB\"\nresponse_bytes = \"64MiB\"\n",
    );
    assert_eq!(parse(WHOLE).tighten(&higher).unwrap().limits, parse(WHOLE).limits);
    let added = parse(LEAST).tighten(&higher).unwrap().limits;
    assert_eq!((added.requests_per_second, added.daily_quota), (Some(100.0), Some(1_000_000)));
}

#[test]
fn operators_batch_sizes_and_attempts_replace_the_authors() {
    let by = tightening(
        "[pace]\nmax_batch = 5\n[retry]\nmax_attempts = 9\nmax_polls = 7\nbackoff = \"1m\"\nspread = \"3h\"\n",
    );
    let manifest = parse(WHOLE).tighten(&by).unwrap();
    assert_eq!(manifest.pace, Pace { start_batch: 5, max_batch: 5 });
    let retry = &manifest.retry;
    assert_eq!((retry.max_attempts, retry.max_polls, retry.backoff), (9, 7, Duration::from_secs(60)));
    assert_eq!((manifest.retry.on_lease_expiry, manifest.retry.spread), (OnLeaseExpiry::Park, Duration::from_hours(3)));
}

#[test]
fn operators_window_is_laid_over_the_authors() {
    let by = tightening("[window]\nopen = [\"00:00-05:00\"]\nclosed = [\"Wed\"]\n");
    let window = parse(WHOLE).tighten(&by).unwrap().window;
    assert_eq!((window.open.len(), window.closed.len()), (2, 2));
}

#[test]
fn tightening_that_is_not_allowed_is_refused() {
    let refused = |text: &str| parse(LEAST).tighten(&tightening(text)).unwrap_err().to_string();
    insta::assert_snapshot!(refused("[limits]\nmax_concurrency = 0\n"), @"limits.max_concurrency is 0: it must be a whole number from 1 to 1000");
    insta::assert_snapshot!(refused("[limits]\nfetch_timeout = \"1h\"\n"), @r#"limits.fetch_timeout is "1h": it must be from "100ms" to "10m""#);
    insta::assert_snapshot!(refused("[pace]\nstart_batch = 20000\n"), @"pace.start_batch is 20000: it must be a whole number from 1 to 10000");
    insta::assert_snapshot!(refused("[window]\nopen = []\n"), @r#"window.open is []: remove it, or list spans as in ["Sat-Sun"]"#);
    let unreadable = |text: &str| toml::from_str::<Tightening>(text).unwrap_err().message().to_owned();
    insta::assert_snapshot!(unreadable("[limits]\nfetch_timeout = \"5 parsecs\"\n"), @r#""5 parsecs" is not a duration: write it as "30s"; units are ms, s, m, h and d"#);
    insta::assert_snapshot!(unreadable("[limits]\nmemory = \"lots\"\n"), @r#""lots" is not a size: write it as "64MiB" or in bytes; units are B, KiB, MiB, GiB, KB, MB and GB"#);
    insta::assert_snapshot!(unreadable("[window]\nopen = [\"Moon\"]\n"), @r#""Moon" is not a day: days are Mon, Tue, Wed, Thu, Fri, Sat, Sun; write a span as "Mon-Fri 20:00-06:00", "Mon,Wed 08:00-12:00", "Sat-Sun" or "20:00-06:00""#);
    insta::assert_snapshot!(unreadable("[window]\nzone = \"UTC\"\n"), @"unknown field `zone`, expected one of `timezone`, `day_starts`, `open`, `closed`");
    insta::assert_snapshot!(refused("[window]\ntimezone = \"Mars/Base\"\n"), @r#"window.timezone is "Mars/Base": it must be a time zone of the IANA database: write it as "Europe/London""#);
}

#[test]
fn hosts_can_be_left_to_the_operator() {
    let manifest = parse(&LEAST.replace("[\"api.gleif.org\"]", "\"operator\""));
    assert!(manifest.egress.is_left_to_operator() && !parse(LEAST).egress.is_left_to_operator());
    insta::assert_snapshot!(error(&LEAST.replace("[\"api.gleif.org\"]", "\"any\"")), @r#"egress.hosts: invalid value: string "any", expected a list of host names, or "operator" if each operator names them (line 4, column 9)"#);
}

#[test]
fn a_limit_that_the_author_leaves_to_its_default_is_the_operators() {
    let higher = tightening("[limits]\nmax_concurrency = 20\nfetch_timeout = \"1m\"\nmemory = \"128MiB\"\n");
    let limits = parse(LEAST).tighten(&higher).unwrap().limits;
    assert_eq!((limits.max_concurrency.get(), limits.memory_bytes), (20, 128 << 20));
    assert_eq!(limits.fetch_timeout, Duration::from_secs(60));
    assert_eq!(limits.response_bytes, parse(LEAST).limits.response_bytes, "nobody says it");
}

#[test]
fn a_time_zone_is_the_operators_where_the_author_says_none() {
    let by = tightening("[window]\ntimezone = \"America/New_York\"\nday_starts = \"04:00\"\nopen = [\"Sat\"]\n");
    let window = parse(LEAST).tighten(&by).unwrap().window;
    assert_eq!(window.timezone.iana_name(), Some("America/New_York"));
    assert_eq!(window.day_starts, jiff::civil::time(4, 0, 0, 0));
    let refused = |text: &str| parse(WHOLE).tighten(&tightening(text)).unwrap_err().to_string();
    insta::assert_snapshot!(refused("[window]\ntimezone = \"America/New_York\"\n"), @r#"window.timezone is "America/New_York": the component's manifest says "Europe/London"; remove it here"#);
    insta::assert_snapshot!(refused("[window]\nday_starts = \"04:00\"\n"), @r#"window.day_starts is "04:00": the component's manifest says "12:00"; remove it here"#);
    let same = tightening("[window]\ntimezone = \"Europe/London\"\nday_starts = \"12:00\"\n");
    assert_eq!(parse(WHOLE).tighten(&same).unwrap().window, parse(WHOLE).window);
}

#[test]
fn a_provider_has_its_own_name_and_the_component_keeps_its_own() {
    let manifest = parse(LEAST).for_provider("acme");
    assert_eq!((&*manifest.name, &*manifest.component), ("acme", "gleif"));
}

/// Whole lines and pieces of TOML that steer random text towards a manifest's depths.
fn any_piece() -> impl Strategy<Value = String> {
    let pieces = [
        "[limits]",
        "[window]",
        "open = [",
        "\"",
        "]",
        "=",
        "\n",
        "9e999",
        "-0",
        "0x",
        "[[egress]]",
        "{",
        "}",
        "'''",
        "\u{0}",
        "é",
        "nan",
        "1979-05-27",
    ];
    prop_oneof![prop::sample::select(pieces.to_vec()).prop_map(str::to_owned), "\\PC{0,6}"]
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,200}") {
        if let Err(error) = Manifest::parse(&text) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn mutated_manifest_is_read_or_refused(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, any_piece()), 1..6),
    ) {
        let mut letters: Vec<char> = WHOLE.chars().collect();
        for (begin, length, piece) in edits {
            let begin = begin.index(letters.len() + 1);
            let end = (begin + length).min(letters.len());
            letters.splice(begin..end, piece.chars());
        }
        let text: String = letters.into_iter().collect();
        match Manifest::parse(&text) {
            Ok(manifest) => {
                let limits = &manifest.limits;
                prop_assert!((1..=1_000).contains(&limits.max_concurrency.get()));
                prop_assert!(limits.requests_per_second.is_none_or(|rate| rate > 0.0 && rate <= 10_000.0));
                prop_assert!(manifest.pace.start_batch <= manifest.pace.max_batch);
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn tightened_limits_are_never_looser(
        concurrency in prop::option::of(1u32..=1_000),
        rate in prop::option::of(0.001f64..10_000.0),
        quota in prop::option::of(1u64..1_000_000),
    ) {
        let by = Tightening {
            limits: LimitsTightening {
                max_concurrency: concurrency,
                requests_per_second: rate,
                daily_quota: quota,
                ..LimitsTightening::default()
            },
            ..Tightening::default()
        };
        let before = parse(WHOLE);
        let after = before.clone().tighten(&by).unwrap();
        prop_assert!(after.limits.max_concurrency <= before.limits.max_concurrency);
        prop_assert!(after.limits.requests_per_second <= before.limits.requests_per_second);
        prop_assert!(after.limits.daily_quota <= before.limits.daily_quota);
        prop_assert!(concurrency.is_none_or(|value| after.limits.max_concurrency.get() <= value));
        prop_assert_eq!(after.clone().tighten(&by).unwrap().limits, after.limits);
    }
}
