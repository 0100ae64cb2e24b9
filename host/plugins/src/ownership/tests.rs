use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

const OTHER_USER: u32 = 4711;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Gives a file to another user; answers false where only root could and we are not root.
fn give_away(path: &Path) -> bool {
    std::os::unix::fs::lchown(path, Some(OTHER_USER), None).is_ok()
}

#[test]
fn a_folder_is_made_for_its_owner_alone_and_found_through_links_of_the_owner() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("a/b");
    make_folder(&folder, GroupWrite::Refused).unwrap();
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o7777, 0o700);
    symlink("a/../a", place.path().join("relative")).unwrap();
    symlink(place.path().join("relative"), place.path().join("absolute")).unwrap();
    let opened = open_folder(&place.path().join("absolute/./b"), GroupWrite::Refused).unwrap();
    assert_eq!(opened.metadata().unwrap().ino(), fs::metadata(&folder).unwrap().ino());
    assert!(open_folder(&place.path().join("c"), GroupWrite::Refused).unwrap_err().is_absence());
    symlink("loop", place.path().join("loop")).unwrap();
    assert!(matches!(open_folder(&place.path().join("loop"), GroupWrite::Refused), Err(OwnershipError::Io { .. })));
}

#[test]
fn a_folder_that_others_may_write_to_is_refused_and_so_is_what_lies_below_it() {
    let place = tempfile::tempdir().unwrap();
    let (above, folder) = (place.path().join("a"), place.path().join("a/b"));
    make_folder(&folder, GroupWrite::Refused).unwrap();
    for (path, mode) in [(&folder, 0o777), (&folder, 0o702), (&folder, 0o1777), (&above, 0o777), (&above, 0o707)] {
        set_mode(path, mode);
        let error = open_folder(&folder, GroupWrite::Refused).unwrap_err();
        assert!(
            matches!(&error, OwnershipError::Writable { path: found, mode: seen } if found == path && *seen == mode),
            "{error}"
        );
        set_mode(path, 0o700);
    }
    // As /tmp: nobody can rename the folder in it.
    set_mode(&above, 0o1777);
    open_folder(&folder, GroupWrite::Refused).unwrap();
}

#[test]
fn what_belongs_to_another_user_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let (above, folder, link) = (place.path().join("a"), place.path().join("a/b"), place.path().join("link"));
    make_folder(&folder, GroupWrite::Refused).unwrap();
    fs::write(folder.join("file"), "x").unwrap();
    symlink(&folder, &link).unwrap();
    for (path, named) in [(&link, &link), (&above, &folder), (&folder, &folder)] {
        if !give_away(path) {
            return;
        }
        let error = open_folder(named, GroupWrite::Refused).unwrap_err();
        assert!(
            matches!(&error, OwnershipError::ForeignOwner { path: found, owner: OTHER_USER } if found == path),
            "{error}"
        );
        std::os::unix::fs::lchown(path, Some(0), None).unwrap();
    }
    assert!(check_tree(&folder, GroupWrite::Private).is_ok());
    give_away(&folder.join("file"));
    assert!(matches!(check_tree(&folder, GroupWrite::Private), Err(OwnershipError::ForeignOwner { .. })));
}

#[test]
fn a_file_is_read_only_where_it_is_a_regular_one_that_others_cannot_change() {
    let place = tempfile::tempdir().unwrap();
    let folder = open_folder(place.path(), GroupWrite::Refused).unwrap();
    let open = |name: &str| open_file(&folder, place.path(), name.as_ref(), GroupWrite::Refused);
    let file = place.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(open("file").is_ok());
    for mode in [0o666, 0o620, 0o602] {
        set_mode(&file, mode);
        assert!(matches!(open("file"), Err(OwnershipError::Writable { mode: found, .. }) if found == mode));
    }
    symlink("file", place.path().join("link")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, place.path().join("fifo"), Mode::RUSR).unwrap();
    fs::create_dir(place.path().join("folder")).unwrap();
    for name in ["link", "fifo", "folder"] {
        assert!(matches!(open(name), Err(OwnershipError::WrongKind { .. })), "{name}");
    }
    assert!(open("none").unwrap_err().is_absence());
}

#[test]
fn one_file_that_others_may_write_to_spoils_a_tree() {
    let place = tempfile::tempdir().unwrap();
    let (tree, deep) = (place.path().join("tree"), place.path().join("tree/bin/deep"));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("program"), "x").unwrap();
    symlink("/usr/bin/env", tree.join("env")).unwrap();
    check_tree(&tree, GroupWrite::Private).unwrap();
    for path in [deep.join("program"), deep.clone(), tree.clone()] {
        let before = fs::metadata(&path).unwrap().mode();
        set_mode(&path, before | 0o002);
        let error = check_tree(&tree, GroupWrite::Private).unwrap_err();
        assert!(matches!(&error, OwnershipError::Writable { .. }) && error.path() == path, "{error}");
        set_mode(&path, before);
    }
    rustix::fs::mkfifoat(rustix::fs::CWD, deep.join("fifo"), Mode::RUSR).unwrap();
    assert!(matches!(check_tree(&tree, GroupWrite::Private), Err(OwnershipError::WrongKind { .. })));
}

#[test]
fn the_folder_of_a_file_may_be_sticky() {
    let place = tempfile::tempdir().unwrap();
    let (folder, file) = (place.path().join("a"), place.path().join("a/file"));
    fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o777);
    assert!(matches!(check_folder_of(&file), Err(OwnershipError::Writable { .. })));
    set_mode(&folder, 0o1777);
    check_folder_of(&file).unwrap();
    set_mode(&folder, 0o755);
    check_folder_of(&file).unwrap();
}

#[test]
fn a_group_is_private_where_nobody_else_is_in_it() {
    let users =
        "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\n";
    let groups = "root:x:0:\nann:x:1000:\nbob:x:1001:bob\nstaff:x:50:ann,bob\n";
    for user in [0, 1000, 1001, 1002] {
        assert!(is_private_group(user, user, users, groups), "{user}");
    }
    assert!(!is_private_group(1000, 1000, users, "ann:x:1000:bob\n"));
    assert!(!is_private_group(1000, 1000, users, "ann:x:1000:ann,bob\n"));
    assert!(!is_private_group(1000, 1000, &format!("{users}eve:x:1003:1000::/:/bin/sh\n"), groups));
    assert!(!has_private_group(1000, 50));
}
