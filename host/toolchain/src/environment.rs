//! The environment of the programs that build: the variables that they need, and no secrets.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Command;

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
/// Prefixes of further variables: the toolchains' and their registries', cc's own by target, and those of version
/// managers, by way of which programs are found.
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

/// The variables for programs that build something. Secrets that are kept in the environment for providers are
/// withheld: what is compiled runs code of its own, as build scripts and macros.
// No `Debug`: a proxy's address may hold a password.
#[derive(Clone)]
pub struct BuildEnvironment {
    variables: Vec<(OsString, OsString)>,
    cargo: OsString,
}

impl BuildEnvironment {
    /// Takes those of a process's `variables` that programs which build need. `cargo` is the program of that name.
    #[must_use]
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>, cargo: OsString) -> Self {
        let variables = variables.into_iter().filter(|(name, _)| name.to_str().is_some_and(is_for_builds)).collect();
        Self { variables, cargo }
    }

    /// A program that builds something, with these variables and no other.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Cargo, as [`BuildEnvironment::command`].
    #[must_use]
    pub fn cargo(&self) -> Command {
        self.command(&self.cargo)
    }

    /// Cargo's own folder, where the sources of dependencies lie: `CARGO_HOME`, or `.cargo` in the home folder.
    pub(crate) fn cargo_home(&self) -> Option<PathBuf> {
        let named = self.variable("CARGO_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
        named.or_else(|| Some(PathBuf::from(self.variable("HOME")?).join(".cargo")))
    }

    fn variable(&self, wanted: &str) -> Option<&OsStr> {
        self.variables.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_os_str())
    }

    /// The search path of programs (`PATH`), to be extended for a child process.
    #[must_use]
    pub fn search_path(&self) -> Option<&OsStr> {
        self.variable("PATH")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_builds_gets_no_secret_of_the_environment() {
        let needed = "PATH HOME https_proxy CARGO CARGO_HOME RUSTUP_HOME RUSTFLAGS LC_ALL XDG_CACHE_HOME \
                      npm_config_registry PIP_INDEX_URL SSH_AUTH_SOCK DAMPER_CACHE";
        assert_eq!(needed.split_whitespace().find(|name| !is_for_builds(name)), None);
        let withheld = "CATFACTS_KEY AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN GITHUB_TOKEN DAMPER_GLEIF_KEY NPM_TOKEN \
                        CARGO_REGISTRY_TOKEN PGPASSWORD LD_PRELOAD";
        assert_eq!(withheld.split_whitespace().find(|name| is_for_builds(name)), None);
    }

    #[test]
    fn a_program_that_builds_gets_these_variables_and_no_other() {
        let all = [("PATH", "/bin"), ("CATFACTS_KEY", "secret"), ("HOME", "/home/me")];
        let all = all.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let environment = BuildEnvironment::new(all, "cargo".into());
        let command = environment.cargo();
        let given: Vec<&OsStr> = command.get_envs().map(|(name, _)| name).collect();
        assert_eq!((command.get_program(), given), (OsStr::new("cargo"), vec![OsStr::new("HOME"), OsStr::new("PATH")]));
        assert_eq!(environment.search_path(), Some(OsStr::new("/bin")));
    }
}
