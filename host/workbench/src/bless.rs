//! Blessing: the actual record becomes the expected one. Only its body is written, in the place that the case has for
//! it: in its `body_file`, or in the case as `body` or `json`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use damper_core::record::Fetched;
use toml_edit::{DocumentMut, Item, Value, value};

use crate::case::{BodyPlace, Case, Expect, files};
use crate::compare::is_same;

/// A body that cannot be blessed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlessError {
    /// A file cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The case, or its body's file, is a link, or lies behind one.
    #[error("cannot write {}: it is a symbolic link, or its path contains one", .path.display())]
    Link {
        /// The file.
        path: PathBuf,
    },
    /// The body has no form in the case.
    #[error("the received body is not {form}, the form of the body in the case: use a `body_file` instead")]
    NoForm {
        /// The form of the body in the case.
        form: &'static str,
    },
    /// The case cannot be edited.
    #[error("the case cannot be edited: {0}")]
    Uneditable(String),
}

/// Writes the record's body into the case. Returns the file that was written, or none if nothing had changed.
///
/// # Errors
/// If it cannot be written, or the case's format cannot express it.
pub fn bless(case: &Case, came: &Fetched) -> Result<Option<PathBuf>, BlessError> {
    let Expect::Record(expected) = &case.last.expect else { return Ok(None) };
    let Some(body) = &expected.body else { return Ok(None) };
    if body.bytes.as_ref().is_some_and(|bytes| is_same(bytes, &came.body)) {
        return Ok(None);
    }
    let (path, bytes) = match &body.place {
        BodyPlace::File(path) => (path.clone(), came.body.to_vec()),
        place => (case.path.clone(), edit_case(case, place, &came.body)?.into_bytes()),
    };
    check_place(case, &path)?;
    files::write(&path, &bytes).map_err(|source| BlessError::Unwritable { path: path.clone(), source })?;
    Ok(Some(path))
}

/// Refuses to write through a link, also one that was made since the case was read.
fn check_place(case: &Case, path: &Path) -> Result<(), BlessError> {
    let folder = case.path.parent().unwrap_or(Path::new("."));
    let below = path.strip_prefix(folder).ok().and_then(Path::to_str);
    match below.map(|named| files::resolve_path(folder, named)) {
        Some(Ok(_)) => Ok(()),
        _ => Err(BlessError::Link { path: path.to_path_buf() }),
    }
}

/// The case's text with another body; its comments and its order stay.
fn edit_case(case: &Case, place: &BodyPlace, body: &[u8]) -> Result<String, BlessError> {
    let text =
        fs::read_to_string(&case.path).map_err(|source| BlessError::Unwritable { path: case.path.clone(), source })?;
    let mut document: DocumentMut = text.parse().map_err(|error| BlessError::Uneditable(format!("{error}")))?;
    let (key, new) = if *place == BodyPlace::Json {
        ("json", json(body).ok_or(BlessError::NoForm { form: "JSON that TOML can write" })?)
    } else {
        ("body", value(std::str::from_utf8(body).map_err(|_| BlessError::NoForm { form: "text" })?))
    };
    let last = match case.before.len() {
        0 => document.get_mut("expect"),
        index => document.get_mut("call").and_then(|calls| calls.get_mut(index)?.get_mut("expect")),
    };
    let record = last.and_then(|expect| expect.get_mut("record"));
    let record = record.and_then(Item::as_table_like_mut);
    let record = record.ok_or_else(|| BlessError::Uneditable("it has no [expect.record]".to_owned()))?;
    // Written as a table of its own, it stays a table; its parts are not merged.
    record.insert(key, new);
    Ok(document.to_string())
}

fn json(body: &[u8]) -> Option<Item> {
    let json: serde_json::Value = serde_json::from_slice(body).ok()?;
    let mut value = toml_value(&json)?;
    value.decor_mut().set_prefix(" ");
    Some(Item::Value(value))
}

