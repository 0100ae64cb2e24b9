//! Terminal output: messages and progress on standard error, data on standard output.
//!
//! Nothing that a component, an API or a file said reaches a terminal as it is: see [`printable`].

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use damper_core::printable::is_unsafe;
use damper_toolchain::Progress;
use indicatif::MultiProgress;

use crate::error::{CliError, Exit};

/// Standard error, shared by messages, the log and progress bars.
#[derive(Debug, Clone)]
pub(crate) struct Screen {
    bars: MultiProgress,
    colour: bool,
}

impl Screen {
    /// The screen; coloured where standard error is a terminal and `colour` allows it.
    pub(crate) fn new(colour: bool) -> Self {
        Self { bars: MultiProgress::new(), colour: colour && io::stderr().is_terminal() }
    }

    /// The progress bars.
    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Whether somebody watches: else progress is plain lines now and then.
    pub(crate) fn is_terminal(&self) -> bool {
        io::stderr().is_terminal()
    }

    /// A message.
    pub(crate) fn say(&self, message: impl AsRef<str>) {
        self.write(format!("{}\n", printable_lines(message.as_ref())).as_bytes());
    }

    /// Something that a person should know and that stops nothing.
    pub(crate) fn warn(&self, message: impl AsRef<str>) {
        let label = self.label("warning", "33");
        self.write(format!("{label}: {}\n", printable_lines(message.as_ref())).as_bytes());
    }

    /// Say what went wrong, where, and what to do.
    pub(crate) fn error(&self, error: &CliError) {
        let mut text = format!("{}: {}\n", self.label("error", "31"), printable_lines(&error.to_string()));
        if let Some(place) = error.place() {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {}", printable(&place));
        }
        if let Some(hint) = error.hint() {
            let _ = writeln!(text, "{}: {}", self.label("hint", "36"), printable_lines(&hint));
        }
        self.write(text.as_bytes());
    }

    /// The program's end after an error.
    pub(crate) fn fail(&self, error: &CliError) -> Exit {
        if !error.is_silent() {
            self.error(error);
        }
        error.exit()
    }

    /// Writes bytes above the progress bars. Errors are ignored: they could only be reported on the same stream.
    pub(crate) fn write(&self, bytes: &[u8]) {
        self.bars.suspend(|| {
            let _ = io::stderr().write_all(bytes);
        });
    }

    fn label(&self, word: &str, colour: &str) -> String {
        if self.colour { format!("\u{1b}[1;{colour}m{word}\u{1b}[0m") } else { word.to_owned() }
    }
}

impl Progress for Screen {
    fn report(&self, message: &str) {
        self.say(message);
    }
}

/// One line of data on standard output.
///
/// # Errors
/// If it cannot be written; a reader that has gone away ends the program quietly.
pub(crate) fn put(line: impl AsRef<str>) -> Result<(), CliError> {
    let mut text = line.as_ref().to_owned();
    text.push('\n');
    put_bytes(text.as_bytes())
}

/// Data on standard output, byte for byte; escaped where it is a terminal.
///
/// # Errors
/// If it cannot be written; a reader that has gone away ends the program quietly.
pub(crate) fn put_bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut output = io::stdout().lock();
    let written = if output.is_terminal() {
        output.write_all(printable_lines(&String::from_utf8_lossy(bytes)).as_bytes())
    } else {
        output.write_all(bytes)
    };
    written.and_then(|()| output.flush()).map_err(CliError::output)
}

/// A JSON value as one line on standard output.
///
/// # Errors
/// As [`put`].
pub(crate) fn put_json(value: &impl serde::Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string(value).map_err(|error| CliError::internal("write JSON", error))?;
    put(text)
}

/// The text with everything escaped that a terminal would obey or that would make it show something else than it holds:
/// see [`is_unsafe`].
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// As [`printable`], but with its line breaks and tabs.
pub(crate) fn printable_lines(text: &str) -> Cow<'_, str> {
    escape(text, |character| matches!(character, '\n' | '\t'))
}

fn escape(text: &str, keeps: impl Fn(char) -> bool) -> Cow<'_, str> {
    let obeyed = |character: char| is_unsafe(character) && !keeps(character);
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len().saturating_add(16));
    for character in text.chars() {
        if obeyed(character) { escaped.extend(character.escape_default()) } else { escaped.push(character) }
    }
    Cow::Owned(escaped)
}

/// A size for a person.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// Rows of text with their columns aligned; numbers to the right. The first row is the header.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let cell = |row: &Vec<String>, column: usize| row.get(column).map(|cell| printable(cell).into_owned());
    let mut lines = vec![String::new(); rows.len()];
    for column in 0..columns {
        let cells: Vec<String> = rows.iter().map(|row| cell(row, column).unwrap_or_default()).collect();
        let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or_default();
        let is_number = |cell: &String| cell.starts_with(|first: char| first.is_ascii_digit());
        let right = cells.len() > 1 && cells.iter().skip(1).all(is_number);
        for (line, cell) in lines.iter_mut().zip(cells) {
            let gap = if column == 0 { "" } else { "  " };
            // Writing to a string does not fail.
            let _ = if right { write!(line, "{gap}{cell:>width$}") } else { write!(line, "{gap}{cell:<width$}") };
        }
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        assert_eq!(printable("a\u{1b}[2Jb\r\n\u{9b}\u{202e}"), "a\\u{1b}[2Jb\\r\\n\\u{9b}\\u{202e}");
        assert_eq!(printable_lines("a\n\tb\u{7}"), "a\n\tb\\u{7}");
        assert_eq!(printable("a\u{61c}b\u{2028}c\u{2029}"), "a\\u{61c}b\\u{2028}c\\u{2029}");
        assert_eq!(printable_lines("a\u{2028}b"), "a\\u{2028}b");
        assert!(matches!(printable("Zürich 東京"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_table_aligns_its_columns() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(table(&[row(["name", "count"]), row(["demo", "7"])]), "name  count\ndemo      7\n");
    }
}
