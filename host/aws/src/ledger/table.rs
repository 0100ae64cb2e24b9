//! Requests to the table: sent, tried again while it throttles, their units counted, their errors in words.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{ConsumedCapacity, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure};
use damper_core::ledger::LedgerError;
use damper_core::random::RandomSource;

use super::schema::{Attributes, size};
use crate::backoff::Backoff;

/// While the table throttles: about eight seconds in all, beside what the SDK tries itself.
const THROTTLED: Backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(2), waits: 8 };
/// While others are quicker at the same item.
pub(super) const CONTENDED: Backoff =
    Backoff { first: Duration::from_millis(10), longest: Duration::from_millis(250), waits: 100 };

const THROTTLES: [&str; 4] =
    ["ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException", "LimitExceededException"];

/// A transaction is at the same item, which is over in a moment. The SDK does not try that again.
const BUSY: &str = "TransactionConflictException";

/// Request units of the table that were consumed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Units {
    /// Read request units.
    pub read: f64,
    /// Write request units.
    pub write: f64,
}

/// Units, counted in thousandths.
#[derive(Debug, Default)]
pub(super) struct UnitCounters {
    read: AtomicU64,
    write: AtomicU64,
}

/// How a conditional write went.
#[derive(Debug)]
pub(super) enum UpdateOutcome {
    /// It is written; with the attributes that were asked for.
    Written(Attributes),
    /// The condition did not hold for what is there.
    Refused(Option<Attributes>),
}

/// A table and the client to it.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) client: Client,
    pub(super) name: Arc<str>,
    pub(super) random: RandomSource,
    counters: Arc<UnitCounters>,
}

impl Table {
    pub(super) fn new(client: Client, name: String) -> Self {
        Self { client, name: name.into(), random: RandomSource::System, counters: Arc::default() }
    }

    pub(super) fn consumed_units(&self) -> Units {
        let units = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64 / 1_000.0;
        Units { read: units(&self.counters.read), write: units(&self.counters.write) }
    }

    pub(super) fn count_read_units<'a>(&self, capacity: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        add(&self.counters.read, capacity);
    }

    pub(super) fn count_write_units<'a>(&self, capacity: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        add(&self.counters.write, capacity);
    }

    /// Send a conditional write of one item.
    pub(super) async fn update(
        &self,
        action: &'static str,
        request: impl Fn(UpdateItemFluentBuilder) -> UpdateItemFluentBuilder,
    ) -> Result<UpdateOutcome, LedgerError> {
        let send = || {
            request(self.client.update_item().table_name(&*self.name))
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
        };
        match self.send(send).await {
            Ok(answer) => {
                self.count_write_units(answer.consumed_capacity());
                Ok(UpdateOutcome::Written(answer.attributes.unwrap_or_default()))
            }
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    self.count_refused_write(refused.item());
                    Ok(UpdateOutcome::Refused(refused.item.clone()))
                }
                _ => Err(self.ledger_error(action, &error)),
            },
        }
    }

    /// A write that a condition refused is charged like one that went through, by the size of the item that is there;
    /// the answer does not say so.
    fn count_refused_write(&self, item: Option<&Attributes>) {
        let kilobytes = item.map_or(0, size).div_ceil(1_024).max(1);
        self.counters.write.fetch_add(kilobytes as u64 * 1_000, Ordering::Relaxed);
    }

    /// Send a request, again while the table throttles or a transaction is at the same item.
    pub(super) async fn send<T, E, Sent>(&self, request: impl Fn() -> Sent) -> Result<T, SdkError<E>>
    where
        E: ProvideErrorMetadata,
        Sent: Future<Output = Result<T, SdkError<E>>>,
    {
        let mut number = 0;
        loop {
            match request().await {
                Err(error) if is_transient(&error) && THROTTLED.sleep(number, &self.random).await => number += 1,
                answer => return answer,
            }
        }
    }

    /// An error in words that say what to do.
    pub(super) fn ledger_error<E>(&self, action: &'static str, error: &SdkError<E>) -> LedgerError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let table = &self.name;
        let message = match error.code() {
            Some("ResourceNotFoundException") => {
                format!(
                    "there is no table {table:?}: deploy the shared stack, or check the table's name and the region"
                )
            }
            Some("AccessDeniedException") => {
                let said = error.message().unwrap_or("access denied");
                format!(
                    "these credentials have no permission to use the table {table:?} ({said}): compare them with the shared stack's role"
                )
            }
            Some(code) if THROTTLES.contains(&code) => format!(
                "DynamoDB throttled all tries on the table {table:?} ({code}): use on-demand capacity, or raise the table's limits"
            ),
            _ => format!("table {table:?}: {}", DisplayErrorContext(error)),
        };
        LedgerError::Failed { action, message }
    }
}

fn is_transient<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.code().is_some_and(|code| THROTTLES.contains(&code) || code == BUSY)
}

fn add<'a>(counter: &AtomicU64, capacity: impl IntoIterator<Item = &'a ConsumedCapacity>) {
    let units: f64 = capacity.into_iter().filter_map(ConsumedCapacity::capacity_units).sum();
    counter.fetch_add((units * 1_000.0).round() as u64, Ordering::Relaxed);
}
