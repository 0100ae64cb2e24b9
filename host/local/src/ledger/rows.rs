//! How values are written in columns, and read back.

use std::str::FromStr;

use damper_core::day::Day;
use damper_core::dead_letter::Reason;
use damper_core::ledger::Abandoned;
use jiff::Timestamp;

use crate::database::SqlError;

/// A time as whole microseconds since 1970.
pub(crate) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// A time read back.
pub(crate) fn timestamp(micros: i64, what: &'static str) -> Result<Timestamp, SqlError> {
    Timestamp::from_microsecond(micros).map_err(|error| SqlError::unreadable(what, error))
}

/// A day read back.
pub(crate) fn day(text: &str, what: &'static str) -> Result<Day, SqlError> {
    Day::from_str(text).map_err(|error| SqlError::unreadable(what, error))
}

/// A reason as it is spelled in JSON too, for example `not-found`.
pub(crate) fn reason_text(reason: Reason) -> Result<String, SqlError> {
    match serde_json::to_value(reason) {
        Ok(serde_json::Value::String(text)) => Ok(text),
        other => Err(SqlError::unreadable("reason", format!("{other:?}"))),
    }
}

/// Abandoned claims as JSON, `None` if there are none.
pub(crate) fn abandoned_text(abandoned: &[Abandoned]) -> Result<Option<String>, SqlError> {
    if abandoned.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(abandoned).map(Some).map_err(|error| SqlError::unreadable("ledger row", error))
}

/// Abandoned claims read back.
pub(crate) fn parse_abandoned(text: Option<&str>) -> Result<Vec<Abandoned>, SqlError> {
    let Some(text) = text else { return Ok(Vec::new()) };
    serde_json::from_str(text).map_err(|error| SqlError::unreadable("ledger row", error))
}
