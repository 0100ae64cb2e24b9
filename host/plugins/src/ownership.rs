//! Whether other users of the machine can change a file or a folder. Code and files with grants are read only from places that they cannot
//! change.
//!
//! A folder is opened by walking from the root: each component is opened in the folder before it, and its owner and mode are
//! asked of the open file. Others can therefore not exchange a component between its check and its use. A folder that everybody
//! may write to is accepted on the way where it is sticky, as `/tmp` is: nobody but the owner can rename what lies in it, and
//! the owner of the next component is checked as well.
//!
//! The rules are those of `StrictModes` in sshd (<https://man.openbsd.org/sshd_config#StrictModes>). As in Debian's sshd, a file
//! that its group may write to is accepted where the group is private to the owner, which is usual where the umask is 002. Access
//! control lists count as far as they show in the mode: the mask stands in the place of the group's permissions.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, StatVfsMountFlags, fstatvfs, mkdirat, openat, readlinkat, statat,
};
use rustix::io::Errno;

const ROOT: u32 = 0;
const GROUP_WRITE: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;
const PERMISSIONS: u32 = 0o7777;
/// The most symbolic links in one path, as in Linux.
const MAX_LINKS: usize = 40;
/// The deepest folder of a tree that is checked.
const MAX_DEPTH: usize = 64;

/// Linux opens a folder that may be searched and not read, too.
#[cfg(any(target_os = "linux", target_os = "android"))]
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// A FIFO without a writer is opened at once instead of blocking for ever.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Why a file or a folder is not trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnershipError {
    /// It belongs to another user.
    #[error("{} belongs to another user (uid {owner})", .path.display())]
    ForeignOwner {
        /// The file or folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Others may write to it.
    #[error("other users can write to {} (mode {mode:04o})", .path.display())]
    Writable {
        /// The file or folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is something else than it should be.
    #[error("{} is not {wanted}", .path.display())]
    WrongKind {
        /// The file or folder.
        path: PathBuf,
        /// The expected kind.
        wanted: &'static str,
    },
    /// It cannot be looked at.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl OwnershipError {
    /// The file or folder at fault.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::ForeignOwner { path, .. }
            | Self::Writable { path, .. }
            | Self::WrongKind { path, .. }
            | Self::Io { path, .. } => path,
        }
    }

    /// Whether it is not there.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    fn io(path: &Path, errno: Errno) -> Self {
        Self::Io { path: path.to_path_buf(), source: errno.into() }
    }
}

/// Whether a group may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupWrite {
    /// No group.
    Refused,
    /// The group of the owner alone: it has the owner's number, and no other user is a member according to `/etc/group` and
    /// `/etc/passwd`.
    Private,
}

/// Whether files of this owner are trusted: ours and root's.
#[must_use]
pub fn is_trusted(owner: u32) -> bool {
    owner == ROOT || is_ours(owner)
}

/// Whether this is the user that we run as.
#[must_use]
pub fn is_ours(owner: u32) -> bool {
    owner == rustix::process::geteuid().as_raw()
}

/// An open folder that others cannot change, nor exchange by way of a folder above it.
///
/// # Errors
/// If it is not there, or it or a folder above it is not trusted.
pub fn open_folder(path: &Path, group: GroupWrite) -> Result<File, OwnershipError> {
    walk(path, group, false)
}

/// As [`open_folder`]; a folder that is missing is made, for its owner alone.
///
/// # Errors
/// If it cannot be made, or it or a folder above it is not trusted.
pub fn make_folder(path: &Path, group: GroupWrite) -> Result<File, OwnershipError> {
    walk(path, group, true)
}

