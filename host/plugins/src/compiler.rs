//! Compiling components, with limits for files from strangers.
//!
//! A compiler is not made for hostile input: a file of some hundred kilobytes can take gigabytes or minutes. The component's code is
//! therefore checked first ([`component_file::check_code`](crate::component_file)), and then compiled in a process of its own with limits
//! of memory and time. If that process fails, only the provider fails.
//!
//! The process is the same program, started with [`CHILD_COMMAND`]. The program trusts the code that it returns, as it trusts its own
//! compiler: the limits protect resources, they are not a sandbox.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Condvar, Mutex, PoisonError, mpsc};
use std::time::Duration;

use damper_core::printable::is_unsafe;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::component_file::{self, CodeCost, ComponentFileError, MAX_COMPONENT_BYTES};
use crate::engine::CodeSettings;

/// The program's argument with which it compiles: see [`compile_for_parent`].
pub const CHILD_COMMAND: &str = "compile-component";

/// The limits of the process, for a small component and more for each byte. Measured: a provider in Rust takes 29 MiB and 0.3 s, one in
/// JavaScript 63 MiB and 2 s, one in Python, of 18 MiB, 322 MiB and 15 s.
const MEMORY_BYTES: u64 = 96 << 20;
const MEMORY_FOR_A_BYTE: u64 = 24;
const MOST_MEMORY_BYTES: u64 = 448 << 20;
const CPU_SECONDS: u64 = 10;
const CPU_SECONDS_FOR_A_MEBIBYTE: u64 = 4;
/// The number of functions that it compiles at a time: each takes memory.
const THREADS: &str = "2";
/// The limit of wall-clock time, as a multiple of CPU time: other processes use the processor, too.
const CLOCK_FACTOR: u32 = 4;
/// The most compiled code, in bytes for each byte of the component.
const CODE_FOR_A_BYTE: u64 = 16;
/// The longest reason that is passed on.
const MAX_REASON_BYTES: usize = 500;

/// The way in which components are compiled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Compiler {
    /// This process, without limits of memory and time: for tests, and for programs that compile what they trust.
    #[default]
    InProcess,
    /// A process of its own for each component.
    Child {
        /// The program, which has to call [`compile_for_parent`].
        program: PathBuf,
        /// Arguments that follow the name of the settings.
        arguments: Vec<String>,
    },
}

/// The limits of one compilation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Seconds of processor time.
    pub cpu_seconds: u64,
}

/// The cost of compiling a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileCost {
    /// The size of its functions.
    pub code: CodeCost,
    /// The limits of the process that compiles it.
    pub limits: CompileLimits,
}

/// Computes the cost of compiling a component, without compiling it.
///
/// # Errors
/// If the code is damaged, or beyond a limit, so that it is never compiled. `name` is what the error calls the component.
pub fn cost(name: &str, component: &[u8]) -> Result<CompileCost, ComponentFileError> {
    let code = component_file::check_code(name, component)?;
    Ok(CompileCost { code, limits: CompileLimits::of(component.len()) })
}

impl CompileLimits {
    fn of(component_bytes: usize) -> Self {
        let bytes = component_bytes as u64;
        Self {
            memory_bytes: MEMORY_BYTES.saturating_add(bytes.saturating_mul(MEMORY_FOR_A_BYTE)).min(MOST_MEMORY_BYTES),
            cpu_seconds: CPU_SECONDS.saturating_add((bytes >> 20).saturating_mul(CPU_SECONDS_FOR_A_MEBIBYTE)),
        }
    }

    fn wall_clock_limit(self) -> Duration {
        Duration::from_secs(self.cpu_seconds) * CLOCK_FACTOR
    }
}

/// Memory for all processes that compile at the same time: together they may use as much as one.
static MEMORY: CompileMemory = CompileMemory { reserved_bytes: Mutex::new(0), freed: Condvar::new() };

/// Memory that is shared out.
#[derive(Debug)]
struct CompileMemory {
    reserved_bytes: Mutex<u64>,
    freed: Condvar,
}

/// A part of it, until it is dropped.
#[derive(Debug)]
struct CompileMemoryGuard<'a> {
    memory: &'a CompileMemory,
    bytes: u64,
}

