//! The counts of requests by key and day: one item for each, raised only up to the quota.

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use damper_core::key_usage::{KeyDay, KeyReservation, KeyUsage, KeyUsageStore};
use damper_core::ledger::LedgerError;

use super::DynamoLedger;
use super::schema::{Attributes, KEY_USAGE_LIFETIME, Key, day_to_live, number};
use super::table::UpdateOutcome;

const RESERVE: &str = "reserve requests of a key";
const READ: &str = "read the requests of a key";
const RETURN: &str = "return requests of a key";

/// The largest number that is written: numbers of DynamoDB have 38 digits, and those of other stores 63 bits.
const LARGEST: u64 = i64::MAX as u64;

#[async_trait]
impl KeyUsageStore for DynamoLedger {
    async fn reserve_requests(
        &self,
        key: KeyDay<'_>,
        requests: u64,
        quota: u64,
    ) -> Result<KeyReservation, LedgerError> {
        let Some(most_before) = quota.min(LARGEST).checked_sub(requests) else {
            return Ok(KeyReservation { is_granted: false, usage: self.read_key_usage(key).await? });
        };
        let request = |update: UpdateItemFluentBuilder| {
            update
                .set_key(Some(item_key(key).attributes()))
                .update_expression(
                    "SET req = if_not_exists(req, :zero) + :more, v = if_not_exists(v, :zero), #ttl = :ttl",
                )
                .condition_expression("attribute_not_exists(req) OR (req BETWEEN :zero AND :most)")
                .expression_attribute_names("#ttl", "ttl")
                .expression_attribute_values(":zero", number(0))
                .expression_attribute_values(":more", number(requests))
                .expression_attribute_values(":most", number(most_before))
                .expression_attribute_values(":ttl", day_to_live(key.day, KEY_USAGE_LIFETIME))
                .return_values(ReturnValue::AllNew)
        };
        Ok(match self.table.update(RESERVE, request).await? {
            UpdateOutcome::Written(item) => KeyReservation { is_granted: true, usage: parse_item(&item) },
            UpdateOutcome::Refused(Some(item)) => KeyReservation { is_granted: false, usage: parse_item(&item) },
            // A stand-in that does not say what is there.
            UpdateOutcome::Refused(None) => {
                KeyReservation { is_granted: false, usage: self.read_key_usage(key).await? }
            }
        })
    }

    async fn read_key_usage(&self, key: KeyDay<'_>) -> Result<KeyUsage, LedgerError> {
        let item = self.read_item(READ, item_key(key)).await?;
        Ok(item.as_ref().map(parse_item).unwrap_or_default())
    }

    async fn return_requests(&self, key: KeyDay<'_>, requests: u64, version: u64) -> Result<bool, LedgerError> {
        let (Some(next), true) = (version.checked_add(1), requests <= LARGEST) else { return Ok(false) };
        let request = |update: UpdateItemFluentBuilder| {
            update
                .set_key(Some(item_key(key).attributes()))
                .update_expression("SET req = req - :unsent, v = :next")
                .condition_expression("v = :seen AND req >= :unsent")
                .expression_attribute_values(":unsent", number(requests))
                .expression_attribute_values(":seen", number(version))
                .expression_attribute_values(":next", number(next))
        };
        Ok(matches!(self.table.update(RETURN, request).await?, UpdateOutcome::Written(_)))
    }
}

fn item_key(key: KeyDay<'_>) -> Key<'_> {
    Key::Usage { provider: key.provider, key: key.key, day: key.day }
}

/// An item's count. One that cannot be read leaves nothing of its day.
fn parse_item(item: &Attributes) -> KeyUsage {
    let read = |name| match item.get(name) {
        Some(AttributeValue::N(digits)) => digits.parse().unwrap_or(u64::MAX),
        Some(_) => u64::MAX,
        None => 0,
    };
    KeyUsage { requests: read("req"), version: read("v") }
}

#[cfg(test)]
mod tests {
    use super::super::schema::text;
    use super::*;

    #[test]
    fn a_count_that_no_release_has_written_leaves_nothing() {
        let item = |requests| [("req".to_owned(), requests), ("v".to_owned(), number(3))].into();
        assert_eq!(parse_item(&item(number(7))), KeyUsage { requests: 7, version: 3 });
        for requests in [text("7"), number(-7), number("1e9"), number("0.5")] {
            assert_eq!(parse_item(&item(requests)).requests, u64::MAX);
        }
    }
}
