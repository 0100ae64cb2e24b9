//! State shared by a provider's processes: the slots item and the control item. Each is written only at the version
//! that was read.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use damper_core::control::slots::Granted;
use damper_core::ledger::{Control, LedgerError, SlotRequest};
use jiff::Timestamp;

use super::DynamoLedger;
use super::schema::{Attributes, CONTROL_SORT, Key, SLOTS_SORT, number, read_number, read_text, text, unreadable};
use super::seen_slots::SeenSlots;
use super::table::{CONTENDED, UpdateOutcome};

const CHANGE_SLOTS: &str = "change slots";
const READ_CONTROL: &str = "read the control item";
const WRITE_CONTROL: &str = "write the control item";

impl DynamoLedger {
    pub(super) async fn change_slots(&self, provider: &str, request: &SlotRequest<'_>) -> Result<Granted, LedgerError> {
        // The cached slots are tried first; if they are outdated, the refusal returns the current item.
        let known = self.seen_slots().get(provider).cloned();
        let mut knew_nothing = known.is_none();
        let mut seen = known.unwrap_or_default();
        let mut tries = 0;
        loop {
            let (next, granted) = seen.apply_request(request);
            match self.write_slots(provider, seen.version, &next).await? {
                None => {
                    self.seen_slots().insert(provider.to_owned(), next);
                    return Ok(granted);
                }
                // This very write was done, its answer was lost, and its repeat was refused. Decided anew, the next
                // could be lost as well.
                Some(there) if there == next => {
                    self.seen_slots().insert(provider.to_owned(), next);
                    return Ok(granted);
                }
                Some(there) => seen = there,
            }
            // The first refusal only filled the cache: it is no sign of contention.
            if std::mem::take(&mut knew_nothing) {
                continue;
            }
            if !CONTENDED.sleep(tries, &self.table.random).await {
                let message = "other processes keep changing the slots: try again later".to_owned();
                return Err(LedgerError::Failed { action: CHANGE_SLOTS, message });
            }
            tries += 1;
        }
    }

    /// Writes the slots; returns the current item if it is not at the version that was seen.
    async fn write_slots(&self, provider: &str, seen: i64, next: &SeenSlots) -> Result<Option<SeenSlots>, LedgerError> {
        let json = serde_json::to_string(&next.taken).map_err(|error| unreadable("slots item", error))?;
        match self.write_versioned(CHANGE_SLOTS, Key::Slots { provider }, "slots", json, seen, next.version).await? {
            UpdateOutcome::Written(_) => Ok(None),
            UpdateOutcome::Refused(item) => item.as_ref().map_or(Ok(SeenSlots::default()), SeenSlots::read).map(Some),
        }
    }

    pub(super) async fn read_control(&self, provider: &str) -> Result<Control, LedgerError> {
        let knows_slots = self.seen_slots().contains_key(provider);
        let item = if knows_slots {
            self.read_item(READ_CONTROL, Key::Control { provider }).await?
        } else {
            self.read_both(provider).await?
        };
        let Some(item) = item else { return Ok(Control::default()) };
        let json = read_text(&item, "item").ok_or_else(|| unreadable("control item", "no \"item\""))?;
        let control: Control = serde_json::from_str(json).map_err(|error| unreadable("control item", error))?;
        let version = read_number(&item, "v").and_then(|version| u64::try_from(version).ok());
        Ok(Control { version: version.ok_or_else(|| unreadable("control item", "no version"))?, ..control })
    }

    /// Reads the control item, and notes the slots, in one request: a process that has just started needs both.
    async fn read_both(&self, provider: &str) -> Result<Option<Attributes>, LedgerError> {
        let partition = Key::Control { provider }.partition();
        let send = || {
            let query = self.table.client.query().table_name(&*self.table.name).consistent_read(true);
            query
                .key_condition_expression("pk = :pk AND sk BETWEEN :control AND :slots")
                .expression_attribute_values(":pk", text(&*partition))
                .expression_attribute_values(":control", text(CONTROL_SORT))
                .expression_attribute_values(":slots", text(SLOTS_SORT))
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
        };
        let answer = self.table.send(send).await.map_err(|error| self.table.ledger_error(READ_CONTROL, &error))?;
        self.table.count_read_units(answer.consumed_capacity());
        let mut control = None;
        for item in answer.items.unwrap_or_default() {
            match read_text(&item, "sk") {
                Some(CONTROL_SORT) => control = Some(item),
                Some(SLOTS_SORT) => {
                    let slots = SeenSlots::read(&item)?;
                    // Unless they were changed meanwhile by a request of this process, which knows better.
                    self.seen_slots().entry(provider.to_owned()).or_insert(slots);
                }
                _ => {}
            }
        }
        Ok(control)
    }

    pub(super) async fn read_item(
        &self,
        action: &'static str,
        key: Key<'_>,
    ) -> Result<Option<Attributes>, LedgerError> {
        let send = || {
            let request = self.table.client.get_item().table_name(&*self.table.name).set_key(Some(key.attributes()));
            request.consistent_read(true).return_consumed_capacity(ReturnConsumedCapacity::Total).send()
        };
        let answer = self.table.send(send).await.map_err(|error| self.table.ledger_error(action, &error))?;
        self.table.count_read_units(answer.consumed_capacity());
        Ok(answer.item)
    }

    pub(super) async fn write_control(&self, provider: &str, control: &Control) -> Result<bool, LedgerError> {
        let next = Control { version: control.version.saturating_add(1), ..control.clone() };
        let json = serde_json::to_string(&next).map_err(|error| unreadable("control item", error))?;
        let version = |version: u64| i64::try_from(version).unwrap_or(i64::MAX);
        let (seen, next) = (version(control.version), version(next.version));
        let key = Key::Control { provider };
        Ok(matches!(
            self.write_versioned(WRITE_CONTROL, key, "item", json, seen, next).await?,
            UpdateOutcome::Written(_)
        ))
    }

    async fn write_versioned(
        &self,
        action: &'static str,
        key: Key<'_>,
        name: &str,
        json: String,
        seen: i64,
        next: i64,
    ) -> Result<UpdateOutcome, LedgerError> {
        let request = |update: UpdateItemFluentBuilder| {
            let update = update
                .set_key(Some(key.attributes()))
                .update_expression("SET #content = :content, v = :next")
                .expression_attribute_names("#content", name)
                .expression_attribute_values(":content", text(&*json))
                .expression_attribute_values(":next", number(next));
            // Version 0 is what is seen where nothing was written yet.
            if seen == 0 {
                update.condition_expression("attribute_not_exists(pk)")
            } else {
                update.condition_expression("v = :seen").expression_attribute_values(":seen", number(seen))
            }
        };
        self.table.update(action, request).await
    }

    /// How many slots each owner of a provider has at `now`, for the operator.
    ///
    /// # Errors
    /// If the table fails.
    pub async fn slots_taken(&self, provider: &str, now: Timestamp) -> Result<BTreeMap<String, u32>, LedgerError> {
        let item = self.read_item(CHANGE_SLOTS, Key::Slots { provider }).await?;
        let slots = item.as_ref().map_or(Ok(SeenSlots::default()), SeenSlots::read)?;
        let now = now.as_microsecond();
        let taken = slots.taken.into_iter().filter(|(_, (share, until))| share.has > 0 && *until > now);
        Ok(taken.map(|(owner, (share, _))| (owner, share.has)).collect())
    }
}
