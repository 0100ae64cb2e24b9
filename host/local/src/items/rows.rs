//! Items out of a file, one after another, each with its line. No line is ever whole in memory beyond
//! [`MAX_ROW_BYTES`].

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use bytes::Bytes;
use csv::{ByteRecord, ErrorKind, ReaderBuilder, Terminator};
use damper_core::item::{Item, Params};

use super::format::ItemFormat;

/// The longest line, or row of CSV, in bytes.
const MAX_ROW_BYTES: usize = 1024 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a file of items cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// It cannot be read on.
    #[error("the rest of the items cannot be read: {0}")]
    Unreadable(io::Error),
    /// The header of CSV has no column of ids, or several.
    #[error("the header needs one column `id`; it has: {0}")]
    NoId(String),
    /// The header of CSV has a column twice.
    #[error("the header has the column {0:?} twice")]
    RepeatedColumn(String),
}

impl RowsError {
    /// The hint that goes with the error.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "the items before are enqueued; correct the file and feed the rest",
            Self::NoId(_) | Self::RepeatedColumn(_) => "write a header such as `id,lang`, or name another --format",
        }
    }
}

/// One entry of the file.
#[derive(Debug)]
pub struct ItemRow {
    /// Its line, counted from 1; of a row of several lines, the first.
    pub line: u64,
    /// The item, or why it is none.
    pub item: Result<Item, Problem>,
}

/// Why a row is no item.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// The problem.
    pub why: String,
    /// The bytes to keep, if they are wanted; none where the row is too long.
    pub raw: Option<Bytes>,
}

impl Problem {
    fn new(why: impl ToString, raw: &[u8]) -> Self {
        Self { why: why.to_string(), raw: Some(Bytes::copy_from_slice(raw)) }
    }
}

/// The rows of a file.
pub struct ItemRows<R: BufRead>(Kind<R>);

/// Rows by the format of their file.
enum Kind<R: BufRead> {
    Lines { lines: TextLines<R>, parse: fn(&[u8]) -> Result<Item, Problem> },
    Csv(Box<CsvTable<R>>),
}

impl<R: BufRead> ItemRows<R> {
    /// Begin to read.
    ///
    /// # Errors
    /// If it cannot be read, or CSV has no header with a column `id`.
    pub fn new(mut input: R, format: ItemFormat) -> Result<Self, RowsError> {
        if input.fill_buf().map_err(RowsError::Unreadable)?.starts_with(BYTE_ORDER_MARK) {
            input.consume(BYTE_ORDER_MARK.len());
        }
        Ok(Self(match format {
            ItemFormat::Ids => Kind::Lines { lines: TextLines { input, number: 0 }, parse: parse_id },
            ItemFormat::Ndjson => Kind::Lines { lines: TextLines { input, number: 0 }, parse: parse_json },
            ItemFormat::Csv => Kind::Csv(Box::new(CsvTable::new(input)?)),
        }))
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// If the file cannot be read on.
    pub fn next_row(&mut self) -> Result<Option<ItemRow>, RowsError> {
        match &mut self.0 {
            Kind::Csv(table) => table.next(),
            Kind::Lines { lines, parse } => loop {
                let Some(line) = lines.next().map_err(RowsError::Unreadable)? else { return Ok(None) };
                let item = match line {
                    Ok(line) if line.trim_ascii().is_empty() => continue,
                    Ok(line) => parse(&line),
                    Err(length) => Err(too_long(length)),
                };
                return Ok(Some(ItemRow { line: lines.number, item }));
            },
        }
    }
}

fn too_long(length: u64) -> Problem {
    Problem { why: format!("it has {length} bytes, more than {MAX_ROW_BYTES}"), raw: None }
}

fn parse_id(line: &[u8]) -> Result<Item, Problem> {
    let id = text(line, line)?;
    Item::new(id.trim().to_owned(), Params::new()).map_err(|error| Problem::new(error, line))
}

fn parse_json(line: &[u8]) -> Result<Item, Problem> {
    text(line, line)?;
    Item::parse(line).map_err(|error| Problem::new(error, line))
}

fn text<'a>(bytes: &'a [u8], row: &[u8]) -> Result<&'a str, Problem> {
    std::str::from_utf8(bytes)
        .map_err(|error| Problem::new(format!("it is not UTF-8 (byte {})", error.valid_up_to().saturating_add(1)), row))
}

/// Lines without their ends.
struct TextLines<R> {
    input: R,
    number: u64,
}

