//! Which providers a package takes out of the folder: only those whose removal was asked for. A function runs the
//! providers of its zip alone, so a provider that is left out by mistake would stop with the next deployment.

use std::collections::BTreeSet;

/// The providers that are packaged, and those that are to go.
#[derive(Debug)]
pub(crate) struct Removals<'a> {
    pub(crate) packaged: BTreeSet<&'a str>,
    pub(crate) removed: &'a BTreeSet<String>,
}

impl Removals<'_> {
    /// Checks that each provider that the folder holds is packaged, or is to be removed.
    ///
    /// # Errors
    /// The problem and what to do: if one is neither or both, or one that is to be removed is not there.
    pub(crate) fn compare(&self, held: &BTreeSet<String>) -> Result<(), (String, String)> {
        if let Some(name) = self.removed.iter().find(|name| self.packaged.contains(name.as_str())) {
            let what = format!("--remove {name}: this provider is packaged, too");
            let hint =
                format!("take [providers.{name}] out of damper.toml, or name the providers to package without it");
            return Err((what, hint));
        }
        if let Some(name) = self.removed.iter().find(|name| !held.contains(*name)) {
            let what = format!("--remove {name}: there is no such provider in this folder");
            let held: Vec<&str> = held.iter().map(String::as_str).collect();
            let hint =
                if held.is_empty() { "it holds none".to_owned() } else { format!("it holds {}", held.join(", ")) };
            return Err((what, hint));
        }
        let dropped: Vec<&str> = held.iter().map(String::as_str).filter(|name| self.is_dropped(name)).collect();
        if dropped.is_empty() {
            return Ok(());
        }
        let options: Vec<String> = dropped.iter().map(|name| format!("--remove {name}")).collect();
        let what = format!(
            "this package would drop {}, which the folder holds: once deployed, the function would stop them",
            dropped.join(", ")
        );
        let hint = format!(
            "name them too (without names, all of damper.toml are packaged); to take them away on purpose, delete \
             their stacks first, then package with {}",
            options.join(" ")
        );
        Err((what, hint))
    }

    fn is_dropped(&self, name: &str) -> bool {
        !self.packaged.contains(name) && !self.removed.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn compare(held: &[&str], packaged: &[&str], removed: &[&str]) -> Result<(), (String, String)> {
        let removed = names(removed);
        Removals { packaged: packaged.iter().copied().collect(), removed: &removed }.compare(&names(held))
    }

    #[test]
    fn a_package_adds_and_replaces_providers_freely() {
        assert_eq!(compare(&[], &["a"], &[]), Ok(()));
        assert_eq!(compare(&["a"], &["a", "b"], &[]), Ok(()));
    }

    #[test]
    fn each_provider_that_would_go_is_named_with_its_option() {
        let (what, hint) = compare(&["a", "b", "c", "d"], &["b"], &["d"]).unwrap_err();
        assert!(what.contains("would drop a, c,"), "{what}");
        assert!(hint.ends_with("--remove a --remove c"), "{hint}");
        assert_eq!(compare(&["a", "b"], &["b"], &["a"]), Ok(()));
    }

    #[test]
    fn only_a_provider_that_is_there_and_not_packaged_is_removed() {
        let (what, hint) = compare(&["a"], &["a"], &["b"]).unwrap_err();
        assert!(what.contains("--remove b: there is no such provider") && hint == "it holds a", "{what} {hint}");
        let (what, _) = compare(&["a"], &["a"], &["a"]).unwrap_err();
        assert!(what.contains("--remove a: this provider is packaged, too"), "{what}");
    }
}
