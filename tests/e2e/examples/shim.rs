//! A library for `LD_PRELOAD`: it moves the clocks of a process, and holds or kills it, or has its disk full, at the
//! moment in which a chunk gets its name.
//!
//! | variable | is the path of | which says |
//! | --- | --- | --- |
//! | `DAMPER_SHIM_CLOCKS` | a file of 16 bytes | how far `CLOCK_REALTIME`, then how far `CLOCK_MONOTONIC`, are put forward: nanoseconds, signed, in the machine's byte order; they may change at any time |
//! | `DAMPER_SHIM_PUTS` | a file, which may be missing | a letter for each of the next puts, of any process: see the table below. A put takes the first letter away |
//!
//! | letter | what happens to the put |
//! | --- | --- |
//! | `.` | nothing |
//! | `w` | it waits, before the chunk gets its name, until the file is gone; the rest of the process goes on |
//! | `k` | SIGKILL before it |
//! | `K` | SIGKILL after it |
//! | `e` | "no space left on device" instead of the name |
//! | `E` | "input/output error" after it got the name |
//!
//! A put is the one `linkat` that gives a temporary file (`NAME#1`) its name; see `host/local/src/folder.rs`. An
//! example, because cargo builds a library of its own for an example, and builds examples with the tests. For Linux
//! with glibc: elsewhere it is empty.
#![cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    allow(
        unsafe_code,
        reason = "a function that is preloaded is called from C, with C's pointers, and calls the one it stands for"
    )
)]

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod preloaded {
    use std::ffi::{CStr, OsStr};
    use std::os::unix::ffi::OsStrExt;
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use libc::{c_char, c_int, clockid_t, timespec};

    const NANOS: i64 = 1_000_000_000;
    const PROBE: &[u8] = b".damper-probe";

    /// A variable, read without the standard library's lock: the clock may be asked for by the holder.
    fn variable(name: &CStr) -> Option<PathBuf> {
        // SAFETY: the name ends with a zero; what comes back is null or a text that ends with a zero and that nobody
        // changes here.
        let value = unsafe { libc::getenv(name.as_ptr()) };
        if value.is_null() {
            return None;
        }
        // SAFETY: as above.
        let value = unsafe { CStr::from_ptr(value) };
        Some(PathBuf::from(OsStr::from_bytes(value.to_bytes())))
    }

    /// How far the wall clock and the monotonic clock are put forward; shared with the test that sets it.
    fn offsets() -> Option<&'static [AtomicI64; 2]> {
        static OFFSETS: OnceLock<Option<&'static [AtomicI64; 2]>> = OnceLock::new();
        *OFFSETS.get_or_init(|| {
            // SAFETY: as in `variable`. The file is mapped for as long as the process lives; the mapping begins at a
            // page, so that the numbers in it are aligned, and they are read as atomics alone. A file that is too short
            // ends the process, and its test.
            unsafe {
                let path = libc::getenv(c"DAMPER_SHIM_CLOCKS".as_ptr());
                if path.is_null() {
                    return None;
                }
                let file = libc::open(path, libc::O_RDONLY | libc::O_CLOEXEC);
                let mapped = libc::mmap(std::ptr::null_mut(), 16, libc::PROT_READ, libc::MAP_SHARED, file, 0);
                libc::close(file);
                if mapped == libc::MAP_FAILED { None } else { Some(&*mapped.cast_const().cast::<[AtomicI64; 2]>()) }
            }
        })
    }

    /// The kernel's clock, put forward.
    ///
    /// # Safety
    /// As that of libc's function of this name.
    // SAFETY: the symbol is libc's, with its signature; standing for it is what this library is for.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
        // SAFETY: the caller's arguments, passed on.
        let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
        if result != 0 {
            return -1;
        }
        let which = match clock {
            libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => 0,
            libc::CLOCK_MONOTONIC | libc::CLOCK_MONOTONIC_COARSE | libc::CLOCK_MONOTONIC_RAW | libc::CLOCK_BOOTTIME => {
                1
            }
            _ => return 0,
        };
        if let Some(offset) = offsets().and_then(|offsets| offsets.get(which)) {
            let offset = offset.load(Ordering::Relaxed);
            // SAFETY: the kernel has just written there.
            let time = unsafe { &mut *time };
            let nanos = time.tv_nsec + offset % NANOS;
            time.tv_sec += offset / NANOS + nanos.div_euclid(NANOS);
            time.tv_nsec = nanos.rem_euclid(NANOS);
        }
        0
    }

    /// The order for this put: the first letter, which is taken away.
    fn take_order(from: *const c_char) -> Option<u8> {
        // SAFETY: a path that ends with a zero, as the caller of `linkat` has to give.
        let from = unsafe { CStr::from_ptr(from) }.to_bytes();
        let digits = from.get(from.iter().rposition(|byte| *byte == b'#')? + 1..)?;
        // A folder is probed in the same way before anything is put.
        let is_probe = from.windows(PROBE.len()).any(|part| part == PROBE);
        if is_probe || digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let file = variable(c"DAMPER_SHIM_PUTS")?;
        let letters = std::fs::read(&file).ok()?;
        let (first, rest) = letters.split_first()?;
        std::fs::write(&file, rest).ok()?;
        Some(*first)
    }

    /// Wait until the file of orders is gone.
    fn wait() {
        while variable(c"DAMPER_SHIM_PUTS").is_some_and(|file| file.exists()) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// libc's `linkat`, and what was ordered before or after it.
    ///
    /// # Safety
    /// As that of libc's function of this name.
    // SAFETY: the symbol is libc's, with its signature; standing for it is what this library is for.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn linkat(
        from_folder: c_int,
        from: *const c_char,
        to_folder: c_int,
        to: *const c_char,
        flags: c_int,
    ) -> c_int {
        let order = take_order(from);
        let raise = |signal: c_int| {
            // To this thread, which then stops or dies before it goes on.
            // SAFETY: a signal that the test wants here.
            unsafe { libc::raise(signal) };
        };
        let failed = |error: c_int| {
            // SAFETY: the place of this thread's error number.
            unsafe { *libc::__errno_location() = error };
            -1
        };
        match order {
            Some(b'w') => wait(),
            Some(b'k') => raise(libc::SIGKILL),
            Some(b'e') => return failed(libc::ENOSPC),
            _ => {}
        }
        // SAFETY: the caller's arguments, passed on.
        let result = unsafe { libc::syscall(libc::SYS_linkat, from_folder, from, to_folder, to, flags) };
        match order {
            Some(b'K') => raise(libc::SIGKILL),
            Some(b'E') => return failed(libc::EIO),
            _ => {}
        }
        c_int::try_from(result).unwrap_or(-1)
    }
}
