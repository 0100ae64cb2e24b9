//! Finishes and releases: one conditional write each, fenced by the owner; a release also by the lease, which tells
//! apart its owner's claims of an item.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use damper_core::day::Day;
use damper_core::item::Identity;
use damper_core::ledger::{Claimed, Finish, Finished, LedgerError, Owner, Release};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::DynamoLedger;
use super::schema::{DEAD, DONE, IN_FLIGHT, Key, RETRY, error_text, number, read_text, text, time};
use super::table::UpdateOutcome;

/// How many items of one finish are written side by side.
const SIDE_BY_SIDE: usize = 32;

const THIS_CLAIM: &str = "#owner = :owner AND st = :inflight AND lease = :lease";
/// The same end twice, because its first answer was lost, is written once more and changes nothing.
const MINE_OR_ENDED_SO: &str = "#owner = :owner AND st IN (:inflight, :end)";
const END: &str = "SET st = :end, #by = :by REMOVE lease, due, ab, err, np, rs ADD v :one";
const END_WITH_ERROR: &str = "SET st = :end, #by = :by, err = :err REMOVE lease, due, ab, np, rs ADD v :one";
const GIVE_BACK: &str = "SET st = :retry, due = :due, err = :err REMOVE #owner, lease, ab ADD n :counted, v :one";
const GIVE_BACK_NOT_READY: &str =
    "SET st = :retry, due = :due, err = :err, np = :np, rs = :rs REMOVE #owner, lease, ab ADD n :counted, v :one";

const OPEN_AGAIN: &str = "SET st = :retry, due = :now, n = :none REMOVE #owner, lease, ab ADD g :one, v :one";

impl DynamoLedger {
    /// Open a dead row again: no attempts, due at `now`. `false`: its record has been fetched, and there is nothing to
    /// do. Any other row, or none, is left as it is: the item can be claimed.
    ///
    /// # Errors
    /// If the table fails.
    pub async fn reopen(
        &self,
        provider: &str,
        identity: &Identity,
        day: Day,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let key = Key::Row { provider, identity, day };
        let request = |update: UpdateItemFluentBuilder| {
            update
                .set_key(Some(key.attributes()))
                .condition_expression("st = :dead")
                .update_expression(OPEN_AGAIN)
                .expression_attribute_names("#owner", "owner")
                .expression_attribute_values(":dead", text(DEAD))
                .expression_attribute_values(":retry", text(RETRY))
                .expression_attribute_values(":now", time(now))
                .expression_attribute_values(":none", number(0))
                .expression_attribute_values(":one", number(1))
        };
        Ok(match self.table.update("open a row again", request).await? {
            UpdateOutcome::Written(_) => true,
            UpdateOutcome::Refused(row) => row.as_ref().and_then(|row| read_text(row, "st")) != Some(DONE),
        })
    }

    pub(super) async fn finish_all(
        &self,
        provider: &str,
        owner: &Owner,
        items: Vec<Finish>,
    ) -> Result<Vec<Finished>, LedgerError> {
        let finishes = items.into_iter().map(|item| async move { self.finish_one(provider, owner, item).await });
        stream::iter(finishes).buffered(SIDE_BY_SIDE).try_collect().await
    }

    async fn finish_one(&self, provider: &str, owner: &Owner, item: Finish) -> Result<Finished, LedgerError> {
        const ACTION: &str = "finish an item";
        let (claimed, letter) = match item {
            Finish::Fetched(claimed) => (claimed, None),
            Finish::Dead { claimed: None, letter } => {
                self.letters.store(&letter, None).await?;
                return Ok(Finished::Written);
            }
            Finish::Dead { claimed: Some(claimed), letter } => (claimed, Some(letter)),
        };
        let end = if letter.is_some() { DEAD } else { DONE };
        if let Some(letter) = &letter {
            // Before the row says so: a crash in between leaves a claim that runs out, and a letter that is written
            // again.
            self.letters.store(letter, Some(&claimed)).await?;
        }
        let message = letter.as_ref().map(|letter| letter.message.as_str());
        let update = |mut update: UpdateItemFluentBuilder| {
            update = update
                .condition_expression(MINE_OR_ENDED_SO)
                .update_expression(if message.is_some() { END_WITH_ERROR } else { END })
                .expression_attribute_names("#by", "by")
                .expression_attribute_values(":end", text(end))
                .expression_attribute_values(":by", text(&*claimed.sequence.0));
            message.map_or_else(
                || update.clone(),
                |said| update.clone().expression_attribute_values(":err", error_text(said)),
            )
        };
        let written = self.update_mine(ACTION, provider, owner, &claimed, update).await?;
        Ok(if written { Finished::Written } else { Finished::Fenced })
    }

    pub(super) async fn give_back(&self, provider: &str, owner: &Owner, release: Release) -> Result<(), LedgerError> {
        let Release { claimed, counted, not_before, error, resume } = &release;
        let update = |update: UpdateItemFluentBuilder| {
            let update = match resume {
                Some(resume) => update
                    .update_expression(GIVE_BACK_NOT_READY)
                    .expression_attribute_values(":np", number(resume.polls))
                    .expression_attribute_values(":rs", AttributeValue::B(Blob::new(&resume.bytes[..]))),
                None => update.update_expression(GIVE_BACK),
            };
            update
                .condition_expression(THIS_CLAIM)
                .expression_attribute_values(":retry", text(RETRY))
                .expression_attribute_values(":lease", time(claimed.lease))
                .expression_attribute_values(":due", time(*not_before))
                .expression_attribute_values(":err", error_text(error))
                .expression_attribute_values(":counted", number(u8::from(*counted)))
        };
        self.update_mine("release a claim", provider, owner, claimed, update).await.map(drop)
    }

    /// Change a row that the owner holds; returns whether it did.
    async fn update_mine(
        &self,
        action: &'static str,
        provider: &str,
        owner: &Owner,
        claimed: &Claimed,
        change: impl Fn(UpdateItemFluentBuilder) -> UpdateItemFluentBuilder,
    ) -> Result<bool, LedgerError> {
        let key = Key::Row { provider, identity: &claimed.identity, day: claimed.day };
        let request = |update: UpdateItemFluentBuilder| {
            change(update.set_key(Some(key.attributes())))
                .expression_attribute_names("#owner", "owner")
                .expression_attribute_values(":owner", text(owner.as_str()))
                .expression_attribute_values(":inflight", text(IN_FLIGHT))
                .expression_attribute_values(":one", number(1))
        };
        Ok(matches!(self.table.update(action, request).await?, UpdateOutcome::Written(_)))
    }
}