fn walk(path: &Path, group: GroupWrite, makes: bool) -> Result<File, OwnershipError> {
    let whole = std::path::absolute(path).map_err(|source| OwnershipError::Io { path: path.to_path_buf(), source })?;
    let (mut here, mut shown) = root()?;
    let mut left = names(&whole);
    let mut links = 0;
    while let Some(name) = left.pop() {
        if name == ".." {
            shown.pop();
        } else {
            shown.push(&name);
        }
        let io = |errno| OwnershipError::io(&shown, errno);
        let mut found = statat(&here, &name, AtFlags::SYMLINK_NOFOLLOW);
        if makes && matches!(found, Err(Errno::NOENT)) {
            match mkdirat(&here, &name, Mode::RWXU) {
                // Another process may be faster.
                Ok(()) | Err(Errno::EXIST) => found = statat(&here, &name, AtFlags::SYMLINK_NOFOLLOW),
                Err(errno) => return Err(io(errno)),
            }
        }
        let found = found.map_err(io)?;
        if FileType::from_raw_mode(found.st_mode) == FileType::Symlink {
            links += 1;
            if links > MAX_LINKS {
                return Err(io(Errno::LOOP));
            }
            check_owner(found.st_uid, &shown)?;
            let target = readlinkat(&here, &name, Vec::new()).map_err(io)?;
            let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
            if target.is_absolute() {
                (here, shown) = root()?;
            } else {
                shown.pop();
            }
            left.extend(names(&target));
            continue;
        }
        here = File::from(openat(&here, &name, FOLDER, Mode::empty()).map_err(io)?);
        let metadata = metadata(&here, &shown)?;
        if left.is_empty() { check_changes(&metadata, &shown, group)? } else { check_parent(&metadata, &shown)? }
    }
    Ok(here)
}

fn root() -> Result<(File, PathBuf), OwnershipError> {
    let path = PathBuf::from("/");
    let folder =
        File::from(rustix::fs::open(&path, FOLDER, Mode::empty()).map_err(|errno| OwnershipError::io(&path, errno))?);
    check_parent(&metadata(&folder, &path)?, &path)?;
    Ok((folder, path))
}

/// The names of a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.collect()
}

/// A regular file in an open folder that others cannot change. Symbolic links are not followed.
///
/// # Errors
/// If it is not there, is something else, or is not trusted.
pub fn open_file(folder: &File, shown: &Path, name: &OsStr, group: GroupWrite) -> Result<File, OwnershipError> {
    let path = shown.join(name);
    let file = match openat(folder, name, FILE, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::LOOP) => return Err(OwnershipError::WrongKind { path, wanted: "a regular file" }),
        Err(errno) => return Err(OwnershipError::io(&path, errno)),
    };
    check_file(&file, &path, group)?;
    Ok(file)
}

/// Checks that an open file is a regular one that others cannot change.
///
/// # Errors
/// If it is not.
pub fn check_file(file: &File, path: &Path, group: GroupWrite) -> Result<(), OwnershipError> {
    let metadata = metadata(file, path)?;
    if !metadata.is_file() {
        return Err(OwnershipError::WrongKind { path: path.to_path_buf(), wanted: "a regular file" });
    }
    check_changes(&metadata, path, group)
}

/// Checks that others cannot change what an open file holds, whatever kind of file it is.
///
/// # Errors
/// If they can.
pub fn check_open(file: &File, path: &Path, group: GroupWrite) -> Result<(), OwnershipError> {
    check_changes(&metadata(file, path)?, path, group)
}

/// Checks that others cannot change what lies in the folder of a file, by its mode alone: folders above it are not looked at. A
/// sticky folder is accepted, and one on a file system that is mounted read-only.
///
/// # Errors
/// If they can, or the folder cannot be looked at.
pub fn check_folder_of(file: &Path) -> Result<(), OwnershipError> {
    let path = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Absolute, since "." means nothing in a message.
    let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let opened = rustix::fs::open(path, FOLDER.difference(OFlags::NOFOLLOW), Mode::empty());
    let folder = File::from(opened.map_err(|errno| OwnershipError::io(path, errno))?);
    let checked = check_parent(&metadata(&folder, path)?, path);
    let is_read_only = fstatvfs(&folder).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY));
    if is_read_only { Ok(()) } else { checked }
}

/// Checks that others can change nothing in a folder, at whatever depth. A symbolic link counts by its owner, and is not
/// followed.
///
/// # Errors
/// If they can, naming the first file, or something cannot be looked at.
pub fn check_tree(path: &Path, group: GroupWrite) -> Result<(), OwnershipError> {
    let folder = open_folder(path, group)?;
    check_entries(&folder, path, group, 0)
}

