//! Which format a file of items has.

use std::path::Path;

/// How items are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemFormat {
    /// One id a line.
    Ids,
    /// A header with a column `id`, then one row per item.
    Csv,
    /// One JSON object per line.
    Ndjson,
}

impl ItemFormat {
    /// The format that a file's name tells, if it does.
    #[must_use]
    pub fn of_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            _ => None,
        }
    }

    /// The format that the first line looks like, from the first bytes of a file.
    #[must_use]
    pub fn guess(beginning: &[u8]) -> Self {
        let text = String::from_utf8_lossy(beginning);
        let text = text.trim_start_matches('\u{feff}');
        let Some(line) = text.lines().map(str::trim).find(|line| !line.is_empty()) else { return Self::Ids };
        let is_header = |line: &str| line.split(',').any(|cell| cell.trim().trim_matches('"') == "id");
        match line {
            line if line.starts_with('{') => Self::Ndjson,
            line if is_header(line) => Self::Csv,
            _ => Self::Ids,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_tells_the_format() {
        let cases: [(&[u8], ItemFormat); 8] = [
            (b"", ItemFormat::Ids),
            (b"549300\n549301\n", ItemFormat::Ids),
            (b"a,b\nc,d\n", ItemFormat::Ids),
            (b"\xef\xbb\xbf\r\n{\"id\":\"1\"}\n", ItemFormat::Ndjson),
            (b"id\n1\n", ItemFormat::Csv),
            (b"\xef\xbb\xbfid,lang\r\n", ItemFormat::Csv),
            (b"lang, \"id\"\n", ItemFormat::Csv),
            (b"\xff\xfe", ItemFormat::Ids),
        ];
        for (beginning, expected) in cases {
            assert_eq!(ItemFormat::guess(beginning), expected, "{beginning:?}");
        }
    }

    #[test]
    fn a_name_may_tell_the_format() {
        let of = |name: &str| ItemFormat::of_name(Path::new(name));
        assert_eq!(of("a.CSV"), Some(ItemFormat::Csv));
        assert_eq!(of("a.jsonl"), Some(ItemFormat::Ndjson));
        assert_eq!(of("a.txt"), None);
        assert_eq!(of("csv"), None);
    }
}
