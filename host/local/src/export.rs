//! Exports the sink as one stream: a day of a provider, or all its days in order.
//!
//! NDJSON is the lines as they were stored, byte for byte. CSV is for spreadsheets: objects and JSON bodies are compact
//! JSON in one cell, and a cell of text that a spreadsheet would run as a formula (it begins with `=`, `+`, `-`, `@`, a
//! tab or a carriage return, and is no number) gets an apostrophe before it. Use NDJSON for verbatim text.
//!
//! Objects are read in chunks. At most one line of at most [`MAX_LINE_BYTES`] is in memory and, of a compressed object,
//! one decompressed chunk.

mod csv_rows;

use std::io::Write;
use std::str::FromStr;

use bytes::{Bytes, BytesMut};
use damper_core::day::Day;
use damper_core::sink::{Compression, Unpacker};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::de::IgnoredAny;

use csv_rows::CsvRows;

/// The longest line that is read, in bytes.
pub const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, as it was stored.
    Ndjson,
    /// A header and one row a record.
    Csv,
}

/// The policy for lines that are no records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokenLines {
    /// End with an error that names object and line.
    Fail,
    /// Leave it out and count it.
    Skip,
}

/// The counts of an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExportSummary {
    /// Objects read, empty ones included.
    pub objects: u64,
    /// Records written.
    pub records: u64,
    /// Lines that were no record and were left out.
    pub skipped: u64,
}

