//! The backend of a command: this machine's database or a deployment in AWS. The commands are the same for
//! both; a value that a backend does not have is `None`, and the command says so.

#[cfg(feature = "aws")]
mod aws;
mod local;

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use bytes::Bytes;
use clap::Args;
use damper_core::day::Day;
use damper_core::dead_letter::{DeadLetter, Filter, Reason, Redriven};
use damper_core::item::SequenceNumber;
use damper_core::ledger::Ledger;
use damper_core::mapping::Mapping;
use damper_local::{Counts, DayCounts, WaitingItems};
use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::config::Config;
use crate::context::Context;
use crate::error::CliError;

#[cfg(feature = "aws")]
use aws::AwsBackend;
use local::LocalBackend;

/// The arguments that select a backend, shared by every command that works with both.
#[derive(Debug, Args)]
pub(crate) struct BackendArgs {
    /// Use the deployment in AWS instead of this machine, with AWS's credentials
    #[arg(long, global = true, help_heading = "AWS")]
    pub(crate) aws: bool,

    /// The function, if not that of damper.toml: an isolated provider has its own
    #[arg(long, global = true, requires = "aws", value_name = "NAME", help_heading = "AWS")]
    function: Option<String>,
}

impl BackendArgs {
    /// Opens an existing backend; creates nothing.
    ///
    /// # Errors
    /// If there is nothing, or it cannot be reached.
    pub(crate) async fn open(&self, context: &Context, config: &Config) -> Result<Box<dyn Backend>, CliError> {
        if self.aws {
            return self.open_aws(config).await;
        }
        Ok(Box::new(LocalBackend::new(context.existing_database(config)?, context, config)))
    }

    #[cfg(feature = "aws")]
    async fn open_aws(&self, config: &Config) -> Result<Box<dyn Backend>, CliError> {
        Ok(Box::new(AwsBackend::open(config, self.function.as_deref()).await?))
    }

    #[cfg(not(feature = "aws"))]
    #[allow(clippy::unused_async, reason = "the same as with AWS")]
    async fn open_aws(&self, _config: &Config) -> Result<Box<dyn Backend>, CliError> {
        let function = self.function.as_deref().map(|name| format!(" (for {name})")).unwrap_or_default();
        let what = format!("this damper was built without AWS, so --aws{function} does not work");
        Err(CliError::input(what, "build it with the feature `aws`, which is on by default"))
    }

    /// Opens the backend to feed it; on this machine the database is created if there is none.
    ///
    /// # Errors
    /// If it cannot be reached or made.
    pub(crate) async fn open_for_feed(&self, context: &Context, config: &Config) -> Result<Box<dyn Backend>, CliError> {
        if self.aws {
            self.open(context, config).await
        } else {
            Ok(Box::new(LocalBackend::open_or_create(context, config)?))
        }
    }

    /// The providers there are; in AWS those of damper.toml too, since an isolated one is mapped to a function of its own.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub(crate) async fn providers(&self, backend: &dyn Backend, config: &Config) -> Result<Vec<String>, CliError> {
        let mut providers = backend.providers().await?;
        if self.aws {
            providers.extend(config.providers.keys().cloned());
            providers.sort();
            providers.dedup();
        }
        Ok(providers)
    }

    /// The flag to append to commands that a message recommends.
    pub(crate) fn flag(&self) -> &'static str {
        if self.aws { " --aws" } else { "" }
    }

    /// An error of the ports, told for the place where it came up: what is to be done differs.
    pub(crate) fn explain(&self, error: CliError) -> CliError {
        match error {
            CliError::Ledger(_) | CliError::Adapt(_) if self.aws => CliError::Service(error.to_string()),
            error => error,
        }
    }
}

/// A place where providers' items are fetched.
#[async_trait]
pub(crate) trait Backend: Send + Sync {
    /// The ledger.
    fn ledger(&self) -> &dyn Ledger;

    /// The mapping, which delivers batches.
    fn mapping(&self) -> &dyn Mapping;

    /// The items given up on.
    fn dead_letters(&self) -> &dyn DeadLetterStore;

    /// The providers that have a stream, by name.
    async fn providers(&self) -> Result<Vec<String>, CliError>;

