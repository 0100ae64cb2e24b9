//! Reads from a program's file whether Lambda can run it. Pure.

use damper_plugins::package::Architecture;
use object::elf::{EM_AARCH64, EM_X86_64, FileHeader64};
use object::read::elf::FileHeader;
use object::{Endianness, elf};

/// The glibc of Lambda's `provided.al2023`, Amazon Linux 2023.
pub(crate) const LAMBDA_GLIBC: Glibc = Glibc { major: 2, minor: 34 };

/// A version of glibc.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Glibc {
    major: u32,
    minor: u32,
}

impl std::fmt::Display for Glibc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A Linux program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// The processor architecture it runs on.
    pub(crate) architecture: Architecture,
    /// The newest glibc that it needs; none where it is linked statically.
    pub(crate) glibc: Option<Glibc>,
}

impl Program {
    /// Reads a program's file.
    ///
    /// # Errors
    /// With what is wrong, where it is no Linux program for one of the architectures.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let damaged = |error: object::read::Error| format!("is not a Linux program ({error})");
        let header = FileHeader64::<Endianness>::parse(bytes).map_err(damaged)?;
        let endian = header.endian().map_err(damaged)?;
        if !matches!(header.e_type(endian), elf::ET_EXEC | elf::ET_DYN) {
            return Err("is not an executable".to_owned());
        }
        let architecture = match header.e_machine(endian) {
            EM_X86_64 => Architecture::X86_64,
            EM_AARCH64 => Architecture::Aarch64,
            _ => return Err("is a program for neither x86_64 nor arm64".to_owned()),
        };
        Ok(Self { architecture, glibc: glibc(header, endian, bytes).map_err(damaged)? })
    }

    /// Whether Lambda runs it.
    ///
    /// # Errors
    /// With the reason why not.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.glibc {
            Some(needed) if needed > LAMBDA_GLIBC => {
                Err(format!("needs glibc {needed}, and Lambda's provided.al2023 has {LAMBDA_GLIBC}"))
            }
            _ => Ok(()),
        }
    }
}

/// The newest `GLIBC_x.y` among the versions of symbols that the program needs. One that is marked weak it can do
/// without: the loader says nothing if it is missing.
fn glibc(header: &FileHeader64<Endianness>, endian: Endianness, bytes: &[u8]) -> object::read::Result<Option<Glibc>> {
    let sections = header.sections(endian, bytes)?;
    let Some((mut needs, link)) = sections.gnu_verneed(endian, bytes)? else { return Ok(None) };
    let strings = sections.strings(endian, bytes, link)?;
    let mut newest = None;
    while let Some((_, mut versions)) = needs.next()? {
        while let Some(version) = versions.next()? {
            if version.vna_flags.get(endian) & elf::VER_FLG_WEAK == 0 {
                newest = newest.max(parse(version.name(endian, strings)?));
            }
        }
    }
    Ok(newest)
}

fn parse(name: &[u8]) -> Option<Glibc> {
    let version = std::str::from_utf8(name).ok()?.strip_prefix("GLIBC_")?;
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    Some(Glibc { major: numbers.next()??, minor: numbers.next()?? })
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    /// A real program of this machine, its newest glibc made `version`, which must be as long as the one it has.
    fn program(version: &str) -> Vec<u8> {
        let mut bytes = std::fs::read("/bin/true").unwrap();
        let newest = Program::read(&bytes).unwrap().glibc.unwrap();
        let (from, to) = (format!("GLIBC_{newest}\0"), format!("GLIBC_{version}\0"));
        assert_eq!(from.len(), to.len());
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    }

    #[test]
    fn a_programs_architecture_and_glibc_are_read() {
        let read = Program::read(&program("2.34")).unwrap();
        assert_eq!(read.glibc, Some(LAMBDA_GLIBC));
        assert_eq!(read.architecture.name(), std::env::consts::ARCH);
        assert_eq!(read.check(), Ok(()));
    }

    #[test]
    fn a_glibc_newer_than_lambdas_is_refused() {
        let error = Program::read(&program("2.39")).unwrap().check().unwrap_err();
        assert_eq!(error, "needs glibc 2.39, and Lambda's provided.al2023 has 2.34");
    }

    #[test]
    fn what_a_program_can_do_without_it_does_not_need() {
        let mut bytes = program("2.39");
        let before = Program::read(&std::fs::read("/bin/true").unwrap()).unwrap().glibc.unwrap();
        // Of the entry of `.gnu.version_r`, which still has the hash of the name that was there, the flags.
        let hash = elf::hash(format!("GLIBC_{before}").as_bytes()).to_le_bytes();
        let entry = [&hash[..], &[0, 0]].concat();
        let at = bytes.windows(entry.len()).position(|window| window == entry).unwrap();
        bytes[at + hash.len()] = elf::VER_FLG_WEAK as u8;
        assert_eq!(Program::read(&bytes).unwrap().check(), Ok(()));
    }

    #[test]
    fn what_lambda_cannot_start_is_told() {
        let mut bytes = program("2.34");
        // e_machine: RISC-V.
        bytes[18] = 243;
        assert_eq!(Program::read(&bytes).unwrap_err(), "is a program for neither x86_64 nor arm64");
        // e_type: an object file.
        bytes[16] = 1;
        assert_eq!(Program::read(&bytes).unwrap_err(), "is not an executable");
        for length in [0, 4, 63, 64] {
            assert!(Program::read(b"#!/bin/sh\n").is_err());
            let cut = &program("2.34")[..length];
            assert!(Program::read(cut).is_err(), "{length}");
        }
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(parse(b"GLIBC_2.4") < parse(b"GLIBC_2.34"));
        assert_eq!((parse(b"GLIBC_PRIVATE"), parse(b"GCC_3.0")), (None, None));
        assert_eq!(parse(b"GLIBC_2.2.5"), Some(Glibc { major: 2, minor: 2 }));
    }
}
