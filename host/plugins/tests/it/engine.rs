//! Compiled components on disk: kept, found again, and never trusted when damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use damper_core::record::FailureKind;
use damper_plugins::component_file::{ComponentFile, ComponentFileError, embed_manifest};
use damper_plugins::{Cache, CacheKey, HostError, HostOptions, PluginHost};

use crate::common::{HOSTILE, Setup, fetch, options};

fn artifacts(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn modified_at(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

async fn fetch_once(folder: &Path) {
    let host = PluginHost::new(options(Some(folder.to_owned()))).unwrap();
    fetch(&Setup::new(&[]).plugin_of(&host), "ok", &[]).await.unwrap();
}

#[tokio::test]
async fn a_compiled_component_is_found_again_and_recompiled_when_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("cache");
    fetch_once(&folder).await;
    let [artifact] = artifacts(&folder).try_into().unwrap();
    let (first, whole) = (modified_at(&artifact), fs::read(&artifact).unwrap());
    fetch_once(&folder).await;
    assert_eq!(modified_at(&artifact), first, "it was not compiled again");
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    for content in [damaged, whole[..whole.len() / 2].to_vec(), Vec::new()] {
        fs::write(&artifact, content).unwrap();
        fetch_once(&folder).await;
        assert!(fs::read(&artifact).unwrap().len() == whole.len(), "it was mended");
    }
}

#[tokio::test]
async fn code_that_another_user_s_key_marks_is_compiled_anew() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("cache");
    fetch_once(&folder).await;
    let [artifact] = artifacts(&folder).try_into().unwrap();
    let ours = fs::read(&artifact).unwrap();
    let theirs = Cache { folder: folder.clone(), key: CacheKey::new([8; 32]) };
    let host = PluginHost::new(HostOptions { cache: Some(theirs), ..options(None) }).unwrap();
    fetch(&Setup::new(&[]).plugin_of(&host), "ok", &[]).await.unwrap();
    assert_ne!(fs::read(&artifact).unwrap(), ours, "it was replaced");
    fetch_once(&folder).await;
    assert_eq!(fs::read(&artifact).unwrap(), ours, "and here again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_start_at_once_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("cache");
    tokio::join!(fetch_once(&folder), fetch_once(&folder), fetch_once(&folder));
    assert_eq!(artifacts(&folder).len(), 1);
}

#[tokio::test]
async fn a_folder_that_others_may_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = PluginHost::new(options(Some(folder.path().to_owned()))).unwrap_err();
    assert!(matches!(error, HostError::CacheDir { .. }));
    let text = error.to_string();
    assert!(text.contains("other users can write to") && !text.contains("chmod"), "{text}");
}

#[tokio::test]
async fn what_the_engine_does_not_take_is_broken_and_stays_so() {
    // A component by its framing, with the contract's names and a body that no engine compiles.
    let mut bytes = HOSTILE.bytes.to_vec();
    let end = bytes.windows(8).rposition(|window| window == b"\0asm\x01\0\0\0").unwrap();
    for byte in &mut bytes[end + 200..end + 260] {
        *byte ^= 0x55;
    }
    let Ok(file) = ComponentFile::from_bytes("bad.wasm", bytes) else { return };
    let host = PluginHost::new(options(None)).unwrap();
    let setup = Setup::new(&[]);
    let plugin = host.load(&file, setup.manifest, setup.grants).unwrap();
    for _ in 0..2 {
        let failure = fetch(&plugin, "ok", &[]).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Broken, "{failure}");
    }
}

#[test]
fn the_built_component_says_who_made_it() {
    let unpacked = embed_manifest(&HOSTILE.bytes, &HOSTILE.manifest_text.replace("0.1.0", "0.2.0")).unwrap();
    let file = ComponentFile::from_bytes("hostile.wasm", unpacked).unwrap();
    assert_eq!(
        (file.manifest.version.as_str(), file.exports.as_slice()),
        ("0.2.0", ["fetch-record".to_owned()].as_slice())
    );
    assert_ne!(file.digest, HOSTILE.digest);
}

#[test]
fn a_component_of_a_newer_contract_is_refused() {
    // The names of interfaces stand in the file as they are; one of the same length keeps it readable.
    let newer = String::from_utf8_lossy(b"damper:provider/http@0.9.0").into_owned();
    let bytes = replace(&HOSTILE.bytes, b"damper:provider/http@0.1.0", newer.as_bytes());
    let error = ComponentFile::from_bytes("newer.wasm", bytes).unwrap_err();
    assert!(matches!(error, ComponentFileError::NewerContract { .. }), "{error}");
    assert!(
        error.to_string().contains("hostile 0.1.0 (newer.wasm) is built against the contract damper:provider 0.9.0")
    );
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, w)| *w == from).map(|(at, _)| at).collect();
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}