/// JSON as TOML; none if TOML cannot express it: null, or a number beyond its range.
fn toml_value(json: &serde_json::Value) -> Option<Value> {
    use serde_json::Value as Json;
    Some(match json {
        Json::Null => return None,
        Json::Bool(is) => (*is).into(),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(part)) if number.is_f64() => part.into(),
            _ => return None,
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(values) => Value::Array(values.iter().map(toml_value).collect::<Option<_>>()?),
        Json::Object(entries) => {
            let mut table = toml_edit::InlineTable::new();
            for (key, entry) in entries {
                table.insert(key, toml_value(entry)?);
            }
            Value::InlineTable(table)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn bless_text(expected: &str, body: &str) -> Result<Option<String>, BlessError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        let text = format!("# why\n[request]\nid = \"1\"\n\n[expect.record] # here\n{expected}\n");
        fs::write(&path, &text).unwrap();
        let case = Case::read(&path).unwrap();
        let body = bytes::Bytes::copy_from_slice(body.as_bytes());
        let came = Fetched { content_type: "application/json".to_owned(), body, attributes: Vec::new() };
        let written = bless(&case, &came)?;
        if let Some(file) = written.as_deref().filter(|file| *file != Path::new(&path)) {
            return Ok(Some(fs::read_to_string(file).unwrap()));
        }
        let again = Case::read(&path).unwrap();
        assert!(bless(&again, &came).unwrap().is_none(), "what was blessed is what is expected");
        Ok(written.map(|path| fs::read_to_string(path).unwrap()))
    }

    #[test]
    fn what_came_is_written_where_the_case_has_its_body() {
        let text = bless_text("json = { a = 1 }", r#"{"b": [1, 2.5, "x"]}"#).unwrap().unwrap();
        assert!(text.contains("json = { b = [1, 2.5, \"x\"] }"), "{text}");
        assert!(text.starts_with("# why\n") && text.contains("[expect.record] # here"), "{text}");
        let text = bless_text("body = \"x\"", "y\"z").unwrap().unwrap();
        assert!(text.contains(r#"body = 'y"z'"#) || text.contains(r#"body = "y\"z""#), "{text}");
        assert_eq!(bless_text("body_file = \"new.json\"", "{}").unwrap().unwrap(), "{}");
    }

    #[test]
    fn what_is_as_expected_or_not_looked_at_is_left_alone() {
        assert!(bless_text("json = { a = 1 }", r#"{ "a" : 1 }"#).unwrap().is_none());
        assert!(bless_text("content_type = \"x\"", "y").unwrap().is_none());
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let place = tempfile::tempdir().unwrap();
        let (folder, kept) = (place.path().join("cases"), place.path().join("kept"));
        fs::create_dir(&folder).unwrap();
        let text = |body| format!("[request]\nid = \"1\"\n[expect.record]\n{body}\n");
        let body = bytes::Bytes::from_static(b"came");
        let came = Fetched { content_type: "text/plain".to_owned(), body, attributes: Vec::new() };
        // The file is replaced by a link after the case was read.
        let path = folder.join("a.toml");
        fs::write(&path, text("body_file = \"new.txt\"")).unwrap();
        let case = Case::read(&path).unwrap();
        symlink(&kept, folder.join("new.txt")).unwrap();
        assert!(matches!(bless(&case, &came), Err(BlessError::Link { .. })));
        // The case itself is one.
        fs::write(&kept, text("body = \"x\"")).unwrap();
        fs::remove_file(&path).unwrap();
        symlink(&kept, &path).unwrap();
        assert!(matches!(bless(&Case::read(&path).unwrap(), &came), Err(BlessError::Link { .. })));
        assert_eq!(fs::read_to_string(&kept).unwrap(), text("body = \"x\""));
        assert!(Case::read_folder(&folder).unwrap_err()[0].to_string().contains("symbolic link"));
    }

    #[test]
    fn what_toml_cannot_write_is_told() {
        let error = bless_text("json = { a = 1 }", r#"{"a": null}"#).unwrap_err();
        assert!(error.to_string().contains("body_file"), "{error}");
    }
}
