//! damper.lock, beside damper.toml: what each provider was granted when it was first used. With `hosts = "manifest"` a
//! new build of a component decides for itself which hosts it reaches and which of them receive its credentials. Its
//! first requested grants are therefore pinned, and a build that requests more is refused until the operator accepts
//! it.
//!
//! This module decides and formats; its part `file` reads and writes. Hosts that the operator lists in damper.toml are
//! already approved: they are pinned, too, and never refused.

mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use damper_core::manifest::{CredentialKind, Manifest};
use damper_plugins::component_file::ComponentFile;
use damper_plugins::grants::{Grants, Origin};
use damper_plugins::settings::{HostGrant, ProviderSettings};
use serde::{Deserialize, Serialize};

use crate::config::Config;

pub use file::{Enforced, FirstUse, LockError, LockFile, WriteOutcome, check, enforce};

/// The version of the file's layout.
const VERSION: u32 = 1;
const HEAD: &str = "\
# The grants of each provider, pinned at its first use. Written by damper; keep this file with damper.toml.
# `damper lock` shows what has changed since, `damper lock --accept PROVIDER` accepts it.
";

/// The content of a damper.lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    /// By the provider's name.
    #[serde(default)]
    pub providers: BTreeMap<String, Pin>,
}

/// The grants of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The digest of its component.
    component: String,
    /// The hosts that it may reach by https.
    #[serde(default)]
    hosts: BTreeSet<String>,
    /// The hosts that receive each of its credentials.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    credentials: BTreeMap<String, BTreeSet<String>>,
    /// The host from which the tokens of each credential are fetched, whether or not a secret is bound to it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    token_hosts: BTreeMap<String, String>,
}

/// A provider as it is to be used now.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its name.
    pub provider: String,
    pin: Pin,
    /// Whether its hosts are those of its manifest.
    has_manifest_hosts: bool,
    /// The credentials whose hosts the operator has listed.
    listed_credentials: BTreeSet<String>,
    /// The credentials whose token endpoint the operator has named.
    named_endpoints: BTreeSet<String>,
}

/// The requests of a provider beyond its pin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Growth {
    hosts: Vec<String>,
    /// Credentials, each with the hosts that would receive it.
    credentials: Vec<(String, Vec<String>)>,
    /// Credentials, each with the host that would receive its secret for a token.
    token_hosts: Vec<(String, String)>,
}

/// The verdict on a provider before its use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is what is pinned.
    Unchanged,
    /// Nothing of it is pinned yet.
    New,
    /// It asks for no more than what is pinned, or for what the operator lists: the pin follows.
    Changed,
    /// It asks for more.
    Refused(Growth),
}

/// A text that is no damper.lock of this version, and why.
#[derive(Debug, PartialEq, Eq)]
struct Damaged(String);

impl Default for Lock {
    fn default() -> Self {
        Self { version: VERSION, providers: BTreeMap::new() }
    }
}

impl Lock {
    /// Reads the text of a file.
    fn parse(text: &str) -> Result<Self, Damaged> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let damaged = |error: toml::de::Error| Damaged(error.to_string().trim_end().to_owned());
        let Versioned { version } = toml::from_str(text).map_err(damaged)?;
        if version != VERSION {
            return Err(Damaged(format!("it has version {version}, and this program reads version {VERSION}")));
        }
        toml::from_str(text).map_err(damaged)
    }

    /// The text of the file: the same content gives the same bytes.
    fn text(&self) -> Result<String, toml::ser::Error> {
        Ok(format!("{HEAD}{}", toml::to_string(self)?))
    }

    /// The verdict on a provider.
    #[must_use]
    pub fn judge(&self, candidate: &Candidate) -> Verdict {
        let Some(pinned) = self.providers.get(&candidate.provider) else { return Verdict::New };
        let growth = candidate.growth(pinned);
        if !growth.is_empty() {
            Verdict::Refused(growth)
        } else if *pinned == candidate.pin {
            Verdict::Unchanged
        } else {
            Verdict::Changed
        }
    }

    /// Pins a provider as it is to be used.
    pub fn pin(&mut self, candidate: &Candidate) {
        self.providers.insert(candidate.provider.clone(), candidate.pin.clone());
    }
}

