//! Figures of a process, from the system.

use anyhow::Context;

/// Resident memory of a process, in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resident {
    /// All of it.
    pub(crate) all: f64,
    /// Of that: its own, not mapped from a file.
    pub(crate) own: f64,
}

/// The resident memory of a process.
pub(crate) fn resident_memory(process: u32) -> anyhow::Result<Resident> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let field = |name: &str| -> anyhow::Result<f64> {
        let line = status.lines().find(|line| line.starts_with(name)).context("a field of the process's status")?;
        Ok(line.split_whitespace().nth(1).context("its value")?.parse()?)
    };
    Ok(Resident { all: field("VmRSS:")?, own: field("RssAnon:")? })
}

/// The CPU time of a process since its start, in seconds, as far as the system's ticks tell (a hundredth of a second
/// each).
pub(crate) fn cpu_seconds(process: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("a name in parentheses")?;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<f64>);
    let mut next = || ticks.next().context("fourteen fields")?.context("a number");
    Ok((next()? + next()?) / 100.0)
}
