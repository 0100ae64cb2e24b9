//! One claim. Almost every one is a single conditional write; its refusal brings the row along, so that none is read
//! first.
//!
//! ```text
//! the entry arrived today:  write today's row if it is new or due  --refused, with the row--> decide --> write it at
//! it arrived earlier:       read the rows since then               -------------------------> decide --> its version
//! ```
//!
//! The decision itself is the one of all ledgers ([`decide_claim`]). Where an earlier day's claim has expired, both
//! rows are written in one transaction: its owner is fenced from the same moment on in which it is listed as abandoned.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{ReturnConsumedCapacity, ReturnValue, TransactWriteItem, Update};
use damper_core::day::Day;
use damper_core::ledger::{Claim, ClaimDecision, ClaimGrant, ClaimRequest, ClaimRow, LedgerError, decide_claim};

use super::DynamoLedger;
use super::row::{LedgerRow, read_resume};
use super::schema::{IN_FLIGHT, Key, RETRY, number, read_number, row_partition, text, time, time_to_live, unreadable};
use super::table::{CONTENDED, UpdateOutcome};

const ACTION: &str = "claim an item";

const TAKE_IF: &str = "attribute_not_exists(pk) OR (st = :retry AND due <= :now)";
const TAKE: &str = "SET st = :inflight, #owner = :owner, lease = :lease, #by = :by, #ttl = :ttl, n = if_not_exists(n, :zero) \
     REMOVE due, err, ab ADD v :one";
const TAKE_WITH_ABANDONED: &str = "SET st = :inflight, #owner = :owner, lease = :lease, #by = :by, #ttl = :ttl, \
     n = if_not_exists(n, :zero), ab = :ab REMOVE due, err ADD v :one";
const RELEASE_EARLIER_DAY: &str = "SET st = :retry, due = :now REMOVE #owner, lease, ab ADD v :one";

impl DynamoLedger {
    pub(super) async fn try_claim(&self, request: &ClaimRequest<'_>) -> Result<Claim, LedgerError> {
        // A clock that went back must not hide what was done today.
        let since = request.since.min(request.today);
        let mut rows = if since == request.today {
            match self.take_first(request).await? {
                UpdateOutcome::Written(new) => {
                    let attempts = read_number(&new, "n").and_then(|count| u32::try_from(count).ok());
                    let attempt = attempts.unwrap_or_default().saturating_add(1);
                    return Ok(Claim::Granted { attempt, abandoned: Vec::new(), resume: read_resume(&new) });
                }
                UpdateOutcome::Refused(row) => row.map(|row| LedgerRow::read(&row)).transpose()?.into_iter().collect(),
            }
        } else {
            self.read_rows(request).await?
        };
        let mut number = 0;
        loop {
            let (claim_rows, versions): (Vec<ClaimRow>, Vec<i64>) =
                rows.into_iter().map(|row| (row.claim, row.version)).unzip();
            let grant = match decide_claim(&claim_rows, request) {
                ClaimDecision::Refused(claim) => return Ok(claim),
                ClaimDecision::Granted(grant) => grant,
            };
            let versions: BTreeMap<Day, i64> = claim_rows.iter().map(|row| row.day).zip(versions).collect();
            if grant.is_written || self.write_grant(request, &grant, &versions).await? {
                return Ok(grant.into_claim());
            }
            // Somebody else was quicker, and has left the item in another state.
            if !CONTENDED.sleep(number, &self.table.random).await {
                let message = "other workers keep changing the same item: try again later".to_owned();
                return Err(LedgerError::Failed { action: ACTION, message });
            }
            number += 1;
            rows = self.read_rows(request).await?;
        }
    }

    /// Take an item of which today knows nothing, or that is due.
    async fn take_first(&self, request: &ClaimRequest<'_>) -> Result<UpdateOutcome, LedgerError> {
        let update = self
            .build_take(request, TAKE)
            .expression_attribute_values(":retry", text(RETRY))
            .expression_attribute_values(":now", time(request.now))
            .condition_expression(TAKE_IF);
        self.update(update).await
    }

