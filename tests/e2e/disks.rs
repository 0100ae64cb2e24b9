//! Disks that are full, and then not any more. Small file systems in memory, where this process may mount them.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use damper_demo_api::{Latency, Settings};

use crate::local_setup::{LocalSetup, ids, text, wait};

const ITEMS: usize = 2_000;

/// A file system in memory; it goes with its guard.
struct Disk(PathBuf);

impl Disk {
    /// A file system of so many bytes at a folder, which is made. `None`: it cannot be mounted, which is said.
    fn mount(folder: &Path, bytes: u32) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let size = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "damper-test"]).arg(folder).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder.to_owned())),
            failed => {
                let why = failed.map_or_else(|error| error.to_string(), |output| text(&output));
                let test = std::thread::current().name().unwrap_or("a test").to_owned();
                eprintln!("not run: {test}: only root may mount a small file system ({why})");
                None
            }
        }
    }

    /// It has so many bytes from now on.
    fn resize(&self, bytes: u32) {
        let size = format!("remount,size={bytes}");
        assert!(Command::new("mount").args(["-o", &size]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A file system that cannot be unmounted now is unmounted after its last use.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn usual_api() -> Settings {
    Settings { latency: Latency { median_ms: 10.0, ..Latency::default() }, ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_disk_that_is_full_and_then_not_any_more_loses_and_doubles_nothing() {
    let setup = LocalSetup::demo(usual_api(), "").with_shim();
    let Some(disk) = Disk::mount(&setup.path().join("out"), 256 * 1024) else { return };
    setup.feed(ids("account", ITEMS));
    // The first chunks fit. Then the disk is full, twice, and a process dies with room again, between put and finish.
    for _ in 0..2 {
        let output = setup.run(&["run", "demo"]);
        assert_eq!(output.status.code(), Some(5), "{}", text(&output));
        assert!(text(&output).contains("No space left") || text(&output).contains("is full"), "{}", text(&output));
    }
    let stored = setup.stored_ids_once().len();
    assert!((1..ITEMS).contains(&stored), "{stored} fit");
    disk.resize(16 * 1024 * 1024);
    setup.shim().order("K");
    let killed = setup.run(&["run", "demo"]);
    assert_eq!(killed.status.signal(), Some(9), "{}", text(&killed));
    setup.shim().pass(Duration::from_secs(60));
    setup.drain();
    setup.assert_all_ended(ITEMS as u64).await;
    assert_eq!(setup.stored_ids_once().len(), ITEMS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_disk_is_full_and_then_not_any_more_loses_and_doubles_nothing() {
    let setup = LocalSetup::demo(usual_api(), "").with_database("db/damper.db").with_shim();
    let Some(disk) = Disk::mount(&setup.path().join("db"), 16 * 1024 * 1024) else { return };
    setup.feed(ids("account", ITEMS));
    // The existing data stays, and little can be added.
    let used = |name: &str| setup.path().join("db").join(name).metadata().map_or(0, |file| file.len());
    let full = ["damper.db", "damper.db-wal", "damper.db-shm"].map(used).iter().sum::<u64>() + 96 * 1024;
    disk.resize(u32::try_from(full).unwrap());
    let output = wait(setup.start(&["run", "demo"]), &["run"]);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    assert!(!text(&output).contains("panicked"), "{}", text(&output));
    disk.resize(64 * 1024 * 1024);
    setup.shim().pass(Duration::from_secs(60));
    setup.drain();
    setup.assert_all_ended(ITEMS as u64).await;
    assert_eq!(setup.stored_ids_once().len(), ITEMS);
}
