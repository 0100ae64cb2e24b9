//! Reading and writing damper.lock: whole or not at all, and one process at a time.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Candidate, Damaged, Growth, Lock, Verdict};
use crate::config::{self, Config};
use crate::context::Context;
use crate::error::CliError;
use crate::provider::Bound;

/// The longest file that is read, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;
/// It holds no secret, and belongs into version control.
const MODE: u32 = 0o644;

/// The file beside a damper.toml.
#[derive(Debug)]
pub(crate) struct LockFile {
    path: PathBuf,
}

/// The result of a change.
#[derive(Debug)]
pub(crate) enum WriteOutcome {
    /// The file holds it.
    Done,
    /// The file cannot be written.
    Unwritable(io::Error),
}

/// Holds providers against what is pinned, and pins what is new. Answers for each, in the same order, whether it may be used.
///
/// # Errors
/// If the file is there and cannot be used: then none of them may.
pub(crate) fn enforce(
    context: &Context,
    config: &Config,
    candidates: &[Candidate],
) -> Result<Vec<Result<(), CliError>>, CliError> {
    let Some(file) = LockFile::of(config) else { return Ok(candidates.iter().map(|_| Ok(())).collect()) };
    let mut verdicts = file.judge(candidates)?;
    let follows = |verdict: &Verdict| matches!(verdict, Verdict::New | Verdict::Changed);
    if verdicts.iter().any(follows) {
        let written = file.update(|lock| {
            // Once more: another process may have pinned them meanwhile.
            verdicts = candidates.iter().map(|candidate| lock.judge(candidate)).collect();
            let both = candidates.iter().zip(&verdicts);
            both.filter(|(_, verdict)| follows(verdict)).for_each(|(candidate, _)| lock.pin(candidate));
        })?;
        let both = candidates.iter().zip(&verdicts);
        // Hosts that the operator has listed are no news.
        let new = both.filter(|(candidate, verdict)| **verdict == Verdict::New && candidate.has_manifest_hosts);
        let new: Vec<&str> = new.map(|(candidate, _)| candidate.provider.as_str()).collect();
        file.tell(context, &new, &written);
    }
    Ok(file.to_results(candidates, verdicts))
}

/// As [`enforce`], for one provider that is about to be used.
///
/// # Errors
/// If it may not be used.
pub(crate) fn enforce_one(context: &Context, config: &Config, bound: &Bound) -> Result<(), CliError> {
    let candidate = Candidate::new(config, &bound.file, &bound.grants);
    enforce(context, config, &[candidate])?.into_iter().collect()
}

/// As [`enforce`], but nothing is written.
///
/// # Errors
/// As [`enforce`].
#[cfg(feature = "package")]
pub(crate) fn check(config: &Config, candidates: &[Candidate]) -> Result<Vec<Result<(), CliError>>, CliError> {
    let Some(file) = LockFile::of(config) else { return Ok(candidates.iter().map(|_| Ok(())).collect()) };
    let verdicts = file.judge(candidates)?;
    Ok(file.to_results(candidates, verdicts))
}

