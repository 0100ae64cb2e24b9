//! A second layer behind the engine: rights that a process which runs or compiles components gives up before it reads
//! any of them.
//!
//! The engine confines a component to its own memory. If a component escapes, its code runs with the rights of the
//! process. These layers limit the damage: the process cannot gain privileges, it cannot make system calls that attacks
//! need, it can read only the files that it needs and write only to its own folders, and other processes of the same
//! user cannot read its memory.
//!
//! Each layer applies if the system supports it (Linux; the layer for files needs kernel 5.19), and each can be turned
//! off.
//!
//! Begin with [`restrict`], which applies a [`Policy`]; [`probe`] only tries the layers. This crate knows nothing of
//! components, isolates no component from another, and reads no settings: the caller passes the folders and the
//! [`Hardening`].

mod policy;
mod report;
mod settings;

#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod system_calls;

pub use policy::Policy;
pub use report::{Layer, Outcome, Report};
pub use settings::{Hardening, SettingsError};

/// Gives up all rights but those of a policy, for the calling thread and the threads and processes that it starts from
/// then on. Call it before the process starts other threads. Layers that the system does not support are left out and
/// listed in the report.
///
/// ```no_run
/// use damper_hardening::{Hardening, Policy, restrict};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     // Before any other thread starts, and before a component is read.
///     let mut policy = Policy::for_fetching();
///     policy.readable.push("/srv/damper/components".into());
///     policy.writable.push("/srv/damper/out".into());
///     let report = restrict(&policy, "no-dumps".parse::<Hardening>()?);
///     for (layer, why) in report.missing() {
///         eprintln!("this system has no layer for {layer}: {why}");
///     }
///     Ok(())
/// }
/// ```
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

/// Tries each layer that is wanted and concerns a thread alone, in a thread that ends with it. The process keeps its
/// rights.
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
