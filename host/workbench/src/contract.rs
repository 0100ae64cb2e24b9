//! The comparison of two contracts: whether the newer one still keeps what a released one promised.
//!
//! The rule: a released record, enum or variant never changes, and neither does a function; new functions come with a
//! minor version, new shapes in new interfaces. Comments are no part of the promise. While the contract is 0.x its last
//! number is what a minor version is later, for a host runs components of one 0.x alone (as the component model links
//! versions).

mod surface;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use semver::Version;
use serde::Serialize;

use surface::{Kind, Member, Shape, Surface};

/// A difference, and whether it is compatible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Whether a component that was built against the old contract would no longer run.
    pub breaking: bool,
    /// The item that differs: `record types.fetch-request`.
    pub item: String,
    /// The old and the new shape.
    pub what: String,
    /// The recommended fix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// Two contracts and their differences. It is displayed as lines for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContractComparison {
    /// The old package with its version.
    pub old: String,
    /// The new package with its version.
    pub new: String,
    /// Whether components that were built against the old contract go on running.
    pub compatible: bool,
    /// The differences.
    pub differences: Vec<Difference>,
}

/// Why a contract cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// Its file cannot be read.
    #[error("cannot read the contract: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's message.
        source: io::Error,
    },
    /// It is no WIT, or its package has no version.
    #[error("the contract cannot be read: {problem}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
}

impl ContractComparison {
    /// Compares two files of WIT.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn of_files(old: &Path, new: &Path) -> Result<Self, ContractError> {
        Ok(Self::of(&read(old)?, &read(new)?))
    }

    fn of(old: &Surface, new: &Surface) -> Self {
        let differences = compare(old, new);
        let compatible = differences.iter().all(|difference| !difference.breaking);
        Self { old: old.id(), new: new.id(), compatible, differences }
    }
}

impl fmt::Display for ContractComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { old, new, differences, .. } = self;
        for Difference { breaking, item, what, mend } in differences {
            writeln!(f, "{}: {item} {what}", if *breaking { "breaking" } else { "allowed" })?;
            if let Some(mend) = mend {
                writeln!(f, "  to do: {mend}")?;
            }
        }
        let breaking = differences.iter().filter(|difference| difference.breaking).count();
        match (breaking, differences.len()) {
            (0, 0) => writeln!(f, "{new} is the same contract as {old}"),
            (0, _) => writeln!(f, "{new} is compatible with {old}: components built against it keep running"),
            (1, _) => writeln!(f, "{new} breaks {old} in 1 place"),
            (count, _) => writeln!(f, "{new} breaks {old} in {count} places"),
        }
    }
}

fn read(path: &Path) -> Result<Surface, ContractError> {
    let path = path.to_path_buf();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(ContractError::Unreadable { path, source }),
    };
    Surface::parse(&path.display().to_string(), &text).map_err(|problem| ContractError::Invalid { path, problem })
}

/// The differences between a released contract and another.
fn compare(old: &Surface, new: &Surface) -> Vec<Difference> {
    if old.package != new.package {
        let what = format!("was {} and is {}", old.package, new.package);
        return vec![breaking_change("the package", what, "compare two versions of one package")];
    }
    let mut differences = Vec::new();
    if new.version < old.version {
        let what = format!("was {} and is {}", old.version, new.version);
        differences.push(breaking_change("the version", what, "name the older file first, or raise the version"));
    } else if track(&new.version) != track(&old.version) {
        let track = track_name(&old.version);
        let what = format!(
            "was {} and is {}: a host of the new version refuses every component of {track}",
            old.version, new.version
        );
        differences.push(breaking_change(
            "the version",
            what,
            format!("stay with {track}: {}", next_minor(&old.version)),
        ));
    }
    for (path, was) in &old.items {
        let item = was.title(path);
        match new.items.get(path) {
            None => {
                let mend = "put it back: components built against the released contract use it";
                differences.push(breaking_change(&item, "is gone", mend));
            }
            Some(is) => {
                differences.extend(changes(was, is).into_iter().map(|what| breaking_change(&item, what, mend(was))))
            }
        }
    }
    differences.extend(additions(old, new));
    differences
}

