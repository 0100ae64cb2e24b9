//! Keeps what a compiler made, and takes it again wherever the same is compiled on this machine.
//!
//! The compilers of JavaScript and Python store the memory of an interpreter that runs: with its random seeds and its
//! clock. Two runs on the same source give different bytes, and Damper identifies a component by its bytes. The seeds
//! are chosen within the compilers, which have no option for them. So the cache keeps each result by its inputs, and
//! another checkout of the same source is the same component. What counts is content: a file that is only touched is
//! the same.
//! Cargo does the same for Rust, and its output has no such seeds.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use damper_plugins::ownership::{self, GroupWrite};
use sha2::{Digest, Sha256};

use crate::error::ToolchainError;
use crate::files::replace_file;

/// The folder, in the cache, of what was compiled: `INPUTS.wasm`, and beside it its digest.
const COMPILED: &str = "compiled";
/// The extension of a compiled file's digest. Another program may have changed the file, or written half of it.
const RECORD: &str = "digest";
const WASM: &str = "wasm";
/// How many compiled files are kept: those that were used last. One of Python has 19 MB.
const MOST_KEPT: usize = 16;
/// Folders below a source folder that no compiler reads.
const NOT_READ: [&str; 1] = ["__pycache__"];
/// The most folders below a source folder that are looked through.
const MAX_DEPTH: usize = 32;

/// Everything that a compiler's output depends on.
pub(crate) struct Inputs(Sha256);

impl Inputs {
    /// The compiler, with its version and its options.
    pub(crate) fn new(compiler: &str) -> Self {
        let mut this = Self(Sha256::new());
        this.add("compiler", compiler.as_bytes());
        this
    }

    /// A text or a file's content. The name keeps two inputs apart.
    pub(crate) fn add(&mut self, name: &str, content: &[u8]) {
        for part in [name.as_bytes(), content] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }

    /// All files below a folder, with their paths in it.
    ///
    /// # Errors
    /// If one cannot be read.
    pub(crate) fn add_folder(&mut self, folder: &Path) -> Result<(), ToolchainError> {
        let mut files = Vec::new();
        collect_files(folder, 0, &mut files)?;
        files.sort();
        self.add("files", &(files.len() as u64).to_le_bytes());
        for file in files {
            let content = fs::read(&file).map_err(ToolchainError::file("read", &file))?;
            let name = file.strip_prefix(folder).unwrap_or(&file).to_string_lossy();
            self.add(&name, &content);
        }
        Ok(())
    }

    fn digest(self) -> String {
        to_hex(&self.0.finalize())
    }
}

/// Puts at `output` what was compiled of these inputs: what an earlier run made of them, else what `compile` writes
/// there.
///
/// # Errors
/// Those of `compile`, or if files cannot be read or written, or others can change what lies in the cache.
pub(crate) fn compile_once(
    cache: &Path,
    output: &Path,
    inputs: Inputs,
    compile: impl FnOnce() -> Result<(), ToolchainError>,
) -> Result<(), ToolchainError> {
    let store = Store::open(cache)?;
    let name = inputs.digest();
    // Of several programs that compile the same, one does, and the others take what it made. Held until the end of this
    // function, or of this program, however it ends.
    let lock = store.path(&name, "lock");
    let held = File::create(&lock).map_err(ToolchainError::file("write", &lock))?;
    held.lock().map_err(ToolchainError::file("lock", &lock))?;
    if store.take(&name, output)? {
        return Ok(());
    }
    compile()?;
    let made = fs::read(output).map_err(ToolchainError::file("read the compiled component", output))?;
    replace_file(&store.path(&name, WASM), &made)?;
    replace_file(&store.path(&name, RECORD), to_hex(&Sha256::digest(&made)).as_bytes())?;
    remove_unused(&store.folder);
    Ok(())
}

/// The folder of compiled files.
struct Store {
    folder: PathBuf,
    /// The same, open, so that nobody puts another in its place.
    opened: File,
}

impl Store {
    fn open(cache: &Path) -> Result<Self, ToolchainError> {
        let folder = cache.join(COMPILED);
        let opened = ownership::make_folder(&folder, GroupWrite::Private)
            .map_err(|error| ToolchainError::untrusted_folder(&folder, error))?;
        Ok(Self { folder, opened })
    }

    fn path(&self, name: &str, extension: &str) -> PathBuf {
        self.folder.join(name).with_extension(extension)
    }

    /// The content of a kept file; none if it is not there, as far as this program can see.
    fn read(&self, name: &str, extension: &str) -> Result<Option<Vec<u8>>, ToolchainError> {
        let file = PathBuf::from(name).with_extension(extension);
        match ownership::open_file(&self.opened, &self.folder, file.as_os_str(), GroupWrite::Private) {
            Ok(mut file) => {
                let mut bytes = Vec::new();
                Ok(file.read_to_end(&mut bytes).ok().map(|_| bytes))
            }
            Err(error) if error.is_absence() => Ok(None),
            Err(error) => Err(ToolchainError::untrusted_folder(&self.folder, error)),
        }
    }

