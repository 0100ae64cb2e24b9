//! Rules of style that a test can check, in the spirit of TigerBeetle's `tidy.zig`: each rule is a pure function from
//! source text to findings. `tests/tidy.rs` applies them to the tree.
//!
//! A finding names file and line and says what to do. A rule has no switch for single places: if it is wrong about a
//! place, the rule is changed here, in the open.

pub mod crates;
pub mod cycles;
pub mod items;
pub mod lines;
pub mod links;
pub mod paths;
pub mod tree;

use std::fmt;

/// A place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, relative to the root of the tree.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The rule, and what to do.
    pub message: String,
}

impl Finding {
    /// A finding in this line of a file.
    pub fn new(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.file, self.line, self.message)
    }
}
