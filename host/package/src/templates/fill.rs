//! Filling the places of a template, and the indentation of its parts.

/// The template with its places filled; a place for lines that gets none goes.
pub(super) fn fill(template: &str, inline: &[(&str, String)], blocks: &[(&str, String)]) -> String {
    let mut filled = String::with_capacity(template.len().saturating_mul(2));
    for line in template.lines() {
        let content = line.trim_start();
        let indentation = line.len().saturating_sub(content.len());
        let place = content.strip_prefix("# {{").and_then(|rest| rest.strip_suffix("}}"));
        if let Some(name) = place {
            let block = blocks.iter().find(|(known, _)| *known == name);
            filled.push_str(&block.map(|(_, lines)| indent(lines, indentation)).unwrap_or_default());
            continue;
        }
        let mut line = line.to_owned();
        for (name, value) in inline {
            line = line.replace(&format!("{{{{{name}}}}}"), value);
        }
        filled.push_str(&line);
        filled.push('\n');
    }
    filled
}

pub(super) fn indent(lines: &str, spaces: usize) -> String {
    let indent = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("{:spaces$}{line}\n", "") };
    lines.lines().map(indent).collect()
}

/// The lines of a part of `Parameters` or `Resources`, without the two spaces that they have in their file.
pub(super) fn dedent(lines: &str) -> String {
    lines.lines().map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect()
}
