//! `bootstrap`, Lambda's program: built from Damper's own source tree by itself, so that nothing of the compiler is
//! linked, or given ready; and in either case looked at before anyone deploys it.

mod cargo;
mod zig;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use damper_plugins::package::Architecture;
use damper_toolchain::BuildContext;

use crate::elf::Program;
use crate::error::PackagingError;
use crate::templates::aws_name;

/// The source tree of this program on the machine that built it.
const BUILT_FROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// A file that every source tree of Damper has.
const MARK: &str = "host/lambda/Cargo.toml";

/// Ready programs by their architectures, which each file tells itself.
#[derive(Debug, Default)]
pub struct Bootstraps(BTreeMap<Architecture, (PathBuf, Vec<u8>)>);

impl Bootstraps {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// If one cannot run in Lambda, or two are for one architecture.
    pub fn read(files: &[PathBuf]) -> Result<Self, PackagingError> {
        let mut given = BTreeMap::new();
        for path in files {
            let bytes = fs::read(path).map_err(PackagingError::file("read the program", path))?;
            let architecture = check(path, &bytes, None)?;
            if let Some((other, _)) = given.insert(architecture, (path.clone(), bytes)) {
                let what = format!("{} is for {} too", other.display(), aws_name(architecture));
                return Err(PackagingError::input_in(path, what, "give one --bootstrap for each architecture"));
            }
        }
        Ok(Self(given))
    }

    /// The program for an architecture, if it was given.
    #[must_use]
    pub fn get(&self, architecture: Architecture) -> Option<&[u8]> {
        self.0.get(&architecture).map(|(_, bytes)| bytes.as_slice())
    }

    /// The source tree to build the programs from that are not given: the one `named`, else the one that this program
    /// was built from. `None` if all are given.
    ///
    /// # Errors
    /// If only some are given, or the tree is not there.
    pub fn find_source(
        &self,
        architectures: &BTreeSet<Architecture>,
        named: Option<&Path>,
    ) -> Result<Option<PathBuf>, PackagingError> {
        match architectures.iter().find(|architecture| self.get(**architecture).is_none()) {
            None => Ok(None),
            Some(_) if self.0.is_empty() => source(named).map(Some),
            Some(lacking) => Err(PackagingError::input(
                format!("--bootstrap gives no program for {}", aws_name(*lacking)),
                "give one for it too, or exclude the architecture with --arch",
            )),
        }
    }
}

/// Damper's source tree: the one named, else the one that this program was built from.
///
/// # Errors
/// If it is not there.
fn source(named: Option<&Path>) -> Result<PathBuf, PackagingError> {
    let folder = named.unwrap_or(Path::new(BUILT_FROM));
    let hint = "name Damper's source tree with --source, or ready programs with --bootstrap";
    if !folder.join(MARK).is_file() {
        let what = match named {
            Some(_) => format!("this is not Damper's source tree: there is no {MARK} in it"),
            None => {
                "the source tree of this `damper` does not exist any more, and `bootstrap` is built from it".to_owned()
            }
        };
        return Err(PackagingError::input_in(folder, what, hint));
    }
    folder.canonicalize().map_err(PackagingError::file("find", folder))
}

/// Builds the program for an architecture. Returns its bytes.
///
/// # Errors
/// If it does not compile, its toolchain is missing, or what came of it does not run in Lambda.
pub(crate) fn build(
    architecture: Architecture,
    source: &Path,
    context: &BuildContext<'_>,
) -> Result<Vec<u8>, PackagingError> {
    context.progress.report(&format!("building bootstrap for {}", aws_name(architecture)));
    let path = cargo::build(architecture, source, context)?;
    let bytes = fs::read(&path).map_err(PackagingError::file("read the program that cargo built", &path))?;
    check(&path, &bytes, Some(architecture))?;
    Ok(bytes)
}

/// Whether Lambda can start this program, and on what.
fn check(path: &Path, bytes: &[u8], wanted: Option<Architecture>) -> Result<Architecture, PackagingError> {
    let refused = |problem: String| {
        let hint = "build it on (or for) Amazon Linux 2023 or another system with glibc 2.34 or older; `damper \
            package --source DIR` does that, with zig if necessary";
        PackagingError::input_in(path, format!("the program {problem}"), hint)
    };
    let program = Program::read(bytes).map_err(refused)?;
    program.check().map_err(refused)?;
    match wanted {
        Some(wanted) if wanted != program.architecture => {
            let found = aws_name(program.architecture);
            Err(refused(format!("is for {found} instead of {}", aws_name(wanted))))
        }
        _ => Ok(program.architecture),
    }
}