impl CompileMemory {
    /// Waits until there is so much left of [`MOST_MEMORY_BYTES`], and takes it.
    fn reserve(&self, bytes: u64) -> CompileMemoryGuard<'_> {
        let reserved = self.reserved_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |reserved: &mut u64| *reserved > 0 && reserved.saturating_add(bytes) > MOST_MEMORY_BYTES;
        let mut reserved = self.freed.wait_while(reserved, is_full).unwrap_or_else(PoisonError::into_inner);
        *reserved = reserved.saturating_add(bytes);
        CompileMemoryGuard { memory: self, bytes }
    }
}

impl Drop for CompileMemoryGuard<'_> {
    fn drop(&mut self) {
        let mut reserved = self.memory.reserved_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        *reserved = reserved.saturating_sub(self.bytes);
        self.memory.freed.notify_all();
    }
}

impl Compiler {
    /// Compiles a component; blocks for as long as that takes. The error says why, for a person.
    pub(crate) fn compile(&self, settings: &CodeSettings, component: &[u8]) -> Result<Vec<u8>, String> {
        component_file::check_code("the component", component).map_err(|error| error.to_string())?;
        match self {
            Self::InProcess => settings.compile(component).map_err(|error| format!("{error:#}")),
            Self::Child { program, arguments } => compile_in_child(program, arguments, settings, component),
        }
    }
}

fn compile_in_child(
    program: &Path,
    arguments: &[String],
    settings: &CodeSettings,
    component: &[u8],
) -> Result<Vec<u8>, String> {
    let limits = CompileLimits::of(component.len());
    let _memory = MEMORY.reserve(limits.memory_bytes);
    let not_started = |error: io::Error| format!("the compiler {} does not start: {error}", program.display());
    let mut child = Command::new(program)
        .arg(CHILD_COMMAND)
        .arg(settings.name())
        .args(arguments)
        // It needs no environment variables, and these may hold secrets.
        .env_clear()
        .env("RAYON_NUM_THREADS", THREADS)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(not_started)?;
    let most_code = (component.len() as u64).saturating_mul(CODE_FOR_A_BYTE).saturating_add(1 << 20);
    let (Some(mut input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err("the compiler has no pipes".to_owned());
    };
    let (answer, status) = std::thread::scope(|scope| {
        // It may end before it has read everything, and then writes the reason.
        scope.spawn(move || input.write_all(component));
        let reason = scope.spawn(move || read_at_most(errors, 1 << 16));
        let code = scope.spawn(move || read_at_most(output, most_code));
        let status = wait(&mut child, limits.wall_clock_limit());
        let read_to_end = |thread: std::thread::ScopedJoinHandle<'_, Vec<u8>>| thread.join().unwrap_or_default();
        ((read_to_end(code), read_to_end(reason)), status)
    });
    let (code, reason) = answer;
    match status {
        Ok(Some(status)) if status.success() => Ok(code),
        Ok(status) => Err(explain_exit(status, &reason, limits)),
        Err(error) => Err(format!("the compiler cannot be waited for: {error}")),
    }
}

fn read_at_most(from: impl Read, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    // More bytes are cut off, and the rest is not valid code; the pipe is closed, and the writer ends.
    let _ = from.take(most).read_to_end(&mut bytes);
    bytes
}

/// Waits for the end of a process, and ends it after so long. None: it was ended.
fn wait(child: &mut Child, longest: Duration) -> io::Result<Option<ExitStatus>> {
    let pid = child.id();
    let (ended, has_ended) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let is_late = has_ended.recv_timeout(longest) == Err(mpsc::RecvTimeoutError::Timeout);
            if is_late && let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
                // The process is waited for below, so its number has not been reused.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            is_late
        });
        let status = child.wait();
        drop(ended);
        let is_late = watch.join().unwrap_or_default();
        status.map(|status| (!is_late).then_some(status))
    })
}

fn explain_exit(status: Option<ExitStatus>, reason: &[u8], limits: CompileLimits) -> String {
    let CompileLimits { memory_bytes, cpu_seconds } = limits;
    let limits = format!("it may use {} MiB of memory and {cpu_seconds} s of processor time", memory_bytes >> 20);
    let Some(status) = status else { return format!("it took too long; {limits}") };
    if status.code().is_some() && !reason.is_empty() {
        let reason = String::from_utf8_lossy(reason);
        let shown = reason.trim().chars().filter(|character| !is_unsafe(*character));
        return shown.take(MAX_REASON_BYTES).collect();
    }
    format!("the compiler ended early ({status}); {limits}")
}

