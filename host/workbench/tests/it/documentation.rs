//! docs/TESTING.md documents every key and every check, and no others.

use std::collections::BTreeSet;
use std::path::Path;

use damper_workbench::Case;

const TESTING: &str = include_str!("../../../../docs/TESTING.md");

/// The keys of the reference's table.
fn documented_keys() -> BTreeSet<String> {
    let from = TESTING.find("### Every key").unwrap();
    let rows = TESTING[from..].lines().skip_while(|line| !line.starts_with("| key")).skip(2);
    let rows = rows.take_while(|line| line.starts_with("| `"));
    rows.map(|line| line.split('`').nth(1).unwrap().to_owned()).collect()
}

fn parse(text: &str) -> Result<Case, String> {
    Case::parse(Path::new("cases/x.toml"), text).map_err(|error| error.to_string())
}

/// The keys of a table, from the parser's message about an unknown key in it.
fn listed_keys(text: &str, table: &str) -> BTreeSet<String> {
    let error = parse(text).unwrap_err();
    let (_, list) = error.split_once("expected ").unwrap_or_else(|| panic!("{table}: {error}"));
    let keys = list.split('`').skip(1).step_by(2);
    let prefix = if table.is_empty() { String::new() } else { format!("{table}.") };
    keys.map(|key| format!("{prefix}{key}")).collect()
}

#[test]
fn every_key_of_a_case_is_documented_and_no_other() {
    let exchange = "[[exchange]]\n[exchange.request]\nurl = \"https://a.test/\"\n";
    let answer = "[exchange.response]\nstatus = 200\n";
    let request = "[request]\nid = \"1\"\n";
    let record = "[expect.record]\n";
    let failure = "[expect.failure]\nkind = \"x\"\n";
    let tables = [
        ("", format!("nope = 1\n{request}{record}")),
        ("request", format!("{request}nope = 1\n{record}")),
        ("exchange.request", format!("{request}{exchange}nope = 1\n{answer}{record}")),
        ("exchange.response", format!("{request}{exchange}{answer}nope = 1\n{record}")),
        ("expect", format!("{request}[expect]\nnope = 1\n{record}")),
        ("expect.record", format!("{request}{record}nope = 1\n")),
        ("expect.failure", format!("{request}{failure}nope = 1\n")),
    ];
    let mut keys: BTreeSet<String> = tables.iter().flat_map(|(table, text)| listed_keys(text, table)).collect();
    // These are tables, whose keys are listed in their place.
    keys.remove("request");
    keys.remove("expect");
    assert_eq!(documented_keys(), keys);
}

#[test]
fn the_case_in_the_documentation_is_one() {
    let from = TESTING.find("```toml\n").unwrap() + 8;
    let text = &TESTING[from..from + TESTING[from..].find("```").unwrap()];
    assert!(parse(text).unwrap().is_good());
}

#[test]
fn every_check_of_the_suite_is_documented() {
    let table = &TESTING[TESTING.find("| the API | right |").unwrap()..];
    for text in [
        "429",
        "500, 502",
        "503",
        "504",
        "401",
        "403",
        "404, 410",
        "refused, reset, truncated, wrong length",
        "timeout, slow drip",
        "oversized body",
        "10,000 headers",
        "empty body",
        "HTML page",
        "invalid JSON",
        "invalid UTF-8",
        "redirect",
        "choice of another host",
        "500 that repeats the credentials",
    ] {
        assert!(table.contains(text), "{text}");
    }
}
