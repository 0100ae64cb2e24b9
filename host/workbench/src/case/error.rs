//! Errors of a case, each with its fix.

use std::io;
use std::path::{Path, PathBuf};

use damper_core::escape::{escape_lines, escape_text};

/// A case that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaseError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable {
        /// The case.
        case: PathBuf,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is no TOML, or has keys that a case has not, or lacks some.
    #[error("{problem}")]
    Shape {
        /// The case.
        case: PathBuf,
        /// The problem, with the line.
        problem: String,
    },
    /// A value cannot be used.
    #[error("{key} {problem}")]
    Value {
        /// The case.
        case: PathBuf,
        /// The key.
        key: String,
        /// The problem and the fix.
        problem: String,
    },
}

impl CaseError {
    pub(super) fn shape(case: &Path, error: &toml::de::Error) -> Self {
        Self::Shape { case: case.to_path_buf(), problem: escape_lines(error.to_string().trim_end()) }
    }

    pub(super) fn not_text(case: &Path) -> Self {
        Self::Shape { case: case.to_path_buf(), problem: "it is not UTF-8".to_owned() }
    }

    pub(super) fn value(case: &Path, key: impl Into<String>, problem: impl Into<String>) -> Self {
        let (key, problem) = (escape_text(&key.into()), escape_text(&problem.into()));
        Self::Value { case: case.to_path_buf(), key, problem }
    }

    /// The case's file.
    #[must_use]
    pub fn case(&self) -> &Path {
        match self {
            Self::Unreadable { case, .. } | Self::Shape { case, .. } | Self::Value { case, .. } => case,
        }
    }
}
