//! Programs that are built once from pinned Go modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::environment::say;
use crate::once::{once, run};
use crate::{missing, not_run};

/// A program in Go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GoProgram {
    /// Its name.
    pub(crate) name: &'static str,
    /// The package that is its main; the program has the name of the package's last part.
    pub(crate) package: &'static str,
    /// The module's version.
    pub(crate) version: &'static str,
    /// How long a build takes, for people.
    pub(crate) patience: &'static str,
}

impl GoProgram {
    /// The program, built where it is not there. `cell` holds it for this process. `None`: it cannot be had here, which
    /// is said on the terminal.
    ///
    /// # Panics
    /// If Go is there and the program cannot be had, in CI. Go itself nothing else needs, and so it may be missing
    /// there.
    pub(crate) fn get(self, cell: &'static std::sync::OnceLock<Result<PathBuf, String>>) -> Option<&'static Path> {
        if let Err(error) = run(Command::new("go").arg("version")) {
            let why = format!(
                "it is built with Go, 1.21 or later, which gets itself the version that it needs: see https://go.dev/dl ({error})"
            );
            not_run(self.name, &why);
            return None;
        }
        let program = self.package.rsplit('/').next().unwrap_or(self.package);
        let build = |home: &Path| self.build(home);
        let made = || once(&format!("{}-{}", self.name, self.version), build).map(|folder| folder.join(program));
        match cell.get_or_init(made) {
            Ok(program) => Some(program),
            Err(why) => {
                missing(self.name, why);
                None
            }
        }
    }

    /// Nothing of Go's own is left anywhere: its caches lie in the folder too, and go before it counts as whole.
    fn build(self, home: &Path) -> Result<(), String> {
        say(&format!("stand-ins: building {} with Go, once, {} ...", self.name, self.patience));
        let caches = home.join("go");
        let mut go = Command::new("go");
        go.args(["install", &format!("{}@{}", self.package, self.version)]).env("GOBIN", home);
        go.env("GOPATH", &caches).env("GOMODCACHE", caches.join("modules")).env("GOCACHE", caches.join("builds"));
        // Modules that can be removed again; and nothing that needs a C compiler.
        go.env("GOFLAGS", "-modcacherw").env("CGO_ENABLED", "0");
        fs::create_dir_all(home).map_err(|error| format!("{}: {error}", home.display()))?;
        run(go.current_dir(home))?;
        fs::remove_dir_all(&caches).map_err(|error| format!("{}: {error}", caches.display()))
    }
}
