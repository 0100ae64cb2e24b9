//! Which component runs on which thread, in a file that outlives the process.
//!
//! A process that is killed cannot report which component it ran. Each thread therefore marks the provider and the item
//! in a file that is mapped into memory, while it runs a component's code or host work for it. A mark costs four
//! stores, and the kernel keeps the file's pages when the process is killed. The next process reads the marks of
//! processes that ended without removing their file, see [`CrashMarks`].
//!
//! Fetches that wait for an API are not marked, so a mark at the time of death is evidence against a component, and no
//! proof: a process may be killed for other reasons while a component runs.

use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use damper_core::control::crashes::Crash;
use damper_core::random::RandomSource;
use memmap2::MmapRaw;

use crate::lock::lock;

/// The number of threads that can mark at a time; further threads do not mark.
const SLOTS: usize = 256;
/// A slot's words: the provider, its component, the item, and nothing more up to the end of a cache line, which no
/// other thread writes to.
const SLOT_WORDS: usize = 8;
const WORD_BYTES: usize = size_of::<u64>();
const FILE_BYTES: usize = SLOTS * SLOT_WORDS * WORD_BYTES;
/// The extension of the files.
const ENDING: &str = "marks";

/// The slot of a thread: numbered in the order in which threads first run a component.
static NEXT_SLOT: AtomicUsize = AtomicUsize::new(0);
thread_local! {
    static SLOT: usize = NEXT_SLOT.fetch_add(1, Ordering::Relaxed);
}

/// A provider and its component. Another build of the component is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MarkedComponent {
    provider: u64,
    component: u64,
}

impl MarkedComponent {
    /// The provider of this name, with the component of this digest.
    pub(crate) fn new(provider: &str, digest: &str) -> Self {
        Self { provider: hash(&provider), component: hash(&digest) }
    }

    /// Whether this is a component of the provider of this name.
    #[must_use]
    pub fn is_of(self, provider: &str) -> bool {
        self.provider == hash(&provider)
    }
}

/// An item of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct MarkedItem(u64);

impl MarkedItem {
    /// The item with this id and these parameters.
    pub(crate) fn new(identity: &impl Hash) -> Self {
        Self(hash(identity))
    }

    /// The item as a name, for comparing it with another.
    #[must_use]
    pub(crate) fn name(self) -> String {
        format!("{:016x}", self.0)
    }
}

/// The same in each process of one release; another release may hash otherwise, and then marks of the one before match
/// nothing.
fn hash(hashed: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    hashed.hash(&mut hasher);
    // Zero means that nothing runs.
    hasher.finish().max(1)
}

/// The marks of this process. The file is locked while the process lives, and removed when this is dropped.
#[derive(Debug)]
pub struct ExecutionMarks {
    path: PathBuf,
    /// Holds the lock.
    _file: File,
    map: MmapRaw,
}

impl ExecutionMarks {
    /// Creates the file of this process in a folder, which is made if it is missing.
    ///
    /// # Errors
    /// If the folder or the file cannot be made, locked or mapped.
    pub fn create(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(format!("{}-{:032x}.{ENDING}", std::process::id(), RandomSource::System.bits()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        file.lock()?;
        // Written rather than only made longer, so that the disk has room for it: a page that cannot be stored ends a
        // process.
        file.write_all_at(&[0; FILE_BYTES], 0)?;
        let map = MmapRaw::map_raw(&file)?;
        Ok(Self { path, _file: file, map })
    }

    /// Marks an item of a component as running on this thread, until the guard is dropped.
    pub(crate) fn mark(&self, component: MarkedComponent, item: MarkedItem) -> MarkGuard<'_> {
        let slot = SLOT.with(|slot| *slot);
        if slot >= SLOTS {
            return MarkGuard(None);
        }
        let word = |number: usize| self.word(slot * SLOT_WORDS + number);
        word(2).store(item.0, Ordering::Relaxed);
        word(1).store(component.component, Ordering::Relaxed);
        // Written last: a slot is in use while this word is not zero.
        word(0).store(component.provider, Ordering::Release);
        MarkGuard(Some(word(0)))
    }

    #[allow(unsafe_code, reason = "memory that other processes see can only be reached by its address")]
    fn word(&self, index: usize) -> &AtomicU64 {
        debug_assert!(index < SLOTS * SLOT_WORDS);
        // SAFETY: the map begins at a page, is `FILE_BYTES` long and lives as long as `self`; `index` is below the
        // number of words in it. All access to it is atomic: this process's by this function, others' by reading the
        // file.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().cast::<u64>().add(index)) }
    }
}

impl Drop for ExecutionMarks {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(file = %self.path.display(), %error, "the file of execution marks was not removed");
        }
    }
}

