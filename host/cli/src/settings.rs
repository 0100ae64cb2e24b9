//! Settings from the environment. No other module of this crate reads it.
#![allow(clippy::disallowed_methods, reason = "the one module of this crate that reads the environment")]

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// The program's environment, read once at its start.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// `DAMPER_LOG`: what is logged, in the syntax of `RUST_LOG`; none: warnings and errors.
    pub(crate) log: Option<String>,
    /// The cache folder of compiled components, the SDK and toolchains: `DAMPER_CACHE`, else `damper` in
    /// `XDG_CACHE_HOME`, else in `~/.cache`. None where there is no home either.
    pub(crate) cache: Option<PathBuf>,
    /// The folder of private files of this user, such as the key of the cache: `damper` in `XDG_CONFIG_HOME`, else in
    /// `~/.config`. None where there is no home either.
    pub(crate) own_config: Option<PathBuf>,
    /// `DAMPER_HARDENING`: which layers of hardening are left out; empty: none.
    pub(crate) hardening: String,
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR`: where the certificates of authorities are, if not where the system has them.
    pub(crate) certificates: Vec<PathBuf>,
    /// Docker's configuration, with credentials for registries: `config.json` in `DOCKER_CONFIG`, else in `~/.docker`.
    #[cfg(feature = "registry")]
    pub(crate) docker_config: Option<PathBuf>,
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
            #[cfg(feature = "registry")]
            docker_config: docker_config(),
            colour: env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            target: non_empty("CARGO_TARGET_DIR").map(PathBuf::from),
            cargo: non_empty("CARGO").unwrap_or_else(|| "cargo".into()),
        }
    }
}

/// All variables, for the programs that build: see [`damper_toolchain::BuildEnvironment`], which withholds secrets.
pub(crate) fn variables() -> impl Iterator<Item = (OsString, OsString)> {
    env::vars_os()
}

fn cache() -> Option<PathBuf> {
    let absolute = |path: OsString| std::path::absolute(path).ok();
    if let Some(ours) = non_empty("DAMPER_CACHE").and_then(absolute) {
        return Some(ours);
    }
    below_home("XDG_CACHE_HOME", ".cache")
}

#[cfg(feature = "registry")]
fn docker_config() -> Option<PathBuf> {
    let home = || non_empty("HOME").map(|home| PathBuf::from(home).join(".docker"));
    non_empty("DOCKER_CONFIG").map(PathBuf::from).or_else(home).map(|folder| folder.join("config.json"))
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
