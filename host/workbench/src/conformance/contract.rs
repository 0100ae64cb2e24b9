//! The contract's own rules: what can be told of a component without running it. That it is of the right world and
//! contract, imports what is offered and has a valid manifest was checked when it was read; here that is written down,
//! and its size is judged.

use damper_plugins::component_file::{ComponentFile, HOST_CONTRACT};

use super::report::Check;
use super::verdict::is_called_secret;
use crate::report::Problem;

/// The size above which a Rust component is worth a look, in bytes.
const LARGE_RUST_BYTES: u64 = 250_000;

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
    let bytes = file.bytes.len() as u64;
    let language = file.stamp.as_ref().map(|stamp| stamp.language.as_str());
    let size = Check::rule("size", format!("{bytes} bytes"));
    let size = if bytes > rules.max_bytes {
        size.with_failure(vec![Problem::new(format!("it has {bytes} bytes, more than {}", rules.max_bytes))])
    } else if language == Some("rust") && bytes > LARGE_RUST_BYTES {
        size.with_warning(format!(
            "a Rust component should have at most {LARGE_RUST_BYTES} bytes: look at its dependencies"
        ))
    } else {
        size
    };
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
        size,
    ]
}