impl Candidate {
    /// A provider's component with what it is granted.
    #[must_use]
    pub fn new(config: &Config, provider: &str, file: &ComponentFile, grants: &Grants) -> Self {
        let nothing = ProviderSettings::default();
        let said = config.provider(provider).unwrap_or(&nothing);
        let listed = said.credentials.iter().filter(|(_, settings)| settings.hosts.is_some());
        let named = said.credentials.iter().filter(|(_, settings)| settings.token_url.is_some());
        let receivers = grants.secrets.iter().map(|(name, secret)| (name.clone(), alike(&secret.hosts)));
        let pin = Pin {
            component: file.digest.clone(),
            hosts: alike(&grants.hosts),
            credentials: receivers.collect(),
            token_hosts: token_hosts(&file.manifest, grants),
        };
        Self {
            provider: provider.to_owned(),
            pin,
            has_manifest_hosts: said.hosts == Some(HostGrant::Manifest),
            listed_credentials: listed.map(|(name, _)| name.clone()).collect(),
            named_endpoints: named.map(|(name, _)| name.clone()).collect(),
        }
    }

    /// The manifest's requests beyond a pin. A credential that is not pinned yet was bound by the operator since: it
    /// goes to hosts that are pinned, or their growth is told.
    fn growth(&self, pinned: &Pin) -> Growth {
        if !self.has_manifest_hosts {
            return Growth::default();
        }
        let beyond = |now: &BTreeSet<String>, before: &BTreeSet<String>| now.difference(before).cloned().collect();
        let receivers = self.pin.credentials.iter().filter(|(name, _)| !self.listed_credentials.contains(*name));
        let more = receivers
            .map(|(name, hosts)| (name.clone(), beyond(hosts, pinned.credentials.get(name).unwrap_or(&pinned.hosts))));
        let endpoints = self.pin.token_hosts.iter().filter(|(name, _)| !self.named_endpoints.contains(*name));
        let endpoints = endpoints.filter(|(name, host)| pinned.token_hosts.get(*name) != Some(*host));
        Growth {
            hosts: beyond(&self.pin.hosts, &pinned.hosts),
            credentials: more.filter(|(_, hosts): &(_, Vec<_>)| !hosts.is_empty()).collect(),
            token_hosts: endpoints.map(|(name, host)| (name.clone(), host.clone())).collect(),
        }
    }
}

/// The hosts of the token endpoints: of those that are bound, else of the manifest's.
fn token_hosts(manifest: &Manifest, grants: &Grants) -> BTreeMap<String, String> {
    let host = |(name, kind): (&String, &CredentialKind)| {
        let bound = grants.secrets.get(name).and_then(|secret| secret.tokens.as_ref());
        let asked = || kind.token_settings()?.token_url.as_ref()?.parse().ok();
        let url = bound.map(|endpoint| endpoint.url.clone()).or_else(asked)?;
        let host = alike(&[Origin::of(&url)?.to_string()]).pop_first()?;
        Some((name.clone(), host))
    };
    manifest.credentials.iter().filter_map(host).collect()
}

/// Hosts in one spelling: a name alone stands for https on port 443.
fn alike(hosts: &[String]) -> BTreeSet<String> {
    hosts.iter().map(|host| host.strip_prefix("https://").unwrap_or(host).to_owned()).collect()
}

impl Growth {
    fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.credentials.is_empty() && self.token_hosts.is_empty()
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let mut parts = Vec::new();
        if !self.hosts.is_empty() {
            parts.push(format!("the host{} {}", plural(self.hosts.len()), self.hosts.join(", ")));
        }
        for (name, hosts) in &self.credentials {
            parts.push(format!("the credential {name:?} for {}", hosts.join(", ")));
        }
        for (name, host) in &self.token_hosts {
            parts.push(format!("tokens of the credential {name:?} from {host}"));
        }
        f.write_str(&parts.join("; "))
    }
}

#[cfg(test)]
mod tests;