/// Compiles a component in a process that was started with [`CHILD_COMMAND`] and the name of settings: reads it from the standard input and
/// writes the compiled code to the standard output. The process sets its limits before it reads the component.
///
/// # Errors
/// The reason. The caller writes it to the standard error, which the parent reads, and exits with any code but 0.
pub fn compile_for_parent(settings: &str) -> Result<(), String> {
    let settings = CodeSettings::from_name(settings).ok_or_else(|| format!("there are no settings {settings:?}"))?;
    apply_limits(CompileLimits::of(MAX_COMPONENT_BYTES))
        .map_err(|error| format!("the limits of the compiler process cannot be set: {error}"))?;
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|error| format!("the compiler process cannot be set to end with its parent: {error}"))?;
    let mut component = Vec::new();
    let most = MAX_COMPONENT_BYTES as u64 + 1;
    io::stdin().lock().take(most).read_to_end(&mut component).map_err(|error| error.to_string())?;
    apply_limits(CompileLimits::of(component.len()))
        .map_err(|error| format!("the limits of the compiler process cannot be set: {error}"))?;
    let code = settings.compile(&component).map_err(|error| format!("{error:#}"))?;
    let mut output = io::stdout().lock();
    output
        .write_all(&code)
        .and_then(|()| output.flush())
        .map_err(|error| format!("the component cannot be passed to the compiler: {error}"))
}

fn apply_limits(limits: CompileLimits) -> io::Result<()> {
    lower_limit(Resource::Core, 0)?;
    lower_limit(Resource::Cpu, limits.cpu_seconds)?;
    // The limit counts memory that is written to, not memory that is reserved: allocators reserve more for each thread.
    lower_limit(Resource::Data, limits.memory_bytes)
}

/// Sets a limit, unless a stricter one is in force already, which only root could raise.
fn lower_limit(resource: Resource, most: u64) -> io::Result<()> {
    let most = getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
    Ok(setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_that_is_none_is_told_by_its_path() {
        let settings = CodeSettings::host().unwrap();
        let why = compile_in_child(Path::new("/no/such/program"), &[], &settings, b"x").unwrap_err();
        assert!(why.contains("/no/such/program does not start"), "{why}");
    }

    #[test]
    fn a_compiler_that_fails_or_never_ends_is_told_with_its_limits() {
        let limits = CompileLimits { memory_bytes: 96 << 20, cpu_seconds: 10 };
        let mut failing = Command::new("false").spawn().unwrap();
        let status = wait(&mut failing, Duration::from_secs(60)).unwrap();
        let why = explain_exit(status, b"", limits);
        assert!(why.contains("ended early") && why.contains("96 MiB") && why.contains("10 s"), "{why}");
        let mut hanging = Command::new("sleep").arg("600").spawn().unwrap();
        let status = wait(&mut hanging, Duration::from_millis(50)).unwrap();
        assert_eq!(status, None);
        assert!(explain_exit(status, b"", limits).contains("too long"));
    }

    #[test]
    fn processes_together_take_no_more_memory_than_one_may() {
        let memory = CompileMemory { reserved_bytes: Mutex::new(0), freed: Condvar::new() };
        let (first, second) = (memory.reserve(100 << 20), memory.reserve(MOST_MEMORY_BYTES - (100 << 20)));
        let (entered, has_entered) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let third = memory.reserve(1);
                entered.send(*memory.reserved_bytes.lock().unwrap()).unwrap();
                drop(third);
            });
            assert!(has_entered.try_recv().is_err(), "there is no room");
            drop(second);
            assert_eq!(has_entered.recv().unwrap(), (100 << 20) + 1);
        });
        drop(first);
        assert_eq!(*memory.reserved_bytes.lock().unwrap(), 0);
    }

    #[test]
    fn a_stricter_limit_that_is_in_force_is_kept() {
        let before = getrlimit(Resource::Core);
        lower_limit(Resource::Core, u64::MAX).unwrap();
        assert_eq!(getrlimit(Resource::Core).maximum, before.maximum);
    }

    #[test]
    fn settings_have_names_that_find_them() {
        for settings in [CodeSettings::host().unwrap(), CodeSettings::host().unwrap().with_metering()] {
            assert_eq!(CodeSettings::from_name(&settings.name()).unwrap().key(), settings.key());
        }
        assert!(CodeSettings::from_name("sparc").is_none());
    }
}
