//! The zip: unpacked as Lambda unpacks it, and weighed.

use std::fs::{File, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use tempfile::TempDir;
use zip::ZipArchive;

/// The most bytes of a zip with ten Rust providers.
const WANTED_BYTES: u64 = 15_000_000;
const PROVIDERS: usize = 10;

/// A zip that was unpacked.
pub(crate) struct Packaged {
    /// Its unpacked content.
    pub(crate) folder: TempDir,
    /// Its size.
    zip_bytes: u64,
    /// By file: its name, its size in the zip and its own.
    files: Vec<(String, u64, u64)>,
}

impl Packaged {
    /// Unpack a zip into a folder of its own.
    pub(crate) fn unpack(zip: &Path) -> anyhow::Result<Self> {
        let file = File::open(zip).with_context(|| format!("{}: run `make bench-aws`", zip.display()))?;
        let zip_bytes = file.metadata()?.len();
        let mut archive = ZipArchive::new(file)?;
        let folder = tempfile::tempdir()?;
        let mut files = Vec::new();
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index)?;
            let name = entry.name()?.into_owned();
            let inside = entry.enclosed_name().with_context(|| format!("{name} leads out of the zip"))?;
            files.push((name, entry.compressed_size(), entry.size()));
            let path = folder.path().join(inside);
            std::fs::create_dir_all(path.parent().context("a file without a folder")?)?;
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            std::fs::write(&path, bytes)?;
            std::fs::set_permissions(&path, Permissions::from_mode(entry.unix_mode().unwrap_or(0o644)))?;
        }
        Ok(Self { folder, zip_bytes, files })
    }

    /// Print the table.
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        let code: Vec<_> = self.files.iter().filter(|(name, ..)| name.ends_with(".cwasm")).collect();
        let (_, program, program_unzipped) =
            self.files.iter().find(|(name, ..)| name == "bootstrap").context("no bootstrap in the zip")?;
        let largest = code.iter().map(|(_, bytes, _)| *bytes).max().context("no provider in the zip")?;
        let lacking = PROVIDERS.saturating_sub(code.len()) as u64;
        println!("The zip\n");
        println!("| | in the zip, KB | unzipped, KB | wanted, KB |");
        println!("| --- | ---: | ---: | ---: |");
        println!("| bootstrap | {} | {} | |", program / 1_000, program_unzipped / 1_000);
        for (name, bytes, unzipped) in &code {
            println!("| {name} | {} | {} | |", bytes / 1_000, unzipped / 1_000);
        }
        println!("| the whole, {} providers | {} | | |", code.len(), self.zip_bytes / 1_000);
        println!(
            "| with {lacking} more, each as large as the largest | {} | | {} |\n",
            (self.zip_bytes + lacking * largest) / 1_000,
            WANTED_BYTES / 1_000
        );
        Ok(())
    }
}
