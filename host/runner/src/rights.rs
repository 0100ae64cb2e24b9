//! The files that a process needs which fetches: the rest is what it gives up (see damper-hardening).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use damper_config::{Config, provider};
use damper_hardening::Policy;

/// The folders of the database, the output, damper.toml and `writable` to write to; those of components and secrets and
/// the `certificates` to read.
#[must_use]
pub fn fetching_policy<'a>(
    config: &'a Config,
    writable: impl IntoIterator<Item = &'a Path>,
    certificates: &[PathBuf],
) -> Policy {
    let mut policy = Policy::for_fetching();
    for folder in [config.output.as_path()].into_iter().chain(writable) {
        policy.writable.push(nearest(folder));
    }
    // damper.lock lies beside damper.toml.
    policy.writable.extend([parent_folder(&config.database), openable_folder(&config.folder)]);
    policy.writable.push(std::env::temp_dir());
    policy.readable.push(openable_folder(&config.component_folder));
    policy.readable.extend(certificates.iter().cloned());
    // Folders rather than files: a component or a secret is replaced by a new file of the same name.
    for (name, provider) in &config.providers {
        policy.readable.extend(provider::find(config, name).ok().map(|file| parent_folder(&file)));
        let files: Vec<(&String, PathBuf)> = provider
            .credentials
            .iter()
            .flat_map(|(credential, said)| said.keys().into_iter().map(move |key| (credential, key)))
            .filter_map(|(credential, key)| Some((credential, config.folder.join(key.file?))))
            .collect();
        if !files.is_empty() {
            add_secret_folders(&mut policy, &files, &find_rotated(config, name));
        }
    }
    policy
}

/// The folders of a provider's secrets, by credential. A new refresh token is written beside the old one; a link stays.
fn add_secret_folders(policy: &mut Policy, files: &[(&String, PathBuf)], rotated: &BTreeSet<String>) {
    for (credential, file) in files {
        if rotated.contains(*credential) {
            policy.writable.extend(file.canonicalize().ok().map(|real| parent_folder(&real)));
            policy.writable.push(parent_folder(file));
        } else {
            policy.readable.push(parent_folder(file));
        }
    }
}

/// The credentials of a provider whose secrets the host replaces; none where the component cannot be used.
fn find_rotated(config: &Config, provider: &str) -> BTreeSet<String> {
    let manifest = provider::manifest(config, provider).ok();
    let credentials = manifest.into_iter().flat_map(|manifest| manifest.credentials);
    credentials.filter(|(_, kind)| kind.is_rotated()).map(|(name, _)| name).collect()
}

/// The folder, or if it does not exist yet the nearest one above it: only a folder that is there can be named.
fn nearest(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    absolute.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(folder).to_owned()
}

/// The folder of a file.
fn parent_folder(file: &Path) -> PathBuf {
    openable_folder(file.parent().unwrap_or(Path::new("")))
}

/// A folder as it can be opened: the working folder where it is empty.
fn openable_folder(folder: &Path) -> PathBuf {
    if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_secrets_with_refresh_tokens_can_be_written() {
        let (key, login) = ("key".to_owned(), "login".to_owned());
        let files = [(&key, PathBuf::from("/nowhere/keys/key")), (&login, PathBuf::from("/nowhere/logins/login"))];
        let mut policy = Policy::for_fetching();
        let (readable, writable) = (policy.readable.len(), policy.writable.len());
        add_secret_folders(&mut policy, &files, &BTreeSet::from([login.clone()]));
        assert_eq!(policy.readable[readable..], [PathBuf::from("/nowhere/keys")]);
        assert_eq!(policy.writable[writable..], [PathBuf::from("/nowhere/logins")]);
    }
}
