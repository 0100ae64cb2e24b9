//! Reading and writing damper.lock: whole or not at all, and one process at a time.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Candidate, Damaged, Growth, Lock, Verdict};
use crate::config::{self, Config, ConfigError};

/// The longest file that is read, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;
/// It holds no secret, and belongs into version control.
const MODE: u32 = 0o644;

/// The file beside a damper.toml.
#[derive(Debug)]
pub struct LockFile {
    path: PathBuf,
}

/// The result of a change.
#[derive(Debug)]
pub enum WriteOutcome {
    /// The file holds it.
    Done,
    /// The file cannot be written.
    Unwritable(io::Error),
}

/// Why a damper.lock cannot be used, or does not let a provider be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file cannot be read.
    #[error("cannot read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's message.
        source: io::Error,
    },
    /// Somebody else can change the file.
    #[error(transparent)]
    Changeable(#[from] ConfigError),
    /// The file is no damper.lock of this version.
    #[error("the pinned grants cannot be read: {problem}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// The content has no text.
    #[error("cannot write damper.lock: {0}")]
    Unwritable(#[from] toml::ser::Error),
    /// A provider asks for more than is pinned.
    #[error("this build of {provider} asks for more than is pinned: {growth}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// The provider.
        provider: String,
        /// Its requests beyond its pin.
        growth: Growth,
    },
}

impl LockError {
    /// The file at fault.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        match self {
            Self::Unreadable { path, .. } | Self::Damaged { path, .. } | Self::Refused { path, .. } => {
                Some(path.display().to_string())
            }
            Self::Changeable(error) => Some(error.place()),
            Self::Unwritable(_) => None,
        }
    }

    /// The hint that goes with the error.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Damaged { .. } => {
                Some("restore it from version control; or delete it, and check what `damper lock` then pins".to_owned())
            }
            Self::Refused { provider, .. } => {
                Some(format!("if you agree: `damper lock --accept {provider}`; else go back to the previous build"))
            }
            Self::Changeable(error) => error.hint(),
            Self::Unreadable { .. } | Self::Unwritable(_) => None,
        }
    }
}

/// Providers held against what is pinned.
#[derive(Debug)]
pub struct Enforced {
    /// For each of them, in the same order, whether it may be used.
    pub answers: Vec<Result<(), LockError>>,
    /// Those that the operator should hear of; `None`: there are none.
    pub first_use: Option<FirstUse>,
}

/// Providers that were pinned for the first time, with hosts that the operator has not listed.
#[derive(Debug)]
pub struct FirstUse {
    /// Their names.
    pub providers: Vec<String>,
    /// The damper.lock.
    pub file: PathBuf,
    /// Whether it holds them.
    pub outcome: WriteOutcome,
}

/// Holds providers against what is pinned, and pins what is new.
///
/// # Errors
/// If the file is there and cannot be used: then none of them may.
pub fn enforce(config: &Config, candidates: &[Candidate]) -> Result<Enforced, LockError> {
    let Some(file) = LockFile::of(config) else {
        return Ok(Enforced { answers: candidates.iter().map(|_| Ok(())).collect(), first_use: None });
    };
    let mut verdicts = file.judge(candidates)?;
    let mut first_use = None;
    let follows = |verdict: &Verdict| matches!(verdict, Verdict::New | Verdict::Changed);
    if verdicts.iter().any(follows) {
        let outcome = file.update(|lock| {
            // Once more: another process may have pinned them meanwhile.
            verdicts = candidates.iter().map(|candidate| lock.judge(candidate)).collect();
            let both = candidates.iter().zip(&verdicts);
            both.filter(|(_, verdict)| follows(verdict)).for_each(|(candidate, _)| lock.pin(candidate));
        })?;
        let both = candidates.iter().zip(&verdicts);
        // Hosts that the operator has listed are no news.
        let new = both.filter(|(candidate, verdict)| **verdict == Verdict::New && candidate.has_manifest_hosts);
        let providers: Vec<String> = new.map(|(candidate, _)| candidate.provider.clone()).collect();
        first_use = (!providers.is_empty()).then(|| FirstUse { providers, file: file.path.clone(), outcome });
    }
    Ok(Enforced { answers: file.to_results(candidates, verdicts), first_use })
}

/// As [`enforce`], but nothing is written. Answers for each candidate, in the same order, whether it may be used.
///
/// # Errors
/// As [`enforce`].
pub fn check(config: &Config, candidates: &[Candidate]) -> Result<Vec<Result<(), LockError>>, LockError> {
    let Some(file) = LockFile::of(config) else { return Ok(candidates.iter().map(|_| Ok(())).collect()) };
    let verdicts = file.judge(candidates)?;
    Ok(file.to_results(candidates, verdicts))
}

impl LockFile {
    /// The file of a configuration; none where there is no damper.toml: then no secret is given to anybody.
    #[must_use]
    pub fn of(config: &Config) -> Option<Self> {
        config.file.as_ref().map(|file| Self { path: file.with_extension("lock") })
    }

    /// The path of the lock file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content; `None` if there is no file.
    ///
    /// # Errors
    /// If it cannot be read, somebody else can change it, or it is damaged.
    pub fn read(&self) -> Result<Option<Lock>, LockError> {
        let unreadable = |source| LockError::Unreadable { path: self.path.clone(), source };
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        config::check_changeable(&file, &self.path)?;
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text).map_err(unreadable)?;
        let damaged = |Damaged(problem)| LockError::Damaged { path: self.path.clone(), problem };
        Lock::parse(&text).map(Some).map_err(damaged)
    }

    fn judge(&self, candidates: &[Candidate]) -> Result<Vec<Verdict>, LockError> {
        let lock = self.read()?.unwrap_or_default();
        Ok(candidates.iter().map(|candidate| lock.judge(candidate)).collect())
    }

    /// Changes what it holds, while no other process does.
    ///
    /// # Errors
    /// As [`LockFile::read`].
    pub fn update(&self, change: impl FnOnce(&mut Lock)) -> Result<WriteOutcome, LockError> {
        let _held = self.hold();
        let before = self.read()?.unwrap_or_default();
        let mut lock = before.clone();
        change(&mut lock);
        if before == lock {
            return Ok(WriteOutcome::Done);
        }
        let text = lock.text()?;
        Ok(self.write(&text).map_or_else(WriteOutcome::Unwritable, |()| WriteOutcome::Done))
    }

    /// Holds its folder against other processes until what is answered is dropped. The file itself is replaced by each
    /// change. A file system without such locks, as of some networks, keeps nobody out; each change is still whole.
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

    fn to_results(&self, candidates: &[Candidate], verdicts: Vec<Verdict>) -> Vec<Result<(), LockError>> {
        let both = candidates.iter().zip(verdicts);
        both.map(|(candidate, verdict)| match verdict {
            Verdict::Refused(growth) => {
                let (path, provider) = (self.path.clone(), candidate.provider.clone());
                Err(LockError::Refused { path, provider, growth })
            }
            Verdict::New | Verdict::Changed | Verdict::Unchanged => Ok(()),
        })
        .collect()
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
        assert!(matches!(error, LockError::Damaged { .. }), "{error}");
        assert!(error.hint().unwrap().contains("version control"), "{error}");
        fs::write(&file.path, "version = 1\n").unwrap();
        fs::set_permissions(&file.path, Permissions::from_mode(0o666)).unwrap();
        assert!(file.read().unwrap_err().to_string().contains("other users can write"));
        fs::set_permissions(&file.path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(file.read().unwrap(), Some(Lock::default()));
    }
}
