//! AWS's own Lambda Runtime Interface Emulator, built once from its pinned Go module.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::environment::say;
use crate::once::{once, run};
use crate::{missing, not_run};

const PROGRAM: &str = "aws-lambda-rie";
const MODULE: &str = "github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie";
const VERSION: &str = "v0.0.0-20261030222936-bef5c4ba774d";

/// The emulator's program: `aws-lambda-rie --runtime-interface-emulator-address 127.0.0.1:8080 PROGRAM`.
/// `None`: it cannot be had here, which is said on the terminal.
///
/// # Panics
/// If Go is there and the emulator cannot be had, in CI. Go itself nothing else needs, and so it may be missing there.
#[must_use]
pub fn rie() -> Option<&'static Path> {
    static RIE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    if let Err(error) = run(Command::new("go").arg("version")) {
        not_run(
            PROGRAM,
            &format!(
                "it is built with Go, 1.21 or later, which gets itself the version that it needs: see https://go.dev/dl ({error})"
            ),
        );
        return None;
    }
    let made = || once(&format!("{PROGRAM}-{VERSION}"), build).map(|folder| folder.join(PROGRAM));
    match RIE.get_or_init(made) {
        Ok(program) => Some(program),
        Err(why) => {
            missing(PROGRAM, why);
            None
        }
    }
}

/// Nothing of Go's own is left anywhere: its caches lie in the folder too, and go before it counts as whole.
fn build(home: &Path) -> Result<(), String> {
    say("stand-ins: building aws-lambda-rie with Go, once, about a minute ...");
    let caches = home.join("go");
    let mut go = Command::new("go");
    go.args(["install", &format!("{MODULE}@{VERSION}")]).env("GOBIN", home);
    go.env("GOPATH", &caches).env("GOMODCACHE", caches.join("modules")).env("GOCACHE", caches.join("builds"));
    // Modules that can be removed again; and nothing that needs a C compiler.
    go.env("GOFLAGS", "-modcacherw").env("CGO_ENABLED", "0");
    fs::create_dir_all(home).map_err(|error| format!("{}: {error}", home.display()))?;
    run(go.current_dir(home))?;
    fs::remove_dir_all(&caches).map_err(|error| format!("{}: {error}", caches.display()))
}
