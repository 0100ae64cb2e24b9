//! A row of the ledger as an item of the table.

use std::str::FromStr;

use damper_core::day::Day;
use damper_core::item::SequenceNumber;
use damper_core::ledger::{ClaimRow, ClaimState, LedgerError, Owner};
use damper_core::resume::ResumeState;
use jiff::Timestamp;

use super::schema::{Attributes, DEAD, DONE, IN_FLIGHT, RETRY, read_number, read_text, unreadable};

const WHAT: &str = "ledger row";

/// One row, as far as a claim looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LedgerRow {
    pub(super) claim: ClaimRow,
    /// Raised by every write.
    pub(super) version: i64,
}

impl LedgerRow {
    pub(super) fn read(item: &Attributes) -> Result<Self, LedgerError> {
        let want = |name: &'static str| read_text(item, name).ok_or_else(|| unreadable(WHAT, format!("no {name:?}")));
        let time = |name: &'static str| -> Result<Timestamp, LedgerError> {
            let micros = read_number(item, name).ok_or_else(|| unreadable(WHAT, format!("no {name:?}")))?;
            Timestamp::from_microsecond(micros).map_err(|error| unreadable(WHAT, error))
        };
        let state = match want("st")? {
            IN_FLIGHT => ClaimState::InFlight { owner: Owner::from(want("owner")?), lease: time("lease")? },
            RETRY => ClaimState::Retry { due: time("due")? },
            DONE => ClaimState::Done,
            DEAD => ClaimState::Dead,
            other => return Err(unreadable(WHAT, format!("the state {other:?}"))),
        };
        let abandoned = match read_text(item, "ab") {
            Some(json) => serde_json::from_str(json).map_err(|error| unreadable(WHAT, error))?,
            None => Vec::new(),
        };
        let claim = ClaimRow {
            day: Day::from_str(want("sk")?).map_err(|error| unreadable(WHAT, error))?,
            state,
            attempts: read_number(item, "n").and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
            sequence: SequenceNumber::from(want("by")?),
            abandoned,
            resume: read_resume(item),
        };
        Ok(Self { claim, version: read_number(item, "v").unwrap_or_default() })
    }
}

/// The resume state, if the row holds one.
pub(super) fn read_resume(item: &Attributes) -> Option<ResumeState> {
    let bytes = item.get("rs")?.as_b().ok()?.as_ref().to_vec().into();
    let polls = read_number(item, "np").and_then(|count| u32::try_from(count).ok()).unwrap_or_default();
    Some(ResumeState { polls, bytes })
}

#[cfg(test)]
mod tests {
    use super::super::schema::{number, text};
    use super::*;

    #[test]
    fn what_cannot_be_read_says_what_is_missing() {
        let row = |pairs: &[(&str, &str)]| {
            let mut item: Attributes = pairs.iter().map(|(name, value)| ((*name).to_owned(), text(*value))).collect();
            item.insert("lease".to_owned(), number(5));
            LedgerRow::read(&item).map_err(|error| error.to_string())
        };
        let whole = [("sk", "2026-11-22"), ("st", "INFLIGHT"), ("owner", "a"), ("by", "1")];
        assert!(row(&whole).is_ok());
        for missing in 0..whole.len() {
            let rest: Vec<_> =
                whole.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, pair)| *pair).collect();
            assert!(row(&rest).unwrap_err().contains(whole[missing].0));
        }
        assert!(row(&[("sk", "x"), ("st", "DONE"), ("by", "1")]).unwrap_err().contains("not a day"));
        assert!(row(&[("sk", "2026-11-22"), ("st", "GONE"), ("by", "1")]).unwrap_err().contains("GONE"));
    }
}
