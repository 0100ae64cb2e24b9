//! What is deployed in AWS: streams in Kinesis, the ledger in DynamoDB, the function's mappings, dead letters in the bucket.

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

use super::{Chosen, Counted, House, KeptLetter, LetterBox, LetterId, Unfed};
use crate::config::Config;
use crate::error::CliError;

pub(super) struct Deployed {
    clients: AwsClients,
    names: Deployment,
    ledger: DynamoLedger,
    mapping: LambdaMapping,
    letters: Letters,
}

impl Deployed {
    /// The deployment that damper.toml, and then the function itself, tells of.
    pub(super) async fn open(config: &Config, function: Option<&str>) -> Result<Self, CliError> {
        let said = config.aws.clone();
        let clients = AwsClients::load_in(said.region).await;
        deployment::check(clients.config()).await?;
        let function = function.map(str::to_owned).or(said.function);
        let said =
            DeploymentOverrides { function, table: said.table, bucket: said.bucket, stream_prefix: said.stream_prefix };
        let names = Deployment::find(&clients.lambda(), said).await?;
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

    fn bucket_failed(&self, error: &LettersError) -> CliError {
        CliError::Service(format!("{error} (the bucket is {:?})", self.names.bucket))
    }
}

#[async_trait]
impl House for Deployed {
    fn ledger(&self) -> &dyn Ledger {
        &self.ledger
    }

    fn mapping(&self) -> &dyn Mapping {
        &self.mapping
    }

    fn letters(&self) -> &dyn LetterBox {
        self
    }

    async fn providers(&self) -> Result<Vec<String>, CliError> {
        Ok(self.mapping.providers().await.map_err(AdaptError::from)?)
    }

    async fn counted(&self, provider: &str, _day: Day, _now: Timestamp) -> Result<Counted, CliError> {
        let of_provider = Filter { provider: Some(provider.to_owned()), ..Filter::default() };
        let letters = self.letters.count(&of_provider).await.map_err(|error| self.bucket_failed(&error))?;
        // Kinesis does not tell how many items wait, and the ledger's rows are not counted.
        Ok(Counted { stream: None, today: None, waiting: None, letters: letters.unwrap_or_default() })
    }

    async fn feed(&self, provider: &str, payloads: Vec<Bytes>, _now: Timestamp) -> Result<(), Unfed> {
        let fed = self.feeder(provider).feed(payloads).await;
        fed.map(drop).map_err(|error| Unfed { accepted: error.accepted_count(), error: error.into() })
    }
}

#[async_trait]
impl LetterBox for Deployed {
    async fn list(&self, which: &Filter, limit: u32, whole: bool) -> Result<Vec<KeptLetter>, CliError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let detail = if whole { Detail::Whole } else { Detail::Head };
        let found = self.letters.list(which, limit, detail).await.map_err(|error| self.bucket_failed(&error))?;
        Ok(found.into_iter().map(kept).collect())
    }

    async fn count(&self, which: &Filter) -> Result<Option<u64>, CliError> {
        self.letters.count(which).await.map_err(|error| self.bucket_failed(&error))
    }

    async fn show(&self, id: &LetterId) -> Result<Option<KeptLetter>, CliError> {
        let LetterId::Entry { provider, sequence } = id else { return Err(id.foreign()) };
        Ok(self.letters.show(provider, sequence).await.map_err(|error| self.bucket_failed(&error))?.map(kept))
    }

    async fn redrive(&self, which: &Chosen, now: Timestamp) -> Result<Redriven, CliError> {
        let (provider, which) = match which {
            Chosen::Letter(LetterId::Entry { provider, sequence }) => (provider, Redrive::Letter(sequence.clone())),
            Chosen::Letter(id) => return Err(id.foreign()),
            Chosen::Provider(provider, reason) => (provider, Redrive::All(*reason)),
        };
        let redriven = self.letters.redrive(&self.ledger, &self.feeder(provider), provider, &which, now).await;
        redriven.map_err(|error| match error {
            RedriveError::Letters(error) => self.bucket_failed(&error),
            RedriveError::Ledger(error) => error.into(),
            RedriveError::Feed(error) => error.into(),
        })
    }
}

fn kept(stored: StoredLetter) -> KeptLetter {
    let StoredLetter { redriven, letter, .. } = stored;
    let id = LetterId::Entry { provider: letter.provider.clone(), sequence: letter.sequence.clone() };
    KeptLetter { id, redriven, letter }
}
