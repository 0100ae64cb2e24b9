//! The names in a manifest: of the provider, its hosts, its params and settings.

use std::collections::{BTreeMap, BTreeSet};

use super::super::error::ManifestError;
use super::super::units::Word;

pub(in super::super) const MAX_NAME_BYTES: usize = 64;
pub(in super::super) const MAX_DESCRIPTION_BYTES: usize = 1_024;
const MAX_HOST_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;
/// The longest list or table of names.
pub(in super::super) const MAX_ENTRIES: usize = 64;

/// Whether a text can be the name of a provider or a component: 1 to 64 of `a-z`, `0-9` and `-`, the first a letter.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let known = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    known && text.starts_with(|first: char| first.is_ascii_lowercase()) && text.len() <= MAX_NAME_BYTES
}

pub(super) fn provider(name: String) -> Result<String, ManifestError> {
    if is_name(&name) {
        return Ok(name);
    }
    Err(ManifestError::text("name", &name, "it must be 1 to 64 of a-z, 0-9 and \"-\", starting with a letter"))
}

pub(super) fn version(version: String) -> Result<String, ManifestError> {
    let (numbers, prerelease) = version.split_once('-').map_or((&*version, None), |(n, rest)| (n, Some(rest)));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let number = |part: &str| digits(part) && (part == "0" || !part.starts_with('0'));
    let word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let good = numbers.split('.').count() == 3
        && numbers.split('.').all(number)
        && prerelease.is_none_or(|words| words.split('.').all(word))
        && version.len() <= MAX_NAME_BYTES;
    if good {
        return Ok(version);
    }
    Err(ManifestError::text(
        "version",
        &version,
        "it must be MAJOR.MINOR.PATCH: write it as \"0.1.0\" or \"0.1.0-rc.1\"",
    ))
}

pub(super) fn description(text: String) -> Result<String, ManifestError> {
    if text.len() <= MAX_DESCRIPTION_BYTES && !text.chars().any(char::is_control) {
        return Ok(text);
    }
    let shown =
        if text.len() > MAX_DESCRIPTION_BYTES { format!("{} bytes long", text.len()) } else { format!("{text:?}") };
    Err(ManifestError::value("description", shown, "it must be one line of at most 1024 bytes"))
}

pub(super) fn identity(params: Vec<String>) -> Result<Vec<String>, ManifestError> {
    entry_count("identity", params.len())?;
    let mut seen = BTreeSet::new();
    for (index, param) in params.iter().enumerate() {
        let field = || format!("identity[{index}]");
        if param.is_empty() || param.len() > MAX_NAME_BYTES || param.chars().any(char::is_control) {
            return Err(ManifestError::text(field(), param, "it must be the name of a param, 1 to 64 bytes"));
        }
        if !seen.insert(param) {
            return Err(ManifestError::text(field(), param, "it is listed twice; list each param once"));
        }
    }
    Ok(params)
}

pub(super) fn hosts(texts: Vec<String>) -> Result<Vec<String>, ManifestError> {
    if texts.is_empty() {
        return Err(ManifestError::value(
            "egress.hosts",
            "[]",
            "it needs at least one host, as in [\"api.example.com\"]",
        ));
    }
    entry_count("egress.hosts", texts.len())?;
    let mut hosts: Vec<String> = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let field = || format!("egress.hosts[{index}]");
        let host = host(text).map_err(|allowed| ManifestError::text(field(), text, allowed))?;
        if hosts.contains(&host) {
            return Err(ManifestError::text(field(), text, "it is listed twice; list each host once"));
        }
        hosts.push(host);
    }
    Ok(hosts)
}

/// A host name in lower case, or what is wrong with it.
pub(super) fn host(text: &str) -> Result<String, &'static str> {
    if text.contains("://") {
        return Err("it must be a host name without a scheme: write it as \"api.example.com\"");
    }
    if text.contains(['/', '?', '#', '@']) {
        return Err("it must be a host name without a path or a user: write it as \"api.example.com\"");
    }
    if text.contains('*') {
        return Err("it must be a whole host name, not a wildcard: list each host");
    }
    let address = text.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    if address.is_ok() || ends_in_number(text) {
        return Err("it must be a host name, not an IP address: the operator grants private addresses by name");
    }
    if text.contains(':') {
        return Err("it must be a host name without a port: requests go to port 443");
    }
    if !text.is_ascii() {
        return Err("it must be a host name in ASCII: write an international name in its xn-- form");
    }
    let host = text.to_ascii_lowercase();
    if host.len() <= MAX_HOST_BYTES && host.split('.').all(is_label) {
        return Ok(host);
    }
    Err("it must be a host name of letters, digits, \"-\" and \".\": write it as \"api.example.com\"")
}

/// Whether the WHATWG URL standard reads a host as an IPv4 address: `127.1` and `0x7f000001` are such.
fn ends_in_number(text: &str) -> bool {
    let last = text.strip_suffix('.').unwrap_or(text).rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let digits = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    digits || hexadecimal.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_label(label: &str) -> bool {
    let known = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    known && (1..=MAX_LABEL_BYTES).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
}

pub(super) fn config(raw: BTreeMap<String, Word>) -> Result<BTreeMap<String, String>, ManifestError> {
    entry_count("config", raw.len())?;
    let mut config = BTreeMap::new();
    for (key, value) in raw {
        if key.is_empty() || key.len() > MAX_NAME_BYTES || key.chars().any(char::is_control) {
            return Err(ManifestError::value(
                format!("config.{key:?}"),
                "not the key of a setting",
                "write 1 to 64 bytes",
            ));
        }
        config.insert(key, value.text);
    }
    Ok(config)
}

pub(super) fn entry_count(field: &str, count: usize) -> Result<(), ManifestError> {
    if count <= MAX_ENTRIES {
        return Ok(());
    }
    Err(ManifestError::value(field, format!("{count} entries"), format!("it may have at most {MAX_ENTRIES}")))
}
