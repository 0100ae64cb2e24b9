//! The meaning of a function's answer for its batch. Pure.
//!
//! With `ReportBatchItemFailures`, as recorded against AWS (see `tests/it/recorded.rs`). Without it every answer is a
//! success; only an error is not.

use serde_json::Value;

use crate::record::{Record, SequenceNumber};

/// The result of a batch that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// All of it is done.
    Success,
    /// Done up to this record, which is delivered again together with everything behind it.
    From(SequenceNumber),
    /// All of it failed; why, for people.
    Whole(String),
}

/// Reads the body of a function's answer.
#[must_use]
pub fn read_reply(body: &[u8], reports_items: bool, batch: &[Record]) -> Reply {
    if !reports_items || body.trim_ascii().is_empty() {
        return Reply::Success;
    }
    let failures = match serde_json::from_slice::<Value>(body) {
        Err(error) => return Reply::Whole(format!("the answer is no JSON: {error}")),
        Ok(Value::Null) => return Reply::Success,
        Ok(Value::String(text)) if text.is_empty() => return Reply::Success,
        Ok(Value::Array(items)) if items.is_empty() => return Reply::Success,
        Ok(Value::Object(mut answer)) => answer.remove("batchItemFailures"),
        Ok(other) => return Reply::Whole(format!("the answer is no object: {other}")),
    };
    match failures {
        None | Some(Value::Null) => Reply::Success,
        Some(Value::Array(items)) => lowest(&items, batch),
        Some(other) => Reply::Whole(format!("batchItemFailures is no list: {other}")),
    }
}

/// The lowest of the reported sequence numbers; one bad identifier fails the batch whole.
fn lowest(items: &[Value], batch: &[Record]) -> Reply {
    let mut lowest: Option<&Record> = None;
    for item in items {
        let identifier = item.get("itemIdentifier").and_then(Value::as_str).unwrap_or_default();
        let Some(record) = batch.iter().find(|record| record.sequence.as_str() == identifier) else {
            return Reply::Whole(format!("no record of the batch has the reported identifier: {item}"));
        };
        if lowest.is_none_or(|lowest| record.sequence < lowest.sequence) {
            lowest = Some(record);
        }
    }
    lowest.map_or(Reply::Success, |record| Reply::From(record.sequence.clone()))
}