    /// Write a grant; returns whether the rows were still those that were decided on, which had these versions.
    async fn write_grant(
        &self,
        request: &ClaimRequest<'_>,
        grant: &ClaimGrant,
        versions: &BTreeMap<Day, i64>,
    ) -> Result<bool, LedgerError> {
        let mut update = if grant.abandoned.is_empty() {
            self.build_take(request, TAKE)
        } else {
            let json = serde_json::to_string(&grant.abandoned).map_err(|error| unreadable("ledger row", error))?;
            self.build_take(request, TAKE_WITH_ABANDONED).expression_attribute_values(":ab", text(json))
        };
        update = match versions.get(&request.today) {
            Some(version) => {
                update.condition_expression("v = :seen").expression_attribute_values(":seen", number(*version))
            }
            None => update.condition_expression("attribute_not_exists(pk)"),
        };
        if grant.over.is_empty() {
            return Ok(matches!(self.update(update).await?, UpdateOutcome::Written(_)));
        }
        let mut updates = vec![update];
        let over = grant.over.iter().filter_map(|day| Some((*day, *versions.get(day)?)));
        updates.extend(over.map(|(day, version)| self.release_earlier_day(request, day, version)));
        self.transact(updates).await
    }

    fn build_take(&self, request: &ClaimRequest<'_>, expression: &str) -> UpdateBuilder {
        let key = Key::Row { provider: request.provider, identity: request.identity, day: request.today };
        Update::builder()
            .table_name(&*self.table.name)
            .set_key(Some(key.attributes()))
            .update_expression(expression)
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#by", "by")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":inflight", text(IN_FLIGHT))
            .expression_attribute_values(":owner", text(request.owner.as_str()))
            .expression_attribute_values(":lease", time(request.lease))
            .expression_attribute_values(":by", text(&*request.sequence.0))
            .expression_attribute_values(":ttl", time_to_live(request.now, self.row_lifetime))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":one", number(1))
    }

    fn release_earlier_day(&self, request: &ClaimRequest<'_>, day: Day, version: i64) -> UpdateBuilder {
        let key = Key::Row { provider: request.provider, identity: request.identity, day };
        Update::builder()
            .table_name(&*self.table.name)
            .set_key(Some(key.attributes()))
            .update_expression(RELEASE_EARLIER_DAY)
            .condition_expression("v = :seen")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":retry", text(RETRY))
            .expression_attribute_values(":now", time(request.now))
            .expression_attribute_values(":seen", number(version))
            .expression_attribute_values(":one", number(1))
    }

    async fn update(&self, update: UpdateBuilder) -> Result<UpdateOutcome, LedgerError> {
        let update = update.build().map_err(|error| unreadable("request", error))?;
        let request = |request: UpdateItemFluentBuilder| {
            let update = update.clone();
            request
                .set_key(Some(update.key))
                .update_expression(update.update_expression)
                .set_condition_expression(update.condition_expression)
                .set_expression_attribute_names(update.expression_attribute_names)
                .set_expression_attribute_values(update.expression_attribute_values)
                // Not only what is new: the attempts may stay as they are.
                .return_values(ReturnValue::AllNew)
        };
        self.table.update(ACTION, request).await
    }

    /// All of these writes, or none; returns whether they were done.
    async fn transact(&self, updates: Vec<UpdateBuilder>) -> Result<bool, LedgerError> {
        let item = |update: UpdateBuilder| Some(TransactWriteItem::builder().update(update.build().ok()?).build());
        let items: Option<Vec<_>> = updates.into_iter().map(item).collect();
        let send = || {
            let request = self.table.client.transact_write_items().set_transact_items(items.clone());
            request.return_consumed_capacity(ReturnConsumedCapacity::Total).send()
        };
        match self.table.send(send).await {
            Ok(answer) => {
                self.table.count_write_units(answer.consumed_capacity());
                Ok(true)
            }
            Err(error) if error.code() == Some("TransactionCanceledException") => Ok(false),
            Err(error) => Err(self.table.ledger_error(ACTION, &error)),
        }
    }

    /// The identity's rows since the entry's arrival, by day.
    async fn read_rows(&self, request: &ClaimRequest<'_>) -> Result<Vec<LedgerRow>, LedgerError> {
        let send = || {
            self.table
                .client
                .query()
                .table_name(&*self.table.name)
                .consistent_read(true)
                .key_condition_expression("pk = :pk AND sk BETWEEN :since AND :today")
                .expression_attribute_values(":pk", text(row_partition(request.provider, request.identity)))
                .expression_attribute_values(":since", text(request.since.min(request.today).to_string()))
                .expression_attribute_values(":today", text(request.today.to_string()))
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
        };
        // A year of rows is far below the megabyte at which an answer is cut.
        let answer = self.table.send(send).await.map_err(|error| self.table.ledger_error(ACTION, &error))?;
        self.table.count_read_units(answer.consumed_capacity());
        answer.items().iter().map(LedgerRow::read).collect()
    }
}
