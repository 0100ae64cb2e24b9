//! The operator's backend in AWS: streams in Kinesis, the ledger in DynamoDB, the function's mappings, dead letters in
//! the bucket.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use damper_core::admin::{
    AdminError, Backend, DeadLetterEntry, DeadLetterStore, FeedFailure, LetterId, ProviderCounts, RedriveTarget,
};
use damper_core::day::Day;
use damper_core::dead_letter::{Filter, Redriven};
use damper_core::ledger::Ledger;
use damper_core::mapping::Mapping;
use jiff::Timestamp;

use crate::clients::AwsClients;
use crate::dead_letters::{Detail, Letters, LettersError, Redrive, RedriveError, StoredLetter};
use crate::deployment::{self, Deployment, DeploymentError, DeploymentOverrides};
use crate::kinesis::{FeedError, Feeder};
use crate::ledger::DynamoLedger;
use crate::mapping::LambdaMapping;
use crate::sink::{BucketError, bucket};

/// A deployment, as an operator's credentials reach it.
#[derive(Debug)]
pub struct AwsBackend {
    clients: AwsClients,
    names: Deployment,
    ledger: DynamoLedger,
    mapping: LambdaMapping,
    letters: Letters,
}

/// Why a deployment cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It was not found.
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    /// Its bucket cannot be used.
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

impl OpenError {
    /// The hint that goes with the error.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Deployment(error) => error.hint(),
            Self::Bucket(_) => "check `bucket` below [aws] in damper.toml",
        }
    }
}

impl AwsBackend {
    /// Finds a deployment: by the names that the caller knows, and the others as the function tells them. `region`:
    /// default is AWS's standard configuration.
    ///
    /// # Errors
    /// If it is not found, or its bucket cannot be used.
    pub async fn open(region: Option<String>, overrides: DeploymentOverrides) -> Result<Self, OpenError> {
        let clients = AwsClients::load_in(region).await;
        deployment::check(clients.config()).await?;
        let names = Deployment::find(&clients.lambda(), overrides).await?;
        let store = Arc::new(bucket(clients.config(), &names.bucket)?);
        Ok(Self {
            ledger: DynamoLedger::new(clients.dynamodb(), &*names.table, store.clone()),
            mapping: LambdaMapping::new(clients.lambda(), &*names.function, &*names.stream_prefix),
            letters: Letters::new(store),
            clients,
            names,
        })
    }

    fn feeder(&self, provider: &str) -> Feeder {
        Feeder::new(self.clients.kinesis(), self.names.stream(provider))
    }

    fn bucket_error(&self, error: &LettersError) -> AdminError {
        AdminError::Service(format!("{error} (the bucket is {:?})", self.names.bucket))
    }
}

#[async_trait]
impl Backend for AwsBackend {
    fn ledger(&self) -> &dyn Ledger {
        &self.ledger
    }

    fn mapping(&self) -> &dyn Mapping {
        &self.mapping
    }

    fn dead_letters(&self) -> &dyn DeadLetterStore {
        self
    }

    async fn providers(&self) -> Result<Vec<String>, AdminError> {
        Ok(self.mapping.providers().await?)
    }

    async fn count_provider(&self, provider: &str, _day: Day, _now: Timestamp) -> Result<ProviderCounts, AdminError> {
        let of_provider = Filter { provider: Some(provider.to_owned()), ..Filter::default() };
        let letters = self.letters.count(&of_provider).await.map_err(|error| self.bucket_error(&error))?;
        // Kinesis does not tell how many items wait, and the ledger's rows are not counted.
        Ok(ProviderCounts { stream: None, today: None, waiting: None, letters: letters.unwrap_or_default() })
    }

    async fn feed(&self, provider: &str, payloads: Vec<Bytes>, _now: Timestamp) -> Result<(), FeedFailure> {
        let fed = self.feeder(provider).feed(payloads).await;
        fed.map(drop).map_err(|error| FeedFailure { accepted: error.accepted_count(), error: error.into() })
    }
}

#[async_trait]
impl DeadLetterStore for AwsBackend {
    async fn list(&self, which: &Filter, limit: u32, whole: bool) -> Result<Vec<DeadLetterEntry>, AdminError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let detail = if whole { Detail::Whole } else { Detail::Head };
        let found = self.letters.list(which, limit, detail).await.map_err(|error| self.bucket_error(&error))?;
        Ok(found.into_iter().map(to_entry).collect())
    }

    async fn count(&self, which: &Filter) -> Result<Option<u64>, AdminError> {
        self.letters.count(which).await.map_err(|error| self.bucket_error(&error))
    }

    async fn show(&self, id: &LetterId) -> Result<Option<DeadLetterEntry>, AdminError> {
        let LetterId::Entry { provider, sequence } = id else { return Err(AdminError::ForeignLetter(id.clone())) };
        Ok(self.letters.show(provider, sequence).await.map_err(|error| self.bucket_error(&error))?.map(to_entry))
    }

    async fn redrive(&self, which: &RedriveTarget, now: Timestamp) -> Result<Redriven, AdminError> {
        let (provider, which) = match which {
            RedriveTarget::Letter(LetterId::Entry { provider, sequence }) => {
                (provider, Redrive::Letter(sequence.clone()))
            }
            RedriveTarget::Letter(id) => return Err(AdminError::ForeignLetter(id.clone())),
            RedriveTarget::Provider(provider, reason) => (provider, Redrive::All(*reason)),
        };
        let redriven = self.letters.redrive(&self.ledger, &self.feeder(provider), provider, &which, now).await;
        redriven.map_err(|error| match error {
            RedriveError::Letters(error) => self.bucket_error(&error),
            RedriveError::Ledger(error) => error.into(),
            RedriveError::Feed(error) => error.into(),
        })
    }
}

impl From<FeedError> for AdminError {
    fn from(error: FeedError) -> Self {
        let message = error.to_string();
        match error {
            FeedError::Refused { .. } => Self::Storage(message),
            FeedError::TooLarge { .. } | FeedError::Unknown { .. } | FeedError::Denied { .. } => {
                Self::NoStream(message)
            }
        }
    }
}

fn to_entry(stored: StoredLetter) -> DeadLetterEntry {
    let StoredLetter { redriven, letter, .. } = stored;
    let id = LetterId::Entry { provider: letter.provider.clone(), sequence: letter.sequence.clone() };
    DeadLetterEntry { id, redriven, letter }
}
