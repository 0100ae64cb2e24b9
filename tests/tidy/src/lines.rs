//! Rules about lines of text.

use crate::Finding;
use crate::tree::Source;

/// The longest file, in lines.
const MAX_LINES: usize = 500;
/// The longest line, in columns.
const MAX_COLUMNS: usize = 120;
/// Words that a newcomer does not understand, or that make a program a person, each with what to write. They are looked
/// for in comments.
const UNUSED_WORDS: [(&str, &str); 4] = [
    ("whoever ", "name the reader, the caller or the process"),
    ("utilize", "use"),
    ("leverage", "use"),
    ("stray", "name the thing: a batch that arrives late, a file that is left over"),
];

/// Files that are too long.
#[must_use]
pub fn long_files(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    if lines <= MAX_LINES {
        return Vec::new();
    }
    let message = format!("{lines} lines, at most {MAX_LINES}: divide it by what its parts do");
    vec![Finding::new(&source.path, lines, message)]
}

/// Lines that are too long. Nobody can break an address, a text that is compared, or a row of a table.
#[must_use]
pub fn long_lines(source: &Source) -> Vec<Finding> {
    let is_row = |line: &str| line.trim_start().trim_start_matches(['/', '!']).trim_start().starts_with('|');
    let cannot_break = |line: &str| line.contains("://") || line.contains('"') || is_row(line);
    let is_long = |line: &str| line.chars().count() > MAX_COLUMNS && !cannot_break(line);
    let lines = source.text.lines().enumerate().filter(|(_, line)| is_long(line));
    lines
        .map(|(index, line)| {
            let message = format!("{} columns, at most {MAX_COLUMNS}: wrap it", line.chars().count());
            Finding::new(&source.path, index + 1, message)
        })
        .collect()
}

/// `TODO` that names no issue: nobody will find it.
#[must_use]
pub fn forgotten_tasks(source: &Source) -> Vec<Finding> {
    let mark = concat!("TO", "DO");
    let is_lone = |line: &str| line.contains(mark) && !line.contains(&format!("{mark}(#"));
    let lines = source.text.lines().enumerate().filter(|(_, line)| is_lone(line));
    lines
        .map(|(index, _)| Finding::new(&source.path, index + 1, format!("{mark} without an issue: {mark}(#12)")))
        .collect()
}

/// Words that are not used in comments.
#[must_use]
pub fn unused_words(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let Some((_, comment)) = line.split_once("//") else { continue };
        let comment = comment.to_lowercase();
        for (word, instead) in UNUSED_WORDS {
            if comment.contains(word) {
                findings.push(Finding::new(&source.path, index + 1, format!("{:?}: {instead}", word.trim())));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { path: "a.rs".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_file_of_more_than_500_lines_is_found() {
        assert!(long_files(&source(&"x\n".repeat(500))).is_empty());
        assert_eq!(long_files(&source(&"x\n".repeat(501))).len(), 1);
    }

    #[test]
    fn a_line_of_more_than_120_columns_is_found_but_for_addresses_texts_and_rows() {
        let line = "é".repeat(120);
        assert!(long_lines(&source(&line)).is_empty());
        let found = long_lines(&source(&format!("short\n{line}x")));
        assert_eq!(found[0].to_string(), "a.rs:2: 121 columns, at most 120: wrap it");
        assert!(long_lines(&source(&format!("// https://{line}"))).is_empty());
        assert!(long_lines(&source(&format!("    //! | {line} |"))).is_empty());
    }

    #[test]
    fn a_task_without_an_issue_is_found() {
        let mark = concat!("TO", "DO");
        assert_eq!(forgotten_tasks(&source(&format!("// {mark}: later\n// {mark}(#7): later"))).len(), 1);
    }

    #[test]
    fn a_word_that_is_not_used_is_found_in_comments_alone() {
        assert_eq!(unused_words(&source("// Whoever calls\nlet whoever = 1;")).len(), 1);
    }
}
