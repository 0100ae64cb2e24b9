//! The reference against the parser: the same keys, the same defaults, the same bounds.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::manifest::Manifest;

const MINIMAL: &str = "name = \"demo\"\nversion = \"0.1.0\"\n[egress]\nhosts = [\"api.example.org\"]\n";
const KINDS: [&str; 10] = [
    "header",
    "query",
    "basic",
    "bearer",
    "oauth2-client-credentials",
    "oauth2-refresh-token",
    "jwt-bearer",
    "hmac",
    "aws-sigv4",
    "mtls",
];

fn key(path: &str) -> Key {
    keys().into_iter().find(|key| key.path() == path).unwrap()
}

/// A manifest with one more line in a table.
fn with(table: &str, line: &str) -> String {
    match table {
        "" => format!("{line}\n{MINIMAL}"),
        "egress" => format!("{MINIMAL}{line}\n"),
        table => format!("{MINIMAL}[{}]\n{line}\n", table.replace("NAME", "key")),
    }
}

/// The keys that the parser accepts in a table.
fn known_to_the_parser(table: &str) -> BTreeSet<String> {
    let message = Manifest::parse(&with(table, "nobody_knows_this = 1")).unwrap_err().to_string();
    let (_, known) = message.split_once("expected").unwrap_or_else(|| panic!("{message}"));
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_reference_lists_what_the_parser_takes_and_nothing_else() {
    let mut listed = BTreeMap::<&str, BTreeSet<String>>::new();
    for key in keys().into_iter().filter(|key| key.table != "config") {
        listed.entry(key.table).or_default().insert(key.name.to_owned());
    }
    let tables = listed.keys().filter(|table| !table.is_empty());
    let tables: BTreeSet<String> =
        tables.map(|table| table.replace(".NAME", "")).chain(["config".to_owned()]).collect();
    for (table, names) in listed.iter().filter(|(table, _)| !table.is_empty()) {
        assert_eq!(&known_to_the_parser(table), names, "{table}");
    }
    let top: BTreeSet<String> = listed[""].iter().cloned().chain(tables).collect();
    assert_eq!(known_to_the_parser(""), top);
}

#[test]
fn a_default_written_out_changes_nothing() {
    let minimal = Manifest::parse(MINIMAL).unwrap();
    for key in keys().iter().filter(|key| key.table != "credentials.NAME") {
        if let Absent::Value(value) = &key.default {
            let written = with(key.table, &format!("{} = {value}", key.name));
            let written = Manifest::parse(&written).unwrap_or_else(|error| panic!("{}: {error}", key.path()));
            // Only an operator's looser limit tells them apart.
            let written = Manifest { stated: minimal.stated, ..written };
            assert_eq!(written, minimal, "{}", key.path());
        }
    }
}

#[test]
fn what_must_be_there_is_missed() {
    for key in keys().iter().filter(|key| key.default == Absent::Refused && key.table != "credentials.NAME") {
        let without: String =
            MINIMAL.lines().filter(|line| !line.starts_with(key.name)).map(|line| format!("{line}\n")).collect();
        let message = Manifest::parse(&without).unwrap_err().to_string();
        assert!(message.contains(key.name), "{}: {message}", key.path());
    }
}

#[test]
fn bounds_are_the_parser_s() {
    let cases = [
        ("limits.max_concurrency", ["1", "1000"], ["0", "1001"]),
        ("limits.requests_per_second", ["0.001", "10000"], ["0", "10001"]),
        ("limits.daily_quota", ["1", "1000000000"], ["0", "-1"]),
        ("limits.fetch_timeout", ["\"100ms\"", "\"10m\""], ["\"99ms\"", "\"601s\""]),
        ("limits.memory", ["\"1MiB\"", "\"1GiB\""], ["\"1023KiB\"", "\"1025MiB\""]),
        ("limits.response_bytes", ["\"1KiB\"", "\"64MiB\""], ["\"1023B\"", "\"65MiB\""]),
        ("pace.max_batch", ["1", "10000"], ["0", "10001"]),
        ("pace.start_batch", ["1", "10000"], ["0", "10001"]),
        ("retry.max_attempts", ["1", "100"], ["0", "101"]),
        ("retry.backoff", ["\"10ms\"", "\"1h\""], ["\"9ms\"", "\"61m\""]),
        ("retry.spread", ["\"0ms\"", "\"7d\""], ["\"8d\"", "\"-1s\""]),
        ("retry.max_item_age", ["\"1m\"", "\"365d\""], ["\"59s\"", "\"366d\""]),
    ];
    for (path, allowed, refused) in cases {
        let key = key(path);
        let parse = |value: &str| Manifest::parse(&with(key.table, &format!("{} = {value}", key.name)));
        for value in allowed {
            assert!(parse(value).is_ok(), "{path} = {value}");
        }
        for value in refused {
            assert!(parse(value).is_err(), "{path} = {value}");
        }
        // The words are those of the same numbers: each end that the parser takes is named.
        let told = ["limits.requests_per_second", "limits.daily_quota"].contains(&path);
        assert!(told || allowed.iter().all(|value| key.bounds.contains(value)), "{path}: {}", key.bounds);
    }
}

#[test]
fn every_kind_of_a_credential_is_listed() {
    for kind in KINDS {
        let needed = match kind {
            "header" => "\nheader = \"X-Key\"",
            "query" => "\nparameter = \"key\"",
            _ => "",
        };
        assert!(Manifest::parse(&with("credentials.NAME", &format!("kind = \"{kind}\"{needed}"))).is_ok(), "{kind}");
        assert!(key("credentials.NAME.kind").bounds.contains(&format!("`\"{kind}\"`")), "{kind}");
    }
    let message = Manifest::parse(&with("credentials.NAME", "kind = \"other\"")).unwrap_err().to_string();
    let (_, known) = message.split_once("expected").unwrap();
    assert_eq!(known.split('`').skip(1).step_by(2).collect::<BTreeSet<_>>(), KINDS.into());
}
