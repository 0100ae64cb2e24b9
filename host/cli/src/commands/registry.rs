//! Code that push, pull and verify share: their reference, options and keys.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use damper_registry::signature::{MAX_FILE_BYTES, PublicKey};
use damper_registry::{Reference, RegistryError, RegistryOptions};

use crate::context::Context;
use crate::error::CliError;

/// The largest component that is downloaded, in bytes.
pub(super) const MAX_COMPONENT_BYTES: u64 = damper_plugins::component_file::MAX_COMPONENT_BYTES as u64;

/// The flags of every command that uses a registry.
#[derive(Debug, Args)]
pub(super) struct RegistryArgs {
    /// Use HTTP without TLS; a registry on localhost is always used so
    #[arg(long)]
    plain_http: bool,
}

impl RegistryArgs {
    pub(super) fn options(&self, context: &Context) -> RegistryOptions {
        let docker_config = context.settings.docker_config.clone();
        RegistryOptions { plain_http: self.plain_http, docker_config, ..RegistryOptions::default() }
    }
}

/// Reads a reference of the command line.
pub(super) fn read_reference(text: &str) -> Result<Reference, CliError> {
    Reference::parse(text).map_err(|error| RegistryError::Reference(error).into())
}

/// Reads public keys from their files.
pub(super) fn read_keys(files: &[PathBuf]) -> Result<Vec<PublicKey>, CliError> {
    files
        .iter()
        .map(|file| {
            let pem = String::from_utf8_lossy(&read_file(file, MAX_FILE_BYTES as u64)?).into_owned();
            PublicKey::from_pem(&pem).map_err(|error| CliError::input_in(file, error.to_string(), error.hint()))
        })
        .collect()
}

/// Reads a file that is not longer than it may be.
pub(super) fn read_file(file: &Path, limit: u64) -> Result<Vec<u8>, CliError> {
    let mut content = Vec::new();
    let read = File::open(file).and_then(|opened| opened.take(limit.saturating_add(1)).read_to_end(&mut content));
    read.map_err(CliError::file("read", file))?;
    if content.len() as u64 > limit {
        return Err(CliError::input_in(file, format!("the file has more than {limit} bytes"), "check its name"));
    }
    Ok(content)
}
