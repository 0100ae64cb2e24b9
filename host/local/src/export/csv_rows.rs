//! Records as rows of CSV.

use std::borrow::Cow;
use std::io::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

const HEADER: [&str; 11] = [
    "provider",
    "id",
    "day",
    "fetched_at",
    "attempt",
    "component",
    "content_type",
    "params",
    "attributes",
    "encoding",
    "body",
];

/// A line of the sink, as far as CSV shows it.
#[derive(Deserialize)]
struct Record<'a> {
    provider: String,
    id: String,
    day: String,
    fetched_at: String,
    attempt: u32,
    component: String,
    content_type: String,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    attributes: Option<&'a RawValue>,
    encoding: Option<String>,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// Writes rows after a header.
pub(super) struct CsvRows<'a> {
    writer: csv::Writer<&'a mut (dyn Write + Send)>,
}

impl<'a> CsvRows<'a> {
    pub(super) fn new(writer: &'a mut (dyn Write + Send)) -> Result<Self, std::io::Error> {
        let mut writer = csv::Writer::from_writer(writer);
        writer.write_record(HEADER).map_err(to_io_error)?;
        Ok(Self { writer })
    }

    /// The outer result says whether the line is a record, the inner one whether it was written.
    pub(super) fn write(&mut self, line: &[u8]) -> Result<Result<(), std::io::Error>, String> {
        let record: Record<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let body = text_or_json(record.body)?;
        let attempt = record.attempt.to_string();
        let cells = [
            record.provider.as_str(),
            &record.id,
            &record.day,
            &record.fetched_at,
            &attempt,
            &record.component,
            &record.content_type,
            record.params.map_or("", RawValue::get),
            record.attributes.map_or("", RawValue::get),
            record.encoding.as_deref().unwrap_or_default(),
            &body,
        ];
        Ok(self.writer.write_record(cells.map(|cell| escape_formula(cell).into_owned())).map_err(to_io_error))
    }

    pub(super) fn flush(&mut self) -> Result<(), std::io::Error> {
        self.writer.flush()
    }
}

/// The writer's own error, so that its kind shows: a reader that is gone is no fault of the export.
fn to_io_error(error: csv::Error) -> std::io::Error {
    let message = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        _ => std::io::Error::other(message),
    }
}

/// A JSON string's text; any other value as it is spelled.
fn text_or_json(value: &RawValue) -> Result<Cow<'_, str>, String> {
    if value.get().starts_with('"') {
        return serde_json::from_str(value.get()).map(Cow::Owned).map_err(|error| error.to_string());
    }
    Ok(Cow::Borrowed(value.get()))
}

/// The cell as no spreadsheet runs it.
fn escape_formula(cell: &str) -> Cow<'_, str> {
    let suspicious = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if suspicious && cell.parse::<f64>().is_err() { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}
