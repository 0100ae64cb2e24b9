//! The contract's own rules: what can be told of a component without running it. That it is of the right world and
//! contract, imports what is offered and has a valid manifest was checked when it was read; here that is written down,
//! and its size is judged.

use damper_plugins::component_file::{ComponentFile, HOST_CONTRACT};

use super::report::Check;
use super::verdict::is_called_secret;
use crate::report::Problem;

/// The size above which a Rust component is worth a look, in bytes.
const LARGE_RUST_BYTES: u64 = 250_000;

/// What usually makes a Rust component large, with the bytes that each added to a small one (docs/BENCHMARKS.md,
/// "Building").
const USUAL_CAUSES: &str = "the crates regex (900,000 bytes) and chrono (65,000); `parse_at` or a derived \
    `Deserialize` (30,000 for the first; `str_at`, `u64_at` and `array_at` cost next to nothing); `format!` or `parse` \
    of a float (25,000; of text and whole numbers next to nothing)";

/// The settings of the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The largest component, in bytes.
    pub max_bytes: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self { max_bytes: 32 << 20 }
    }
}

pub(super) fn checks(file: &ComponentFile, rules: &Rules) -> Vec<Check> {
    let language = file.stamp.as_ref().map(|stamp| stamp.language.as_str());
    let stamp = Check::rule("SDK", language.unwrap_or("none").to_owned());
    let stamp = if language.is_none() { stamp.with_warning("it does not name its SDK".to_owned()) } else { stamp };
    let manifest = Check::rule("manifest", format!("{} {}", file.manifest.name, file.manifest.version));
    let secret = file.manifest.config.keys().find(|key| is_called_secret(key) && !key.starts_with("use_"));
    let manifest = match secret {
        Some(key) => {
            manifest.with_warning(format!("the name of the setting {key:?} suggests a secret: make it a credential"))
        }
        None if file.manifest.description.is_empty() => manifest.with_warning("it has no description".to_owned()),
        None => manifest,
    };
    vec![
        Check::rule("contract", format!("damper:provider {} on a host of {HOST_CONTRACT}", file.contract)),
        Check::rule("imports", format!("{} interfaces, all of them offered", file.imports.len())),
        manifest,
        stamp,
        judge_size(file.bytes.len() as u64, language, rules),
    ]
}

/// Whether a component of a language is too large, or so large that its author should look into it.
fn judge_size(bytes: u64, language: Option<&str>, rules: &Rules) -> Check {
    let size = Check::rule("size", format!("{bytes} bytes"));
    if bytes > rules.max_bytes {
        return size.with_failure(vec![Problem::new(format!("it has {bytes} bytes, more than {}", rules.max_bytes))]);
    }
    if language == Some("rust") && bytes > LARGE_RUST_BYTES {
        return size.with_warning(format!(
            "a Rust component should have at most {LARGE_RUST_BYTES} bytes. What usually costs size: {USUAL_CAUSES}"
        ));
    }
    size
}

#[cfg(test)]
mod tests {
    use super::super::report::Status;
    use super::*;

    #[test]
    fn a_large_rust_component_gets_a_note_that_names_the_usual_causes() {
        let rules = Rules::default();
        let judged = |bytes, language| judge_size(bytes, language, &rules);
        let note = judged(LARGE_RUST_BYTES + 1, Some("rust"));
        assert_eq!(note.status, Status::Warned);
        let text = note.problems.iter().map(|problem| problem.what.as_str()).collect::<String>();
        for cause in ["250000 bytes", "regex", "chrono", "`parse_at`", "`Deserialize`", "`u64_at`", "`format!`"] {
            assert!(text.contains(cause), "{text}");
        }
        assert_eq!(judged(LARGE_RUST_BYTES, Some("rust")).status, Status::Passed);
        assert_eq!(judged(LARGE_RUST_BYTES + 1, Some("javascript")).status, Status::Passed);
        assert_eq!(judged(rules.max_bytes + 1, Some("rust")).status, Status::Failed);
    }
}
