//! Reads scenarios from files.

use std::path::Path;

use super::Scenario;
use super::check::{self, ScenarioError};
use super::file::File;

impl Scenario {
    /// Read a scenario from its text; `name` is for people.
    ///
    /// # Errors
    /// If the text is no TOML, has an unknown key or lacks a needed one, or a value is not allowed.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        let file: File = toml::from_str(text).map_err(|error| ScenarioError::unreadable(name, &error))?;
        check::scenario(name, file)
    }

    /// Read a scenario's file.
    ///
    /// # Errors
    /// If it cannot be read, or as [`Scenario::parse`] says.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ScenarioError::File { path: path.to_owned(), message: error.to_string() })?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Self::parse(&name, &text)
    }

    /// Read all scenarios of a folder, by name.
    ///
    /// # Errors
    /// If the folder or one of its files cannot be read, or as [`Scenario::parse`] says.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>, ScenarioError> {
        let failed =
            |error: std::io::Error| ScenarioError::File { path: folder.to_owned(), message: error.to_string() };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                paths.push(path);
            }
        }
        paths.sort();
        if paths.is_empty() {
            return Err(ScenarioError::Empty { path: folder.to_owned() });
        }
        paths.iter().map(|path| Self::read(path)).collect()
    }
}
