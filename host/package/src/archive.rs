//! The zip: the same files always give the same bytes. Other modules decide which files are in it.

use std::collections::BTreeMap;
use std::io::{BufReader, Cursor, Read, Seek, Write};

use zip::result::ZipResult;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

/// The program that Lambda starts.
pub(crate) const BOOTSTRAP: &str = "bootstrap";
/// The largest zip that Lambda takes directly, in bytes; from S3 it may be larger.
const MAX_ZIP_BYTES: usize = 50 << 20;
/// The most that the files in it may have, in bytes.
const MAX_UNZIPPED_BYTES: usize = 250 << 20;
const COMPRESSION: i64 = 9;

/// Files by their paths.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// The sum of the files' sizes, in bytes.
pub(crate) fn unzipped_bytes(files: &Files) -> usize {
    files.values().map(Vec::len).sum()
}

/// Packs the files: in the order of their paths, all from 1980, readable by everybody, the program executable.
///
/// # Errors
/// If they cannot be packed.
pub(crate) fn pack(files: &Files) -> ZipResult<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(COMPRESSION))
        .last_modified_time(DateTime::default());
    for (path, bytes) in files {
        let mode = if path == BOOTSTRAP { 0o755 } else { 0o644 };
        zip.start_file(path.as_str(), options.unix_permissions(mode))?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// Reads a zip that was packed here. A zip larger than Lambda's limit is not read.
///
/// # Errors
/// If it is no such zip.
pub(crate) fn unpack(zip: &[u8]) -> ZipResult<Files> {
    let mut archive = ZipArchive::new(Cursor::new(zip))?;
    let mut files = Files::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index)?;
        let (path, mut bytes) = (file.name()?.into_owned(), Vec::new());
        file.by_ref().take(MAX_UNZIPPED_BYTES as u64).read_to_end(&mut bytes)?;
        files.insert(path, bytes);
    }
    Ok(files)
}

/// The paths of the files in a zip, without reading the files.
///
/// # Errors
/// If it is no zip.
pub(crate) fn paths(zip: impl Read + Seek) -> ZipResult<Vec<String>> {
    let mut archive = ZipArchive::new(BufReader::new(zip))?;
    (0..archive.len()).map(|index| Ok(archive.by_index_raw(index)?.name()?.into_owned())).collect()
}

/// The provider that a file of a zip describes, if it describes one.
pub(crate) fn provider_of(path: &str) -> Option<&str> {
    let name = path.strip_prefix("providers/")?.strip_suffix("/provider.json")?;
    (!name.contains('/')).then_some(name)
}

/// Whether Lambda takes such a zip.
///
/// # Errors
/// With the limit that it breaks.
pub(crate) fn check_sizes(zip_bytes: usize, unzipped_bytes: usize) -> Result<(), String> {
    for (bytes, limit, what) in [(zip_bytes, MAX_ZIP_BYTES, ""), (unzipped_bytes, MAX_UNZIPPED_BYTES, " unzipped")] {
        if bytes > limit {
            return Err(format!("has {} MiB{what}, and Lambda allows {} MiB", bytes.div_ceil(1 << 20), limit >> 20));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        let code: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
        let texts =
            [("providers/b/provider.json", "{}"), ("bootstrap", "program"), ("providers/a/provider.json", "[]")];
        let mut files: Files = texts.map(|(path, text)| (path.to_owned(), text.into())).into();
        files.insert("components/00ff.cwasm".to_owned(), code);
        files
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        assert!(pack(&files()).unwrap() == pack(&files()).unwrap());
    }

    #[test]
    fn what_was_packed_is_unpacked_in_order_with_its_modes() {
        let zip = pack(&files()).unwrap();
        assert_eq!(unpack(&zip).unwrap(), files());
        let mut archive = ZipArchive::new(Cursor::new(zip)).unwrap();
        let told: Vec<_> = (0..archive.len())
            .map(|index| {
                let file = archive.by_index(index).unwrap();
                (
                    file.name().unwrap().into_owned(),
                    file.unix_mode().unwrap() & 0o7777,
                    file.last_modified().unwrap().year(),
                )
            })
            .collect();
        let readable = |path: &str| (path.to_owned(), 0o644, 1980);
        assert_eq!(
            told,
            [
                ("bootstrap".to_owned(), 0o755, 1980),
                readable("components/00ff.cwasm"),
                readable("providers/a/provider.json"),
                readable("providers/b/provider.json")
            ]
        );
    }

    #[test]
    fn a_zip_tells_its_providers() {
        let paths = paths(Cursor::new(pack(&files()).unwrap())).unwrap();
        assert_eq!(paths.iter().filter_map(|path| provider_of(path)).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(provider_of("providers/a/b/provider.json"), None);
    }

    #[test]
    fn what_lambda_does_not_take_is_told_with_the_limit() {
        assert_eq!(check_sizes(50 << 20, 250 << 20), Ok(()));
        assert_eq!(check_sizes((50 << 20) + 1, 0).unwrap_err(), "has 51 MiB, and Lambda allows 50 MiB");
        assert_eq!(check_sizes(1, (250 << 20) + 1).unwrap_err(), "has 251 MiB unzipped, and Lambda allows 250 MiB");
    }

    #[test]
    fn what_is_no_zip_is_an_error() {
        assert!(unpack(b"PK, but no zip").is_err());
    }
}
