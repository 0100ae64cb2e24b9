//! The article's design, as its demo has it: one function that is ventilator and worker.
//!
//! As the ventilator it gets a batch of a stream, reads which of its items were done before, invokes itself once for
//! each that was not, waits for them all, and adapts the batch size at its event source mapping after every batch. As a
//! worker it fetches one record, and writes that it tried and how that ended.
//!
//! Only its cost is measured. Its mistakes (attempts counted after the fetch, UnprocessedKeys ignored) are those of the
//! article. It stores no record, because the article does not say where.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnConsumedCapacity};
use aws_sdk_lambda::primitives::Blob;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use damper_aws::AwsClients;
use damper_bench_functions::client;
use futures::future::join_all;
use lambda_runtime::{Diagnostic, LambdaEvent, Runtime, service_fn};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An invocation.
#[derive(Deserialize)]
#[serde(untagged)]
enum Event {
    Batch {
        #[serde(rename = "Records")]
        records: Vec<Record>,
    },
    Work(Item),
}

#[derive(Deserialize)]
struct Record {
    kinesis: Kinesis,
    #[serde(rename = "eventSourceARN")]
    stream: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kinesis {
    data: String,
    sequence_number: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Item {
    id: String,
}

struct Article {
    clients: AwsClients,
    http: reqwest::Client,
    /// The API's origin.
    origin: String,
    table: String,
    /// The function's own name.
    name: String,
}

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    let article = Arc::new(Article::from_environment().await?);
    let answer = |invocation: LambdaEvent<Event>| {
        let article = Arc::clone(&article);
        async move {
            let answered = match invocation.payload {
                Event::Batch { records } => article.ventilate(records).await,
                Event::Work(item) => article.work(&item).await,
            };
            answered
                .map_err(|error| Diagnostic { error_type: "Article".to_owned(), error_message: format!("{error:#}") })
        }
    };
    Runtime::new(service_fn(answer)).run().await
}

impl Article {
    #[allow(clippy::disallowed_methods, reason = "a program's settings, read once at its start")]
    async fn from_environment() -> anyhow::Result<Self> {
        let variable = |name: &str| std::env::var(name).with_context(|| format!("the environment variable {name}"));
        Ok(Self {
            clients: AwsClients::load().await,
            http: client()?,
            origin: variable("ORIGIN")?,
            table: variable("DAMPER_TABLE")?,
            name: variable("AWS_LAMBDA_FUNCTION_NAME")?,
        })
    }

    /// A batch: what was not done before is handed on, item by item.
    async fn ventilate(&self, records: Vec<Record>) -> anyhow::Result<Value> {
        let stream = records.first().context("a batch without records")?.stream.clone();
        let mut entries = Vec::new();
        for record in records {
            let item: Item = serde_json::from_slice(&STANDARD.decode(record.kinesis.data)?)?;
            entries.push((record.kinesis.sequence_number, item));
        }
        let done = self.finished_items(&entries).await?;
        let work = entries.into_iter().filter(|(_, item)| !done.contains(item));
        let worked = join_all(work.map(async |(sequence, item)| (sequence, self.invoke(&item).await))).await;
        let failed: Vec<_> = worked.into_iter().filter(|(_, came)| came.is_err()).collect();
        let failures: Vec<Value> =
            failed.iter().map(|(sequence, _)| json!({ "itemIdentifier": sequence })).take(1).collect();
        self.adapt(&stream).await?;
        Ok(json!({ "batchItemFailures": failures }))
    }

    /// Which items were done before: an eventually consistent read each.
    async fn finished_items(&self, entries: &[(String, Item)]) -> anyhow::Result<BTreeSet<Item>> {
        let items: BTreeSet<_> = entries.iter().map(|(_, item)| item.clone()).collect();
        let keys = items.iter().map(|item| key(item, "status")).collect();
        let asked = KeysAndAttributes::builder().set_keys(Some(keys)).build()?;
        let request = self.clients.dynamodb().batch_get_item().request_items(&self.table, asked);
        let answer = request.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await?;
        let there = answer.responses.unwrap_or_default().remove(&self.table).unwrap_or_default();
        let keys = there.iter().filter_map(|row| row.get("pk")?.as_s().ok());
        Ok(keys.map(|key| Item { id: key.clone() }).collect())
    }

    async fn invoke(&self, item: &Item) -> anyhow::Result<()> {
        let request = self.clients.lambda().invoke().function_name(&self.name);
        let answer = request.payload(Blob::new(serde_json::to_vec(item)?)).send().await?;
        anyhow::ensure!(answer.function_error.is_none(), "{}: {:?}", item.id, answer.payload);
        Ok(())
    }

    /// The mapping is looked up and its batch size written, whatever it was.
    async fn adapt(&self, stream: &str) -> anyhow::Result<()> {
        let lambda = self.clients.lambda();
        let listed = lambda.list_event_source_mappings().event_source_arn(stream).send().await?;
        let mapping = listed.event_source_mappings().first().context("no mapping feeds this stream")?;
        let (uuid, batch) = (mapping.uuid().unwrap_or_default(), mapping.batch_size().unwrap_or(1));
        lambda.update_event_source_mapping().uuid(uuid).batch_size(batch).send().await?;
        Ok(())
    }

    /// One item: fetched, and then written down.
    async fn work(&self, item: &Item) -> anyhow::Result<Value> {
        let answer = self.http.get(format!("{}/records/{}", self.origin, item.id)).send().await?;
        let fetched = answer.error_for_status();
        self.count(item).await?;
        let record: Value = serde_json::from_slice(&fetched?.bytes().await?)?;
        self.finish(item).await?;
        Ok(json!({ "id": item.id, "fields": record.as_object().map_or(0, serde_json::Map::len) }))
    }

    async fn count(&self, item: &Item) -> anyhow::Result<()> {
        let request =
            self.clients.dynamodb().update_item().table_name(&self.table).set_key(Some(key(item, "attempts")));
        let request = request.update_expression("ADD attempts :one");
        let request = request.expression_attribute_values(":one", AttributeValue::N("1".to_owned()));
        request.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await?;
        Ok(())
    }

    async fn finish(&self, item: &Item) -> anyhow::Result<()> {
        let request = self.clients.dynamodb().put_item().table_name(&self.table).set_item(Some(key(item, "status")));
        let request = request.item("st", AttributeValue::S("DONE".to_owned()));
        request.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await?;
        Ok(())
    }
}

fn key(item: &Item, row: &str) -> std::collections::HashMap<String, AttributeValue> {
    let key = BTreeMap::from([("pk", item.id.as_str()), ("sk", row)]);
    key.into_iter().map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned()))).collect()
}