/// The items of the new contract that the old one has not.
fn additions(old: &Surface, new: &Surface) -> Vec<Difference> {
    let is_new = |path: &&String| !old.items.contains_key(*path);
    let new_paths: BTreeSet<&String> = new.items.keys().filter(is_new).collect();
    let has_minor = new.version >= next_minor(&old.version);
    let mut differences = Vec::new();
    for (path, shape) in new.items.iter().filter(|(path, _)| new_paths.contains(path)) {
        // Items of a new interface or world are not reported one by one.
        if shape.parent.as_ref().is_some_and(|parent| new_paths.contains(parent)) {
            continue;
        }
        let item = shape.title(path);
        differences.push(match shape.kind {
            Kind::Export => breaking_change(
                &item,
                "is new",
                "components built against the released contract do not have it: create a separate world for it",
            ),
            Kind::Interface | Kind::World | Kind::Function | Kind::Import if has_minor => {
                compatible_change(&item, "is new")
            }
            Kind::Interface | Kind::World | Kind::Function | Kind::Import => {
                let what = format!("is new, and the version is {}", new.version);
                breaking_change(&item, what, format!("raise the version: {}", next_minor(&old.version)))
            }
            _ => breaking_change(&item, "is new in a released interface", "put new types into a new interface"),
        });
    }
    differences
}

/// Versions of one track are linked with one another: those of one major version, before 1.0 those of one minor
/// version.
fn track(version: &Version) -> (u64, u64) {
    if version.major == 0 { (0, version.minor) } else { (version.major, 0) }
}

fn track_name(version: &Version) -> String {
    if version.major == 0 { format!("0.{}", version.minor) } else { version.major.to_string() }
}

/// The first version of the same track that may have new functions.
fn next_minor(version: &Version) -> Version {
    let Version { major, minor, patch, .. } = version;
    if *major == 0 { Version::new(0, *minor, patch + 1) } else { Version::new(*major, minor + 1, 0) }
}

/// The differences between two shapes of one name.
fn changes(was: &Shape, is: &Shape) -> Vec<String> {
    if was.kind != is.kind {
        return vec![format!("was of the kind {} and is of the kind {}", was.kind.word(), is.kind.word())];
    }
    let find = |members: &[Member], member: &Member| members.iter().find(|other| other.key() == member.key()).cloned();
    let mut changes = Vec::new();
    for member in &was.members {
        match find(&is.members, member) {
            None => changes.push(format!("has lost its {}", member.whole())),
            Some(other) if other.text != member.text => changes.push(format!(
                "has another {}: it was `{}` and is `{}`",
                member.name_with_role(),
                member.text,
                other.text
            )),
            Some(_) => {}
        }
    }
    changes.extend(
        is.members
            .iter()
            .filter(|member| find(&was.members, member).is_none())
            .map(|member| format!("has a new {}", member.whole())),
    );
    if changes.is_empty() && was.members != is.members {
        let order =
            |shape: &Shape| shape.members.iter().map(|member| member.name.clone()).collect::<Vec<_>>().join(", ");
        changes.push(format!("has another order: it was {} and is {}", order(was), order(is)));
    }
    changes
}

/// The recommendation to the contract's author instead of changing a shape.
fn mend(shape: &Shape) -> &'static str {
    match shape.kind {
        Kind::Record => {
            "leave the record as it is: put new data into `extras`, or add a record of another name in a \
                new interface"
        }
        Kind::Variant | Kind::Enum | Kind::Flags => {
            "leave it as it is: use its `other` case if it has one, or add a type of another name in a new \
                interface"
        }
        Kind::Function | Kind::Export => {
            "leave the function as it is, and add one of another name with a minor version"
        }
        _ => "leave it as it is, and add the new item under another name",
    }
}

fn breaking_change(item: &str, what: impl Into<String>, mend: impl Into<String>) -> Difference {
    Difference { breaking: true, item: item.to_owned(), what: what.into(), mend: Some(mend.into()) }
}

fn compatible_change(item: &str, what: impl Into<String>) -> Difference {
    Difference { breaking: false, item: item.to_owned(), what: what.into(), mend: None }
}

#[cfg(test)]
mod tests;
