//! The environment of the tests: the terminal, CI, and the target folder. Only this module reads environment variables.

use std::io::Write;
use std::path::{Path, PathBuf};

/// Whether this is a run of CI, where a missing stand-in is a failure.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// Say something at once, past the test runner, which keeps what a passing test prints to itself.
pub(crate) fn say(text: &str) {
    // A closed terminal is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The target folder that the running program was built into; where that cannot be told, the workspace's own.
pub(crate) fn target_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let built_in = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let ours = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../target");
    built_in.map_or_else(ours, Path::to_path_buf)
}

/// The folder in which the stand-ins are set up.
pub(crate) fn folder() -> PathBuf {
    target_folder().join("stand-ins")
}

/// The place of AWS's DynamoDB Local.
pub(crate) enum DynamodbLocal {
    /// `DYNAMODB_LOCAL_URL`: one runs there.
    At(String),
    /// `DYNAMODB_LOCAL`: it lies there, to be started.
    In(PathBuf),
    /// Nobody has said.
    Nowhere,
}

/// The environment's setting for DynamoDB Local.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(crate) fn dynamodb_local() -> DynamodbLocal {
    let named = |variable| std::env::var(variable).ok().filter(|value| !value.is_empty());
    match (named("DYNAMODB_LOCAL_URL"), named("DYNAMODB_LOCAL")) {
        (Some(endpoint), _) => DynamodbLocal::At(endpoint.trim_end_matches('/').to_owned()),
        (None, Some(folder)) => DynamodbLocal::In(folder.into()),
        (None, None) => DynamodbLocal::Nowhere,
    }
}
