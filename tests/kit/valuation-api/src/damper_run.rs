//! `damper run` of the provider `valuation` in a folder of its own, against an API of this crate.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::Context as _;
use serde_json::Value;
use tempfile::TempDir;

use crate::CLIENT;

/// The programs of a run, built already.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The program `damper`.
    pub damper: PathBuf,
    /// The component `valuation.wasm`.
    pub component: PathBuf,
}

/// A folder with a damper.toml for one API.
#[derive(Debug)]
pub struct DamperRun {
    folder: TempDir,
    damper: PathBuf,
}

/// The result of a run.
#[derive(Debug)]
pub struct Summary {
    /// Items whose record was stored.
    pub fetched: u64,
    /// Items that became dead letters.
    pub dead_letters: u64,
    /// Items that are left.
    pub pending: u64,
    /// What the program wrote to its log.
    pub log: String,
}

impl DamperRun {
    /// Prepares a folder for the API at `origin`, with these policies enqueued in this order.
    ///
    /// # Errors
    /// If the folder cannot be written, or `damper feed` fails.
    pub fn new(programs: &Programs, origin: &str, policies: &[String]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let component = std::path::absolute(&programs.component)?;
        anyhow::ensure!(component.exists(), "{}: run `make bench-orders`, which builds it", component.display());
        let settings = format!(
            "[providers.valuation]\ncomponent = {component:?}\nhosts = \"manifest\"\nprivate = [{origin:?}]\n\
             [providers.valuation.config]\nbase_url = {origin:?}\n\
             [providers.valuation.credentials.token]\nfile = \"client\"\ntoken_url = \"{origin}/token\"\n\
             hosts = [{origin:?}]\n"
        );
        std::fs::write(folder.path().join("damper.toml"), settings)?;
        write_secret(&folder.path().join("client"))?;
        let ids: String = policies.iter().map(|policy| format!("{policy}\n")).collect();
        std::fs::write(folder.path().join("items.txt"), ids)?;
        let run = Self { folder, damper: std::path::absolute(&programs.damper)? };
        let fed = run.damper(&["feed", "valuation", "items.txt"]).output();
        let fed = fed.with_context(|| format!("start {}", run.damper.display()))?;
        anyhow::ensure!(fed.status.success(), "damper feed: {}", String::from_utf8_lossy(&fed.stderr));
        Ok(run)
    }

    /// `damper run` until nothing is left to do, to be started; it says its [`Summary`] on stdout.
    #[must_use]
    pub fn build_command(&self) -> Command {
        let mut command = self.damper(&["run", "valuation", "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn damper(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.damper);
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }
}

impl Summary {
    /// Reads what the program has said.
    ///
    /// # Errors
    /// If it is no summary.
    pub fn parse(output: &Output) -> anyhow::Result<Self> {
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        let said: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("damper run: {log}"))?;
        let count = |name: &str| {
            let count = said.pointer(&format!("/providers/0/counts/{name}")).and_then(Value::as_u64);
            count.with_context(|| format!("damper run said no {name}: {said}"))
        };
        let [fetched, dead_letters, pending] = [count("fetched")?, count("dead_letters")?, count("pending")?];
        Ok(Self { fetched, dead_letters, pending, log })
    }
}

/// The client's secret, in a file that only its owner can read.
fn write_secret(path: &Path) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(CLIENT.as_bytes())?)
}
