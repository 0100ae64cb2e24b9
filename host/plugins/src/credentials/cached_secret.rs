//! A secret as a plugin keeps it: read when it is first needed, by one fetch for all, and read again when an API no longer
//! accepts it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use damper_core::manifest::CredentialKind;
use tokio::time::Instant;

use super::CredentialError;
use super::cell::{Cell, Turn};
use super::form::{Form, spellings_of};
use crate::grants::{Secret, SecretBinding};
use crate::text::Scrubber;

/// The shortest time between two readings because of a refusal: a wrong key must not hammer the secret's home.
pub(super) const MIN_RENEWAL: Duration = Duration::from_mins(1);
/// The longest explanation of why a secret cannot be read, in bytes.
const MAX_WHY_BYTES: usize = 512;

/// One credential's secret.
#[derive(Debug)]
pub(crate) struct KeptSecret {
    maker: Maker,
    binding: SecretBinding,
    cell: Cell<Version, String>,
    renewals: Renewals,
}

/// A secret as it was read once.
#[derive(Debug)]
pub(crate) struct Version {
    secret: Secret,
    pub(crate) form: Form,
}

/// When there was a renewal last.
#[derive(Debug, Default)]
pub(crate) struct Renewals(Mutex<Option<Instant>>);

/// Makes versions of what is read.
#[derive(Debug)]
struct Maker {
    credential: String,
    kind: CredentialKind,
    scrubber: Arc<Scrubber>,
}

impl Renewals {
    /// Whether there may be a renewal now; if so, it counts.
    pub(crate) fn begin(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= MIN_RENEWAL);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

impl KeptSecret {
    pub(super) fn new(
        credential: &str,
        kind: &CredentialKind,
        binding: SecretBinding,
        scrubber: Arc<Scrubber>,
    ) -> Result<Self, CredentialError> {
        let maker = Maker { credential: credential.to_owned(), kind: kind.clone(), scrubber };
        let known = binding.known.clone();
        let known = known.map(|secret| maker.version(secret, binding.ca.as_deref())).transpose();
        let known = known.map_err(|problem| CredentialError::BadSecret { name: credential.to_owned(), problem })?;
        Ok(Self { maker, binding, cell: Cell::new(known), renewals: Renewals::default() })
    }

    /// The secret, if it was read.
    pub(crate) fn ready(&self) -> Option<Arc<Version>> {
        self.cell.value()
    }

    /// The secret, read now if it was not before; else why it cannot be read, without the secret.
    pub(crate) async fn get(&self) -> Result<Arc<Version>, String> {
        match self.cell.turn().await {
            Turn::Another(result) => result,
            Turn::Ours(turn) => match self.cell.value() {
                Some(value) => Ok(value),
                None => turn.end(self.read().await.map(Arc::new)),
            },
        }
    }

    /// Another version than the one that an API refused, if there is one by now. The secret is read again for that, but not
    /// more often than once in [`MIN_RENEWAL`].
    pub(crate) async fn other_than(&self, refused: &Arc<Version>) -> Option<Arc<Version>> {
        let is_other = |value: &Arc<Version>| !Arc::ptr_eq(value, refused);
        if let Some(other) = self.cell.value().filter(is_other) {
            return Some(other);
        }
        let turn = match self.cell.turn().await {
            Turn::Another(result) => return result.ok().filter(is_other),
            Turn::Ours(turn) => turn,
        };
        if let Some(other) = self.cell.value().filter(is_other) {
            return Some(other);
        }
        if !self.renewals.begin(Instant::now()) {
            return None;
        }
        let read = match self.read().await {
            Ok(version) if version.secret == refused.secret => Ok(Arc::clone(refused)),
            Ok(version) => Ok(Arc::new(version)),
            Err(why) => {
                tracing::warn!(credential = %self.maker.credential, why, "a secret that is no longer accepted cannot be read again");
                Err(why)
            }
        };
        turn.end(read).ok().filter(is_other)
    }

    async fn read(&self) -> Result<Version, String> {
        let (name, place) = (&self.maker.credential, &self.binding.place);
        let secret = self.binding.source.read().await.map_err(|why| {
            let why = self.maker.scrubber.shown(&why.to_string(), MAX_WHY_BYTES);
            format!("the secret of the credential {name:?} cannot be read from {place}: {why}")
        })?;
        let version = self.maker.version(secret, self.binding.ca.as_deref());
        version.map_err(|problem| format!("the secret of the credential {name:?}, read from {place}, {problem}"))
    }
}

impl Maker {
    /// What was read, checked. From here on it is scrubbed from whatever is written.
    fn version(&self, secret: Secret, ca: Option<&str>) -> Result<Version, &'static str> {
        let form = Form::of(&self.kind, &secret, ca);
        let learned = self.scrubber.learn(&self.credential, spellings_of(&self.kind, &secret));
        learned.map_err(|_| "is too long to be kept out of the logs")?;
        Ok(Version { form: form?, secret })
    }
}