/// A mark, until it is dropped.
pub(crate) struct MarkGuard<'a>(Option<&'a AtomicU64>);

impl Drop for MarkGuard<'_> {
    fn drop(&mut self) {
        if let Some(word) = self.0 {
            word.store(0, Ordering::Release);
        }
    }
}

/// A component that ran, and its item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RunningItem {
    /// The component.
    component: MarkedComponent,
    /// The item.
    item: MarkedItem,
}

/// The marks of a process that died: the components that it was running.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AbandonedMarks {
    /// The process, by the name of its file.
    process: String,
    /// The components that ran.
    running: Vec<RunningItem>,
    path: PathBuf,
}

impl AbandonedMarks {
    /// Removes these marks. Call it once they are recorded: a process that dies before it is read again, under the same
    /// name.
    ///
    /// # Errors
    /// If the file cannot be removed.
    fn forget(&self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

/// The marks of all processes that used this folder and have died. Files of living processes are left alone.
///
/// # Errors
/// If the folder cannot be read. A folder that does not exist holds none.
fn read_abandoned_marks(folder: &Path) -> io::Result<Vec<AbandonedMarks>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut left = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == ENDING)
            && let Some(running) = read_if_abandoned(&path)?
        {
            let process = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            left.push(AbandonedMarks { process, running, path });
        }
    }
    Ok(left)
}

/// The components that a dead process was running. None: the process is alive, or its file was removed meanwhile.
fn read_if_abandoned(path: &Path) -> io::Result<Option<Vec<RunningItem>>> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let mut bytes = Vec::with_capacity(FILE_BYTES);
    file.take(FILE_BYTES as u64).read_to_end(&mut bytes)?;
    // The process died before it had written the file, and ran nothing yet.
    if bytes.len() < FILE_BYTES {
        return Ok(Some(Vec::new()));
    }
    let words: Vec<u64> = bytes.as_chunks::<WORD_BYTES>().0.iter().map(|bytes| u64::from_ne_bytes(*bytes)).collect();
    let slots = words.as_chunks::<SLOT_WORDS>().0.iter();
    let running = slots.filter(|[provider, ..]| *provider != 0).map(|[provider, component, item, ..]| RunningItem {
        component: MarkedComponent { provider: *provider, component: *component },
        item: MarkedItem(*item),
    });
    Ok(Some(running.collect()))
}

/// The marks of this process, and those that dead processes left behind in the same folder.
#[derive(Debug)]
pub struct CrashMarks {
    own: Option<Arc<ExecutionMarks>>,
    abandoned: Mutex<Vec<AbandonedMarks>>,
}

impl CrashMarks {
    /// Reads the marks of dead processes in a folder, and creates the file of this process there. Neither failure stops
    /// a program: `on_error` reports it, and crashes are then not traced to a component.
    pub fn open(folder: &Path, on_error: impl Fn(&io::Error)) -> Self {
        let abandoned = read_abandoned_marks(folder).inspect_err(&on_error).unwrap_or_default();
        let own = ExecutionMarks::create(folder).inspect_err(&on_error).ok().map(Arc::new);
        let marks = Self { own, abandoned: Mutex::new(abandoned) };
        // Files of processes that were running nothing.
        marks.forget(|_| false);
        marks
    }

    /// The marks of this process; `None`: they cannot be kept.
    #[must_use]
    pub fn own(&self) -> Option<Arc<ExecutionMarks>> {
        self.own.clone()
    }

