//! Changes of the contract that are allowed and that are not, each made to the contract of this tree as if it were
//! released.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

const CONTRACT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/provider.wit"));

fn parse(text: &str) -> Surface {
    Surface::parse("provider.wit", text).unwrap_or_else(|problem| panic!("{problem}"))
}

/// The contract with one text in the place of another.
fn edit_contract(from: &str, to: &str) -> String {
    assert!(CONTRACT.contains(from), "the contract has no {from:?} any more");
    CONTRACT.replacen(from, to, 1)
}

/// The contract, a minor version later, edited.
fn next_minor(from: &str, to: &str) -> String {
    raise_version(&edit_contract(from, to))
}

fn raise_version(text: &str) -> String {
    let version = parse(text).version;
    at(&super::next_minor(&version).to_string(), text)
}

/// The contract as if it were of another version.
fn at(version: &str, text: &str) -> String {
    let now = format!("provider@{};", parse(text).version);
    text.replacen(&now, &format!("provider@{version};"), 1)
}

fn report(new: &str) -> String {
    ContractComparison::of(&parse(CONTRACT), &parse(new)).to_string()
}

fn is_compatible(new: &str) -> bool {
    keeps(CONTRACT, new)
}

fn keeps(old: &str, new: &str) -> bool {
    ContractComparison::of(&parse(old), &parse(new)).compatible
}

#[test]
fn a_new_function_needs_a_version_that_older_components_are_still_linked_with() {
    let more = edit_contract("interface http {\n", "interface http {\n  ping: func();\n");
    for (old, new, is_kept) in [
        ("0.1.0", "0.1.0", false),
        ("0.1.0", "0.1.1", true),
        ("0.1.0", "0.2.0", false),
        ("0.1.0", "1.0.0", false),
        ("1.0.0", "1.0.1", false),
        ("1.0.0", "1.1.0", true),
        ("1.2.0", "1.1.0", false),
        ("1.0.0", "2.0.0", false),
    ] {
        assert_eq!(keeps(&at(old, CONTRACT), &at(new, &more)), is_kept, "{old} {new}");
    }
}

#[test]
fn the_contract_keeps_what_every_released_one_promised() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/released");
    let new = parse(CONTRACT);
    for path in list_released(&folder) {
        let old = parse(&fs::read_to_string(&path).unwrap());
        let version = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        assert_eq!(old.version.to_string(), version, "{} is of another version than its folder", path.display());
        let comparison = ContractComparison::of(&old, &new);
        assert!(comparison.compatible, "{comparison}");
    }
}

/// The released contracts: `VERSION/provider.wit` each.
fn list_released(folder: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    folders.map(|folder| folder.join("provider.wit")).collect()
}

#[test]
fn released_contracts_are_found_by_their_folders() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("README.md"), "").unwrap();
    fs::create_dir(folder.path().join("0.1.0")).unwrap();
    assert_eq!(list_released(folder.path()), [folder.path().join("0.1.0/provider.wit")]);
}

#[test]
fn every_breaking_change_is_named_with_what_was_and_is() {
    let mut said = String::new();
    for (title, new) in [
        ("a field gone", edit_contract("    attempt: u32,\n", "")),
        ("a field new", edit_contract("    attempt: u32,\n", "    attempt: u32,\n    priority: u8,\n")),
        ("a field of another type", edit_contract("    attempt: u32,\n", "    attempt: u64,\n")),
        ("cases in another order", edit_contract("{ hmac-sha256, hmac-sha512 }", "{ hmac-sha512, hmac-sha256 }")),
        ("a case new", edit_contract("    malformed,\n", "    malformed,\n    gone,\n")),
        ("a case with another load", edit_contract("    too-large(u64),", "    too-large(u32),")),
        ("an enum grown", edit_contract("enum algorithm { hmac-sha256,", "enum algorithm { hmac-sha1, hmac-sha256,")),
        (
            "another result",
            edit_contract(
                "send: func(request: request) -> result<response, http-error>;",
                "send: func(request: request) -> response;",
            ),
        ),
        ("another parameter", edit_contract("config-get: func(key: string)", "config-get: func(name: string)")),
        ("a function gone", edit_contract("  cache-get: func(key: string) -> option<list<u8>>;\n", "")),
        (
            "another meaning of a name",
            edit_contract("type pairs = list<tuple<string, string>>;", "type pairs = list<tuple<string, list<u8>>>;"),
        ),
        ("an import gone", edit_contract("  import host;\n", "")),
        (
            "another export",
            edit_contract(
                "export fetch-record: func(request: fetch-request) -> result<fetched, failure>;",
                "export fetch-record: func(request: fetch-request) -> fetched;",
            )
            .replacen(
                "  use types.{fetch-request, fetched, failure};",
                "  use types.{fetch-request, fetched};",
                1,
            ),
        ),
        ("an export new", next_minor("  import host;\n", "  import host;\n  export describe: func() -> string;\n")),
        (
            "a shape in a released interface",
            next_minor("interface http {\n", "interface http {\n  record more { text: string }\n"),
        ),
        (
            "a function without a minor version",
            edit_contract("interface http {\n", "interface http {\n  ping: func();\n"),
        ),
        ("an older version", at("0.0.9", CONTRACT)),
        ("a version of another track", at("0.2.0", CONTRACT)),
        ("another package", CONTRACT.replacen("package damper:provider", "package other:provider", 1)),
        (
            "another kind",
            edit_contract("enum level { debug, info, warn, error }", "variant level { debug, info, warn, error }"),
        ),
    ] {
        assert!(!is_compatible(&new), "{title}");
        said.push_str(&format!("# {title}\n{}\n", report(&new)));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn what_breaks_nothing_is_allowed() {
    let mut said = String::new();
    for (title, new) in [
        ("nothing", CONTRACT.to_owned()),
        ("another comment", edit_contract("/// One request.", "/// One request, and no more.")),
        ("a function with a minor version", next_minor("interface http {\n", "interface http {\n  ping: func();\n")),
        (
            "a new interface with a shape",
            next_minor(
                "/// A provider: it fetches",
                "interface more {\n  record thing { text: string }\n  get: func() -> thing;\n}\n\n/// A provider: it \
                    fetches",
            ),
        ),
        (
            "a new interface that the world imports",
            next_minor(
                "/// A provider: it fetches",
                "interface more {\n  get: func() -> string;\n}\n\n/// A provider: it fetches",
            )
            .replacen("  import host;\n", "  import host;\n  import more;\n", 1),
        ),
    ] {
        assert!(is_compatible(&new), "{title}: {}", report(&new));
        said.push_str(&format!("# {title}\n{}\n", report(&new)));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn a_text_that_is_no_contract_is_refused() {
    for (text, part) in [("package a:b;", "no version"), ("interface {", "expected"), ("", "")] {
        let problem = Surface::parse("x.wit", text).unwrap_err();
        assert!(problem.contains(part), "{problem}");
    }
}