    /// Puts a kept file at `output`. Returns whether it is there, and whole.
    fn take(&self, name: &str, output: &Path) -> Result<bool, ToolchainError> {
        let (Some(recorded), Some(bytes)) = (self.read(name, RECORD)?, self.read(name, WASM)?) else {
            return Ok(false);
        };
        if recorded != to_hex(&Sha256::digest(&bytes)).as_bytes() {
            return Ok(false);
        }
        // Written anew: its time says when it was used last.
        replace_file(&self.path(name, RECORD), &recorded)?;
        if !fs::read(output).is_ok_and(|found| found == bytes) {
            replace_file(output, &bytes)?;
        }
        Ok(true)
    }
}

/// Removes all but the compiled files that were used last. Best effort: what is left is removed another time.
fn remove_unused(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let is_record = |path: &PathBuf| path.extension().is_some_and(|extension| extension == RECORD);
    let used = |path: &PathBuf| fs::metadata(path).and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut records: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_record).collect();
    records.sort_by_cached_key(|path| std::cmp::Reverse(used(path)));
    for record in records.iter().skip(MOST_KEPT) {
        for extension in [RECORD, WASM, "lock"] {
            let _ = fs::remove_file(record.with_extension(extension));
        }
    }
}

fn collect_files(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), ToolchainError> {
    let unreadable = || ToolchainError::file("read the folder", folder);
    if depth > MAX_DEPTH {
        let what = format!("the folder has more than {MAX_DEPTH} folders within each other");
        return Err(ToolchainError::input_in(folder, what, "look for a link that leads back to a folder above it"));
    }
    for entry in fs::read_dir(folder).map_err(unreadable())? {
        let path = entry.map_err(unreadable())?.path();
        let is_read = !path.file_name().is_some_and(|name| NOT_READ.iter().any(|other| name == *other));
        if path.is_dir() && is_read {
            collect_files(&path, depth + 1, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Compiles as the real compilers do: other bytes each time. Returns whether it was run.
    fn build(cache: &Path, folder: &Path, compiler: &str) -> bool {
        let (output, mut has_run) = (output_of(folder), false);
        compile_once(cache, &output, inputs(folder, compiler), || {
            has_run = true;
            replace_file(&output, seed().as_bytes())
        })
        .unwrap();
        has_run
    }

    fn inputs(folder: &Path, compiler: &str) -> Inputs {
        let mut inputs = Inputs::new(compiler);
        inputs.add_folder(&folder.join("src")).unwrap();
        inputs
    }

    fn output_of(folder: &Path) -> PathBuf {
        folder.join("target/provider.wasm")
    }

    fn seed() -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        format!("seed {}", COUNT.fetch_add(1, Ordering::SeqCst))
    }

    fn project() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("src/provider.py", "one"), ("src/parts/a.py", "two"), ("README.md", "read")] {
            replace_file(&folder.path().join(name), text.as_bytes()).unwrap();
        }
        folder
    }

    fn list_kept(cache: &Path, extension: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(cache.join(COMPILED)).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
    }

    #[test]
    fn unchanged_source_gives_the_same_bytes() {
        let (cache, folder) = (tempfile::tempdir().unwrap(), project());
        assert!(build(cache.path(), folder.path(), "tool-1"));
        let first = fs::read(output_of(folder.path())).unwrap();
        let touch =
            |name: &str| File::open(folder.path().join(name)).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        touch("src/provider.py");
        touch("README.md");
        replace_file(&folder.path().join("README.md"), b"other").unwrap();
        replace_file(&folder.path().join("src/__pycache__/provider.pyc"), b"bytes").unwrap();
        assert!(!build(cache.path(), folder.path(), "tool-1"));
        assert_eq!(fs::read(output_of(folder.path())).unwrap(), first);
    }

    #[test]
    fn the_same_source_in_another_folder_gives_the_same_bytes() {
        let (cache, folder, checkout) = (tempfile::tempdir().unwrap(), project(), project());
        assert!(build(cache.path(), folder.path(), "tool-1"));
        assert!(!build(cache.path(), checkout.path(), "tool-1"));
        let bytes = |folder: &tempfile::TempDir| fs::read(output_of(folder.path())).unwrap();
        assert_eq!(bytes(&folder), bytes(&checkout));
    }

    #[test]
    fn of_several_at_once_one_compiles_and_all_have_its_bytes() {
        let (cache, projects) = (tempfile::tempdir().unwrap(), [(); 6].map(|()| project()));
        let compiled = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for project in &projects {
                let (cache, compiled) = (cache.path(), &compiled);
                scope.spawn(move || {
                    let has_run = build(cache, project.path(), "tool-1");
                    compiled.fetch_add(has_run.into(), Ordering::SeqCst)
                });
            }
        });
        assert_eq!(compiled.into_inner(), 1);
        let bytes = projects.map(|project| fs::read(output_of(project.path())).unwrap());
        assert!(bytes.iter().all(|other| *other == bytes[0]));
    }

    #[test]
    fn whatever_goes_into_it_makes_it_anew() {
        let (cache, folder) = (tempfile::tempdir().unwrap(), project());
        let at = |name: &str| folder.path().join(name);
        let build = |compiler| build(cache.path(), folder.path(), compiler);
        build("tool-1");
        assert!(build("tool-2"), "another compiler");
        replace_file(&at("src/parts/a.py"), b"three").unwrap();
        assert!(build("tool-2"), "a changed file");
        fs::rename(at("src/parts/a.py"), at("src/parts/b.py")).unwrap();
        assert!(build("tool-2"), "a renamed file");
        replace_file(&at("src/data.json"), b"").unwrap();
        assert!(build("tool-2"), "a new file");
        assert!(!build("tool-2"));
    }

    #[test]
    fn an_output_that_was_changed_or_removed_is_put_there_again() {
        let (cache, folder) = (tempfile::tempdir().unwrap(), project());
        build(cache.path(), folder.path(), "tool-1");
        let output = output_of(folder.path());
        let first = fs::read(&output).unwrap();
        fs::write(&output, "cut").unwrap();
        assert!(!build(cache.path(), folder.path(), "tool-1"));
        assert_eq!(fs::read(&output).unwrap(), first);
        fs::remove_file(&output).unwrap();
        assert!(!build(cache.path(), folder.path(), "tool-1"));
        assert_eq!(fs::read(&output).unwrap(), first);
    }

    #[test]
    fn what_is_kept_and_was_changed_or_cut_is_made_anew() {
        let (cache, folder) = (tempfile::tempdir().unwrap(), project());
        for extension in ["wasm", RECORD] {
            build(cache.path(), folder.path(), "tool-1");
            fs::write(&list_kept(cache.path(), extension)[0], "cut").unwrap();
            assert!(build(cache.path(), folder.path(), "tool-1"), "{extension}");
        }
    }

    #[test]
    fn those_that_were_used_last_are_kept() {
        let (cache, folder) = (tempfile::tempdir().unwrap(), project());
        let tool = |number: usize| format!("tool-{number}");
        for number in 0..MOST_KEPT {
            build(cache.path(), folder.path(), &tool(number));
        }
        for record in list_kept(cache.path(), RECORD) {
            File::open(record).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        assert!(!build(cache.path(), folder.path(), &tool(3)), "used once more");
        for number in MOST_KEPT..2 * MOST_KEPT - 1 {
            build(cache.path(), folder.path(), &tool(number));
        }
        for extension in ["wasm", RECORD, "lock"] {
            assert_eq!(list_kept(cache.path(), extension).len(), MOST_KEPT, "{extension}");
        }
        assert!(!build(cache.path(), folder.path(), &tool(3)));
        assert!(build(cache.path(), folder.path(), &tool(4)));
    }

    #[cfg(unix)]
    #[test]
    fn what_others_can_change_is_not_taken() {
        use std::os::unix::fs::PermissionsExt;
        let (cache, folder) = (tempfile::tempdir().unwrap(), project());
        build(cache.path(), folder.path(), "tool-1");
        fs::set_permissions(&list_kept(cache.path(), "wasm")[0], fs::Permissions::from_mode(0o666)).unwrap();
        let (output, inputs) = (output_of(folder.path()), inputs(folder.path(), "tool-1"));
        let error = compile_once(cache.path(), &output, inputs, || Ok(())).unwrap_err();
        assert!(error.to_string().contains("other users can write to"), "{error}");
    }

    #[test]
    fn a_failed_compilation_is_not_kept() {
        let (cache, folder) = (tempfile::tempdir().unwrap(), project());
        let fail = || Err(ToolchainError::input("no", "mend it"));
        let failed = compile_once(cache.path(), &output_of(folder.path()), Inputs::new("tool"), fail);
        assert!(failed.is_err());
        assert!(list_kept(cache.path(), "wasm").is_empty() && list_kept(cache.path(), RECORD).is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_back_is_an_error() {
        let folder = project();
        std::os::unix::fs::symlink(folder.path().join("src"), folder.path().join("src/again")).unwrap();
        let error = Inputs::new("tool").add_folder(&folder.path().join("src")).unwrap_err();
        assert!(error.to_string().contains("folders within each other"), "{error}");
    }
}
