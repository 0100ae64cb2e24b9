//! The files that a case names: they lie below the case's folder, and are no links. A case may come from anybody;
//! reading it must not show, and blessing it must not change, what lies elsewhere on the machine.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

/// The problem with a named file, as the end of a sentence about the key that names it.
pub(crate) type Problem = String;

/// The path of a file that a case in `folder` names.
///
/// # Errors
/// If the path is not below the folder, or a symbolic link leads there.
pub(crate) fn resolve_path(folder: &Path, named: &str) -> Result<PathBuf, Problem> {
    let mut path = folder.to_path_buf();
    let mut is_named = false;
    for component in Path::new(named).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => {
                path.push(name);
                is_named = true;
                if is_link(&path) {
                    return Err(format!(
                        "names {named:?}, which is behind a symbolic link: put the file itself below the case's folder"
                    ));
                }
            }
            _ => return Err(outside(named)),
        }
    }
    if is_named { Ok(path) } else { Err(outside(named)) }
}

fn outside(named: &str) -> Problem {
    format!("names {named:?}, which is not below the case's folder: put the file there, and name it without \"..\"")
}

/// Whether there is a symbolic link at this path.
pub(crate) fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink())
}

/// Opens a regular file; a FIFO or a device is told apart before it is opened, for it might never answer.
///
/// # Errors
/// If it is no regular file, or cannot be opened.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_file() { File::open(path) } else { Err(io::Error::other("it is not a regular file")) }
}

/// Writes a file whole or not at all. A file or link at its place is replaced, not followed.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", std::process::id()));
    let written = File::create_new(&draft).and_then(|mut file| file.write_all(bytes));
    let placed = written.and_then(|()| fs::rename(&draft, path));
    if placed.is_err() {
        // Best effort: it may never have been made.
        let _ = fs::remove_file(&draft);
    }
    placed
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_below_the_folder_is_found_whether_it_is_there_or_not() {
        let folder = tempfile::tempdir().unwrap();
        for (named, at) in [("a.json", "a.json"), ("./b/c.json", "b/c.json"), ("..a", "..a")] {
            assert_eq!(resolve_path(folder.path(), named).unwrap(), folder.path().join(at));
        }
    }

    #[test]
    fn a_file_elsewhere_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for named in ["/etc/passwd", "../a.json", "a/../../b.json", "a/..", "..", ".", ""] {
            assert!(resolve_path(folder.path(), named).unwrap_err().contains("not below"), "{named}");
        }
    }

    #[test]
    fn a_link_is_refused_wherever_it_is_on_the_way() {
        let place_of_all = tempfile::tempdir().unwrap();
        let folder = place_of_all.path().join("cases");
        fs::create_dir(&folder).unwrap();
        fs::write(place_of_all.path().join("secret"), "hunter2").unwrap();
        symlink("../secret", folder.join("file")).unwrap();
        symlink("..", folder.join("above")).unwrap();
        symlink("nowhere", folder.join("dangling")).unwrap();
        for named in ["file", "above/secret", "dangling", "above/new"] {
            assert!(resolve_path(&folder, named).unwrap_err().contains("symbolic link"), "{named}");
        }
    }

    #[test]
    fn what_is_written_replaces_a_link_and_does_not_follow_it() {
        let folder = tempfile::tempdir().unwrap();
        let (kept, link) = (folder.path().join("kept"), folder.path().join("link"));
        fs::write(&kept, "as it was").unwrap();
        symlink(&kept, &link).unwrap();
        write(&link, b"new").unwrap();
        assert_eq!((fs::read_to_string(&kept).unwrap(), is_link(&link)), ("as it was".to_owned(), false));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
