//! Keeps what a compiler made, and takes it again as long as nothing that went into it has changed.
//!
//! The compilers of JavaScript and Python store the memory of an interpreter that runs: with its random seeds and its
//! clock. Two runs on the same source give different bytes, and Damper identifies a component by its bytes. What counts
//! is content: a file that is only touched is the same. Cargo does the same for Rust, and its output has no such seeds.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::ToolchainError;
use crate::files::replace_file;

/// The extension of the file that says what the compiled file beside it was made of.
const RECORD: &str = "inputs";
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

/// Runs `compile`, which writes `output`, unless `output` is what an earlier run made of the same inputs.
///
/// # Errors
/// Those of `compile`, or if files cannot be read or written.
pub(crate) fn compile_once(
    output: &Path,
    inputs: Inputs,
    compile: impl FnOnce() -> Result<(), ToolchainError>,
) -> Result<(), ToolchainError> {
    let record = output.with_extension(RECORD);
    let inputs = inputs.digest();
    // It names the output's digest as well: another program may have changed the file, or written half of it.
    let expected = |output: &[u8]| format!("{inputs} {}\n", to_hex(&Sha256::digest(output)));
    if let (Ok(recorded), Ok(kept)) = (fs::read_to_string(&record), fs::read(output))
        && recorded == expected(&kept)
    {
        return Ok(());
    }
    compile()?;
    let made = fs::read(output).map_err(ToolchainError::file("read the compiled component", output))?;
    replace_file(&record, expected(&made).as_bytes())
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
    use std::fs::File;
    use std::time::SystemTime;

    use super::*;

    /// Compiles as the real compilers do: other bytes each time. Returns whether it was run.
    fn build(folder: &Path, compiler: &str) -> bool {
        let mut inputs = Inputs::new(compiler);
        inputs.add_folder(&folder.join("src")).unwrap();
        let (output, mut has_run) = (folder.join("target/provider.wasm"), false);
        compile_once(&output, inputs, || {
            has_run = true;
            replace_file(&output, seed().as_bytes())
        })
        .unwrap();
        has_run
    }

    fn seed() -> String {
        static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        format!("seed {}", COUNT.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
    }

    fn project() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("src/provider.py", "one"), ("src/parts/a.py", "two"), ("README.md", "read")] {
            replace_file(&folder.path().join(name), text.as_bytes()).unwrap();
        }
        folder
    }

    #[test]
    fn unchanged_source_gives_the_same_bytes() {
        let folder = project();
        assert!(build(folder.path(), "tool-1"));
        let output = folder.path().join("target/provider.wasm");
        let first = fs::read(&output).unwrap();
        let touch =
            |name: &str| File::open(folder.path().join(name)).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        touch("src/provider.py");
        touch("README.md");
        replace_file(&folder.path().join("README.md"), b"other").unwrap();
        replace_file(&folder.path().join("src/__pycache__/provider.pyc"), b"bytes").unwrap();
        assert!(!build(folder.path(), "tool-1"));
        assert_eq!(fs::read(&output).unwrap(), first);
    }

    #[test]
    fn whatever_goes_into_it_makes_it_anew() {
        let folder = project();
        let at = |name: &str| folder.path().join(name);
        build(folder.path(), "tool-1");
        assert!(build(folder.path(), "tool-2"), "another compiler");
        replace_file(&at("src/parts/a.py"), b"three").unwrap();
        assert!(build(folder.path(), "tool-2"), "a changed file");
        fs::rename(at("src/parts/a.py"), at("src/parts/b.py")).unwrap();
        assert!(build(folder.path(), "tool-2"), "a renamed file");
        replace_file(&at("src/data.json"), b"").unwrap();
        assert!(build(folder.path(), "tool-2"), "a new file");
        assert!(!build(folder.path(), "tool-2"));
    }

    #[test]
    fn an_output_that_was_changed_or_cut_is_made_anew() {
        let folder = project();
        build(folder.path(), "tool-1");
        let output = folder.path().join("target/provider.wasm");
        fs::write(&output, "cut").unwrap();
        assert!(build(folder.path(), "tool-1"));
        fs::remove_file(&output).unwrap();
        assert!(build(folder.path(), "tool-1"));
        fs::write(output.with_extension(RECORD), "").unwrap();
        assert!(build(folder.path(), "tool-1"));
    }

    #[test]
    fn a_failed_compilation_is_not_recorded() {
        let folder = project();
        let output = folder.path().join("target/provider.wasm");
        let failed = compile_once(&output, Inputs::new("tool"), || Err(ToolchainError::input("no", "mend it")));
        assert!(failed.is_err() && !output.with_extension(RECORD).exists());
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
