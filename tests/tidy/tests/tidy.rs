//! The rules of this package, applied to the whole tree.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use damper_tidy::items::{self, Items};
use damper_tidy::tree::{self, Source};
use damper_tidy::{Finding, crates, cycles, lines, links, paths};

fn rust() -> Vec<Source> {
    let mut sources = tree::sources(&tree::root(), ".rs").unwrap();
    sources.retain(|source| !source.is_generated());
    sources
}

fn markdown() -> Vec<Source> {
    tree::sources(&tree::root(), ".md").unwrap()
}

/// Fails if a rule has more findings than `known.toml` says, or fewer: then the number there is to be lowered.
#[track_caller]
fn expect_known(rule: &str, findings: impl IntoIterator<Item = Finding>) {
    let known: toml::Table = include_str!("../known.toml").parse().unwrap();
    let known = known.get(rule).and_then(toml::Value::as_integer).unwrap_or_default();
    let findings: Vec<String> = findings.into_iter().map(|finding| finding.to_string()).collect();
    let found = i64::try_from(findings.len()).unwrap();
    assert!(found <= known, "{found} places, {known} are known:\n{}", findings.join("\n"));
    assert_eq!(found, known, "fewer places than before: lower {rule} in tests/tidy/known.toml to {found}");
}

#[track_caller]
fn expect_none(findings: impl IntoIterator<Item = Finding>) {
    let findings: Vec<String> = findings.into_iter().map(|finding| finding.to_string()).collect();
    assert!(findings.is_empty(), "{} places:\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn files_are_short() {
    expect_known("long_files", rust().iter().flat_map(lines::long_files));
}

#[test]
fn lines_are_short() {
    expect_known("long_lines", rust().iter().flat_map(lines::long_lines));
}

#[test]
fn tasks_name_their_issues_and_comments_use_plain_words() {
    let sources = rust();
    let sources = sources.iter().filter(|source| !source.path.starts_with("tests/tidy/"));
    expect_none(sources.clone().flat_map(lines::forgotten_tasks));
    expect_known("unused_words", sources.flat_map(lines::unused_words));
}

#[test]
fn files_say_what_they_are_for() {
    expect_none(
        rust().iter().flat_map(|source| [items::missing_docs(source), items::unnamed_modules(source)].concat()),
    );
}

#[test]
fn functions_are_short_and_named_by_verbs() {
    let sources = rust();
    let read = sources.iter().filter_map(|source| Some((source, Items::of(source)?)));
    let (mut long, mut participles) = (Vec::new(), Vec::new());
    for (source, read) in read {
        long.extend(items::long_functions(source, &read));
        if !source.is_test() {
            participles.extend(items::participles(source, &read));
        }
    }
    expect_none(long);
    expect_known("participles", participles);
}

#[test]
fn no_type_has_the_name_of_another() {
    let sources = rust();
    let read: Vec<(&Source, Items)> = sources.iter().filter_map(|source| Some((source, Items::of(source)?))).collect();
    let read: Vec<(&Source, &Items)> = read.iter().map(|(source, items)| (*source, items)).collect();
    expect_known("same_types", items::same_types(&read));
}

#[test]
fn crates_are_used_along_the_arrows() {
    let manifests = tree::sources(&tree::root(), "Cargo.toml").unwrap();
    expect_none(crates::wrong_dependencies(&manifests));
    expect_none(rust().iter().flat_map(crates::environment_in_core));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    expect_known("circles", cycles::circles(&rust()));
}

#[test]
fn links_lead_somewhere() {
    let root = tree::root();
    expect_none(markdown().iter().flat_map(|page| links::broken_links(&root, page)));
}

#[test]
fn the_functions_that_an_item_passes_are_there() {
    let sources = rust();
    let read: Vec<(&str, Items)> =
        sources.iter().filter_map(|source| Some((source.path.as_str(), Items::of(source)?))).collect();
    let files: BTreeMap<&str, &Items> = read.iter().map(|(path, items)| (*path, items)).collect();
    let pages = markdown();
    let page = pages.iter().find(|page| page.path == "docs/ARCHITECTURE.md").unwrap();
    expect_none(paths::missing_functions(page, &files));
}