fn check_entries(folder: &File, path: &Path, group: GroupWrite, depth: usize) -> Result<(), OwnershipError> {
    if depth > MAX_DEPTH {
        return Err(OwnershipError::io(path, Errno::LOOP));
    }
    // A folder that was opened with `O_PATH` cannot be read.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let readable = openat(folder, ".", flags, Mode::empty());
    for entry in readable.and_then(Dir::new).map_err(|errno| OwnershipError::io(path, errno))? {
        let entry = entry.map_err(|errno| OwnershipError::io(path, errno))?;
        let name = OsString::from_vec(entry.file_name().to_bytes().to_vec());
        if name == "." || name == ".." {
            continue;
        }
        let path = path.join(&name);
        let io = |errno| OwnershipError::io(&path, errno);
        let found = statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(io)?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Symlink => check_owner(found.st_uid, &path)?,
            FileType::Directory => {
                let inner = File::from(openat(folder, &name, FOLDER, Mode::empty()).map_err(io)?);
                check_changes(&metadata(&inner, &path)?, &path, group)?;
                check_entries(&inner, &path, group, depth + 1)?;
            }
            FileType::RegularFile => drop(open_file(folder, path.parent().unwrap_or(&path), &name, group)?),
            _ => return Err(OwnershipError::WrongKind { path, wanted: "a regular file or a folder" }),
        }
    }
    Ok(())
}

fn metadata(file: &File, path: &Path) -> Result<Metadata, OwnershipError> {
    file.metadata().map_err(|source| OwnershipError::Io { path: path.to_path_buf(), source })
}

fn check_changes(metadata: &Metadata, path: &Path, group: GroupWrite) -> Result<(), OwnershipError> {
    check_owner(metadata.uid(), path)?;
    check_mode(metadata, path, group)
}

fn check_parent(metadata: &Metadata, path: &Path) -> Result<(), OwnershipError> {
    check_owner(metadata.uid(), path)?;
    if metadata.mode() & STICKY != 0 { Ok(()) } else { check_mode(metadata, path, GroupWrite::Private) }
}

fn check_owner(owner: u32, path: &Path) -> Result<(), OwnershipError> {
    if is_trusted(owner) { Ok(()) } else { Err(OwnershipError::ForeignOwner { path: path.to_path_buf(), owner }) }
}

fn check_mode(metadata: &Metadata, path: &Path, group: GroupWrite) -> Result<(), OwnershipError> {
    let mode = metadata.mode() & PERMISSIONS;
    let by_group =
        mode & GROUP_WRITE != 0 && (group == GroupWrite::Refused || !has_private_group(metadata.uid(), metadata.gid()));
    if mode & OTHERS_WRITE != 0 || by_group {
        return Err(OwnershipError::Writable { path: path.to_path_buf(), mode });
    }
    Ok(())
}

/// Whether a group is a user's alone, as [`GroupWrite::Private`] has it.
#[must_use]
pub fn has_private_group(user: u32, group: u32) -> bool {
    // A missing file names no other member. A file that cannot be read may name some.
    let text = |path| match fs::read(path) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(String::new()),
        Err(_) => None,
    };
    let texts = text("/etc/passwd").zip(text("/etc/group"));
    user == group && texts.is_some_and(|(users, groups)| is_private_group(user, group, &users, &groups))
}

/// Whether a group is a user's alone, according to the texts of `/etc/passwd` and `/etc/group` (passwd(5), group(5)).
fn is_private_group(user: u32, group: u32, users: &str, groups: &str) -> bool {
    let number = |field: Option<&str>| field.and_then(|text| text.parse::<u32>().ok());
    let mut names = Vec::new();
    for line in users.lines() {
        let mut fields = line.split(':');
        let (name, _, uid, gid) = (fields.next(), fields.next(), number(fields.next()), number(fields.next()));
        if uid == Some(user) {
            names.extend(name);
        } else if gid == Some(group) {
            return false;
        }
    }
    groups.lines().all(|line| {
        let mut fields = line.split(':');
        let (_, _, gid, members) = (fields.next(), fields.next(), number(fields.next()), fields.next());
        let mut members = members.unwrap_or_default().split(',').map(str::trim).filter(|member| !member.is_empty());
        gid != Some(group) || members.all(|member| names.contains(&member))
    })
}

#[cfg(test)]
mod tests;
