//! Settings from the environment. No other module of this crate reads it.
#![allow(clippy::disallowed_methods, reason = "the one module of this crate that reads the environment")]

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Command;

/// The program's environment, read once at its start.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// `DAMPER_LOG`: what is logged, in the syntax of `RUST_LOG`; none: warnings and errors.
    pub(crate) log: Option<String>,
    /// The cache folder of compiled components, the SDK and toolchains: `DAMPER_CACHE`, else `damper` in `XDG_CACHE_HOME`,
    /// else in `~/.cache`. None where there is no home either.
    pub(crate) cache: Option<PathBuf>,
    /// The folder of private files of this user, such as the key of the cache: `damper` in `XDG_CONFIG_HOME`, else in
    /// `~/.config`. None where there is no home either.
    pub(crate) own_config: Option<PathBuf>,
    /// `DAMPER_HARDENING`: which layers of hardening are left out; empty: none.
    pub(crate) hardening: String,
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR`: where the certificates of authorities are, if not where the system has them.
    pub(crate) certificates: Vec<PathBuf>,
    /// Whether a terminal may be coloured: `NO_COLOR` is not set, or empty (<https://no-color.org>).
    pub(crate) colour: bool,
    /// `CARGO_TARGET_DIR`: where cargo builds, if not in a crate's own workspace.
    pub(crate) target: Option<PathBuf>,
    /// `CARGO`: the cargo that runs us, if one does; else the one on the path.
    pub(crate) cargo: OsString,
}

impl Settings {
    /// Reads the environment.
    pub(crate) fn from_environment() -> Self {
        Self {
            log: env::var("DAMPER_LOG").ok().filter(|text| !text.trim().is_empty()),
            cache: cache(),
            own_config: below_home("XDG_CONFIG_HOME", ".config"),
            hardening: env::var_os("DAMPER_HARDENING").unwrap_or_default().to_string_lossy().into_owned(),
            certificates: ["SSL_CERT_FILE", "SSL_CERT_DIR"]
                .into_iter()
                .filter_map(non_empty)
                .map(PathBuf::from)
                .collect(),
            colour: env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            target: non_empty("CARGO_TARGET_DIR").map(PathBuf::from),
            cargo: non_empty("CARGO").unwrap_or_else(|| "cargo".into()),
        }
    }
}

/// The search path of programs (`PATH`), to be extended for child processes.
#[cfg(feature = "package")]
pub(crate) fn search_path() -> Option<OsString> {
    env::var_os("PATH")
}

/// A program that builds something, with that part of the environment which such programs need. Secrets that are kept in the
/// environment for providers are withheld: what is compiled runs code of its own, as build scripts and macros.
pub(crate) fn build_tool(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_for_builds)));
    command
}

/// Variables that programs which build need, in capitals.
const BUILD_VARIABLES: [&str; 43] = [
    "AR",
    "ALL_PROXY",
    "CARGO",
    "CC",
    "CFLAGS",
    "CI",
    "COLORTERM",
    "CPATH",
    "CURL_CA_BUNDLE",
    "CXX",
    "CXXFLAGS",
    "DAMPER_CACHE",
    "DAMPER_DEBIAN_MIRROR",
    "DAMPER_DEBIAN_SECURITY_MIRROR",
    "DAMPER_LOG",
    "DEVELOPER_DIR",
    "FORCE_COLOR",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "LANGUAGE",
    "LDFLAGS",
    "LD_LIBRARY_PATH",
    "LIBRARY_PATH",
    "LOGNAME",
    "MACOSX_DEPLOYMENT_TARGET",
    "MAKEFLAGS",
    "NODE_EXTRA_CA_CERTS",
    "NO_COLOR",
    "NO_PROXY",
    "PATH",
    "PROTOC",
    "REQUESTS_CA_BUNDLE",
    "SDKROOT",
    "SHELL",
    "SOURCE_DATE_EPOCH",
    "SSH_AUTH_SOCK",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TERM",
    "TMPDIR",
    "USER",
];
/// Prefixes of further variables: the toolchains' and their registries', cc's own by target, and those of version managers, by way
/// of which programs are found.
const BUILD_PREFIXES: [&str; 25] = [
    "CARGO_",
    "GIT_",
    "LC_",
    "NIX_",
    "PIP_",
    "PKG_CONFIG",
    "RUST",
    "XDG_",
    "NPM_CONFIG_",
    "CMAKE",
    "WASI_SDK",
    "ZIG_",
    "AR_",
    "CC_",
    "CFLAGS_",
    "CXX_",
    "CXXFLAGS_",
    "TARGET_C",
    "HOST_C",
    "ASDF_",
    "FNM_",
    "MISE_",
    "NVM_",
    "PYENV_",
    "VOLTA_",
];

/// Whether a variable is for programs that build: for the system, the toolchains, and the way to their registries.
fn is_for_builds(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    // Cargo needs this one to publish, and to build nothing.
    let is_refused = upper == "CARGO_REGISTRY_TOKEN";
    let is_known =
        BUILD_VARIABLES.contains(&upper.as_str()) || BUILD_PREFIXES.iter().any(|prefix| upper.starts_with(prefix));
    is_known && !is_refused
}

fn cache() -> Option<PathBuf> {
    let absolute = |path: OsString| std::path::absolute(path).ok();
    if let Some(ours) = non_empty("DAMPER_CACHE").and_then(absolute) {
        return Some(ours);
    }
    below_home("XDG_CACHE_HOME", ".cache")
}

/// Damper's folder in one of the base directories (<https://specifications.freedesktop.org/basedir-spec/latest/>).
fn below_home(variable: &str, default: &str) -> Option<PathBuf> {
    // The specification has a relative path ignored.
    let named = non_empty(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || non_empty("HOME").map(|home| PathBuf::from(home).join(default));
    named.or_else(home).map(|folder| folder.join("damper"))
}

fn non_empty(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_builds_gets_no_secret_of_the_environment() {
        let needed = "PATH HOME https_proxy CARGO CARGO_HOME RUSTUP_HOME RUSTFLAGS LC_ALL XDG_CACHE_HOME npm_config_registry \
                      PIP_INDEX_URL SSH_AUTH_SOCK DAMPER_CACHE";
        assert_eq!(needed.split_whitespace().find(|name| !is_for_builds(name)), None);
        let withheld = "CATFACTS_KEY AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN GITHUB_TOKEN DAMPER_GLEIF_KEY NPM_TOKEN \
                        CARGO_REGISTRY_TOKEN PGPASSWORD LD_PRELOAD";
        assert_eq!(withheld.split_whitespace().find(|name| is_for_builds(name)), None);
    }
}
