//! The rights that a process keeps, and those that a process of Damper needs.

use std::path::PathBuf;

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
    /// A process that fetches: it reads what every program reads and what is added, opens connections, and starts
    /// itself.
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