impl<R: BufRead> TextLines<R> {
    /// The next line, or the length of one that is too long.
    fn next(&mut self) -> io::Result<Option<Result<Vec<u8>, u64>>> {
        let mut line = Vec::new();
        let limit = MAX_ROW_BYTES.saturating_add(2) as u64;
        let read = (&mut self.input).take(limit).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        self.number = self.number.saturating_add(1);
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if read as u64 == limit {
            return self.skip_rest(read as u64).map(|length| Some(Err(length)));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let length = line.len();
        Ok(Some(if length > MAX_ROW_BYTES { Err(length as u64) } else { Ok(line) }))
    }

    /// Pass over the rest of a line; answers the whole line's length.
    fn skip_rest(&mut self, mut length: u64) -> io::Result<u64> {
        loop {
            let buffer = self.input.fill_buf()?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let (skipped, is_over) = (end.unwrap_or(buffer.len()), end.is_some() || buffer.is_empty());
            length = length.saturating_add(skipped as u64);
            self.input.consume(skipped.saturating_add(usize::from(end.is_some())));
            if is_over {
                return Ok(length);
            }
        }
    }
}

/// Rows of CSV under a header.
struct CsvTable<R: Read> {
    reader: csv::Reader<Budgeted<R>>,
    /// The columns: `None` for the id, else the parameter's name.
    columns: Vec<Option<String>>,
    left: Rc<Cell<usize>>,
}

/// Lets so many bytes pass: a quote that is never closed would otherwise make one row of the whole file.
struct Budgeted<R> {
    input: R,
    left: Rc<Cell<usize>>,
}

impl<R: Read> Read for Budgeted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        let left = self.left.get().checked_sub(read);
        let left = left.ok_or_else(|| {
            io::Error::other(format!("a row has more than {MAX_ROW_BYTES} bytes: is a quote not closed?"))
        })?;
        self.left.set(left);
        Ok(read)
    }
}

impl<R: Read> CsvTable<R> {
    fn new(input: R) -> Result<Self, RowsError> {
        let left = Rc::new(Cell::new(MAX_ROW_BYTES));
        let input = Budgeted { input, left: Rc::clone(&left) };
        // Carriage returns are taken off by hand: the reader would lose count of the lines.
        let mut reader = ReaderBuilder::new().flexible(true).terminator(Terminator::Any(b'\n')).from_reader(input);
        let header = reader.headers().map_err(|error| csv_error(&error))?;
        let names: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
        if names.iter().filter(|name| *name == "id").count() != 1 {
            return Err(RowsError::NoId(names.join(", ")));
        }
        if let Some(twice) =
            names.iter().enumerate().find(|(index, name)| names.iter().take(*index).any(|it| it == *name))
        {
            return Err(RowsError::RepeatedColumn(twice.1.clone()));
        }
        let columns = names.into_iter().map(|name| (name != "id").then_some(name)).collect();
        Ok(Self { reader, columns, left })
    }

    fn next(&mut self) -> Result<Option<ItemRow>, RowsError> {
        loop {
            self.left.set(MAX_ROW_BYTES);
            let before = self.reader.position().line();
            let mut record = ByteRecord::new();
            if !self.reader.read_byte_record(&mut record).map_err(|error| csv_error(&error))? {
                return Ok(None);
            }
            let mut cells: Vec<&[u8]> = record.iter().collect();
            if let Some(last) = cells.last_mut() {
                *last = last.strip_suffix(b"\r").unwrap_or(last);
            }
            if cells.iter().all(|cell| cell.is_empty()) {
                continue;
            }
            // The reader passes over empty lines before a row; those within it are its own.
            let passed = self.reader.position().line().saturating_sub(before);
            let within = cells.iter().flat_map(|cell| cell.iter()).filter(|byte| **byte == b'\n').count() as u64;
            let line = before.saturating_add(passed.saturating_sub(within).saturating_sub(1));
            return Ok(Some(ItemRow { line, item: self.item(&cells) }));
        }
    }

    fn item(&self, cells: &[&[u8]]) -> Result<Item, Problem> {
        let raw = cells.join(&b","[..]);
        if cells.len() != self.columns.len() {
            let why = format!("it has {} cells, and the header has {}", cells.len(), self.columns.len());
            return Err(Problem::new(why, &raw));
        }
        let (mut id, mut params) = (String::new(), Params::new());
        for (column, cell) in self.columns.iter().zip(cells) {
            let cell = text(cell, &raw)?;
            match column {
                None => id = cell.to_owned(),
                Some(name) if !cell.is_empty() => {
                    params.insert(name.clone(), cell.to_owned());
                }
                Some(_) => {}
            }
        }
        Item::new(id, params).map_err(|error| Problem::new(error, &raw))
    }
}

fn csv_error(error: &csv::Error) -> RowsError {
    match error.kind() {
        ErrorKind::Io(error) => RowsError::Unreadable(io::Error::new(error.kind(), error.to_string())),
        _ => RowsError::Unreadable(io::Error::other(error.to_string())),
    }
}

#[cfg(test)]
mod tests;
