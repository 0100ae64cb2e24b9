//! Links in Markdown files that lead to files of the tree.

use std::path::Path;

use pulldown_cmark::{Event, Options, Parser, Tag};

use crate::Finding;
use crate::tree::Source;

/// Relative links whose file is not there. Anchors are checked by `make book`.
#[must_use]
pub fn broken_links(root: &Path, source: &Source) -> Vec<Finding> {
    let folder = root.join(&source.path);
    let folder = folder.parent().unwrap_or(root);
    let mut findings = Vec::new();
    for (event, range) in Parser::new_ext(&source.text, Options::ENABLE_TABLES).into_offset_iter() {
        let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = event else { continue };
        let file = dest_url.split('#').next().unwrap_or_default();
        if file.is_empty() || file.contains("://") || file.starts_with("mailto:") || folder.join(file).exists() {
            continue;
        }
        let line = source.text.get(..range.start).unwrap_or_default().matches('\n').count() + 1;
        findings.push(Finding::new(&source.path, line, format!("the link to {file} leads nowhere")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::root;

    #[test]
    fn a_link_to_a_file_that_is_not_there_is_found() {
        let text = "[a](README.md#x) [b](https://example.org/x) [c](#y)\n\n[d](docs/missing.md)\n`[e](no/link.md)`\n";
        let source = Source { path: "x.md".to_owned(), text: text.to_owned() };
        let found: Vec<String> = broken_links(&root(), &source).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["x.md:3: the link to docs/missing.md leads nowhere"]);
    }
}
