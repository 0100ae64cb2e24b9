//! The SDKs and the contract, which are on no registry yet: embedded, and unpacked into the cache for the providers
//! that are scaffolded.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::ToolchainError;
use crate::files::replace_file;
use crate::language::Language;
use crate::tools::check_programs;

mod embedded {
    //! Made by the build script: `FILES`, each with its path from the root of the repository, and their `DIGEST`.
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

/// The folder of the template parts that all languages share.
const TEMPLATE: &str = "sdk/template/";
/// The folder of recipes.
const RECIPES: &str = "sdk/recipes/";
/// The script that finds or installs a toolchain.
const TOOLCHAIN: &str = "sdk/rust/toolchain.sh";

/// The unpacked SDK.
#[derive(Debug)]
pub struct Sdk {
    folder: PathBuf,
}

impl Sdk {
    /// Makes sure that the SDK lies in the cache, whole. Each version has a folder of its own, and each file is put
    /// into place in one step, so that several programs may do this at once.
    ///
    /// # Errors
    /// If the cache cannot be written, or others can change what lies there.
    pub fn unpack(cache: &Path) -> Result<Self, ToolchainError> {
        let folder = cache.join(format!("sdk-{}-{}", env!("CARGO_PKG_VERSION"), embedded::DIGEST));
        // A file that is not ours, such as a build script, would be run with the others.
        if folder.exists() {
            check_programs(&folder)?;
        }
        for (name, content) in embedded::FILES {
            let path = folder.join(name);
            if fs::read(&path).is_ok_and(|found| found == *content) {
                continue;
            }
            replace_file(&path, content)?;
        }
        Ok(Self { folder })
    }

    /// The crate that a provider depends on.
    pub(crate) fn rust(&self) -> PathBuf {
        self.folder.join("sdk/rust")
    }

    /// The npm package that a provider depends on.
    pub(crate) fn js(&self) -> PathBuf {
        self.folder.join("sdk/js")
    }

    /// The Python project that a provider depends on; its package lies in `src`.
    pub(crate) fn python(&self) -> PathBuf {
        self.folder.join("sdk/python")
    }

    /// The path of a language's SDK, as a provider's project names it.
    pub(crate) fn dependency(&self, language: Language) -> PathBuf {
        match language {
            Language::Rust => self.rust(),
            Language::Js => self.js(),
            Language::Python => self.python().join("src"),
        }
    }

    /// The folder of the contract.
    pub(crate) fn wit(&self) -> PathBuf {
        self.folder.join("wit")
    }

    /// The script that prints a rustc for wasm32-wasip2.
    pub(crate) fn toolchain(&self) -> PathBuf {
        self.folder.join(TOOLCHAIN)
    }
}

/// The text of the script that looks for a toolchain and makes one; see its head.
pub(crate) fn toolchain_script() -> &'static str {
    let script = embedded::FILES.iter().find(|(name, _)| *name == TOOLCHAIN);
    script.and_then(|(_, content)| std::str::from_utf8(content).ok()).unwrap_or_default()
}

/// The files of a new provider: their paths in it, and their texts with `{{...}}` still in them.
pub(crate) fn template(language: Language) -> impl Iterator<Item = (PathBuf, &'static str)> {
    let own = format!("sdk/{}/template/", language.name());
    embedded::FILES.iter().filter_map(move |(name, content)| {
        let name = name.strip_prefix(TEMPLATE).or_else(|| name.strip_prefix(own.as_str()))?;
        Some((project_path(name), std::str::from_utf8(content).ok()?))
    })
}

/// The files of a recipe for a language, or for all languages (`common`), as [`template`] gives them.
pub(crate) fn recipe_files(recipe: &str, part: &str) -> impl Iterator<Item = (PathBuf, &'static str)> {
    let folder = format!("{RECIPES}{recipe}/{part}/");
    embedded::FILES.iter().filter_map(move |(name, content)| {
        Some((project_path(name.strip_prefix(folder.as_str())?), std::str::from_utf8(content).ok()?))
    })
}

/// The path in a project of a template's file.
fn project_path(name: &str) -> PathBuf {
    let name = name.strip_suffix(".tmpl").unwrap_or(name);
    // Dotless in the repository, where they would have an effect.
    PathBuf::from(match name {
        "gitignore" => ".gitignore",
        "cargo/config.toml" => ".cargo/config.toml",
        name => name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_dir() {
                let is_left_out = ["test", "tests", "target", "node_modules", "__pycache__"].contains(&name.as_str());
                if !is_left_out
                    || folder
                        .components()
                        .any(|part| ["template", "recipes"].iter().any(|name| part.as_os_str() == *name))
                {
                    files_below(&entry.path(), found);
                }
            } else if !name.starts_with('.') {
                found.push(entry.path());
            }
        }
    }

    #[test]
    fn every_file_of_the_sdk_and_the_contract_is_embedded() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
        let mut expected = Vec::new();
        for folder in ["sdk/rust", "sdk/js", "sdk/python", "sdk/template", "sdk/recipes"] {
            files_below(&root.join(folder), &mut expected);
        }
        files_below(&root.join("wit"), &mut expected);
        expected.sort();
        let embedded: Vec<PathBuf> = embedded::FILES.iter().map(|(name, _)| root.join(name)).collect();
        assert_eq!(embedded, expected);
    }

    #[test]
    fn an_unpacked_sdk_is_whole_and_mends_itself() {
        let cache = tempfile::tempdir().unwrap();
        let sdk = Sdk::unpack(cache.path()).unwrap();
        fs::remove_file(sdk.toolchain()).unwrap();
        fs::write(sdk.rust().join("Cargo.toml"), "cut sho").unwrap();
        let sdk = Sdk::unpack(cache.path()).unwrap();
        for (name, content) in embedded::FILES {
            assert_eq!(fs::read(sdk.folder.join(name)).unwrap(), *content, "{name}");
        }
    }

    #[test]
    fn the_template_is_a_project_with_a_manifest_and_a_case() {
        for (language, own) in [
            (Language::Rust, ["Cargo.toml", "src/lib.rs"]),
            (Language::Js, ["package.json", "src/provider.js"]),
            (Language::Python, ["pyproject.toml", "src/provider.py"]),
        ] {
            let names: Vec<PathBuf> = template(language).map(|(name, _)| name).collect();
            for name in own.into_iter().chain(["provider.toml", "cases/found.toml", ".gitignore", "README.md"]) {
                assert!(names.contains(&name.into()), "{name} is not in {names:?}");
            }
            for other in ["Cargo.toml", "package.json", "pyproject.toml"] {
                assert_eq!(names.contains(&other.into()), language.project_file() == other, "{language:?} {other}");
            }
        }
    }

    #[test]
    fn every_sdk_has_the_version_that_its_components_are_stamped_with() {
        let text = |wanted: &str| {
            let (_, content) = embedded::FILES.iter().find(|(name, _)| *name == wanted).unwrap();
            std::str::from_utf8(content).unwrap()
        };
        let package: serde_json::Value = serde_json::from_str(text("sdk/js/package.json")).unwrap();
        assert_eq!(package["version"], env!("CARGO_PKG_VERSION"));
        let pyproject: toml::Table = toml::from_str(text("sdk/python/pyproject.toml")).unwrap();
        assert_eq!(pyproject["project"]["version"].as_str(), Some(env!("CARGO_PKG_VERSION")));
        let contract = damper_plugins::component_file::HOST_CONTRACT;
        for file in ["wit/provider.wit", "sdk/js/entry.js"] {
            assert!(text(file).contains(&format!("@{contract}")), "{file}");
        }
    }
}
