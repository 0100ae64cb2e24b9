//! Checks of the machine's facts. Pure: no check here runs a program or reads a file.

mod tools;

use jiff::SignedDuration;

use super::Check;
#[cfg(test)]
use super::State;
use super::machine::{Cache, Clock, Machine, System};
use crate::screen::size;

/// How far the clock may be from a server's: tokens and signatures are refused from some minutes on.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(60);
/// The room that a first build needs, and the least for running.
const ROOM_TO_BUILD_BYTES: u64 = 2 << 30;
const ROOM_TO_RUN_BYTES: u64 = 100 << 20;
/// A fetch has a connection or two, and a machine's common limit of 1024 is enough for the default 256 at a time.
const OPEN_FILES: u64 = 1_024;

/// Every check, in the order in which things are needed.
pub(super) fn all(machine: &Machine) -> Vec<Check> {
    let mut checks = vec![Check::ok(
        "damper",
        format!("{}, which runs the contract damper:provider {}", machine.damper, machine.contracts),
    )];
    checks.extend(tools::all(machine));
    checks.push(cache(machine.cache.as_ref()));
    checks.push(config(machine));
    checks.extend(providers(machine));
    checks.push(clock(&machine.clock));
    checks.push(zones(machine.zones));
    checks.extend(system(&machine.system));
    checks
}

fn cache(cache: Option<&Cache>) -> Check {
    const NAME: &str = "cache";
    let Some(cache) = cache else {
        return Check::problem(
            NAME,
            "it has no folder: neither DAMPER_CACHE nor HOME is set",
            "set DAMPER_CACHE to a folder of yours",
        );
    };
    let shown = cache.path.display();
    if !cache.is_writable {
        let what = format!("{shown}: {} cannot be written to", cache.nearest.display());
        return Check::problem(NAME, what, "correct its permissions, or set DAMPER_CACHE to a folder of yours");
    }
    if let Some(problem) = &cache.untrusted {
        let what = format!("{problem}, and damper runs code from {shown}");
        return Check::problem(
            NAME,
            what,
            "delete the cache, or set DAMPER_CACHE to a folder that only you can write to",
        );
    }
    let free = cache.free_bytes.map_or("an unknown amount".to_owned(), size);
    let found = format!("{shown}, {free} free");
    match cache.free_bytes {
        Some(free) if free < ROOM_TO_RUN_BYTES => {
            Check::problem(NAME, found, format!("free {} there", size(ROOM_TO_RUN_BYTES)))
        }
        Some(free) if free < ROOM_TO_BUILD_BYTES => {
            let mend = format!(
                "free {} there before a first build; the present space is enough to run components",
                size(ROOM_TO_BUILD_BYTES)
            );
            Check::warning(NAME, found, mend)
        }
        _ => Check::ok(NAME, found),
    }
}

fn config(machine: &Machine) -> Check {
    const NAME: &str = "damper.toml";
    match &machine.config {
        Ok(Some(path)) => Check::ok(NAME, path.display().to_string()),
        Ok(None) => Check::warning(
            NAME,
            "none in this folder or above: providers get the https hosts that they ask for, and no secret",
            "write one where you run providers: docs/PROVIDER_GUIDE.md, \"What damper.toml grants\"",
        ),
        Err((problem, mend)) => Check::problem(NAME, problem, mend),
    }
}

fn providers(machine: &Machine) -> Vec<Check> {
    const NAME: &str = "providers";
    if machine.providers.is_empty() {
        return Vec::new();
    }
    let broken = machine.providers.iter().filter_map(|(name, found)| Some((name, found.as_ref().err()?)));
    let mut checks: Vec<Check> = broken
        .map(|(name, problem)| {
            Check::problem(NAME, format!("{name}: {problem}"), "correct or build it: `damper build` in its folder")
        })
        .collect();
    let ready: Vec<String> = machine
        .providers
        .iter()
        .filter_map(|(name, found)| Some(format!("{name} ({})", found.as_ref().ok()?)))
        .collect();
    if !ready.is_empty() {
        checks.push(Check::ok(NAME, ready.join(", ")));
    }
    checks
}

