//! Embeds the SDK and the contract, so that `damper new` and `damper build` work anywhere on the disk. The list of
//! files is made here, from what lies in `sdk` and `wit`; `src/sdk.rs` includes it.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The folders that are embedded, from the root of the repository.
const FOLDERS: [&str; 6] = ["sdk/rust", "sdk/js", "sdk/python", "sdk/template", "sdk/recipes", "wit"];
/// Folders within them that are not, but for what lies in a template or a recipe.
const LEFT_OUT: [&str; 5] = ["test", "tests", "target", "node_modules", "__pycache__"];
const TEMPLATES: [&str; 2] = ["template", "recipes"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let mut files = Vec::new();
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    let mut digest = Sha256::new();
    let mut list = String::from("pub(crate) const FILES: &[(&str, &[u8])] = &[\n");
    for file in files {
        let name = file.strip_prefix(&root)?.to_str().ok_or("a file's name is not UTF-8")?.replace('\\', "/");
        let content = fs::read(&file)?;
        digest.update((name.len() as u64).to_le_bytes());
        digest.update(&name);
        digest.update((content.len() as u64).to_le_bytes());
        digest.update(&content);
        writeln!(list, "    ({name:?}, include_bytes!({file:?})),")?;
    }
    let digest: String = digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    writeln!(list, "];\npub(crate) const DIGEST: &str = {digest:?};")?;
    #[allow(clippy::disallowed_methods, reason = "cargo tells a build script its folder in no other way")]
    let output = PathBuf::from(std::env::var("OUT_DIR")?);
    fs::write(output.join("embedded.rs"), list)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        let is_of_template = folder.components().any(|part| TEMPLATES.iter().any(|name| part.as_os_str() == *name));
        if name.starts_with('.') || (LEFT_OUT.contains(&name.as_ref()) && !is_of_template) {
            continue;
        }
        if entry.file_type()?.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
