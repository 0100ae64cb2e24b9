//! The languages that providers are written in, and how a folder tells which it is.

use std::path::Path;

use crate::error::ToolchainError;

/// A language with an SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Rust, compiled by cargo.
    Rust,
    /// JavaScript or TypeScript, run by QuickJS inside of the component.
    Js,
    /// Python, run by CPython inside of the component.
    Python,
}

impl Language {
    pub(crate) const ALL: [Self; 3] = [Self::Rust, Self::Js, Self::Python];

    /// As the SDK stamps it and as its folder is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Js => "js",
            Self::Python => "python",
        }
    }

    /// The file that a project of this language has at its root.
    #[must_use]
    pub fn project_file(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Js => "package.json",
            Self::Python => "pyproject.toml",
        }
    }

    /// The language of the provider in a folder.
    ///
    /// # Errors
    /// If it is none of them, or more than one.
    pub fn of(folder: &Path) -> Result<Self, ToolchainError> {
        let is_there = |language: &Self| folder.join(language.project_file()).is_file();
        let found: Vec<Self> = Self::ALL.into_iter().filter(is_there).collect();
        match found.as_slice() {
            [language] => Ok(*language),
            [] => {
                let hint = "name a provider's folder: beside provider.toml it has Cargo.toml (Rust), package.json \
                            (JavaScript) or pyproject.toml (Python); `damper new NAME --lang LANGUAGE` creates one";
                Err(ToolchainError::input_in(folder, "there is no project in a language that damper builds", hint))
            }
            several => {
                let files: Vec<&str> = several.iter().map(|language| language.project_file()).collect();
                let what = format!("the folder has {}, and a provider is written in one language", files.join(" and "));
                Err(ToolchainError::input_in(folder, what, "move the other project into a folder of its own"))
            }
        }
    }
}
