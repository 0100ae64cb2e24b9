//! The names of the providers on this machine, to find the one that was meant by a name that does not exist.

use std::path::Path;

use strsim::damerau_levenshtein;

use super::{EXTENSION, check_name};
use crate::config::Config;

/// The most entries of the folder of components that are looked at.
const MAX_ENTRIES: usize = 10_000;

/// The provider whose name is nearest to one that does not exist: of those that damper.toml lists, those with a
/// component in the folder of components, and `others`. None where no name is similar: one edit is allowed, and one
/// more for each three characters after the first three. A swap of two neighbours is one edit.
#[must_use]
pub fn find_nearest(config: &Config, name: &str, others: &[String]) -> Option<String> {
    let listed = config.providers.keys().cloned();
    let known = listed.chain(component_names(&config.component_folder)).chain(others.iter().cloned());
    choose_nearest(name, known)
}

/// The names of the components in a folder; none where it cannot be read.
fn component_names(folder: &Path) -> Vec<String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.take(MAX_ENTRIES).filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|name| check_name(name).is_ok())
        .collect()
}

pub(super) fn choose_nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let allowed = (name.chars().count() / 3).max(1);
    known
        .filter(|other| other != name)
        .map(|other| (damerau_levenshtein(name, &other), other))
        .filter(|(edits, _)| *edits <= allowed)
        .min()
        .map(|(_, other)| other)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]
mod tests {
    use super::*;

    fn nearest(name: &str, known: &[&str]) -> Option<String> {
        choose_nearest(name, known.iter().map(|&known| known.to_owned()))
    }

    #[test]
    fn a_mistyped_name_finds_the_one_that_was_meant() {
        let known = ["gleif", "harbourside", "openfigi"];
        for (typed, meant) in [
            ("harborside", Some("harbourside")),
            ("harbuorside", Some("harbourside")),
            ("glief", Some("gleif")),
            ("openfigi-js", Some("openfigi")),
            ("fx", None),
            ("companies-house", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, &known).as_deref(), meant, "{typed}");
        }
    }

    #[test]
    fn of_two_similar_names_it_is_the_nearer_and_then_the_first_of_the_alphabet() {
        assert_eq!(nearest("cat-fact", &["cat-fakt", "cat-facts-2"]).as_deref(), Some("cat-fakt"));
        assert_eq!(nearest("rates", &["rates-b", "ratet", "rateb"]).as_deref(), Some("rateb"));
    }

    #[test]
    fn components_in_the_folder_and_other_names_are_known_too() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["harbourside.wasm", "Harborside.wasm", "harborside.txt"] {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        let text = format!("components = {:?}\n[providers.gleif]\n", folder.path());
        let config = Config::parse(&text).unwrap();
        assert_eq!(find_nearest(&config, "harborside", &[]).as_deref(), Some("harbourside"));
        assert_eq!(find_nearest(&config, "gleiff", &[]).as_deref(), Some("gleif"));
        assert_eq!(find_nearest(&config, "openfig", &["openfigi".to_owned()]).as_deref(), Some("openfigi"));
    }
}
