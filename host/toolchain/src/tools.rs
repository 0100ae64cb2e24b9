//! Compilers that come from a language's own registry: fetched at a pinned version when first needed, into the cache,
//! once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use damper_plugins::ownership::{self, GroupWrite};

use crate::build_context::Progress;
use crate::error::ToolchainError;

/// Written last, so that a folder without it is begun anew.
const COMPLETE: &str = ".complete";

/// The folder of a tool in the cache, installed by `install` if it is not there yet. Of several programs that want it
/// at once one installs it and the others wait.
///
/// # Errors
/// Those of `install`, or where the cache cannot be written.
pub(crate) fn ensure(
    cache: &Path,
    name: &str,
    (progress, announcement): (&dyn Progress, &str),
    install: impl FnOnce(&Path) -> Result<(), ToolchainError>,
) -> Result<PathBuf, ToolchainError> {
    let tools = cache.join("tools");
    ownership::make_folder(&tools, GroupWrite::Private)
        .map_err(|error| ToolchainError::untrusted_folder(&tools, error))?;
    let (folder, lock) = (tools.join(name), tools.join(format!("{name}.lock")));
    let complete = folder.join(COMPLETE);
    if complete.is_file() {
        check_programs(&folder)?;
        return Ok(folder);
    }
    // Held until the end of this function, or of this program, however it ends.
    let held = File::create(&lock).map_err(ToolchainError::file("write", &lock))?;
    held.lock().map_err(ToolchainError::file("lock", &lock))?;
    if complete.is_file() {
        check_programs(&folder)?;
        return Ok(folder);
    }
    progress.report(announcement);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(ToolchainError::file("remove the files of an earlier attempt", &folder))?;
    }
    install(&folder)?;
    fs::write(&complete, []).map_err(ToolchainError::file("write", &complete))?;
    Ok(folder)
}

/// Refuses a folder of programs where others can change a single one of its files.
///
/// # Errors
/// If they can, naming the file.
pub fn check_programs(folder: &Path) -> Result<(), ToolchainError> {
    ownership::check_tree(folder, GroupWrite::Private).map_err(|error| ToolchainError::untrusted_folder(folder, error))
}

/// Run a program to its end. Its standard error is passed through; its standard output is returned.
///
/// # Errors
/// If it cannot be run (`hint_if_missing`) or fails (`hint_if_failed`).
pub(crate) fn run(
    command: &mut Command,
    program: &'static str,
    hint_if_missing: &str,
    hint_if_failed: &str,
) -> Result<Output, ToolchainError> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(|error| {
        ToolchainError::Tool { program, status: None, hint: format!("it cannot be run ({error}); {hint_if_missing}") }
    })?;
    if output.status.success() {
        return Ok(output);
    }
    Err(ToolchainError::Tool { program, status: output.status.code(), hint: hint_if_failed.to_owned() })
}

/// Run a compiler on the provider in `path`.
///
/// # Errors
/// If it cannot be run, or the provider does not compile, which it says on standard error.
pub(crate) fn compile(command: &mut Command, program: &'static str, path: &Path) -> Result<(), ToolchainError> {
    let hint = "remove the folder `tools` from damper's cache and build again";
    match run(command, program, hint, hint) {
        Err(ToolchainError::Tool { status: Some(_), .. }) => Err(ToolchainError::Compile { path: path.to_path_buf() }),
        ended => ended.map(drop),
    }
}

/// Refuses a version below `least`, of a program that told `said`.
///
/// # Errors
/// If it is older, or tells nothing that reads like a version.
pub(crate) fn check_version(program: &str, said: &[u8], least: (u32, u32), hint: &str) -> Result<(), ToolchainError> {
    let said = String::from_utf8_lossy(said).trim().to_owned();
    if version(&said).is_some_and(|version| version >= least) {
        return Ok(());
    }
    let (major, minor) = least;
    Err(ToolchainError::input(format!("{program} is version {said:?}, and {major}.{minor} or newer is needed"), hint))
}

/// Major and minor of a text such as "v20.1.2" or "Python 3.11.7".
fn version(text: &str) -> Option<(u32, u32)> {
    let number = text.rsplit(' ').next()?.trim_start_matches('v');
    let mut parts = number.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Silent;

    impl Progress for Silent {
        fn report(&self, _: &str) {}
    }

    fn install(folder: &Path) -> Result<(), ToolchainError> {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("tool"), "whole").unwrap();
        Ok(())
    }

    #[test]
    fn of_several_at_once_one_installs_and_all_find_it_whole() {
        let (cache, count) = (tempfile::tempdir().unwrap(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let folder = ensure(cache.path(), "x-1", (&Silent, "fetching"), |folder| {
                        count.fetch_add(1, Ordering::SeqCst);
                        install(folder)
                    });
                    assert_eq!(fs::read_to_string(folder.unwrap().join("tool")).unwrap(), "whole");
                });
            }
        });
        assert_eq!(count.into_inner(), 1);
    }

    #[test]
    fn what_a_failed_attempt_left_is_begun_anew() {
        let cache = tempfile::tempdir().unwrap();
        let failed = ensure(cache.path(), "x-1", (&Silent, "fetching"), |folder| {
            install(folder)?;
            Err(ToolchainError::input("no network", "get one"))
        });
        assert!(failed.is_err());
        let folder = ensure(cache.path(), "x-1", (&Silent, "fetching"), install).unwrap();
        assert!(folder.join("tool").is_file());
    }

    #[test]
    fn a_program_that_others_can_change_is_not_run() {
        use std::os::unix::fs::PermissionsExt;
        let cache = tempfile::tempdir().unwrap();
        let folder = ensure(cache.path(), "x-1", (&Silent, "fetching"), install).unwrap();
        let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        for path in [folder.join("tool"), folder.clone(), cache.path().join("tools"), cache.path().to_path_buf()] {
            let before = fs::metadata(&path).unwrap().permissions().mode();
            allow(&path, 0o777);
            let error = ensure(cache.path(), "x-1", (&Silent, "fetching"), install).unwrap_err();
            assert!(error.to_string().contains("other users can write to"), "{error}");
            assert!(error.hint().is_some_and(|hint| !hint.contains("chmod")), "{error}");
            allow(&path, before);
        }
        ensure(cache.path(), "x-1", (&Silent, "fetching"), install).unwrap();
    }

    #[test]
    fn a_version_is_read_and_compared() {
        for (said, fits) in [("v20.11.0", true), ("v22.0.0\n", true), ("v18.19.1", false), ("", false), ("node", false)]
        {
            assert_eq!(check_version("node", said.as_bytes(), (20, 0), "update it").is_ok(), fits, "{said}");
        }
        assert!(check_version("python3", b"Python 3.11.7", (3, 11), "").is_ok());
        assert!(check_version("python3", b"Python 3.9.2", (3, 11), "").is_err());
    }
}
