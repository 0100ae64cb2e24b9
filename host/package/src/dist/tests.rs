use std::os::unix::fs::PermissionsExt;

use super::*;

type Files = BTreeMap<String, Vec<u8>>;

fn files(names: &[&str], content: &str) -> Files {
    names.iter().map(|name| ((*name).to_owned(), content.into())).collect()
}

/// A zip with these providers.
fn zip(providers: &[&str]) -> Vec<u8> {
    let paths = providers.iter().map(|name| (format!("providers/{name}/provider.json"), b"{}".to_vec()));
    archive::pack(&paths.collect()).unwrap()
}

fn write(dist: &Dist, files: &Files, removed: &[&str]) -> Result<BTreeMap<String, Change>, PackagingError> {
    let removed = removed.iter().map(|name| (*name).to_owned()).collect();
    let packaged = files.keys().filter_map(|name| name.strip_prefix("providers/")?.strip_suffix(TEMPLATE)).collect();
    dist.write(files, &Removals { packaged, removed: &removed })
}

/// Everything below a folder, by its path.
fn everything(folder: &Path) -> Files {
    let mut found = Files::new();
    for entry in folder.read_dir().unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            found.extend(everything(&entry.path()).into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    found
}

const OLD: [&str; 4] = ["damper-arm64.zip", "damper.yaml", "providers/a.yaml", "providers/b.yaml"];

#[test]
fn providers_are_found_by_their_templates_and_in_the_zips() {
    let folder = tempfile::tempdir().unwrap();
    let dist = Dist::new(&folder.path().join("dist"));
    assert_eq!(dist.providers().unwrap(), BTreeSet::new());
    write(&dist, &files(&["providers/a.yaml"], "old"), &[]).unwrap();
    fs::write(dist.path("damper-arm64.zip"), zip(&["b"])).unwrap();
    fs::write(dist.path("damper-x86_64.zip"), b"PK, but no zip").unwrap();
    assert_eq!(dist.providers().unwrap().into_iter().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn what_a_write_changes_is_told_and_nothing_else_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let dist = Dist::new(folder.path());
    write(&dist, &files(&OLD, "old"), &[]).unwrap();
    fs::write(dist.path("notes.txt"), "mine").unwrap();
    let mut new = files(&["damper.yaml"], "old");
    new.extend(files(&["damper-x86_64.zip", "providers/b.yaml"], "new"));
    let changes: Vec<_> = write(&dist, &new, &["a"]).unwrap().into_iter().collect();
    let expected = [
        ("damper-arm64.zip", Change::Removed),
        ("damper-x86_64.zip", Change::New),
        ("damper.yaml", Change::Unchanged),
        ("providers/a.yaml", Change::Removed),
        ("providers/b.yaml", Change::Changed),
    ];
    assert_eq!(changes, expected.map(|(name, change)| (name.to_owned(), change)));
    new.insert("notes.txt".to_owned(), b"mine".to_vec());
    assert_eq!(everything(folder.path()), new);
}

#[test]
fn a_provider_that_another_run_has_added_meanwhile_is_not_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let dist = Dist::new(folder.path());
    write(&dist, &files(&["providers/a.yaml"], "old"), &[]).unwrap();
    let error = write(&dist, &files(&["providers/b.yaml"], "new"), &[]).unwrap_err();
    assert!(error.to_string().contains("would drop a"), "{error}");
    assert_eq!(everything(folder.path()), files(&["providers/a.yaml"], "old"));
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_old_ones() {
    let folder = tempfile::tempdir().unwrap();
    let dist = Dist::new(folder.path());
    write(&dist, &files(&OLD, "old"), &[]).unwrap();
    // A folder in a file's place: the new file cannot be renamed to it, as on a disk that fails.
    fs::remove_file(dist.path("providers/b.yaml")).unwrap();
    fs::create_dir(dist.path("providers/b.yaml")).unwrap();
    fs::write(dist.path("providers/b.yaml/file"), "there").unwrap();
    let before = everything(folder.path());
    let mut new: BTreeMap<&str, &[u8]> = OLD.iter().map(|name| (*name, b"new".as_slice())).collect();
    new.insert("damper-x86_64.zip", b"new");
    let error = Staging::write(folder.path(), &new).unwrap().switch(&[]).unwrap_err();
    assert!(error.place().unwrap().ends_with("providers/b.yaml"), "{error}");
    assert_eq!(everything(folder.path()), before);
}

#[test]
fn a_stale_file_that_cannot_be_removed_leaves_the_old_ones() {
    let folder = tempfile::tempdir().unwrap();
    let dist = Dist::new(folder.path());
    write(&dist, &files(&OLD, "old"), &[]).unwrap();
    let before = everything(folder.path());
    let new = BTreeMap::from([("damper.yaml", b"new".as_slice())]);
    let stale = ["providers/a.yaml", "providers/gone.yaml"].map(str::to_owned);
    Staging::write(folder.path(), &new).unwrap().switch(&stale).unwrap_err();
    assert_eq!(everything(folder.path()), before);
}

#[test]
fn a_run_that_was_killed_while_it_wrote_changed_nothing_and_its_leftovers_go() {
    let folder = tempfile::tempdir().unwrap();
    let dist = Dist::new(folder.path());
    write(&dist, &files(&OLD, "old"), &[]).unwrap();
    // A kill leaves this: files that were written, and never came into their places.
    let new = BTreeMap::from([("damper.yaml", b"half".as_slice()), ("providers/c.yaml", b"half")]);
    std::mem::forget(Staging::write(folder.path(), &new).unwrap());
    for name in OLD {
        assert_eq!(dist.read(name).unwrap().unwrap(), b"old", "{name}");
    }
    assert_eq!(dist.providers().unwrap().into_iter().collect::<Vec<_>>(), ["a", "b"]);
    write(&dist, &files(&OLD, "new"), &[]).unwrap();
    assert_eq!(everything(folder.path()), files(&OLD, "new"));
}

#[test]
fn two_runs_do_not_write_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let dist = Dist::new(folder.path());
    let turn = dist.lock().unwrap();
    let error = write(&dist, &files(&OLD, "new"), &[]).unwrap_err();
    assert!(error.to_string().contains("another `damper package`"), "{error}");
    drop(turn);
    write(&dist, &files(&OLD, "new"), &[]).unwrap();
}

#[test]
fn a_folder_that_cannot_be_read_is_not_taken_for_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let dist = Dist::new(folder.path());
    fs::write(dist.path(PROVIDERS), "a file").unwrap();
    assert!(dist.providers().is_err());
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads it all the same.
    if closed.read_dir().is_err() {
        assert!(Dist::new(&closed).providers().is_err());
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
}
