//! Where a command finds what it works on: this machine's database, or what is deployed in AWS. The commands are the same for
//! both; what one of the two cannot tell is absent, and the command says so.

#[cfg(feature = "aws")]
mod deployed;
mod here;

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
use deployed::Deployed;
use here::Here;

/// Where a command works: an argument of every command that works in both places.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Work on what is deployed in AWS, with AWS's standard credentials, instead of on this machine
    #[arg(long, global = true, help_heading = "AWS")]
    pub(crate) aws: bool,

    /// The function, where it is not the one of damper.toml: an isolated provider has its own
    #[arg(long, global = true, requires = "aws", value_name = "NAME", help_heading = "AWS")]
    function: Option<String>,
}

impl Place {
    /// What is there already; a command that only looks makes nothing.
    ///
    /// # Errors
    /// Where there is nothing, or it cannot be reached.
    pub(crate) async fn open(&self, context: &Context, config: &Config) -> Result<Box<dyn House>, CliError> {
        if self.aws {
            return self.open_deployed(config).await;
        }
        Ok(Box::new(Here::new(context.existing_database(config)?, context, config)))
    }

    #[cfg(feature = "aws")]
    async fn open_deployed(&self, config: &Config) -> Result<Box<dyn House>, CliError> {
        Ok(Box::new(Deployed::open(config, self.function.as_deref()).await?))
    }

    #[cfg(not(feature = "aws"))]
    #[allow(clippy::unused_async, reason = "the same as with AWS")]
    async fn open_deployed(&self, _config: &Config) -> Result<Box<dyn House>, CliError> {
        let function = self.function.as_deref().map(|name| format!(" (for {name})")).unwrap_or_default();
        let what = format!("this damper was built without AWS, so --aws{function} does not work");
        Err(CliError::input(what, "build it with the feature `aws`, which is on by default"))
    }

    /// What is to be fed; on this machine it is made where there is none.
    ///
    /// # Errors
    /// Where it cannot be reached or made.
    pub(crate) async fn open_to_feed(&self, context: &Context, config: &Config) -> Result<Box<dyn House>, CliError> {
        if self.aws { self.open(context, config).await } else { Ok(Box::new(Here::made(context, config)?)) }
    }

    /// The providers there are; in AWS those of damper.toml too, since an isolated one is mapped to a function of its own.
    ///
    /// # Errors
    /// Where they cannot be listed.
    pub(crate) async fn providers(&self, house: &dyn House, config: &Config) -> Result<Vec<String>, CliError> {
        let mut providers = house.providers().await?;
        if self.aws {
            providers.extend(config.providers.keys().cloned());
            providers.sort();
            providers.dedup();
        }
        Ok(providers)
    }

    /// What a command that is recommended has to say after the rest.
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
pub(crate) trait House: Send + Sync {
    /// The ledger.
    fn ledger(&self) -> &dyn Ledger;

    /// What feeds batches.
    fn mapping(&self) -> &dyn Mapping;

    /// The items given up on.
    fn letters(&self) -> &dyn LetterBox;

    /// The providers that have a stream, by name.
    async fn providers(&self) -> Result<Vec<String>, CliError>;

    /// What has been counted of a provider.
    async fn counted(&self, provider: &str, day: Day, now: Timestamp) -> Result<Counted, CliError>;

    /// Enqueue entries.
    async fn feed(&self, provider: &str, payloads: Vec<Bytes>, now: Timestamp) -> Result<(), Unfed>;
}

/// What has been counted of a provider; absent: nobody counts it there.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// What all entries of the stream came to.
    pub(crate) stream: Option<Counts>,
    /// What the day's items came to.
    pub(crate) today: Option<DayCounts>,
    /// The items that wait for their next attempt.
    pub(crate) waiting: Option<WaitingItems>,
    /// Dead letters that are kept and have not been redriven.
    pub(crate) letters: u64,
}

/// Entries that were not enqueued, or not all.
#[derive(Debug)]
pub(crate) struct Unfed {
    /// How many of them were.
    pub(crate) accepted: u64,
    /// Why not the others.
    pub(crate) error: CliError,
}

/// The dead letters of a house.
#[async_trait]
pub(crate) trait LetterBox: Send + Sync {
    /// At most `limit` letters, the oldest first. What is not wanted `whole` may come without its bundle.
    async fn list(&self, which: &Filter, limit: u32, whole: bool) -> Result<Vec<KeptLetter>, CliError>;

    /// How many there are; none where each of them would have to be read for that.
    async fn count(&self, which: &Filter) -> Result<Option<u64>, CliError>;

    /// One letter, redriven or not.
    async fn show(&self, id: &LetterId) -> Result<Option<KeptLetter>, CliError>;

    /// Feed letters again that have not been redriven before.
    async fn redrive(&self, which: &Chosen, now: Timestamp) -> Result<Redriven, CliError>;
}

/// Which letters to redrive.
#[derive(Debug, Clone)]
pub(crate) enum Chosen {
    /// This one.
    Letter(LetterId),
    /// All of a provider, of one reason where there is one.
    Provider(String, Option<Reason>),
}

/// A dead letter and its name.
#[derive(Debug, Serialize)]
pub(crate) struct KeptLetter {
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
    fn foreign(&self) -> CliError {
        match self {
            Self::Number(number) => CliError::input(
                format!("{number} names a dead letter on this machine, and in AWS it is PROVIDER/ENTRY"),
                "copy its id from `damper dead-letters list --aws`",
            ),
            Self::Entry { .. } => CliError::input(
                format!("{self} names a dead letter in AWS, and on this machine it is a number"),
                "say --aws, or copy its id from `damper dead-letters list`",
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
            _ => Err("it must be a number, or with --aws PROVIDER/ENTRY, as `list` gives it"),
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