fn clock(clock: &Clock) -> Check {
    const NAME: &str = "clock";
    const MEND: &str = "set the machine's clock and keep it right with NTP: days, windows and tokens depend on it";
    let now = format!("{:.0}", clock.now);
    if let Some(program) = clock.program.filter(|program| clock.now < *program) {
        return Check::problem(NAME, format!("{now}, which is before this program was built ({program:.0})"), MEND);
    }
    match &clock.server {
        None => Check::ok(NAME, format!("{now}; not compared with a server's (use --online)")),
        Some(Err(problem)) => Check::warning(
            NAME,
            format!("{now}; not compared with a server's: {problem}"),
            "name a server with --online HOST",
        ),
        Some(Ok(server)) => {
            let off = clock.now.duration_since(*server);
            // A Date has whole seconds, so a second more or less is none.
            let found = format!("{now}, {} s from the server's", off.as_secs().abs());
            if off.abs() <= CLOCK_TOLERANCE { Check::ok(NAME, found) } else { Check::problem(NAME, found, MEND) }
        }
    }
}

fn zones(count: usize) -> Check {
    const NAME: &str = "time zones";
    match count {
        0 => Check::problem(
            NAME,
            "this program contains none",
            "install a complete build of damper: manifests name zones such as Europe/London",
        ),
        count => Check::ok(NAME, format!("{count}, contained in this program")),
    }
}

fn system(system: &System) -> Vec<Check> {
    let files = match system.open_files {
        Some(limit) if limit < OPEN_FILES => Check::warning(
            "open files",
            format!("at most {limit}"),
            format!("`ulimit -n {OPEN_FILES}` before a run; a fetch needs one or two"),
        ),
        Some(limit) => Check::ok("open files", format!("at most {limit}")),
        None => Check::ok("open files", "no limit"),
    };
    vec![files, pool(system), pages(system), hardening(system)]
}

fn hardening(system: &System) -> Check {
    const NAME: &str = "hardening";
    let layers = match &system.hardening {
        Ok(layers) => layers,
        Err(problem) => return Check::problem(NAME, problem.clone(), "correct DAMPER_HARDENING, or leave it unset"),
    };
    let part = |word: &str, names: &[String]| (!names.is_empty()).then(|| format!("{word}: {}", names.join(", ")));
    let parts = [part("on", &layers.holding), part("off", &layers.off), part("missing", &layers.missing)];
    let found = parts.into_iter().flatten().collect::<Vec<_>>().join("; ");
    if layers.missing.is_empty() {
        return Check::ok(NAME, found);
    }
    Check::warning(
        NAME,
        found,
        "no action is needed; Linux 5.19 and newer have all layers, unless a container removes them",
    )
}

fn pool(system: &System) -> Check {
    const NAME: &str = "engine";
    let room = system
        .address_space
        .map_or("no limit on address space".to_owned(), |bytes| format!("{} of address space", size(bytes)));
    match &system.is_pooled {
        Ok(true) => Check::ok(NAME, format!("instances come from a pool; {room}")),
        Ok(false) => Check::warning(
            NAME,
            format!(
                "no address space for a pool of this size: all providers share the smaller pool for interpreters; {room}"
            ),
            "remove the limit (`ulimit -v unlimited`): the pool reserves address space, not memory",
        ),
        Err(problem) => Check::problem(NAME, problem.clone(), "run damper on Linux or macOS, on x86_64 or aarch64"),
    }
}

fn pages(system: &System) -> Check {
    const NAME: &str = "kernel";
    if system.tells_touched_pages {
        return Check::ok(NAME, format!("{}, which reports touched pages", system.kernel));
    }
    Check::warning(
        NAME,
        format!("{}, which does not report touched pages: an instance costs twice as much", system.kernel),
        "no action is needed; Linux 6.7 and newer have PAGEMAP_SCAN",
    )
}

impl Check {
    /// Whether nothing is to be done.
    #[cfg(test)]
    fn is_ok(&self) -> bool {
        self.state == State::Ok && self.mend.is_none()
    }
}

#[cfg(test)]
mod tests;
