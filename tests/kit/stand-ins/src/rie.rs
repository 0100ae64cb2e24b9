//! AWS's own Lambda Runtime Interface Emulator, built once from its pinned Go module.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::go::GoProgram;

const RIE: GoProgram = GoProgram {
    name: "aws-lambda-rie",
    package: "github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie",
    version: "v0.0.0-20261030222936-bef5c4ba774d",
    patience: "about a minute",
};

/// The emulator's program: `aws-lambda-rie --runtime-interface-emulator-address 127.0.0.1:8080 PROGRAM`.
/// `None`: it cannot be had here, which is said on the terminal.
///
/// # Panics
/// If Go is there and the emulator cannot be had, in CI. Go itself nothing else needs, and so it may be missing there.
#[must_use]
pub fn rie() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    RIE.get(&PROGRAM)
}
