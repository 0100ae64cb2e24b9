//! `--check`: what a run would change, told without building anything.
//!
//! A compiled component follows from the component, the engine and the settings, which are all named in the zip: so it is known
//! without compiling whether it is still the same. `bootstrap` is compared where it is given.

use std::collections::{BTreeMap, BTreeSet};

use damper_plugins::package::{self, Architecture};

use super::archive::{self, Files};
use super::bootstrap::Given;
use super::dist::{Change, Dist};
use super::providers::Ready;
use super::templates::{Codes, aws_name};
use super::{Outcome, code_of, templates_of, zip_name};
use crate::error::CliError;

/// The change that each file would get.
///
/// # Errors
/// If what lies there cannot be read.
pub(super) fn outcomes(
    dist: &Dist,
    architectures: &BTreeSet<Architecture>,
    providers: &[Ready],
    isolated: &BTreeSet<String>,
    given: &Given,
) -> Result<BTreeMap<String, Outcome>, CliError> {
    let mut outcomes = BTreeMap::new();
    let (mut codes, mut all_unchanged) = (Codes::new(), true);
    for architecture in architectures {
        let name = zip_name(*architecture);
        let Some(zip) = dist.read(&name)? else {
            all_unchanged = false;
            outcomes.insert(name, Outcome::of(Change::New));
            continue;
        };
        let reasons = match archive::unpack(&zip) {
            Ok(files) => differences(&files, *architecture, providers, given.get(*architecture)),
            Err(error) => vec![format!("it cannot be read ({error})")],
        };
        all_unchanged &= reasons.is_empty();
        let change = if reasons.is_empty() { Change::Unchanged } else { Change::Changed };
        outcomes.insert(name, Outcome { change, reasons, bytes: Some(zip.len()), unzipped: None });
        codes.insert(*architecture, code_of(*architecture, &zip));
    }
    for (name, text) in templates_of(providers, isolated, &codes) {
        // If a zip changes, so does its digest, which each template of a function names.
        let names_code = text.contains("CodeSha256");
        let change = match dist.compare(&name, text.as_bytes())? {
            Change::Unchanged if names_code && !all_unchanged => Change::Changed,
            change => change,
        };
        outcomes.insert(name, Outcome::of(change));
    }
    for name in dist.stale(|name| outcomes.contains_key(name)) {
        outcomes.insert(name, Outcome::of(Change::Removed));
    }
    Ok(outcomes)
}

/// The differences between a zip and the one that would replace it.
fn differences(zip: &Files, architecture: Architecture, providers: &[Ready], bootstrap: Option<&[u8]>) -> Vec<String> {
    let mut differences = Vec::new();
    let found = zip.get(archive::BOOTSTRAP).map(Vec::as_slice);
    if bootstrap.is_some() && bootstrap != found {
        differences.push(format!("another bootstrap for {}", aws_name(architecture)));
    }
    let mut expected = BTreeSet::new();
    for provider in providers {
        let path = package::description_path(provider.name());
        match zip.get(&path) {
            None => differences.push(format!("{} is new", provider.name())),
            Some(found) if package::is_current(found, &provider.file, architecture, &provider.settings) => {}
            Some(_) => differences.push(format!("{} has changed", provider.name())),
        }
        expected.insert(path);
    }
    let gone = zip.keys().filter(|path| path.ends_with("/provider.json") && !expected.contains(*path));
    differences.extend(gone.map(|path| format!("{} is gone", path.split('/').nth(1).unwrap_or(path))));
    differences
}
