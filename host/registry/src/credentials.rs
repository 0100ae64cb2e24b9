//! Credentials for a registry, from docker's configuration: `auths`, `credHelpers` and `credsStore`.
//!
//! `docker login`, `podman login` and the cloud's tools write it. The file and the helper programs are the operator's
//! own, and trusted; what they say may be secret and is in no message.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use tokio::sync::oneshot;

use crate::error::{CredentialOrigin, RegistryError};

/// The longest configuration that is read, in bytes.
const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// The name of the Docker Hub in docker's configuration.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// What the helpers of docker say about a registry that they do not know, on either output.
const UNKNOWN: &str = "credentials not found";

/// The credentials for a registry.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// None: what everybody may do.
    Anonymous,
    /// A name and a password.
    Password { username: String, secret: String },
    /// A token that the registry's token service changes into others.
    IdentityToken(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Password { .. } => "Password",
            Self::IdentityToken(_) => "IdentityToken",
        })
    }
}

/// Looks the credentials for a host up. `file`: docker's configuration.
pub(crate) async fn find_credentials(
    file: Option<&Path>,
    host: &str,
    patience: Duration,
) -> Result<(Credentials, CredentialOrigin), RegistryError> {
    let Some(file) = file.map(Path::to_path_buf) else {
        return Ok((Credentials::Anonymous, CredentialOrigin::Nowhere));
    };
    let problem = |problem: String| RegistryError::Credentials { host: host.to_owned(), file: file.clone(), problem };
    let Some(config) = read_config(&file).map_err(problem)? else {
        return Ok((Credentials::Anonymous, CredentialOrigin::Missing(file)));
    };
    let server = if host == "docker.io" { DOCKER_HUB } else { host }.to_owned();
    let (sender, found) = oneshot::channel();
    // A thread that nobody waits for: a helper that hangs ends with this program.
    thread::spawn(move || sender.send(get_credential_from_reader(config.as_slice(), &server)));
    let found = tokio::time::timeout(patience, found)
        .await
        .map_err(|_| problem(format!("its credential helper did not answer within {} s", patience.as_secs())))?
        .map_err(|_| problem("its credential helper failed".to_owned()))?;
    match found {
        Ok(DockerCredential::UsernamePassword(username, secret)) => {
            Ok((Credentials::Password { username, secret }, CredentialOrigin::Found(file)))
        }
        Ok(DockerCredential::IdentityToken(token)) => {
            Ok((Credentials::IdentityToken(token), CredentialOrigin::Found(file)))
        }
        Err(error) if is_absence(&error) => Ok((Credentials::Anonymous, CredentialOrigin::Missing(file))),
        Err(error) => Err(problem(explain(&error))),
    }
}

/// The configuration; none, if there is no file.
fn read_config(file: &PathBuf) -> Result<Option<Vec<u8>>, String> {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("docker's configuration cannot be read: {error}")),
    };
    let mut config = Vec::new();
    let read = opened.take(MAX_CONFIG_BYTES + 1).read_to_end(&mut config);
    read.map_err(|error| format!("docker's configuration cannot be read: {error}"))?;
    if config.len() as u64 > MAX_CONFIG_BYTES {
        return Err(format!("docker's configuration has more than {MAX_CONFIG_BYTES} bytes"));
    }
    Ok(Some(config))
}

fn is_absence(error: &CredentialRetrievalError) -> bool {
    match error {
        CredentialRetrievalError::NoCredentialConfigured => true,
        CredentialRetrievalError::HelperFailure { stdout, stderr, .. } => {
            stdout.contains(UNKNOWN) || stderr.contains(UNKNOWN)
        }
        _ => false,
    }
}

