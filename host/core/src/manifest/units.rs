//! Durations and sizes as manifests and settings write them: `"30s"`, `"64MiB"`.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Visitor};

const HOW_DURATION: &str = "write it as \"30s\"; units are ms, s, m, h and d";
const HOW_BYTES: &str = "write it as \"64MiB\" or in bytes; units are B, KiB, MiB, GiB, KB, MB and GB";

/// Reads a duration: a whole number and one unit of `ms`, `s`, `m`, `h`, `d`, with nothing between, as in `"30s"`.
///
/// # Errors
/// If the text is no such duration or is too long for a `Duration`; the message says how to write it.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let error = || UnitError(HOW_DURATION);
    let (number, unit) = split(text).ok_or_else(error)?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(error()),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(error)
}

/// Reads a size in bytes: a whole number, and at most one unit of `B`, `KiB`, `MiB`, `GiB` (powers of 1024), `KB`, `MB`, `GB`
/// (powers of 1000), with nothing between, as in `"64MiB"`.
///
/// # Errors
/// If the text is no such size or is 2^64 bytes or more; the message says how to write it.
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    let error = || UnitError(HOW_BYTES);
    let (number, unit) = split(text).ok_or_else(error)?;
    let unit_bytes: u64 = match unit {
        "" | "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(error()),
    };
    number.checked_mul(unit_bytes).ok_or_else(error)
}

/// A text that is no duration or no size; the message says how to write one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(&'static str);

/// A number of decimal digits and what follows it.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit))
}

/// A duration in the fewest words that [`parse_duration`] reads back, for messages.
pub(super) fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let fits = units.iter().find(|(_, unit_ms)| ms > 0 && ms.is_multiple_of(*unit_ms));
    fits.map_or_else(|| format!("{ms}ms"), |(unit, unit_ms)| format!("{}{unit}", ms / unit_ms))
}

/// A size in the fewest words that [`parse_bytes`] reads back, for messages.
pub(super) fn show_bytes(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let fits = units.iter().find(|(_, unit_bytes)| bytes > 0 && bytes.is_multiple_of(*unit_bytes));
    fits.map_or_else(|| bytes.to_string(), |(unit, unit_bytes)| format!("{}{unit}", bytes / unit_bytes))
}

/// A TOML value of one word: text, a number or a boolean, kept as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    /// Whether it stood in quotes.
    pub(super) quoted: bool,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.quoted { write!(f, "{:?}", self.text) } else { f.write_str(&self.text) }
    }
}

impl<'de> serde::Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordVisitor)
    }
}

struct WordVisitor;

impl WordVisitor {
    fn bare(text: impl ToString) -> Word {
        Word { text: text.to_string(), quoted: false }
    }
}

impl Visitor<'_> for WordVisitor {
    type Value = Word;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number or a boolean")
    }

    fn visit_str<E>(self, text: &str) -> Result<Word, E> {
        Ok(Word { text: text.to_owned(), quoted: true })
    }

    fn visit_bool<E>(self, value: bool) -> Result<Word, E> {
        Ok(Self::bare(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Word, E> {
        Ok(Self::bare(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Word, E> {
        Ok(Self::bare(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Word, E> {
        Ok(Self::bare(format!("{value:?}").to_ascii_lowercase()))
    }
}

/// Reads an optional duration for an operator's settings.
pub(super) fn deserialize_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let word: Word = serde::Deserialize::deserialize(deserializer)?;
    parse_duration(&word.text)
        .map(Some)
        .map_err(|how| serde::de::Error::custom(format!("{word} is not a duration: {how}")))
}

/// Reads an optional size for an operator's settings.
pub(super) fn deserialize_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let word: Word = serde::Deserialize::deserialize(deserializer)?;
    parse_bytes(&word.text).map(Some).map_err(|how| serde::de::Error::custom(format!("{word} is not a size: {how}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_in_every_unit() {
        for (text, ms) in
            [("0s", 0), ("500ms", 500), ("30s", 30_000), ("2m", 120_000), ("1h", 3_600_000), ("7d", 604_800_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_in_every_unit() {
        for (text, bytes) in [
            ("17", 17),
            ("17B", 17),
            ("512KiB", 524_288),
            ("64MiB", 67_108_864),
            ("1GiB", 1_073_741_824),
            ("4MB", 4_000_000),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_has_no_unit_or_does_not_fit_is_refused() {
        for text in [
            "",
            "s",
            "30",
            "30 s",
            " 30s",
            "-1s",
            "+1s",
            "1.5s",
            "30S",
            "30sec",
            "٣s",
            "18446744073709551616ms",
            "18446744073709551615d",
        ] {
            assert_eq!(parse_duration(text).unwrap_err().to_string(), HOW_DURATION, "{text}");
        }
        for text in ["", "MiB", "-1", "1.5MiB", "64 MiB", "64mib", "64M", "99999999999GiB"] {
            assert_eq!(parse_bytes(text).unwrap_err().to_string(), HOW_BYTES, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(ms in 0u64..=10_000_000_000, bytes: u64) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
            prop_assert_eq!(parse_bytes(&show_bytes(bytes)), Ok(bytes));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9]{0,24}[a-zA-Z]{0,4}|\\PC*") {
            let _ = (parse_duration(&text), parse_bytes(&text));
        }
    }
}
