//! The guide's code blocks. A block of TOML or Rust has a comment above it that says what it is.

/// One code block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// The line of its fence, from 1.
    pub(super) line: usize,
    pub(super) language: String,
    /// `file: src/lib.rs`, from the comment on the line above.
    pub(super) label: Option<String>,
    pub(super) text: String,
}

impl Block {
    /// The value of its label, after this word.
    pub(super) fn label_value(&self, word: &str) -> Option<&str> {
        self.label.as_deref()?.strip_prefix(word)?.strip_prefix(':').map(str::trim)
    }
}

/// The code blocks of a document, in order.
pub(super) fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    let mut before = "";
    for (index, line) in document.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                let label = before.strip_prefix("<!--").and_then(|rest| rest.strip_suffix("-->"));
                open = Some(Block {
                    line: index + 1,
                    language: language.to_owned(),
                    label: label.map(|label| label.trim().to_owned()),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
        before = line;
    }
    assert!(open.is_none(), "a code block is not closed: {open:?}");
    blocks
}

/// The document with other text in the blocks of these labels.
pub(super) fn replace_blocks(document: &str, text_of: impl Fn(&Block) -> Option<String>) -> String {
    let mut lines: Vec<String> = document.lines().map(str::to_owned).collect();
    for block in blocks(document).into_iter().rev() {
        if let Some(text) = text_of(&block) {
            let inside = block.line..block.line + block.text.lines().count();
            lines.splice(inside, text.lines().map(str::to_owned));
        }
    }
    lines.join("\n") + "\n"
}

/// The document with other text between two comments: `<!-- begin: NAME -->` and `<!-- end: NAME -->`.
pub(super) fn with_section(document: &str, name: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- begin: {name} -->\n"), format!("<!-- end: {name} -->"));
    let (head, rest) = document.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
    let (_, tail) = rest.split_once(&end).unwrap_or_else(|| panic!("no {end}"));
    format!("{head}{begin}{text}{end}{tail}")
}

#[test]
fn blocks_are_found_with_their_labels() {
    let document = "# A\n\n<!-- file: a.toml -->\n```toml\nx = 1\n```\n```sh\nls\nls -l\n```\n";
    let found = blocks(document);
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].line, found[0].label_value("file"), found[0].text.as_str()), (4, Some("a.toml"), "x = 1\n"));
    assert_eq!((found[1].language.as_str(), &found[1].label, found[1].text.as_str()), ("sh", &None, "ls\nls -l\n"));
    let other = replace_blocks(document, |block| block.label_value("file").map(|_| "y = 2\nz = 3\n".to_owned()));
    assert_eq!(other, document.replace("x = 1\n", "y = 2\nz = 3\n"));
    assert_eq!(replace_blocks(document, |_| None), document);
}

#[test]
fn a_section_is_replaced_between_its_marks() {
    let document = "a\n<!-- begin: t -->\nold\n<!-- end: t -->\nb\n";
    assert_eq!(with_section(document, "t", "new\n"), document.replace("old", "new"));
}