/// Why an export ended early. Output written until then remains.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A line is no record.
    #[error("line {line} of {object} is broken: {message}; export again with --skip-broken, or repair the object")]
    BrokenLine {
        /// The object.
        object: Path,
        /// The line, counted from 1.
        line: u64,
        /// The problem.
        message: String,
    },
    /// An object cannot be decompressed.
    #[error("{object} is damaged: {message}; move it away and export again, or repair it")]
    Damaged {
        /// The object.
        object: Path,
        /// The problem.
        message: String,
    },
    /// The sink cannot be read.
    #[error("the sink cannot be read: {0}")]
    Store(#[from] object_store::Error),
    /// The output cannot be written.
    #[error("the export cannot be written: {0}")]
    Write(#[from] std::io::Error),
}

/// Write all records of `provider`, of one day or of all days in order, to `writer`, which is flushed at the end.
/// Objects are read in the order of their names: by day, then by owner, then by chunk.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use damper_core::sink::create;
/// # use damper_local::export::{BrokenLines, Format, export};
/// # let sink = object_store::memory::InMemory::new();
/// # let chunk = "demo/2026-11-22/worker-1/000000.ndjson".into();
/// let line = concat!(
///     r#"{"provider":"demo","id":"42","day":"2026-11-22","fetched_at":"2026-11-22T10:00:01Z","attempt":1,"#,
///     r#""component":"sha256:00","content_type":"text/plain","body":"=1+1"}"#, "\n",
/// );
/// create(&sink, &chunk, line.into()).await?;
///
/// let mut csv = Vec::new();
/// let summary = export(&sink, "demo", None, Format::Csv, BrokenLines::Fail, &mut csv).await?;
/// assert_eq!((summary.objects, summary.records, summary.skipped), (1, 1, 0));
/// assert_eq!(
///     String::from_utf8(csv)?,
///     "provider,id,day,fetched_at,attempt,component,content_type,params,attributes,encoding,body\n\
///      demo,42,2026-11-22,2026-11-22T10:00:01Z,1,sha256:00,text/plain,,,,'=1+1\n",
///     "a text that a spreadsheet would run as a formula gets an apostrophe"
/// );
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If the sink cannot be read, the writer fails, or a line is broken and `broken` says so.
pub async fn export(
    store: &dyn ObjectStore,
    provider: &str,
    day: Option<Day>,
    format: Format,
    broken: BrokenLines,
    writer: &mut (dyn Write + Send),
) -> Result<ExportSummary, ExportError> {
    let mut rows = match format {
        Format::Ndjson => Rows::Ndjson(writer),
        Format::Csv => Rows::Csv(Box::new(CsvRows::new(writer)?)),
    };
    let mut exported = ExportSummary::default();
    for object in list_objects(store, provider, day).await? {
        copy_object(store, &object, broken, &mut rows, &mut exported).await?;
        exported.objects = exported.objects.saturating_add(1);
    }
    rows.flush()?;
    Ok(exported)
}

/// The provider's objects by name.
async fn list_objects(
    store: &dyn ObjectStore,
    provider: &str,
    day: Option<Day>,
) -> Result<Vec<Path>, object_store::Error> {
    let folder = Path::from(provider);
    let folder = day.map_or(folder.clone(), |day| folder.join(day.to_string()));
    let mut found: Vec<Path> = store
        .list(Some(&folder))
        .map_ok(|object| object.location)
        .try_filter(|path| std::future::ready(is_chunk(path)))
        .try_collect()
        .await?;
    found.sort();
    Ok(found)
}

/// Whether the name is `PROVIDER/DAY/OWNER/CHUNK.ndjson` or `CHUNK.ndjson.zst`; anything else in the folder is somebody
/// else's.
fn is_chunk(path: &Path) -> bool {
    let parts: Vec<_> = path.parts().collect();
    matches!(&parts[..], [_, day, _, _] if Day::from_str(day.as_ref()).is_ok()) && Compression::of(path).is_some()
}

async fn copy_object(
    store: &dyn ObjectStore,
    object: &Path,
    broken: BrokenLines,
    rows: &mut Rows<'_>,
    exported: &mut ExportSummary,
) -> Result<(), ExportError> {
    let damaged = |error: std::io::Error| ExportError::Damaged { object: object.clone(), message: error.to_string() };
    let mut pieces = store.get(object).await?.into_stream();
    let mut unpacker = Unpacker::new(Compression::of(object).unwrap_or_default()).map_err(damaged)?;
    let mut lines = Lines::default();
    let mut number = 0_u64;
    loop {
        let line = match lines.next() {
            Some(line) => line,
            None if lines.rest.len() > MAX_LINE_BYTES => Err(format!("it is longer than {MAX_LINE_BYTES} bytes")),
            None => match pieces.next().await {
                Some(piece) => {
                    unpacker.unpack(&piece?, |bytes| lines.rest.extend_from_slice(bytes)).map_err(damaged)?;
                    continue;
                }
                None if lines.rest.is_empty() => return unpacker.end().map_err(damaged),
                // Written whole or not at all, a line ends in a line break.
                None => Ok(lines.rest.split().freeze()),
            },
        };
        number = number.saturating_add(1);
        let too_long = line.is_err();
        match line.and_then(|line| rows.write(&line)) {
            Ok(written) => {
                written?;
                exported.records = exported.records.saturating_add(1);
            }
            Err(_) if broken == BrokenLines::Skip => exported.skipped = exported.skipped.saturating_add(1),
            Err(message) => return Err(ExportError::BrokenLine { object: object.clone(), line: number, message }),
        }
        if too_long {
            // The end of such a line is not known, so the rest of the object is skipped with it.
            return Ok(());
        }
    }
}

/// Splits what was read into lines.
#[derive(Default)]
struct Lines {
    rest: BytesMut,
    /// How much of `rest` is known to hold no line break.
    searched: usize,
}

impl Lines {
    fn next(&mut self) -> Option<Result<Bytes, String>> {
        let unseen = self.rest.get(self.searched..).unwrap_or_default();
        let Some(position) = unseen.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.rest.len();
            return None;
        };
        let end = self.searched.saturating_add(position);
        self.searched = 0;
        let mut line = self.rest.split_to(end.saturating_add(1));
        line.truncate(end);
        Some(Ok(line.freeze()))
    }
}

enum Rows<'a> {
    Ndjson(&'a mut (dyn Write + Send)),
    Csv(Box<CsvRows<'a>>),
}

impl Rows<'_> {
    /// The outer result says whether the line is a record, the inner one whether it was written.
    fn write(&mut self, line: &[u8]) -> Result<Result<(), std::io::Error>, String> {
        if !line.trim_ascii_start().starts_with(b"{") {
            return Err("it is not a JSON object".to_owned());
        }
        match self {
            Self::Ndjson(writer) => {
                serde_json::from_slice::<Object>(line).map_err(|error| error.to_string())?;
                Ok(writer.write_all(line).and_then(|()| writer.write_all(b"\n")))
            }
            Self::Csv(rows) => rows.write(line),
        }
    }

    fn flush(&mut self) -> Result<(), std::io::Error> {
        match self {
            Self::Ndjson(writer) => writer.flush(),
            Self::Csv(rows) => rows.flush(),
        }
    }
}

/// A JSON object with an id, whatever else it holds.
#[derive(serde::Deserialize)]
struct Object {
    #[serde(rename = "id")]
    _id: IgnoredAny,
}
