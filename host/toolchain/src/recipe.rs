//! The recipes that a new project can begin with: code, a manifest and cases for one kind of API, in place of the
//! template's. Their files lie in `sdk/recipes`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::ToolchainError;
use crate::language::Language;
use crate::sdk;

/// A recipe. A further one needs a name here and a folder of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// Tokens that the host fetches with a client's secret.
    OAuth2,
    /// An order first, and its result later.
    TwoStep,
    /// Requests and answers in XML: SOAP.
    Xml,
}

impl Recipe {
    /// Its name on the command line, and that of its folder.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OAuth2 => "oauth2",
            Self::TwoStep => "two-step",
            Self::Xml => "xml",
        }
    }
}

/// The files of a new project: the template's, with those of the recipe in their place.
///
/// # Errors
/// If the language does not have the recipe.
pub(crate) fn project_files(
    language: Language,
    recipe: Option<Recipe>,
) -> Result<BTreeMap<PathBuf, &'static str>, ToolchainError> {
    let mut files: BTreeMap<PathBuf, &'static str> = sdk::template(language).collect();
    let Some(recipe) = recipe else { return Ok(files) };
    let own: Vec<_> = sdk::recipe_files(recipe.name(), language.name()).collect();
    if own.is_empty() {
        let has = |language: &&Language| sdk::recipe_files(recipe.name(), language.name()).next().is_some();
        let known: Vec<&str> = Language::ALL.iter().filter(has).map(|language| language.name()).collect();
        return Err(ToolchainError::input(
            format!("there is no recipe {} for the language {}", recipe.name(), language.name()),
            format!("the recipe is there for {}; or leave --recipe out", known.join(", ")),
        ));
    }
    files.extend(sdk::recipe_files(recipe.name(), "common"));
    files.extend(own);
    Ok(files)
}

#[cfg(test)]
mod tests {
    use damper_core::manifest::Manifest;

    use super::*;

    #[test]
    fn a_recipe_brings_its_code_its_manifest_and_its_cases() {
        let plain = project_files(Language::Js, None).unwrap();
        let oauth2 = project_files(Language::Js, Some(Recipe::OAuth2)).unwrap();
        for name in ["src/provider.js", "test/provider.test.js", "provider.toml", "cases/found.toml"] {
            assert_ne!(plain[&PathBuf::from(name)], oauth2[&PathBuf::from(name)], "{name}");
        }
        assert_eq!(plain[&PathBuf::from("package.json")], oauth2[&PathBuf::from("package.json")]);
        assert!(oauth2.contains_key(&PathBuf::from("cases/refused.toml")));
        let xml = project_files(Language::Rust, Some(Recipe::Xml)).unwrap();
        assert!(xml[&PathBuf::from("Cargo.toml")].contains("features = [\"xml\"]"));
    }

    #[test]
    fn a_language_without_a_recipe_is_told_which_have_it() {
        let error = project_files(Language::Python, Some(Recipe::Xml)).unwrap_err();
        assert!(error.to_string().contains("no recipe xml for the language python"), "{error}");
        assert!(error.hint().unwrap().contains("there for rust;"), "{:?}", error.hint());
    }

    #[test]
    fn every_recipe_has_a_manifest_that_is_valid() {
        let all = &Language::ALL[..];
        let known = [(Recipe::OAuth2, all), (Recipe::TwoStep, all), (Recipe::Xml, &[Language::Rust])];
        for (recipe, languages) in known {
            for language in languages {
                let files = project_files(*language, Some(recipe)).unwrap();
                Manifest::parse(&files[&PathBuf::from("provider.toml")].replace("{{name}}", "x")).unwrap();
            }
        }
    }
}
