//! The changes that a packaging would make, found without building anything.
//!
//! A compiled component follows from the component, the engine and the settings, which are all named in the zip: so it
//! is known without compiling whether it is still the same. `bootstrap` is compared where it is given.

use std::collections::{BTreeMap, BTreeSet};

use damper_plugins::package::{self, Architecture};

use crate::archive::{self, Files};
use crate::bootstrap::Bootstraps;
use crate::dist::{Change, Dist};
use crate::error::PackagingError;
use crate::prepared_provider::PreparedProvider;
use crate::stacks::render_templates;
use crate::templates::{Codes, aws_name};
use crate::terraform;
use crate::zips::{code_of, zip_name};

/// The change of a file, and the reason.
#[derive(Debug)]
pub struct FileOutcome {
    /// The change.
    pub change: Change,
    /// The differences that cause it.
    pub reasons: Vec<String>,
    /// The file's size.
    pub bytes: Option<usize>,
    /// The size of what is in it.
    pub unzipped: Option<usize>,
}

impl FileOutcome {
    pub(crate) fn of(change: Change) -> Self {
        Self { change, reasons: Vec::new(), bytes: None, unzipped: None }
    }
}

/// The change that each file would get.
///
/// # Errors
/// If what lies there cannot be read.
pub(crate) fn outcomes(
    dist: &Dist,
    architectures: &BTreeSet<Architecture>,
    providers: &[PreparedProvider],
    isolated: &BTreeSet<String>,
    given: &Bootstraps,
) -> Result<BTreeMap<String, FileOutcome>, PackagingError> {
    let mut outcomes = BTreeMap::new();
    let (mut codes, mut all_unchanged) = (Codes::new(), true);
    for architecture in architectures {
        let name = zip_name(*architecture);
        let Some(zip) = dist.read(&name)? else {
            all_unchanged = false;
            outcomes.insert(name, FileOutcome::of(Change::New));
            continue;
        };
        let reasons = match archive::unpack(&zip) {
            Ok(files) => differences(&files, *architecture, providers, given.get(*architecture)),
            Err(error) => vec![format!("it cannot be read ({error})")],
        };
        all_unchanged &= reasons.is_empty();
        let change = if reasons.is_empty() { Change::Unchanged } else { Change::Changed };
        outcomes.insert(name, FileOutcome { change, reasons, bytes: Some(zip.len()), unzipped: None });
        codes.insert(*architecture, code_of(*architecture, &zip));
    }
    for (name, text) in render_templates(providers, isolated, &codes) {
        // If a zip changes, so does its digest, which each template of a function names.
        let names_code = text.contains("CodeSha256") || name == terraform::VARIABLES;
        let change = match dist.compare(&name, text.as_bytes())? {
            Change::Unchanged if names_code && !all_unchanged => Change::Changed,
            change => change,
        };
        outcomes.insert(name, FileOutcome::of(change));
    }
    for name in dist.stale(|name| outcomes.contains_key(name))? {
        outcomes.insert(name, FileOutcome::of(Change::Removed));
    }
    Ok(outcomes)
}

/// The differences between a zip and the one that would replace it.
fn differences(
    zip: &Files,
    architecture: Architecture,
    providers: &[PreparedProvider],
    bootstrap: Option<&[u8]>,
) -> Vec<String> {
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
    let gone = zip.keys().filter(|path| !expected.contains(*path)).filter_map(|path| archive::provider_of(path));
    differences.extend(gone.map(|name| format!("{name} is gone")));
    differences
}
