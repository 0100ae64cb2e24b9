//! The backend in AWS: streams in Kinesis, the ledger in DynamoDB, the function's mappings, dead letters in the bucket.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use damper_aws::dead_letters::{Detail, Letters, LettersError, Redrive, RedriveError};
use damper_aws::deployment::{self, Deployment, DeploymentOverrides};
use damper_aws::kinesis::Feeder;
use damper_aws::sink::bucket;
use damper_aws::{AwsClients, DynamoLedger, LambdaMapping, StoredLetter};
use damper_core::day::Day;
use damper_core::dead_letter::{Filter, Redriven};
use damper_core::ledger::Ledger;
use damper_core::mapping::Mapping;
use damper_core::pipeline::AdaptError;
use jiff::Timestamp;

use super::{Backend, DeadLetterEntry, DeadLetterStore, FeedFailure, LetterId, ProviderCounts, RedriveTarget};
use crate::config::Config;
use crate::error::CliError;

pub(super) struct AwsBackend {
    clients: AwsClients,
    names: Deployment,
    ledger: DynamoLedger,
    mapping: LambdaMapping,
    letters: Letters,
}

impl AwsBackend {
    /// The deployment that damper.toml, and then the function itself, tells of.
    pub(super) async fn open(config: &Config, function: Option<&str>) -> Result<Self, CliError> {
        let settings = config.aws.clone();
        let clients = AwsClients::load_in(settings.region).await;
        deployment::check(clients.config()).await?;
        let function = function.map(str::to_owned).or(settings.function);
        let overrides = DeploymentOverrides {
            function,
            table: settings.table,
            bucket: settings.bucket,
            stream_prefix: settings.stream_prefix,
        };
        let names = Deployment::find(&clients.lambda(), overrides).await?;
        let store = bucket(clients.config(), &names.bucket)
            .map_err(|error| CliError::input(error.to_string(), "check `bucket` below [aws] in damper.toml"))?;
        let store = Arc::new(store);
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

    fn bucket_error(&self, error: &LettersError) -> CliError {
        CliError::Service(format!("{error} (the bucket is {:?})", self.names.bucket))
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

    async fn providers(&self) -> Result<Vec<String>, CliError> {
        Ok(self.mapping.providers().await.map_err(AdaptError::from)?)
    }

    async fn count_provider(&self, provider: &str, _day: Day, _now: Timestamp) -> Result<ProviderCounts, CliError> {
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
    async fn list(&self, which: &Filter, limit: u32, whole: bool) -> Result<Vec<DeadLetterEntry>, CliError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let detail = if whole { Detail::Whole } else { Detail::Head };
        let found = self.letters.list(which, limit, detail).await.map_err(|error| self.bucket_error(&error))?;
        Ok(found.into_iter().map(to_entry).collect())
    }

    async fn count(&self, which: &Filter) -> Result<Option<u64>, CliError> {
        self.letters.count(which).await.map_err(|error| self.bucket_error(&error))
    }

    async fn show(&self, id: &LetterId) -> Result<Option<DeadLetterEntry>, CliError> {
        let LetterId::Entry { provider, sequence } = id else { return Err(id.wrong_backend_error()) };
        Ok(self.letters.show(provider, sequence).await.map_err(|error| self.bucket_error(&error))?.map(to_entry))
    }

    async fn redrive(&self, which: &RedriveTarget, now: Timestamp) -> Result<Redriven, CliError> {
        let (provider, which) = match which {
            RedriveTarget::Letter(LetterId::Entry { provider, sequence }) => {
                (provider, Redrive::Letter(sequence.clone()))
            }
            RedriveTarget::Letter(id) => return Err(id.wrong_backend_error()),
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

fn to_entry(stored: StoredLetter) -> DeadLetterEntry {
    let StoredLetter { redriven, letter, .. } = stored;
    let id = LetterId::Entry { provider: letter.provider.clone(), sequence: letter.sequence.clone() };
    DeadLetterEntry { id, redriven, letter }
}
