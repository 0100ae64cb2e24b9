//! The zips of one packaging: their names, their code as the templates name it, and what is in them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use damper_plugins::compiler::Compiler;
use damper_plugins::package::{self, Architecture};
use damper_toolchain::Progress;
use sha2::{Digest, Sha256};

use crate::archive::{self, Files};
use crate::dist::Dist;
use crate::error::PackagingError;
use crate::prepared_provider::PreparedProvider;
use crate::templates::{Code, Codes, aws_name};

/// The zips that were packed.
#[derive(Default)]
pub(crate) struct Zips {
    /// Their bytes by their names.
    pub(crate) files: Files,
    /// The sizes of what is in them, in bytes.
    pub(crate) unzipped: BTreeMap<String, usize>,
    /// Their code as the templates name it.
    pub(crate) codes: Codes,
}

impl Zips {
    /// Packs one, within Lambda's limits.
    ///
    /// # Errors
    /// If it cannot be packed, or is larger than Lambda allows.
    pub(crate) fn add(
        &mut self,
        architecture: Architecture,
        contents: &Files,
        dist: &Dist,
    ) -> Result<(), PackagingError> {
        let zip = archive::pack(contents).map_err(|error| PackagingError::cannot("pack the zip", error))?;
        let (name, bytes) = (zip_name(architecture), archive::unzipped_bytes(contents));
        archive::check_sizes(zip.len(), bytes).map_err(|problem| {
            let hint = "package fewer providers at a time, into several stacks with an --output each";
            PackagingError::input_in(&dist.path(&name), format!("the zip {problem}"), hint)
        })?;
        self.unzipped.insert(name.clone(), bytes);
        self.codes.insert(architecture, code_of(architecture, &zip));
        self.files.insert(name, zip);
        Ok(())
    }
}

/// The name of an architecture's zip in the folder that is deployed from.
#[must_use]
pub fn zip_name(architecture: Architecture) -> String {
    format!("damper-{}.zip", aws_name(architecture))
}

/// A zip's code as the templates name it.
pub(crate) fn code_of(architecture: Architecture, zip: &[u8]) -> Code {
    let digest = Sha256::digest(zip);
    let short: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Code { name: format!("damper-{}-{short}.zip", aws_name(architecture)), sha256: STANDARD.encode(digest) }
}

/// The files of a zip: the program, each component, compiled once for all of its providers, and the providers.
///
/// # Errors
/// If a component does not compile.
pub(crate) fn contents(
    program: Vec<u8>,
    architecture: Architecture,
    providers: &[PreparedProvider],
    compiler: &Compiler,
    progress: &dyn Progress,
) -> Result<Files, PackagingError> {
    let mut files = Files::from([(archive::BOOTSTRAP.to_owned(), program)]);
    let mut codes = BTreeMap::<&str, Vec<u8>>::new();
    for provider in providers {
        let code = match codes.get(provider.file.digest.as_str()) {
            Some(code) => code.clone(),
            None => {
                let component = &provider.file.manifest.component;
                progress.report(&format!("compiling {component} for {}", aws_name(architecture)));
                let code = package::compile(compiler, &provider.file, architecture).map_err(|error| {
                    let hint = "build it again with `damper build`, with the SDK of this release";
                    PackagingError::input(error.to_string(), hint)
                })?;
                codes.entry(&provider.file.digest).or_insert(code).clone()
            }
        };
        let packaged = package::files(provider.name(), &provider.file, architecture, code, &provider.settings);
        files.extend(packaged.map(|file| (file.path, file.bytes)));
    }
    Ok(files)
}
