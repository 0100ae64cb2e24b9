//! The machine's facts, without a judgement.

use std::path::PathBuf;

use damper_toolchain::RustToolchain;
use jiff::Timestamp;

/// Everything that the checks look at.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// This program's version.
    pub(super) damper: String,
    /// The contracts that it runs: `0.1.0 to 0.1.0`.
    pub(super) contracts: String,
    /// The output of a program's `--version`; `None` if the program is missing.
    pub(super) cargo: Option<String>,
    pub(super) rustc: Option<String>,
    pub(super) node: Option<String>,
    pub(super) npm: Option<String>,
    pub(super) python: Option<String>,
    /// Whether Python has its module `venv`, with what that needs.
    pub(super) has_venv: bool,
    pub(super) toolchain: RustToolchain,
    /// None: there is no place for a cache.
    pub(super) cache: Option<Cache>,
    /// The damper.toml in force; none: there is none. Else why it cannot be used, and what to do.
    pub(super) config: Result<Option<PathBuf>, (String, String)>,
    /// The providers of damper.toml, with their time zones; else why a component cannot be read.
    pub(super) providers: Vec<(String, Result<String, String>)>,
    pub(super) clock: Clock,
    /// How many time zones this program knows.
    pub(super) zones: usize,
    pub(super) system: System,
}

/// The folder for caches.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    pub(super) path: PathBuf,
    /// The folder, or if it does not exist yet, the nearest one above it.
    pub(super) nearest: PathBuf,
    pub(super) is_writable: bool,
    pub(super) free_bytes: Option<u64>,
    /// Why others can change what runs from there, if they can.
    pub(super) untrusted: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Clock {
    pub(super) now: Timestamp,
    /// When this program's file was written.
    pub(super) program: Option<Timestamp>,
    /// A server's time if one was named, or the reason why it has none.
    pub(super) server: Option<Result<Timestamp, String>>,
}

/// The limits of the operating system.
#[derive(Debug, Clone)]
pub(super) struct System {
    /// Its name and release.
    pub(super) kernel: String,
    /// Files and connections at a time; none: no limit.
    pub(super) open_files: Option<u64>,
    /// Bytes; none: no limit.
    pub(super) address_space: Option<u64>,
    /// Whether the kernel tells touched pages (PAGEMAP_SCAN).
    pub(super) tells_touched_pages: bool,
    /// Whether instances come from a pool; else why there is no engine at all.
    pub(super) is_pooled: Result<bool, String>,
    /// The layers of hardening; else why none can be asked for.
    pub(super) hardening: Result<Layers, String>,
}

/// The layers of hardening, by name.
#[derive(Debug, Clone)]
pub(super) struct Layers {
    /// Those that a run gets here.
    pub(super) holding: Vec<String>,
    /// Those that the system does not have, with why.
    pub(super) missing: Vec<String>,
    /// Those that are turned off.
    pub(super) off: Vec<String>,
}
