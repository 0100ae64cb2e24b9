//! The demo API in a process of its own, so that what it uses is not counted as ours.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// A demo API that runs until dropped.
pub(crate) struct Api {
    child: Child,
    /// Its origin.
    pub(crate) origin: String,
}

impl Api {
    /// Start it, with an answer after `latency_ms`, always the same.
    pub(crate) fn start(program: &Path, latency_ms: u32) -> anyhow::Result<Self> {
        let program = crate::inputs::require_file(program)?;
        let mut child = Command::new(program)
            .args(["--log-max", "0", "--latency-median-ms", &latency_ms.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let mut said = String::new();
        let output = child.stdout.take().context("the demo API's output")?;
        BufReader::new(output).read_line(&mut said)?;
        let origin = said.rsplit(' ').next().unwrap_or_default().trim().to_owned();
        anyhow::ensure!(origin.starts_with("http://127.0.0.1:"), "the demo API said {said:?}");
        Ok(Self { child, origin })
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        // It holds nothing that must be saved.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
