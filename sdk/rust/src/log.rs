//! The provider's log. Long lines are cut by the host, and each call has a cap on lines.
//!
//! Standard output and standard error go to the same log, at `info` and `warn`; a panic's message is among them.

use std::fmt::Display;

use crate::backend;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the author.
    Debug,
    /// Worth knowing.
    Info,
    /// Odd, and handled.
    Warn,
    /// Wrong.
    Error,
}

/// Writes a line of a level.
pub fn line(level: Level, message: impl Display) {
    backend::log(level, &message.to_string());
}

/// Writes a line for the author.
pub fn debug(message: impl Display) {
    line(Level::Debug, message);
}

/// Writes a line worth knowing.
pub fn info(message: impl Display) {
    line(Level::Info, message);
}

/// Writes a line on something odd.
pub fn warn(message: impl Display) {
    line(Level::Warn, message);
}

/// Writes a line on something wrong.
pub fn error(message: impl Display) {
    line(Level::Error, message);
}
