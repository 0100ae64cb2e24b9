//! Earlier ends of a redelivered batch's items. They are read a hundred at a time for half a read unit each; a refused
//! claim would cost a write unit.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::{KeysAndAttributes, ReturnConsumedCapacity};
use damper_core::day::Day;
use damper_core::item::{Identity, SequenceNumber};
use damper_core::ledger::LedgerError;

use super::DynamoLedger;
use super::schema::{Attributes, DONE, Key, read_text, row_partition};
use super::table::CONTENDED;

const ACTION: &str = "read earlier results";
/// DynamoDB takes so many keys at a time.
const KEYS: usize = 100;

impl DynamoLedger {
    /// The entries that those of `identities` were fetched for on `day` which were. Reads are eventually consistent:
    /// what was done a moment ago may be missing, and is then refused by its claim; what is done stays done.
    pub(super) async fn read_done(
        &self,
        provider: &str,
        day: Day,
        identities: &[Identity],
    ) -> Result<BTreeMap<Identity, SequenceNumber>, LedgerError> {
        // Duplicate keys are refused.
        let wanted: BTreeSet<&Identity> = identities.iter().collect();
        let by_partition: BTreeMap<String, &Identity> =
            wanted.iter().map(|identity| (row_partition(provider, identity), *identity)).collect();
        let keys: Vec<Attributes> =
            wanted.iter().map(|identity| Key::Row { provider, identity, day }.attributes()).collect();
        let mut done = BTreeMap::new();
        for keys in keys.chunks(KEYS) {
            for item in self.get_all(keys.to_vec()).await? {
                let identity = read_text(&item, "pk").and_then(|partition| by_partition.get(partition));
                if let (Some(identity), Some(DONE), Some(by)) =
                    (identity, read_text(&item, "st"), read_text(&item, "by"))
                {
                    done.insert((*identity).clone(), SequenceNumber::from(by));
                }
            }
        }
        Ok(done)
    }

    /// The items of these keys, asked for again as long as some were left unprocessed.
    async fn get_all(&self, mut keys: Vec<Attributes>) -> Result<Vec<Attributes>, LedgerError> {
        let (mut items, mut tries) = (Vec::new(), 0);
        while !keys.is_empty() {
            let wanted = KeysAndAttributes::builder()
                .set_keys(Some(std::mem::take(&mut keys)))
                .projection_expression("pk, st, #by")
                .expression_attribute_names("#by", "by")
                .build()
                .map_err(|error| super::schema::unreadable("request", error))?;
            let send = || {
                let request = self.table.client.batch_get_item().request_items(&*self.table.name, wanted.clone());
                request.return_consumed_capacity(ReturnConsumedCapacity::Total).send()
            };
            let answer = self.table.send(send).await.map_err(|error| self.table.ledger_error(ACTION, &error))?;
            self.table.count_read_units(answer.consumed_capacity());
            items.extend(answer.responses.unwrap_or_default().into_values().flatten());
            keys.extend(answer.unprocessed_keys.unwrap_or_default().into_values().flat_map(|left| left.keys));
            if !keys.is_empty() && !CONTENDED.sleep(tries, &self.table.random).await {
                let message = format!(
                    "{} keys were not processed: DynamoDB throttles the table {:?}",
                    keys.len(),
                    self.table.name
                );
                return Err(LedgerError::Failed { action: ACTION, message });
            }
            tries += 1;
        }
        Ok(items)
    }
}
