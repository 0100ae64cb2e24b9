//! The recipes that a new project can begin with: code, a manifest and cases for one kind of API, in place of the
//! template's. Their files lie in `sdk/recipes`.

use std::collections::BTreeMap;
use std::path::PathBuf;

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
pub(crate) fn project_files(language: Language, recipe: Option<Recipe>) -> BTreeMap<PathBuf, &'static str> {
    let mut files: BTreeMap<PathBuf, &'static str> = sdk::template(language).collect();
    if let Some(recipe) = recipe {
        files.extend(sdk::recipe_files(recipe.name(), "common"));
        files.extend(sdk::recipe_files(recipe.name(), language.name()));
    }
    files
}

#[cfg(test)]
mod tests {
    use damper_core::manifest::Manifest;

    use super::*;

    #[test]
    fn a_recipe_brings_its_code_its_manifest_and_its_cases() {
        let plain = project_files(Language::Js, None);
        let oauth2 = project_files(Language::Js, Some(Recipe::OAuth2));
        for name in ["src/provider.js", "test/provider.test.js", "provider.toml", "cases/found.toml"] {
            assert_ne!(plain[&PathBuf::from(name)], oauth2[&PathBuf::from(name)], "{name}");
        }
        assert_eq!(plain[&PathBuf::from("package.json")], oauth2[&PathBuf::from("package.json")]);
        assert!(oauth2.contains_key(&PathBuf::from("cases/refused.toml")));
        let xml = project_files(Language::Rust, Some(Recipe::Xml));
        assert!(xml[&PathBuf::from("Cargo.toml")].contains("features = [\"xml\"]"));
    }

    #[test]
    fn every_recipe_is_there_in_each_language_with_a_manifest_that_is_valid() {
        for recipe in [Recipe::OAuth2, Recipe::TwoStep, Recipe::Xml] {
            for language in Language::ALL {
                let (plain, files) = (project_files(language, None), project_files(language, Some(recipe)));
                Manifest::parse(&files[&PathBuf::from("provider.toml")].replace("{{name}}", "x")).unwrap();
                for source in files.keys().filter(|name| name.starts_with("src")) {
                    assert_ne!(plain.get(source), files.get(source), "{recipe:?} {language:?} {}", source.display());
                }
            }
        }
    }
}
