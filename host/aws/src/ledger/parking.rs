//! Parked entries: an item each, which lies by its due time, so that those that are due are read alone.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use bytes::Bytes;
use damper_core::item::{Entry, SequenceNumber};
use damper_core::ledger::{LedgerError, Parked, ParkedEntries};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::DynamoLedger;
use super::schema::{Attributes, Key, parked_until, read_number, read_text, text, time, unreadable};
use super::table::UpdateOutcome;

const WHAT: &str = "parked entry";
const PARK: &str = "park entries";
const READ: &str = "read parked entries";
const FORGET: &str = "forget parked entries";

/// How many items are written side by side.
const SIDE_BY_SIDE: usize = 32;

const SET_ENTRY: &str = "SET sq = :sq, arr = :arr, bytes = :bytes";

impl DynamoLedger {
    pub(super) async fn park_entries(&self, provider: &str, entries: &[Parked]) -> Result<u64, LedgerError> {
        let owned = entries.to_vec();
        let writes = owned.into_iter().map(|parked| async move { self.park_one(provider, parked).await });
        let new: Vec<bool> = stream::iter(writes).buffer_unordered(SIDE_BY_SIDE).try_collect().await?;
        Ok(new.into_iter().filter(|new| *new).count() as u64)
    }

    /// Writes one entry; returns whether it is new. An existing item with the same key is the same entry.
    async fn park_one(&self, provider: &str, parked: Parked) -> Result<bool, LedgerError> {
        let Parked { entry, due } = parked;
        let key = Key::Parked { provider, due, entry: &entry.sequence };
        let request = |update: UpdateItemFluentBuilder| {
            update
                .set_key(Some(key.attributes()))
                .condition_expression("attribute_not_exists(pk)")
                .update_expression(SET_ENTRY)
                .expression_attribute_values(":sq", text(&*entry.sequence.0))
                .expression_attribute_values(":arr", time(entry.arrived))
                .expression_attribute_values(":bytes", AttributeValue::B(Blob::new(entry.payload.clone())))
        };
        Ok(matches!(self.table.update(PARK, request).await?, UpdateOutcome::Written(_)))
    }

    pub(super) async fn read_parked(
        &self,
        provider: &str,
        now: Timestamp,
        most: usize,
    ) -> Result<ParkedEntries, LedgerError> {
        // Mostly nothing is parked, or nothing is due: then this is all.
        let first = self.query_parked(provider, 1, |query| query).await?.0;
        let Some(first) = first.first() else { return Ok(ParkedEntries::default()) };
        let first_due = read_due(first)?;
        if first_due > now {
            return Ok(ParkedEntries { due: Vec::new(), next_due: Some(first_due) });
        }
        let until = text(parked_until(now));
        let (mut items, mut after) = (Vec::new(), None);
        // An answer is cut at a megabyte. One more than is wanted says when the next is due.
        while items.len() <= most {
            let query = |query: QueryFluentBuilder| {
                query
                    .key_condition_expression("pk = :pk AND sk <= :until")
                    .expression_attribute_values(":until", until.clone())
                    .set_exclusive_start_key(after.clone())
            };
            let (found, last) = self.query_parked(provider, most.saturating_add(1) - items.len(), query).await?;
            items.extend(found);
            after = last;
            if after.is_none() {
                break;
            }
        }
        let next_due = match items.get(most) {
            Some(next) => Some(read_due(next)?),
            None => {
                let query = |query: QueryFluentBuilder| {
                    query
                        .key_condition_expression("pk = :pk AND sk > :until")
                        .expression_attribute_values(":until", until.clone())
                };
                self.query_parked(provider, 1, query).await?.0.first().map(read_due).transpose()?
            }
        };
        items.truncate(most);
        Ok(ParkedEntries { due: items.iter().map(read_parked_item).collect::<Result<_, _>>()?, next_due })
    }

    /// Parked items by their due time, and the key after which more may follow.
    async fn query_parked(
        &self,
        provider: &str,
        limit: usize,
        query: impl Fn(QueryFluentBuilder) -> QueryFluentBuilder,
    ) -> Result<(Vec<Attributes>, Option<Attributes>), LedgerError> {
        let partition = Key::parked_partition(provider);
        let send = || {
            let request = self
                .table
                .client
                .query()
                .table_name(&*self.table.name)
                .consistent_read(true)
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", text(&*partition))
                .limit(i32::try_from(limit).unwrap_or(i32::MAX))
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            query(request).send()
        };
        let answer = self.table.send(send).await.map_err(|error| self.table.ledger_error(READ, &error))?;
        self.table.count_read_units(answer.consumed_capacity());
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key))
    }

    pub(super) async fn forget_parked(&self, provider: &str, entries: &[Parked]) -> Result<(), LedgerError> {
        let owned = entries.to_vec();
        let writes = owned.into_iter().map(|parked| async move {
            let key = Key::Parked { provider, due: parked.due, entry: &parked.entry.sequence };
            let send = || {
                let request = self.table.client.delete_item().table_name(&*self.table.name);
                let request = request.set_key(Some(key.attributes()));
                request.return_consumed_capacity(ReturnConsumedCapacity::Total).send()
            };
            let answer = self.table.send(send).await.map_err(|error| self.table.ledger_error(FORGET, &error))?;
            self.table.count_write_units(answer.consumed_capacity());
            Ok::<_, LedgerError>(())
        });
        stream::iter(writes).buffer_unordered(SIDE_BY_SIDE).try_collect().await
    }
}

fn read_parked_item(item: &Attributes) -> Result<Parked, LedgerError> {
    let missing = |name: &str| unreadable(WHAT, format!("no {name:?}"));
    let arrived = read_number(item, "arr").ok_or_else(|| missing("arr"))?;
    let payload = item.get("bytes").and_then(|bytes| bytes.as_b().ok()).ok_or_else(|| missing("bytes"))?;
    let entry = Entry {
        sequence: SequenceNumber::from(read_text(item, "sq").ok_or_else(|| missing("sq"))?),
        arrived: Timestamp::from_microsecond(arrived).map_err(|error| unreadable(WHAT, error))?,
        payload: Bytes::copy_from_slice(payload.as_ref()),
    };
    Ok(Parked { entry, due: read_due(item)? })
}

/// The due time out of the sort key.
fn read_due(item: &Attributes) -> Result<Timestamp, LedgerError> {
    let key = read_text(item, "sk").unwrap_or_default();
    let micros = key.split_once('#').and_then(|(micros, _)| micros.parse().ok());
    let micros = micros.ok_or_else(|| unreadable(WHAT, format!("the sort key {key:?}")))?;
    Timestamp::from_microsecond(micros).map_err(|error| unreadable(WHAT, error))
}
