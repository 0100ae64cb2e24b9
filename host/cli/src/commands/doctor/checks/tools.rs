//! Checks of the build tools: Rust for all providers, and the tools of the other languages.

use damper_toolchain::{LEAST_NODE, LEAST_PYTHON, RustToolchain};

use super::super::Check;
use super::super::machine::Machine;

/// The SDK's Cargo.toml has the same (a test holds them together).
pub(super) const LEAST_RUST: (u32, u32) = (1, 95);
const LEAST_NPM: (u32, u32) = (10, 0);
const GET_RUST: &str = "install Rust from https://rustup.rs, or `rustup update`";
const GET_NODE: &str = "only for --lang js: install Node.js from https://nodejs.org";
const GET_PYTHON: &str = "only for --lang python: install Python from https://www.python.org";
const TARGET: &str = "wasm32-wasip2";

pub(super) fn all(machine: &Machine) -> Vec<Check> {
    let mut checks = vec![check_tool("cargo", machine.cargo.as_deref()), check_tool("rustc", machine.rustc.as_deref())];
    checks.extend(toolchain(&machine.toolchain));
    checks.push(optional("node", machine.node.as_deref(), LEAST_NODE, GET_NODE));
    checks.push(optional("npm", machine.npm.as_deref(), LEAST_NPM, GET_NODE));
    checks.push(python(machine));
    checks
}

fn check_tool(name: &'static str, said: Option<&str>) -> Check {
    match judge(name, said, LEAST_RUST) {
        Ok(found) => Check::ok(name, found),
        Err(found) => Check::problem(name, found, GET_RUST),
    }
}

fn optional(name: &'static str, said: Option<&str>, least: (u32, u32), mend: &str) -> Check {
    match judge(name, said, least) {
        Ok(found) => Check::ok(name, found),
        Err(found) => Check::warning(name, found, mend),
    }
}

fn python(machine: &Machine) -> Check {
    let check = optional("python3", machine.python.as_deref(), LEAST_PYTHON, GET_PYTHON);
    if check.mend.is_none() && !machine.has_venv {
        let mend = "only for --lang python: install its module venv (Debian: apt install python3-venv)";
        return Check::warning("python3", format!("{}, without venv", check.found), mend);
    }
    check
}

/// A program's version, or the problem with it.
fn judge(program: &str, said: Option<&str>, least: (u32, u32)) -> Result<String, String> {
    let Some(said) = said else { return Err(format!("no {program} on the path")) };
    let (major, minor) = least;
    match version(said) {
        Some(found) if found >= least => Ok(said.to_owned()),
        Some(_) => Err(format!("{said}; {major}.{minor} or newer is needed")),
        None => Err(format!("{said:?}, which is not a version; {major}.{minor} or newer is needed")),
    }
}

/// Major and minor of what `--version` says: `cargo 1.95.0 (...)`, `v20.1.2`, `Python 3.11.7`, `10.9.0`.
fn version(said: &str) -> Option<(u32, u32)> {
    said.split_whitespace().find_map(|word| {
        let mut parts = word.trim_start_matches('v').split(['.', '-', '+']);
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    })
}

fn toolchain(toolchain: &RustToolchain) -> Vec<Check> {
    const LINKER: &str = "linker";
    let later = |how: &str| format!("not there yet; the first `damper build` {how}");
    let check = match toolchain {
        RustToolchain::Ready { is_cached, rustc, has_tests, has_linker } => {
            let whose = if *is_cached { "Damper's own" } else { "installed" };
            let found = format!("{whose}: {}", rustc.display());
            let target = if *has_tests {
                Check::ok(TARGET, found)
            } else {
                let mend =
                    "only `damper test --wasm` needs Rust's library for tests: `rustup target add wasm32-wasip2`";
                Check::warning(TARGET, format!("{found}, without the library for tests"), mend)
            };
            let linker = if *has_linker {
                Check::ok(LINKER, "wasm-component-ld and rust-lld")
            } else {
                let mend = "install Rust from https://rustup.rs, which brings them; or `cargo install \
                    wasm-component-ld` and your system's lld";
                Check::problem(LINKER, "this rustc does not find wasm-component-ld or lld", mend)
            };
            return vec![target, linker];
        }
        RustToolchain::Rustup => Check::warning(
            TARGET,
            later("adds it with rustup"),
            format!("no action is needed; to install it now: `rustup target add {TARGET}`"),
        ),
        RustToolchain::Debian => {
            let how = "makes it from Debian's packages (about three minutes, 2 GB)";
            Check::warning(TARGET, later(how), "no action is needed; with rustup it takes seconds")
        }
        RustToolchain::Nothing => {
            Check::problem(TARGET, "no rustc has it, and neither rustup nor apt-get is here to install it", GET_RUST)
        }
        RustToolchain::Unknown(problem) => {
            Check::problem(TARGET, format!("the search for it failed: {problem}"), "put `sh` on the path")
        }
    };
    vec![check]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_programs_tell_them() {
        for (said, version) in [
            ("cargo 1.95.0 (f2d3ce0bd 2026-03-21)", Some((1, 95))),
            ("rustc 1.96.0-nightly (abc 2026-04-14)", Some((1, 96))),
            ("v20.20.2", Some((20, 20))),
            ("Python 3.11.7", Some((3, 11))),
            ("11.19.1", Some((11, 19))),
            ("command not found", None),
            ("", None),
        ] {
            assert_eq!(super::version(said), version, "{said}");
        }
    }

    #[test]
    fn the_least_rust_is_the_sdk_s() {
        let manifest: toml::Table =
            toml::from_str(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/Cargo.toml"))).unwrap();
        let said = manifest["package"]["rust-version"].as_str().unwrap();
        assert_eq!(version(said), Some(LEAST_RUST));
    }
}
