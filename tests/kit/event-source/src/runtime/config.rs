//! The configuration of a function, and a line of its log.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Lambda's limit of an event and of an answer.
pub(crate) const PAYLOAD_BYTES: usize = 6 * 1024 * 1024;

/// A function: what would be its configuration in Lambda.
#[derive(Debug, Clone)]
pub struct FunctionConfig {
    /// Its name.
    pub name: String,
    /// The executable, as a zip's `bootstrap`.
    pub executable: PathBuf,
    /// The folder that the zip was unpacked to (`LAMBDA_TASK_ROOT`), and the working folder.
    pub task_root: PathBuf,
    /// Its own environment variables.
    pub environment: BTreeMap<String, String>,
    /// How long one invocation may take: up to 900 s.
    pub timeout: Duration,
    /// How long a process may take to ask for its first event.
    pub init_timeout: Duration,
    /// Its memory, in MB; told to the process, not enforced.
    pub memory_mb: u32,
    /// Most invocations at a time; further ones wait.
    pub concurrency: usize,
    /// Whether processes are frozen between invocations.
    pub freeze: bool,
    /// The region.
    pub region: String,
    /// The account: twelve digits.
    pub account: String,
}

impl FunctionConfig {
    /// A function of that executable: 60 s, 256 MB, ten at a time, frozen in between, in us-east-1; its task root is
    /// the executable's folder.
    #[must_use]
    pub fn new(name: impl Into<String>, executable: impl Into<PathBuf>) -> Self {
        let executable = executable.into();
        let task_root = executable.parent().map_or_else(|| PathBuf::from("/"), PathBuf::from);
        Self {
            name: name.into(),
            executable,
            task_root,
            environment: BTreeMap::new(),
            timeout: Duration::from_secs(60),
            init_timeout: Duration::from_secs(10),
            memory_mb: 256,
            concurrency: 10,
            freeze: true,
            region: "us-east-1".to_owned(),
            account: "123456789012".to_owned(),
        }
    }

    /// Sets one of its environment variables.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    pub(super) fn arn(&self) -> String {
        format!("arn:aws:lambda:{}:{}:function:{}", self.region, self.account, self.name)
    }
}

/// A line that a process wrote to stdout or stderr: a log event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Which process.
    pub process: u32,
    /// Whether it was stderr.
    pub is_stderr: bool,
    /// The line, without its end.
    pub text: String,
}
