//! A second layer behind the engine: rights that a process which runs or compiles components gives up before it reads any of them.
//!
//! The engine confines a component to its own memory. If a component escapes, its code runs with the rights of the process. These layers
//! limit the damage: the process cannot gain privileges, it cannot make system calls that attacks need, it can read only the files that it
//! needs and write only to its own folders, and other processes of the same user cannot read its memory.
//!
//! Each layer applies if the system supports it (Linux; the layer for files needs kernel 5.19), and each can be turned off.

mod report;
mod settings;

#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod system_calls;

use std::path::PathBuf;

pub use report::{Layer, Outcome, Report};
pub use settings::{Hardening, SettingsError};

/// The rights that a process keeps.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The files, and the folders with all that is in them, that it may read.
    pub readable: Vec<PathBuf>,
    /// The folders in which it may read, make, change and delete files.
    pub writable: Vec<PathBuf>,
    /// The programs that it may start, with what these need to be loaded.
    pub executable: Vec<PathBuf>,
    /// Whether it may open connections and start programs.
    pub is_connected: bool,
}

/// The folders in which a system keeps what every program reads: libraries, certificates, how names are looked up.
const SYSTEM_FOLDERS: [&str; 16] = [
    "/bin",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/opt",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib/ca-certificates",
    "/var/runtime",
    "/var/task",
];
/// The folders from which a program is loaded.
const LIBRARY_FOLDERS: [&str; 6] = ["/lib", "/lib32", "/lib64", "/nix/store", "/usr/lib", "/usr/lib64"];

impl Policy {
    /// A process that fetches: it reads what every program reads and what is added, opens connections, and starts itself.
    #[must_use]
    pub fn for_fetching() -> Self {
        let folders = |folders: &[&str]| folders.iter().map(PathBuf::from).collect::<Vec<_>>();
        let itself = std::env::current_exe().ok();
        let mut executable = folders(&LIBRARY_FOLDERS);
        executable.extend(itself);
        Self { readable: folders(&SYSTEM_FOLDERS), writable: folders(&["/dev"]), executable, is_connected: true }
    }

    /// A process that only computes: it keeps its open pipes, and gets neither files nor connections.
    #[must_use]
    pub fn for_computing() -> Self {
        Self::default()
    }
}

/// Gives up all rights but those of a policy, for the calling thread and the threads and processes that it starts from then on. Call it
/// before the process starts other threads. Layers that the system does not support are left out and listed in the report.
#[must_use]
pub fn restrict(policy: &Policy, hardening: Hardening) -> Report {
    let mut report = Report::default();
    report.add(Layer::Dumps, hardening.dumps, forbid_dumps);
    report.add(Layer::Privileges, hardening.system_calls || hardening.files, forbid_privileges);
    // The files first: their layer takes system calls of its own.
    report.add(Layer::Files, hardening.files, || restrict_files(policy));
    report.add(Layer::SystemCalls, hardening.system_calls, || restrict_system_calls(policy));
    report
}

/// Tries each layer that is wanted and concerns a thread alone, in a thread that ends with it. The process keeps its rights.
#[must_use]
pub fn probe(wanted: Hardening) -> Report {
    let hardening = Hardening { dumps: false, ..wanted };
    let probing = std::thread::spawn(move || restrict(&Policy::for_fetching(), hardening));
    probing.join().unwrap_or_default()
}

/// No core files, and no reading of the process's memory by other processes of the same user.
fn forbid_dumps() -> Result<(), String> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(|error| error.to_string())?;
    forbid_reading()
}

#[cfg(target_os = "linux")]
fn forbid_reading() -> Result<(), String> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| error.to_string())
}

#[cfg(target_os = "linux")]
fn forbid_privileges() -> Result<(), String> {
    rustix::thread::set_no_new_privs(true).map_err(|error| error.to_string())
}

#[cfg(target_os = "linux")]
use files::restrict_files;
#[cfg(target_os = "linux")]
use system_calls::restrict_system_calls;

/// The reason for a missing layer on systems other than Linux.
#[cfg(not(target_os = "linux"))]
const NOT_LINUX: &str = "this system does not have this layer; Linux has it";

#[cfg(not(target_os = "linux"))]
fn forbid_reading() -> Result<(), String> {
    Err(NOT_LINUX.to_owned())
}

#[cfg(not(target_os = "linux"))]
fn forbid_privileges() -> Result<(), String> {
    Err(NOT_LINUX.to_owned())
}

#[cfg(not(target_os = "linux"))]
fn restrict_files(_policy: &Policy) -> Result<(), String> {
    Err(NOT_LINUX.to_owned())
}

#[cfg(not(target_os = "linux"))]
fn restrict_system_calls(_policy: &Policy) -> Result<(), String> {
    Err(NOT_LINUX.to_owned())
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail by panicking, as its tests do")]
mod tests;
