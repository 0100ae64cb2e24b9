//! Each test gives rights up in a thread of its own, which ends with it.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use super::*;

fn in_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(work).join().unwrap()
}

/// The files' layer alone is missing where the kernel is too old; a test of it then has nothing to look at.
fn has(report: &Report, layer: Layer) -> bool {
    match report.outcome(layer) {
        Outcome::Holds => true,
        Outcome::Missing(why) if layer == Layer::Files => {
            eprintln!("not tested: {why}");
            false
        }
        other => panic!("{layer}: {other:?}"),
    }
}

fn status(name: &str) -> String {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().trim().to_owned()
}

#[test]
fn a_process_that_fetches_gains_no_privileges_and_makes_no_such_calls() {
    in_thread(|| {
        let hardening = Hardening { dumps: false, files: false, ..Hardening::default() };
        let report = restrict(&Policy::for_fetching(), hardening);
        assert!(has(&report, Layer::SystemCalls) && has(&report, Layer::Privileges));
        assert_eq!((report.outcome(Layer::Files), report.outcome(Layer::Dumps)), (Outcome::Off, Outcome::Off));
        assert_eq!((status("NoNewPrivs").as_str(), status("Seccomp").as_str()), ("1", "2"));
        let refused = rustix::thread::set_thread_uid(rustix::process::getuid());
        assert_eq!(refused, Err(rustix::io::Errno::PERM));
        assert!(TcpListener::bind("127.0.0.1:0").is_ok());
        assert!(Command::new("true").status().unwrap().success());
    });
}

#[cfg(target_os = "linux")]
#[test]
#[allow(
    unsafe_code,
    reason = "the library has no function for `clone` as a process would call it to attack the kernel"
)]
fn a_process_makes_no_namespace_and_still_starts_threads_and_programs() {
    in_thread(|| {
        let report =
            restrict(&Policy::for_fetching(), Hardening { dumps: false, files: false, ..Hardening::default() });
        assert!(has(&report, Layer::SystemCalls));
        for flag in [libc::CLONE_NEWUSER, libc::CLONE_NEWNET, libc::CLONE_NEWUSER | libc::CLONE_NEWNS] {
            let flags = libc::c_ulong::from((flag | libc::SIGCHLD).unsigned_abs());
            // SAFETY: without a stack and without shared memory it does what `fork` does; a child, which must not come
            // to be, ends at once.
            let child = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
            if child == 0 {
                // SAFETY: it ends the process and touches nothing of it.
                unsafe { libc::_exit(0) };
            }
            assert_eq!((child, std::io::Error::last_os_error().raw_os_error()), (-1, Some(libc::EPERM)), "{flag:#x}");
        }
        assert_eq!(std::thread::spawn(|| 1).join().unwrap(), 1);
        assert!(Command::new("true").status().unwrap().success());
    });
}

#[test]
fn a_process_that_computes_opens_no_connection_and_starts_no_program() {
    in_thread(|| {
        let report = restrict(&Policy::for_computing(), Hardening { dumps: false, ..Hardening::default() });
        assert!(has(&report, Layer::SystemCalls));
        assert_eq!(TcpListener::bind("127.0.0.1:0").unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert_eq!(Command::new("/bin/true").status().unwrap_err().kind(), ErrorKind::PermissionDenied);
        if has(&report, Layer::Files) {
            assert_eq!(fs::read("/etc/passwd").unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
    });
}

#[test]
fn only_the_files_of_a_policy_are_seen_and_fewer_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    for name in ["seen", "own/below", "hidden"] {
        fs::create_dir_all(path.join(name)).unwrap();
        fs::write(path.join(name).join("file"), name).unwrap();
    }
    in_thread(move || {
        let mut policy = Policy::for_fetching();
        policy.readable.extend([path.join("seen"), path.join("not there")]);
        policy.writable.push(path.join("own"));
        let report = restrict(&policy, Hardening { dumps: false, system_calls: false, ..Hardening::default() });
        if !has(&report, Layer::Files) {
            return;
        }
        let denied = |result: std::io::Result<()>| result.unwrap_err().kind() == ErrorKind::PermissionDenied;
        assert_eq!(fs::read(path.join("seen/file")).unwrap(), b"seen");
        assert!(denied(fs::write(path.join("seen/file"), "x")));
        assert!(denied(fs::remove_file(path.join("seen/file"))));
        assert!(denied(fs::read(path.join("hidden/file")).map(drop)));
        assert!(denied(fs::read_dir(path.join("hidden")).map(drop)));
        fs::write(path.join("own/new"), "x").unwrap();
        fs::rename(path.join("own/new"), path.join("own/below/new")).unwrap();
        fs::remove_file(path.join("own/below/new")).unwrap();
        assert!(denied(fs::rename(path.join("own/below/file"), path.join("seen/file"))));
        assert!(fs::read("/etc/passwd").is_ok() && denied(fs::write("/etc/damper-test", "x")));
        assert!(Path::new("/proc/self/status").exists());
        // It starts itself, and no other program outside of the folders for libraries.
        assert!(denied(Command::new("/bin/sh").arg("-c").arg("true").status().map(drop)));
        let itself = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
        assert!(itself.status.success());
    });
}

#[test]
fn a_probe_leaves_the_process_its_rights() {
    let report = in_thread(|| {
        let report = probe(Hardening::default());
        assert_eq!(status("Seccomp"), "0");
        report
    });
    assert!(report.holding().any(|layer| layer == Layer::SystemCalls), "{report:?}");
    assert_eq!(report.outcome(Layer::Dumps), Outcome::Off);
}
