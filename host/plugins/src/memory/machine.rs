//! The memory that the process may use, and the part of it for components.

use std::fs;
use std::path::Path;

/// The memory that components may take together, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// The memories and tables of all instances.
    pub guests: usize,
    /// The host's memory for them: requests, responses, request logs, caches.
    pub host: usize,
}

/// The default limit for instances on machines with much memory.
const MOST_FOR_GUESTS: u64 = 4 << 30;
/// The default limit for the host on machines with much memory. The largest response fits into one provider's share.
const MOST_FOR_HOST: u64 = 256 << 20;
/// Used if the machine's memory cannot be determined.
const UNKNOWN: u64 = 1 << 30;

impl MemoryLimits {
    /// Parts of what a process may use: five eighths for instances and one eighth for the host, which leaves a quarter
    /// for the program.
    #[must_use]
    pub fn of(total_bytes: u64) -> Self {
        let part =
            |eighths: u64, most: u64| usize::try_from((total_bytes / 8 * eighths).min(most)).unwrap_or(usize::MAX);
        Self { guests: part(5, MOST_FOR_GUESTS), host: part(1, MOST_FOR_HOST) }
    }
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self::of(available_memory())
    }
}

/// The memory that this process may use, in bytes: the machine's, its control group's or its own limit, whichever is
/// the least.
#[must_use]
pub fn available_memory() -> u64 {
    let limits = [machine_memory(), group_memory(), own_limit()];
    limits.into_iter().flatten().min().unwrap_or(UNKNOWN)
}

/// The machine's memory, from `/proc/meminfo` as on Linux.
fn machine_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1_024)
}

/// The least limit among the process's control group and those around it (cgroup v2).
fn group_memory() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let limit = |folder: &Path| fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse().ok();
    root.join(path).ancestors().take_while(|folder| folder.starts_with(root)).filter_map(limit).min()
}

/// The process's own limit of data (`RLIMIT_DATA`).
fn own_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Data).current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_function_leaves_memory_for_the_program_and_a_large_machine_is_not_taken_whole() {
        let MemoryLimits { guests, host } = MemoryLimits::of(256 << 20);
        assert_eq!((guests >> 20, host >> 20), (160, 32));
        assert_eq!(MemoryLimits::of(1 << 50), MemoryLimits { guests: 4 << 30, host: 256 << 20 });
    }

    #[test]
    fn the_machine_tells_how_much_memory_there_is() {
        assert!(available_memory() >= 64 << 20, "{}", available_memory());
        if cfg!(target_os = "linux") {
            assert!(machine_memory().is_some());
        }
    }
}
