//! Controls the shim of `tests/e2e/examples/shim.rs` in the processes of a setup: their clocks, and the fates of their
//! puts.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, waitpid};

use crate::local_setup::{PATIENCE, require_built, target};

/// The shim of one setup.
pub(crate) struct Shim {
    clocks: PathBuf,
    puts: PathBuf,
    offsets: Mutex<Offsets>,
}

/// How far clocks are put forward, in nanoseconds.
#[derive(Default)]
struct Offsets {
    wall: i64,
    monotonic: i64,
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap()
}

impl Shim {
    /// Clocks as they are, and nothing ordered.
    pub(crate) fn new(folder: &Path) -> Self {
        let shim = Self { clocks: folder.join("clocks"), puts: folder.join("puts"), offsets: Mutex::default() };
        shim.change(|_| {});
        shim
    }

    /// Have a program load it.
    pub(crate) fn preload(&self, command: &mut Command) {
        command.env("LD_PRELOAD", require_built(&target().join("debug/examples/libshim.so")));
        command.env("DAMPER_SHIM_CLOCKS", &self.clocks).env("DAMPER_SHIM_PUTS", &self.puts);
    }

    /// The wall clock is put forward at once, as after a correction, or when a virtual machine goes on.
    pub(crate) fn step_forward(&self, by: Duration) {
        self.change(|offsets| offsets.wall += nanos(by));
    }

    /// The wall clock is put back at once.
    pub(crate) fn step_back(&self, by: Duration) {
        self.change(|offsets| offsets.wall -= nanos(by));
    }

    /// Time passes, by both clocks.
    pub(crate) fn pass(&self, time: Duration) {
        self.change(|offsets| {
            offsets.wall += nanos(time);
            offsets.monotonic += nanos(time);
        });
    }

    /// Sets the fates of the next puts of any process, a letter each; see the shim.
    pub(crate) fn order(&self, letters: &str) {
        std::fs::write(&self.puts, letters).unwrap();
    }

    /// Whether something was ordered and has been met.
    pub(crate) fn is_met(&self) -> bool {
        std::fs::read(&self.puts).is_ok_and(|letters| letters.is_empty())
    }

    /// Wait until all orders have been met. This polls the file.
    pub(crate) async fn wait_until_all_met(&self) {
        let met = async {
            while !self.is_met() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, met).await.expect("the order was never met");
    }

    /// Puts that wait go on.
    pub(crate) fn let_go(&self) {
        std::fs::remove_file(&self.puts).unwrap();
    }

    fn change(&self, how: impl FnOnce(&mut Offsets)) {
        let mut offsets = self.offsets.lock().unwrap();
        how(&mut offsets);
        let bytes = [offsets.wall.to_ne_bytes(), offsets.monotonic.to_ne_bytes()].concat();
        // In place: the processes have mapped the file.
        let file = File::options().write(true).create(true).truncate(false).open(&self.clocks).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
    }
}

/// Wait until a process has stopped. Its output meanwhile has to fit into its pipes.
pub(crate) async fn wait_until_stopped(child: &Child) {
    let pid = Pid::from_child(child);
    let waiting = tokio::task::spawn_blocking(move || waitpid(Some(pid), WaitOptions::UNTRACED));
    let waited = tokio::time::timeout(PATIENCE, waiting).await.expect("it never stopped").unwrap();
    let (_, status) = waited.unwrap().unwrap();
    assert!(status.stopped(), "it ended instead of stopping: {status:?}");
}
