//! Looks for a way to a rustc for wasm32-wasip2, without installing anything.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::sdk::toolchain_script;

/// The way to a rustc for wasm32-wasip2, as `toolchain.sh --look` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RustToolchain {
    /// There is one.
    Ready {
        /// Whether it is Damper's own, in the cache, and not the machine's.
        is_cached: bool,
        /// Its path.
        rustc: PathBuf,
        /// Whether it has the library for tests.
        has_tests: bool,
        /// Whether it finds a linker for components.
        has_linker: bool,
    },
    /// The first build adds it with rustup.
    Rustup,
    /// The first build makes it from Debian's packages.
    Debian,
    /// There is no way.
    Nothing,
    /// The script could not be run.
    Unknown(String),
}

impl RustToolchain {
    /// Asks the script that a build asks, which then makes nothing. `cache`: the folder for a toolchain of Damper's
    /// own.
    #[must_use]
    pub fn look(cache: Option<&Path>) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", toolchain_script(), "toolchain.sh", "--look"]).stdin(Stdio::null());
        if let Some(cache) = cache {
            command.env("DAMPER_CACHE", cache);
        }
        match command.output() {
            Ok(output) if output.status.success() => read_toolchain(&String::from_utf8_lossy(&output.stdout)),
            Ok(output) => Self::Unknown(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Self::Unknown(error.to_string()),
        }
    }
}

fn read_toolchain(said: &str) -> RustToolchain {
    let value = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    match value("way") {
        Some(way @ ("installed" | "cached")) => RustToolchain::Ready {
            is_cached: way == "cached",
            rustc: value("rustc").unwrap_or_default().into(),
            has_tests: value("tests") == Some("yes"),
            has_linker: value("linker") == Some("yes"),
        },
        Some("rustup") => RustToolchain::Rustup,
        Some("debian") => RustToolchain::Debian,
        Some("none") => RustToolchain::Nothing,
        _ => RustToolchain::Unknown(format!("its output was {said:?}")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_toolchain_is_read_as_the_script_tells_it() {
        let ready = "way=cached\nrustc=/c/bin/rustc\ntests=no\nlinker=yes\n";
        let expected =
            RustToolchain::Ready { is_cached: true, rustc: "/c/bin/rustc".into(), has_tests: false, has_linker: true };
        assert_eq!(read_toolchain(ready), expected);
        assert_eq!(read_toolchain("way=rustup\n"), RustToolchain::Rustup);
        assert!(matches!(read_toolchain("odd"), RustToolchain::Unknown(_)));
    }

    #[test]
    fn the_script_tells_a_way_and_makes_nothing() {
        let cache = tempfile::tempdir().unwrap();
        let found = RustToolchain::look(Some(cache.path()));
        assert!(!matches!(found, RustToolchain::Unknown(_)), "{found:?}");
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
    }
}
