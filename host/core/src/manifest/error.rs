//! Errors of a manifest, with their position.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::tables::MAX_MANIFEST_BYTES;
use super::units::Word;
use crate::escape::escape_text;

/// A manifest, or an operator's tightening of one, that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The text is longer than [`MAX_MANIFEST_BYTES`].
    #[error("the manifest has {bytes} bytes, more than {MAX_MANIFEST_BYTES}: remove everything that is not a setting")]
    TooLong {
        /// The text's length.
        bytes: usize,
    },
    /// The text is no TOML, or its keys or their types are not those of a manifest.
    #[error("{}{problem}{}", Prefix(field), Suffix(position))]
    Unreadable {
        /// The field's path if it is known, for instance `limits.max_concurency`.
        field: Option<String>,
        /// The error, with the known keys if one is unknown.
        problem: String,
        /// Its position.
        position: Option<Position>,
    },
    /// A field has a value that is not allowed.
    #[error("{field} is {value}: {allowed}{}", Suffix(position))]
    NotAllowed {
        /// The field's path, for instance `egress.hosts[1]`.
        field: String,
        /// The value as TOML writes it, in quotes where it is text.
        value: String,
        /// The allowed values, and how to write them.
        allowed: String,
        /// Its position; `None` if it comes from an operator's settings.
        position: Option<Position>,
    },
    /// A field is needed and not there.
    #[error("{field} is missing: {needed}{}", Suffix(position))]
    Missing {
        /// The field's path, for instance `credentials.key.header`.
        field: String,
        /// The text to write.
        needed: String,
        /// The position of the table that lacks it.
        position: Option<Position>,
    },
}

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl Position {
    /// Line and column of a byte's offset in a text.
    #[must_use]
    pub fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).map_or(0, |line| line.chars().count()) + 1;
        Self { line: before.matches('\n').count() + 1, column }
    }
}

struct Prefix<'a>(&'a Option<String>);
struct Suffix<'a>(&'a Option<Position>);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |field| write!(f, "{field}: "))
    }
}

impl fmt::Display for Suffix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |Position { line, column }| write!(f, " (line {line}, column {column})"))
    }
}

impl ManifestError {
    /// The path of the field at fault, such as `egress.hosts[1]`, if it is known.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::TooLong { .. } => None,
            Self::Unreadable { field, .. } => field.as_deref(),
            Self::NotAllowed { field, .. } | Self::Missing { field, .. } => Some(field),
        }
    }

    /// A text's value is not allowed.
    pub(super) fn text(field: impl Into<String>, value: &str, allowed: impl Into<String>) -> Self {
        Self::value(field, format!("{value:?}"), allowed)
    }

    /// A value, shown as it is, is not allowed.
    pub(super) fn value(field: impl Into<String>, value: impl fmt::Display, allowed: impl Into<String>) -> Self {
        let (field, value) = (escape_text(&field.into()), escape_text(&value.to_string()));
        Self::NotAllowed { field, value, allowed: allowed.into(), position: None }
    }

    pub(super) fn missing(field: impl Into<String>, needed: impl Into<String>) -> Self {
        Self::Missing { field: field.into(), needed: needed.into(), position: None }
    }

    pub(super) fn unreadable(text: &str, error: &toml::de::Error) -> Self {
        let span = error.span();
        let document = DeTable::parse(text).ok();
        let field = match (&span, &document) {
            (Some(span), Some(document)) => path_of(document.get_ref(), span),
            _ => None,
        };
        let position = span.map(|span| Position::of(text, span.start));
        // The names of Rust's types mean nothing to an author.
        let problem = escape_text(&error.message().replace('\n', ", "));
        let problem =
            problem.replace("expected i64", "expected a whole number").replace("expected f64", "expected a number");
        Self::Unreadable { field: field.map(|field| escape_text(&field)), problem, position }
    }

    /// The same error with the value as its author wrote it.
    pub(super) fn with_written_value(mut self, written: &Word) -> Self {
        if let Self::NotAllowed { value, .. } = &mut self {
            *value = escape_text(&written.to_string());
        }
        self
    }

    /// The same error with the position of its field, or of the table around it.
    pub(super) fn located_in(mut self, text: &str) -> Self {
        if let Self::NotAllowed { field, position, .. } | Self::Missing { field, position, .. } = &mut self
            && let Ok(document) = DeTable::parse(text)
        {
            *position = span_of(document.get_ref(), field).map(|span| Position::of(text, span.start));
        }
        self
    }
}

/// The path of the key or value that takes up a range of the text.
fn path_of(table: &DeTable<'_>, span: &Range<usize>) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let name = key.get_ref();
        if key.span() == *span {
            return Some(name.to_string());
        }
        path_in(value, span).map(|rest| format!("{name}{rest}"))
    })
}

fn path_in(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> Option<String> {
    if value.span() == *span {
        return Some(String::new());
    }
    match value.get_ref() {
        DeValue::Table(inner) => path_of(inner, span).map(|rest| format!(".{rest}")),
        DeValue::Array(values) => {
            let mut values = values.iter().enumerate();
            values.find_map(|(index, value)| path_in(value, span).map(|rest| format!("[{index}]{rest}")))
        }
        _ => None,
    }
}

/// The position of a path like `egress.hosts[1]`, as far as it exists.
fn span_of(document: &DeTable<'_>, path: &str) -> Option<Range<usize>> {
    let mut table = document;
    let mut found = None;
    for step in path.split('.') {
        let (name, index) = step.split_once('[').unwrap_or((step, ""));
        let Some(value) = table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value) else { break };
        found = Some(value.span());
        let inner = index.trim_end_matches(']').parse().ok().and_then(|index| element(value, index));
        if let Some(inner) = inner {
            found = Some(inner.span());
        }
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    found
}

fn element<'a, 'i>(value: &'a Spanned<DeValue<'i>>, index: usize) -> Option<&'a Spanned<DeValue<'i>>> {
    match value.get_ref() {
        DeValue::Array(values) => values.get(index),
        _ => None,
    }
}