impl LockFile {
    /// The file of a configuration; none where there is no damper.toml: then no secret is given to anybody.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        config.file.as_ref().map(|file| Self { path: file.with_extension("lock") })
    }

    /// The path of the lock file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The content; `None` if there is no file.
    ///
    /// # Errors
    /// If it cannot be read, somebody else can change it, or it is damaged.
    pub(crate) fn read(&self) -> Result<Option<Lock>, CliError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CliError::file("read", &self.path)(error)),
        };
        config::check_changeable(&file, &self.path)?;
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text).map_err(CliError::file("read", &self.path))?;
        let lock = Lock::parse(&text).map_err(|Damaged(problem)| {
            let hint = "restore it from version control; or delete it, and check what `damper lock` then pins";
            CliError::input_in(&self.path, format!("the pinned grants cannot be read: {problem}"), hint)
        })?;
        Ok(Some(lock))
    }

    fn judge(&self, candidates: &[Candidate]) -> Result<Vec<Verdict>, CliError> {
        let lock = self.read()?.unwrap_or_default();
        Ok(candidates.iter().map(|candidate| lock.judge(candidate)).collect())
    }

    /// Changes what it holds, while no other process does.
    ///
    /// # Errors
    /// As [`LockFile::read`].
    pub(crate) fn update(&self, change: impl FnOnce(&mut Lock)) -> Result<WriteOutcome, CliError> {
        let _held = self.hold();
        let before = self.read()?.unwrap_or_default();
        let mut lock = before.clone();
        change(&mut lock);
        if before == lock {
            return Ok(WriteOutcome::Done);
        }
        let text = lock.text().map_err(|error| CliError::unexpected("write damper.lock", error))?;
        Ok(self.write(&text).map_or_else(WriteOutcome::Unwritable, |()| WriteOutcome::Done))
    }

    /// Holds its folder against other processes until what is answered is dropped. The file itself is replaced by each change. A
    /// file system without such locks, as of some networks, keeps nobody out; each change is still whole.
    fn hold(&self) -> Option<File> {
        let folder = File::open(self.folder()).ok()?;
        folder.lock().ok().map(|()| folder)
    }

    fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let draft = self.path.with_extension(format!("lock.{}.new", std::process::id()));
        let written = File::options().write(true).create_new(true).mode(MODE).open(&draft).and_then(|mut file| {
            // Regardless of the umask.
            file.set_permissions(Permissions::from_mode(MODE))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        let placed = written.and_then(|()| fs::rename(&draft, &self.path));
        if placed.is_err() {
            // Best effort: it may never have been made.
            let _ = fs::remove_file(&draft);
        }
        placed
    }

    fn tell(&self, context: &Context, new: &[&str], written: &WriteOutcome) {
        let (names, file) = (new.join(", "), self.path.display());
        match written {
            _ if new.is_empty() => {}
            WriteOutcome::Done => {
                context.screen.say(format!("{names}: first use, the hosts it may reach are pinned in {file}"))
            }
            WriteOutcome::Unwritable(error) => {
                context
                    .screen
                    .warn(format!("the hosts that {names} may reach are not pinned: cannot write {file}: {error}"));
            }
        }
    }

    fn to_results(&self, candidates: &[Candidate], verdicts: Vec<Verdict>) -> Vec<Result<(), CliError>> {
        let both = candidates.iter().zip(verdicts);
        both.map(|(candidate, verdict)| match verdict {
            Verdict::Refused(growth) => Err(self.refusal(&candidate.provider, &growth)),
            Verdict::New | Verdict::Changed | Verdict::Unchanged => Ok(()),
        })
        .collect()
    }

    /// Why a provider may not be used.
    fn refusal(&self, provider: &str, growth: &Growth) -> CliError {
        CliError::input_in(
            &self.path,
            format!("this build of {provider} asks for more than is pinned: {growth}"),
            format!("if you agree: `damper lock --accept {provider}`; else go back to the previous build"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::candidate_of;
    use super::*;

    fn new_lock_file() -> (tempfile::TempDir, LockFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damper.lock");
        (folder, LockFile { path })
    }

    #[test]
    fn concurrent_writers_lose_nothing() {
        let (folder, file) = new_lock_file();
        std::thread::scope(|scope| {
            for number in 0..16 {
                let file = &file;
                scope.spawn(move || {
                    let candidate = candidate_of(&format!("p{number}"), &["a.test"]);
                    assert!(matches!(file.update(|lock| lock.pin(&candidate)).unwrap(), WriteOutcome::Done));
                });
            }
        });
        assert_eq!(file.read().unwrap().unwrap().providers.len(), 16);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
        assert_eq!(fs::metadata(&file.path).unwrap().permissions().mode() & 0o7777, MODE);
    }

    #[test]
    fn what_is_as_it_was_is_not_written() {
        let (_folder, file) = new_lock_file();
        let pin = |lock: &mut Lock| lock.pin(&candidate_of("demo", &["a.test"]));
        file.update(pin).unwrap();
        fs::set_permissions(&file.path, Permissions::from_mode(0o600)).unwrap();
        file.update(pin).unwrap();
        assert_eq!(fs::metadata(&file.path).unwrap().permissions().mode() & 0o7777, 0o600, "it is the same file");
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_told() {
        let file = LockFile { path: "/nowhere/damper.lock".into() };
        let written = file.update(|lock| lock.pin(&candidate_of("demo", &["a.test"])));
        assert!(matches!(written, Ok(WriteOutcome::Unwritable(_))), "{written:?}");
    }

    #[test]
    fn a_file_that_is_damaged_or_that_others_can_change_is_refused() {
        let (_folder, file) = new_lock_file();
        fs::write(&file.path, "version = 1\n<<<<<<<\n").unwrap();
        let error = file.update(|_| panic!("nothing is changed")).unwrap_err();
        assert!(
            error.hint().unwrap().contains("version control") && error.exit() == crate::error::Exit::BadInput,
            "{error}"
        );
        fs::write(&file.path, "version = 1\n").unwrap();
        fs::set_permissions(&file.path, Permissions::from_mode(0o666)).unwrap();
        assert!(file.read().unwrap_err().to_string().contains("other users can write"));
        fs::set_permissions(&file.path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(file.read().unwrap(), Some(Lock::default()));
    }
}
