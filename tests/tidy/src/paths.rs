//! The functions that an item passes, which docs/ARCHITECTURE.md lists: they exist under these names.
//!
//! A list is a table between `<!-- path: NAME -->` and `<!-- end -->`, with columns for the number, the file and the
//! function, the last two between backticks.

use std::collections::BTreeMap;

use crate::Finding;
use crate::items::Items;
use crate::tree::Source;

/// How many functions each list has.
const FUNCTIONS: usize = 10;

/// The lists of a page that name functions or files which are not there.
#[must_use]
pub fn missing_functions(page: &Source, files: &BTreeMap<&str, &Items>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut list: Option<(String, usize)> = None;
    let mut lists = 0;
    for (index, line) in page.text.lines().enumerate() {
        let mut report = |message: String| findings.push(Finding::new(&page.path, index + 1, message));
        if let Some(name) = line.strip_prefix("<!-- path: ") {
            list = Some((name.trim_end_matches(" -->").to_owned(), 0));
            lists += 1;
        } else if line == "<!-- end -->" {
            match list.take() {
                Some((name, functions)) if functions != FUNCTIONS => {
                    report(format!("{name}: {functions} functions, not {FUNCTIONS}"));
                }
                _ => {}
            }
        } else if let Some((_, functions)) = &mut list
            && let [file, function, ..] = split_quoted(line).as_slice()
        {
            *functions += 1;
            match files.get(file) {
                None => report(format!("{file} is not there")),
                Some(items) if !items.has_function(function.rsplit("::").next().unwrap_or_default()) => {
                    report(format!("{file} has no function {function}"));
                }
                Some(_) => {}
            }
        }
    }
    if lists == 0 {
        findings.push(Finding::new(&page.path, 1, "no list of functions: <!-- path: NAME -->"));
    }
    findings
}

/// The texts between backticks.
fn split_quoted(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_is_not_there_is_found() {
        let file = Source { path: "a.rs".to_owned(), text: "fn there() {}".to_owned() };
        let items = Items::of(&file).unwrap();
        let files = BTreeMap::from([("a.rs", &items)]);
        let page = |rows: &str| Source {
            path: "A.md".to_owned(),
            text: format!("<!-- path: x -->\n| | file | function |\n{rows}<!-- end -->\n"),
        };
        let right = "| 1 | `a.rs` | `A::there` | does it |\n".repeat(10);
        assert!(missing_functions(&page(&right), &files).is_empty());
        let wrong = format!("{right}| 2 | `a.rs` | `gone` | |\n| 3 | `b.rs` | `there` | |\n");
        let found: Vec<String> = missing_functions(&page(&wrong), &files).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            ["A.md:13: a.rs has no function gone", "A.md:14: b.rs is not there", "A.md:15: x: 12 functions, not 10"]
        );
    }
}
