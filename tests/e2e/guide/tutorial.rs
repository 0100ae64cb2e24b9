//! The guide's commands, run in order in an empty folder, with its files written where it says so.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use damper_demo_api::{DemoApi, Settings};

use super::blocks::blocks;
use super::guide;
use crate::local_setup::{require_built, target, text};

/// The demo API's address in the guide.
const ADDRESS: &str = "127.0.0.1:8085";

/// The guide's commands and files as one script.
fn script(api: &DemoApi) -> String {
    let mut script = String::from("set -eu\n");
    for block in blocks(&guide()) {
        if block.language == "sh" {
            script.push_str(&block.text);
        } else if let Some(file) = block.label_value("file") {
            let folder = Path::new(file).parent().unwrap().display().to_string();
            let folder = if folder.is_empty() { ".".to_owned() } else { folder };
            writeln!(script, "mkdir -p {folder}\ncat >{file} <<'END_OF_FILE'\n{}END_OF_FILE", block.text).unwrap();
        }
    }
    assert!(script.contains(ADDRESS), "the guide asks the demo API elsewhere");
    script.replace(ADDRESS, api.url().strip_prefix("http://").unwrap())
}

/// Run commands in `folder`, with `damper` on the path as its readers have it.
#[allow(clippy::disallowed_methods, reason = "the path is handed on")]
fn sh(script: &str, folder: &Path) -> Output {
    let damper = require_built(&target().join("debug/damper"));
    let path = format!("{}:{}", damper.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(folder).env("PATH", path).stdin(Stdio::null());
    // A crate of one's own is built in its own folder.
    command.env_remove("CARGO_TARGET_DIR").env_remove("CARGO_INCREMENTAL");
    command.output().unwrap()
}

#[test]
fn the_ten_minute_provider_works_as_told() {
    let folder = tempfile::tempdir().unwrap();
    let api = DemoApi::start(Settings::default()).unwrap();
    let output = sh(&script(&api), folder.path());
    assert!(output.status.success(), "{}", text(&output));
    let told = String::from_utf8_lossy(&output.stdout);
    for id in ["item-0001", "item-0002", "item-0003"] {
        assert!(told.lines().any(|line| line.starts_with('{') && line.contains(id)), "{id}: {}", text(&output));
    }
    assert!(told.contains("all passed"), "{}", text(&output));

    // The same tests by cargo alone, with the runner of the scaffold's own configuration.
    let things = folder.path().join("things");
    let by_cargo = "export RUSTC=$(sh \"$SCRIPT\") CARGO_PROFILE_DEV_DEBUG=false\n\
        cargo test --tests --target wasm32-wasip2 --target-dir \"$(ls -d target/damper/rustc-*)\"";
    let script_file = super::root().join("sdk/rust/toolchain.sh");
    let output = sh(&format!("SCRIPT='{}'\n{by_cargo}", script_file.display()), &things);
    assert!(output.status.success() && text(&output).contains("2 passed"), "{}", text(&output));

    // A test that fails natively fails in wasm.
    let file = things.join("src/lib.rs");
    let code = std::fs::read_to_string(&file).unwrap();
    assert!(code.contains("FailureKind::NotFound)"), "{code}");
    std::fs::write(&file, code.replace("FailureKind::NotFound)", "FailureKind::Rejected)")).unwrap();
    let output = sh("damper test --wasm", &things);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    assert!(text(&output).contains("the program trapped"), "{}", text(&output));
}