    /// The processes that died while this component ran, which has this digest.
    #[must_use]
    pub fn find_crashes(&self, component: MarkedComponent, digest: &str) -> Vec<Crash> {
        let crash = |marks: &AbandonedMarks| {
            let running = marks.running.iter().find(|running| running.component == component)?;
            Some(Crash { process: marks.process.clone(), component: digest.to_owned(), item: running.item.name() })
        };
        self.lock_abandoned().iter().filter_map(crash).collect()
    }

    /// Forgets the marks of dead processes that are recorded in the ledger, and removes files without further marks.
    pub fn forget(&self, is_recorded: impl Fn(MarkedComponent) -> bool) {
        self.lock_abandoned().retain_mut(|marks| {
            marks.running.retain(|running| !is_recorded(running.component));
            if marks.running.is_empty()
                && let Err(error) = marks.forget()
            {
                tracing::debug!(process = marks.process, %error, "the marks of a dead process were not removed");
            }
            !marks.running.is_empty()
        });
    }

    fn lock_abandoned(&self) -> MutexGuard<'_, Vec<AbandonedMarks>> {
        lock(&self.abandoned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT: fn() -> MarkedComponent = || MarkedComponent::new("demo", "sha256:00");

    #[test]
    fn a_living_process_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let marks = ExecutionMarks::create(folder.path()).unwrap();
        let _marked = marks.mark(COMPONENT(), MarkedItem::new(&"a"));
        assert_eq!(read_abandoned_marks(folder.path()).unwrap(), []);
    }

    #[test]
    fn a_process_that_ends_by_itself_removes_its_file() {
        let folder = tempfile::tempdir().unwrap();
        drop(ExecutionMarks::create(folder.path()).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// Leaves the file of a killed process: a copy without a lock.
    fn copy_as_killed(folder: &Path, marks: &ExecutionMarks) {
        std::fs::copy(&marks.path, folder.join("4711-0.marks")).unwrap();
    }

    #[test]
    fn what_ran_at_the_time_of_death_is_read_until_it_is_forgotten() {
        let (own, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let marks = ExecutionMarks::create(own.path()).unwrap();
        let item = MarkedItem::new(&"a");
        let marked = marks.mark(COMPONENT(), item);
        copy_as_killed(folder.path(), &marks);
        let left = read_abandoned_marks(folder.path()).unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].process, "4711-0");
        assert_eq!(left[0].running, [RunningItem { component: COMPONENT(), item }]);
        assert!(COMPONENT().is_of("demo") && !COMPONENT().is_of("other"));
        left[0].forget().unwrap();
        assert_eq!(read_abandoned_marks(folder.path()).unwrap(), []);

        drop(marked);
        copy_as_killed(folder.path(), &marks);
        assert_eq!(read_abandoned_marks(folder.path()).unwrap()[0].running, []);
    }

    #[test]
    fn each_thread_has_a_mark_of_its_own() {
        let (own, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let marks = ExecutionMarks::create(own.path()).unwrap();
        let barrier = std::sync::Barrier::new(3);
        std::thread::scope(|scope| {
            for id in ["a", "b"] {
                let (marks, barrier) = (&marks, &barrier);
                scope.spawn(move || {
                    let _marked = marks.mark(COMPONENT(), MarkedItem::new(&id));
                    barrier.wait();
                    barrier.wait();
                });
            }
            barrier.wait();
            copy_as_killed(folder.path(), &marks);
            barrier.wait();
        });
        let running = &read_abandoned_marks(folder.path()).unwrap()[0].running;
        let mut items: Vec<String> = running.iter().map(|running| running.item.name()).collect();
        items.sort();
        let mut expected = ["a", "b"].map(|id| MarkedItem::new(&id).name());
        expected.sort();
        assert_eq!(items, expected);
    }

    #[test]
    fn a_file_that_was_cut_and_a_folder_that_is_missing_tell_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("1-0.marks"), b"short").unwrap();
        std::fs::write(folder.path().join("note.txt"), b"not ours").unwrap();
        let left = read_abandoned_marks(folder.path()).unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].running, []);
        assert_eq!(read_abandoned_marks(&folder.path().join("missing")).unwrap(), []);
    }
}
