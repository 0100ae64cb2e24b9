//! The name of an artifact: `oci://HOST[:PORT]/REPOSITORY:TAG`, with `@sha256:...` behind or instead of the tag.
//!
//! The grammar is that of the OCI distribution specification, with two restrictions: the host is always named, and so
//! is the tag or the digest. There is no default registry and no `latest`.

use std::fmt;
use std::net::IpAddr;

use damper_core::escape::escape_text;

use crate::digest::Digest;

/// The beginning of every reference.
pub const SCHEME: &str = "oci://";
const MAX_REPOSITORY_BYTES: usize = 255;
const MAX_TAG_BYTES: usize = 128;
const MAX_HOST_BYTES: usize = 255;

/// The name of an artifact in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text that names no artifact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no component in a registry: {problem}")]
pub struct ReferenceError {
    /// The text, fit for a terminal.
    pub text: String,
    /// The problem.
    pub problem: &'static str,
}

impl ReferenceError {
    /// The remedy.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        "write oci://REGISTRY/NAME:VERSION, such as oci://ghcr.io/acme/gleif:1.2.0"
    }
}

impl Reference {
    /// Reads a reference.
    ///
    /// # Errors
    /// If the text is none, or lacks the registry, or both tag and digest.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        parse(text).map_err(|problem| ReferenceError { text: escape_text(text), problem })
    }

    /// The registry's host, with its port if one is named.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository in the registry, such as `providers/gleif`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The last part of the repository's name, such as `gleif`.
    #[must_use]
    pub fn short_name(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or(&self.repository)
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the artifact's manifest, if it is pinned.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same artifact by its digest.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// Whether the registry is this machine: `localhost`, or an address of loopback.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let name = match self.host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => self.host.split(':').next().unwrap_or_default(),
        };
        name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SCHEME}{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        self.digest.map_or(Ok(()), |digest| write!(formatter, "@{digest}"))
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    let rest = text.strip_prefix(SCHEME).ok_or("it does not begin with oci://")?;
    let (rest, digest) = match rest.split_once('@') {
        Some((rest, digest)) => {
            let digest = digest.parse().map_err(|_| "behind @ it has no digest of the form sha256:...")?;
            (rest, Some(digest))
        }
        None => (rest, None),
    };
    let (host, path) = rest.split_once('/').ok_or("it names no registry, or nothing in it")?;
    let (repository, tag) = match path.split_once(':') {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (path, None),
    };
    if !is_host(host) {
        return Err("its registry is not a host such as ghcr.io or localhost:5000");
    }
    if repository.len() > MAX_REPOSITORY_BYTES || !repository.split('/').all(is_component) {
        return Err("its name may have lower-case letters, digits, and between them . _ - and /");
    }
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("its version may have at most 128 letters, digits, and after the first . _ and -");
    }
    if tag.is_none() && digest.is_none() {
        return Err("it has no version");
    }
    Ok(Reference { host: host.to_owned(), repository: repository.to_owned(), tag: tag.map(str::to_owned), digest })
}

/// A host that can be no other thing: with a dot, a port or an address, or `localhost`.
fn is_host(host: &str) -> bool {
    if host.len() > MAX_HOST_BYTES {
        return false;
    }
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let has_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return has_port && address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let is_label = |label: &str| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_clear = name.contains('.') || port.is_some() || name == "localhost";
    is_clear && name.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_component(component: &str) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends_well = bytes.first().is_some_and(is_letter) && bytes.last().is_some_and(is_letter);
    let mut separators =
        component.split(|character: char| character.is_ascii_lowercase() || character.is_ascii_digit());
    let is_separator = |text: &str| matches!(text, "" | "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    ends_well && separators.all(is_separator)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut bytes = tag.bytes();
    let begins_well = bytes.next().is_some_and(is_word);
    begins_well && tag.len() <= MAX_TAG_BYTES && bytes.all(|byte| is_word(byte) || byte == b'.' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn references_are_read_and_written_back() {
        for text in [
            "oci://ghcr.io/acme/gleif:1.2.0",
            "oci://ghcr.io/acme/gleif:1.2.0-rc.1",
            "oci://localhost/gleif:v1",
            "oci://localhost:5000/a/b-c/d__e.f:1",
            "oci://[::1]:5000/gleif:1",
            "oci://REGISTRY.example.com:443/gleif:latest",
            &format!("oci://127.0.0.1:5000/gleif@{DIGEST}"),
            &format!("oci://127.0.0.1:5000/gleif:1.0.0@{DIGEST}"),
        ] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_said() {
        for (text, problem) in [
            ("gleif.wasm", "it does not begin with oci://"),
            ("docker://ghcr.io/a:1", "it does not begin with oci://"),
            ("oci://gleif:1.2.0", "it names no registry"),
            ("oci://gleif/x:1", "its registry is not a host"),
            ("oci://user:secret@ghcr.io/x:1", "behind @"),
            ("oci://ghcr.io/x", "it has no version"),
            ("oci://ghcr.io/x:", "its version may have"),
            ("oci://ghcr.io/:1", "its name may have"),
            ("oci://ghcr.io/Acme/x:1", "its name may have"),
            ("oci://ghcr.io/a//x:1", "its name may have"),
            ("oci://ghcr.io/../x:1", "its name may have"),
            ("oci://ghcr.io/a___b:1", "its name may have"),
            ("oci://ghcr.io/x:1+2", "its version may have"),
            ("oci://ghcr.io/x:-1", "its version may have"),
            ("oci://ghcr.io:0/x:1", "its registry is not a host"),
            ("oci://ghcr.io:99999/x:1", "its registry is not a host"),
            ("oci://a..b/x:1", "its registry is not a host"),
            ("oci://[::1/x:1", "its registry is not a host"),
            ("oci://ghcr.io/x@sha512:00", "behind @"),
        ] {
            let error = Reference::parse(text).unwrap_err();
            assert!(error.problem.starts_with(problem), "{text}: {error}");
        }
        let error = Reference::parse("oci://a.b/\u{1b}[2J:1").unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error}");
    }

    #[test]
    fn only_this_machine_is_loopback() {
        let is_loopback = |host: &str| Reference::parse(&format!("oci://{host}/x:1")).unwrap().is_loopback();
        assert!(["localhost", "localhost:1", "127.0.0.1:5000", "127.9.9.9", "[::1]:80"].into_iter().all(is_loopback));
        assert!(!["localhost.example.com", "127.0.0.1.nip.io", "10.0.0.1", "[::2]:80"].into_iter().any(is_loopback));
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_read_back(text in "(oci://)?[a-zA-Z0-9./:@_\\[\\]-]{0,60}") {
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert_eq!(reference.to_string(), text);
                prop_assert!(!reference.repository().split('/').any(|part| part == ".."));
            }
        }
    }
}