/// The problem, without a helper's own words.
fn explain(error: &CredentialRetrievalError) -> String {
    match error {
        CredentialRetrievalError::HelperCommunicationError => {
            "the credential helper that docker's configuration names cannot be run, or ends early".to_owned()
        }
        CredentialRetrievalError::MalformedHelperResponse => "the credential helper gives no credentials".to_owned(),
        CredentialRetrievalError::HelperFailure { helper, .. } => {
            format!("the credential helper {} failed", damper_core::escape::escape_text(helper))
        }
        CredentialRetrievalError::CredentialDecodingError | CredentialRetrievalError::CredentialMismatchError => {
            "its entry in docker's configuration cannot be decoded".to_owned()
        }
        _ => "docker's configuration is not the JSON that `docker login` writes".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    async fn look(config: &str, host: &str) -> Result<(Credentials, CredentialOrigin), RegistryError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        fs::write(&file, config).unwrap();
        find_credentials(Some(&file), host, PATIENCE).await
    }

    fn auth(text: &str) -> String {
        STANDARD.encode(text)
    }

    #[tokio::test]
    async fn passwords_and_tokens_are_found_by_host() {
        let config = format!(
            r#"{{"auths": {{"https://index.docker.io/v1/": {{"auth": "{}"}}, "ghcr.io": {{"auth": "{}"}},
                "x.azurecr.io": {{"auth": "{}", "identitytoken": "idt"}}}}, "unknown": [1]}}"#,
            auth("hub:a:b"),
            auth("me:pw"),
            auth("00000000-0000-0000-0000-000000000000:")
        );
        let password = |found: Credentials| match found {
            Credentials::Password { username, secret } => format!("{username}/{secret}"),
            other => format!("{other:?}"),
        };
        assert_eq!(password(look(&config, "ghcr.io").await.unwrap().0), "me/pw");
        assert_eq!(password(look(&config, "docker.io").await.unwrap().0), "hub/a:b");
        assert_eq!(password(look(&config, "x.azurecr.io").await.unwrap().0), "IdentityToken");
        let (found, origin) = look(&config, "ghcr.io.evil.test").await.unwrap();
        assert!(matches!(found, Credentials::Anonymous) && matches!(origin, CredentialOrigin::Missing(_)));
    }

    #[tokio::test]
    async fn no_file_and_no_entry_are_anonymous() {
        let missing = Path::new("/no/such/config.json");
        let (found, origin) = find_credentials(Some(missing), "ghcr.io", PATIENCE).await.unwrap();
        assert!(matches!(found, Credentials::Anonymous));
        assert_eq!(origin, CredentialOrigin::Missing(missing.to_owned()));
        let (_, origin) = find_credentials(None, "ghcr.io", PATIENCE).await.unwrap();
        assert_eq!(origin, CredentialOrigin::Nowhere);
        assert!(matches!(look("{}", "ghcr.io").await.unwrap().0, Credentials::Anonymous));
    }

    #[tokio::test]
    async fn a_damaged_configuration_is_named_and_not_quoted() {
        let entry = format!(r#"{{"auths": {{"ghcr.io": {{"auth": "{}"}}}}}}"#, auth("hunter2"));
        let (long, missing) = (" ".repeat(1 << 21), r#"{"credHelpers": {"ghcr.io": "damper-has-no-such"}}"#);
        for (config, problem) in [
            ("{\"auths\": {\"hunter2", "not the JSON"),
            (entry.as_str(), "cannot be decoded"),
            (long.as_str(), "more than 1048576 bytes"),
            (missing, "cannot be run"),
        ] {
            let error = look(config, "ghcr.io").await.unwrap_err();
            let text = format!("{error} {}", error.hint().unwrap());
            assert!(text.contains(problem) && text.contains("config.json"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_helper_that_knows_nothing_is_no_failure() {
        let failure = |stdout: &str, stderr: &str| CredentialRetrievalError::HelperFailure {
            helper: "docker-credential-x".to_owned(),
            stdout: stdout.to_owned(),
            stderr: stderr.to_owned(),
        };
        assert!(is_absence(&failure("credentials not found in native keychain\n", "")));
        assert!(!is_absence(&failure("hunter2", "locked")));
        let text = explain(&failure("hunter2", "hunter2"));
        assert!(text.contains("docker-credential-x") && !text.contains("hunter2"), "{text}");
    }
}
