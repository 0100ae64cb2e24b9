//! The cache of one secret: it is read when it is first needed, by one fetch for all, and read again when an API no
//! longer accepts it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use damper_core::manifest::CredentialKind;
use tokio::time::Instant;

use super::error::CredentialError;
use super::form::{Form, spellings_of};
use super::single_flight::{Role, SingleFlight};
use crate::grants::{Secret, SecretBinding};
use crate::lock::lock;
use crate::redaction::Scrubber;

/// The shortest time between two readings because of a refusal: a wrong key must not overload the secret's source.
pub(super) const MIN_RENEWAL: Duration = Duration::from_mins(1);
/// The longest explanation of why a secret cannot be read, in bytes.
const MAX_WHY_BYTES: usize = 512;

/// One credential's secret.
#[derive(Debug)]
pub(crate) struct CachedSecret {
    factory: VersionFactory,
    binding: SecretBinding,
    flight: SingleFlight<SecretVersion, String>,
    renewals: RenewalLimit,
}

/// One version of a secret, as it was read.
#[derive(Debug)]
pub(crate) struct SecretVersion {
    pub(crate) secret: Secret,
    pub(crate) form: Form,
}

/// The time of the last renewal.
#[derive(Debug, Default)]
pub(crate) struct RenewalLimit(Mutex<Option<Instant>>);

/// The credential of a secret, and the secret's number among the credential's keys.
#[derive(Debug)]
pub(super) struct SecretNames {
    pub(super) credential: String,
    pub(super) number: usize,
}

/// Makes versions of secrets.
#[derive(Debug)]
struct VersionFactory {
    names: SecretNames,
    kind: CredentialKind,
    scrubber: Arc<Scrubber>,
}

impl RenewalLimit {
    /// Starts a renewal if the last one is long enough ago. Returns whether it did.
    pub(crate) fn try_begin(&self, now: Instant) -> bool {
        let mut last = lock(&self.0);
        let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= MIN_RENEWAL);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

impl CachedSecret {
    pub(super) fn new(
        names: SecretNames,
        kind: &CredentialKind,
        binding: SecretBinding,
        scrubber: Arc<Scrubber>,
    ) -> Result<Self, CredentialError> {
        let name = names.credential.clone();
        let factory = VersionFactory { names, kind: kind.clone(), scrubber };
        let version = binding.known.clone();
        let version = version.map(|secret| factory.make_version(secret, binding.ca.as_deref())).transpose();
        let version = version.map_err(|problem| CredentialError::BadSecret { name, problem })?;
        Ok(Self { factory, binding, flight: SingleFlight::new(version), renewals: RenewalLimit::default() })
    }

    /// The secret, if it was read.
    pub(crate) fn cached_version(&self) -> Option<Arc<SecretVersion>> {
        self.flight.value()
    }

    /// The secret, which is read now if it was not read before. The error is the reason, without the secret.
    pub(crate) async fn get_or_read(&self) -> Result<Arc<SecretVersion>, String> {
        match self.flight.join().await {
            Role::Follower(result) => result,
            Role::Leader(leader) => match self.flight.value() {
                Some(value) => Ok(value),
                None => leader.complete(self.read_version().await.map(Arc::new)),
            },
        }
    }

    /// Another version than the one that an API refused, if there is one by now. The secret is read again for that, but
    /// not more often than once in [`MIN_RENEWAL`].
    pub(crate) async fn renew(&self, refused: &Arc<SecretVersion>) -> Option<Arc<SecretVersion>> {
        let is_other = |value: &Arc<SecretVersion>| !Arc::ptr_eq(value, refused);
        if let Some(other) = self.flight.value().filter(is_other) {
            return Some(other);
        }
        let leader = match self.flight.join().await {
            Role::Follower(result) => return result.ok().filter(is_other),
            Role::Leader(leader) => leader,
        };
        if let Some(other) = self.flight.value().filter(is_other) {
            return Some(other);
        }
        if !self.renewals.try_begin(Instant::now()) {
            return None;
        }
        let renewed = match self.read_version().await {
            Ok(version) if version.secret == refused.secret => Ok(Arc::clone(refused)),
            Ok(version) => Ok(Arc::new(version)),
            Err(why) => {
                tracing::warn!(credential = %self.factory.names.credential, why, "the API refuses the secret, and the secret cannot be read again");
                Err(why)
            }
        };
        leader.complete(renewed).ok().filter(is_other)
    }

    /// Whether the host replaces a part of it.
    pub(crate) fn is_rotated(&self) -> bool {
        self.factory.kind.is_rotated()
    }

    /// Whether it can be written to its place.
    pub(crate) fn is_writable(&self) -> bool {
        self.binding.source.is_writable()
    }

    /// The name of its place, in messages.
    pub(crate) fn place(&self) -> &str {
        &self.binding.place
    }

    /// The secret as its place holds it now, where another process may have replaced it.
    pub(crate) async fn read_again(&self) -> Result<Arc<SecretVersion>, String> {
        match self.flight.join().await {
            Role::Follower(result) => result,
            Role::Leader(leader) => {
                let known = self.flight.value();
                let read = self.read_version().await.map(|read| match known {
                    Some(known) if known.secret == read.secret => known,
                    _ => Arc::new(read),
                });
                leader.complete(read)
            }
        }
    }

    /// A version with this text, which no place holds.
    pub(crate) fn make_version(&self, text: Secret) -> Result<Arc<SecretVersion>, String> {
        let version = self.factory.make_version(text, self.binding.ca.as_deref());
        version.map(Arc::new).map_err(|problem| format!("the new secret {problem}"))
    }

    /// Writes a new secret to its place, unless that holds another than `old` by now. Returns whether it was written.
    pub(crate) async fn replace(&self, old: &SecretVersion, new: &Arc<SecretVersion>) -> Result<bool, String> {
        let replaced = self.binding.source.replace(&old.secret, &new.secret).await;
        let is_written = replaced.map_err(|why| self.factory.scrubber.to_line(&why.to_string(), MAX_WHY_BYTES))?;
        if is_written && let Role::Leader(leader) = self.flight.join().await {
            // A reader that was faster has read what was written.
            drop(leader.complete(Ok(Arc::clone(new))));
        }
        Ok(is_written)
    }

    async fn read_version(&self) -> Result<SecretVersion, String> {
        let (name, place) = (&self.factory.names.credential, &self.binding.place);
        let secret = self.binding.source.read().await.map_err(|why| {
            let why = self.factory.scrubber.to_line(&why.to_string(), MAX_WHY_BYTES);
            format!("the secret of the credential {name:?} cannot be read from {place}: {why}")
        })?;
        let version = self.factory.make_version(secret, self.binding.ca.as_deref());
        version.map_err(|problem| format!("the secret of the credential {name:?}, read from {place}, {problem}"))
    }
}

impl VersionFactory {
    /// Checks a secret. From here on it is scrubbed from all output.
    fn make_version(&self, secret: Secret, ca: Option<&str>) -> Result<SecretVersion, &'static str> {
        let form = Form::of(&self.kind, &secret, ca);
        // Each key is an owner: the scrubber forgets an owner's oldest texts.
        let SecretNames { credential, number } = &self.names;
        let owner = if *number == 0 { credential.clone() } else { format!("{credential} key {number}") };
        let learned = self.scrubber.learn(&owner, spellings_of(&self.kind, &secret));
        learned.map_err(|_| "is too long to be removed from logs")?;
        Ok(SecretVersion { form: form?, secret })
    }
}