    /// A provider's counts.
    async fn count_provider(&self, provider: &str, day: Day, now: Timestamp) -> Result<ProviderCounts, CliError>;

    /// Enqueue entries.
    async fn feed(&self, provider: &str, payloads: Vec<Bytes>, now: Timestamp) -> Result<(), FeedFailure>;
}

/// A provider's counts; `None` if the backend does not count them.
#[derive(Debug, Default)]
pub(crate) struct ProviderCounts {
    /// All entries of the stream by outcome.
    pub(crate) stream: Option<Counts>,
    /// The day's items by state.
    pub(crate) today: Option<DayCounts>,
    /// The items that wait for their next attempt.
    pub(crate) waiting: Option<WaitingItems>,
    /// Dead letters that are kept and have not been redriven.
    pub(crate) letters: u64,
}

/// Entries that were not enqueued, or not all.
#[derive(Debug)]
pub(crate) struct FeedFailure {
    /// How many of them were.
    pub(crate) accepted: u64,
    /// Why not the others.
    pub(crate) error: CliError,
}

/// The dead letters of a backend.
#[async_trait]
pub(crate) trait DeadLetterStore: Send + Sync {
    /// At most `limit` letters, the oldest first. Unless `whole` is set, letters may come without their bundles.
    async fn list(&self, which: &Filter, limit: u32, whole: bool) -> Result<Vec<DeadLetterEntry>, CliError>;

    /// How many there are; none where each of them would have to be read for that.
    async fn count(&self, which: &Filter) -> Result<Option<u64>, CliError>;

    /// One letter, redriven or not.
    async fn show(&self, id: &LetterId) -> Result<Option<DeadLetterEntry>, CliError>;

    /// Feed letters again that have not been redriven before.
    async fn redrive(&self, which: &RedriveTarget, now: Timestamp) -> Result<Redriven, CliError>;
}

/// Which letters to redrive.
#[derive(Debug, Clone)]
pub(crate) enum RedriveTarget {
    /// This one.
    Letter(LetterId),
    /// All of a provider, of one reason if there is one.
    Provider(String, Option<Reason>),
}

/// A dead letter and its name.
#[derive(Debug, Serialize)]
pub(crate) struct DeadLetterEntry {
    /// Its name.
    pub(crate) id: LetterId,
    /// When it was redriven; none: it was not.
    pub(crate) redriven: Option<Timestamp>,
    /// The letter itself.
    #[serde(flatten)]
    pub(crate) letter: DeadLetter,
}

/// A dead letter's name: a number on this machine, in AWS its provider and its entry in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LetterId {
    /// On this machine.
    Number(i64),
    /// In AWS.
    Entry {
        /// The provider.
        provider: String,
        /// The entry.
        sequence: SequenceNumber,
    },
}

impl LetterId {
    /// A letter of the other place was named.
    fn wrong_backend_error(&self) -> CliError {
        match self {
            Self::Number(number) => CliError::input(
                format!("{number} is the id of a dead letter on this machine, and an id in AWS is PROVIDER/ENTRY"),
                "copy its id from `damper dead-letters list --aws`",
            ),
            Self::Entry { .. } => CliError::input(
                format!("{self} is the id of a dead letter in AWS, and an id on this machine is a number"),
                "add --aws, or copy its id from `damper dead-letters list`",
            ),
        }
    }
}

impl FromStr for LetterId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        match text.split_once('/') {
            Some((provider, sequence)) if !provider.is_empty() && !sequence.is_empty() => {
                Ok(Self::Entry { provider: provider.to_owned(), sequence: SequenceNumber::from(sequence) })
            }
            _ => Err("it must be a number, or with --aws PROVIDER/ENTRY, as `list` prints it"),
        }
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Entry { provider, sequence } => write!(f, "{provider}/{sequence}"),
        }
    }
}

impl Serialize for LetterId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Entry { .. } => serializer.collect_str(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_s_name_is_read_as_it_is_written() {
        for text in ["17", "gleif/4956", "sec-edgar/4956/0"] {
            assert_eq!(text.parse::<LetterId>().unwrap().to_string(), text);
        }
        for text in ["", "gleif", "gleif/", "/4956", "4956.0"] {
            assert!(text.parse::<LetterId>().is_err(), "{text}");
        }
    }
}
