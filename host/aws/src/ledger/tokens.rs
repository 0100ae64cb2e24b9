//! Tokens that a provider's processes share: one item for each credential, written only at the version that was read.

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use damper_core::ledger::LedgerError;
use damper_core::token_store::{MAX_SEALED_BYTES, TokenKey, TokenLease, TokenRow, TokenStore};
use jiff::Timestamp;

use super::DynamoLedger;
use super::schema::{Attributes, Key, TOKEN_LIFETIME, number, read_number, read_text, text, time, time_to_live};
use super::table::UpdateOutcome;

const READ_TOKEN: &str = "read a token";
const WRITE_TOKEN: &str = "store a token";

/// The attributes of an item beside its key and `v`.
const ATTRIBUTES: [&str; 5] = ["sealed", "exp", "owner", "until", "ttl"];

#[async_trait]
impl TokenStore for DynamoLedger {
    async fn read_token(&self, key: TokenKey<'_>) -> Result<TokenRow, LedgerError> {
        let item = self.read_item(READ_TOKEN, item_key(key)).await?;
        Ok(item.as_ref().map(parse_item).unwrap_or_default())
    }

    async fn write_token(&self, key: TokenKey<'_>, row: &TokenRow) -> Result<bool, LedgerError> {
        let seen = i64::try_from(row.version).unwrap_or(i64::MAX);
        let request = |update: UpdateItemFluentBuilder| {
            let update = set_attributes(update.set_key(Some(item_key(key).attributes())), row)
                .expression_attribute_values(":next", number(seen.saturating_add(1)))
                .expression_attribute_values(":seen", number(seen));
            // Version 0 is what is read where there is no item, or one that no release of Damper has written.
            update.condition_expression(if seen == 0 {
                "attribute_not_exists(v) OR NOT v > :seen"
            } else {
                "v = :seen"
            })
        };
        Ok(matches!(self.table.update(WRITE_TOKEN, request).await?, UpdateOutcome::Written(_)))
    }
}

fn item_key(key: TokenKey<'_>) -> Key<'_> {
    Key::Token { provider: key.provider, credential: key.credential }
}

/// Sets the attributes that the row has, and removes the others.
fn set_attributes(mut update: UpdateItemFluentBuilder, row: &TokenRow) -> UpdateItemFluentBuilder {
    let lease = row.lease.as_ref();
    let values = [
        row.sealed.as_ref().map(|sealed| AttributeValue::B(Blob::new(sealed.as_slice()))),
        row.expires.map(time),
        lease.map(|lease| text(&*lease.owner)),
        lease.map(|lease| time(lease.until)),
        row.expires.map(|expires| time_to_live(expires, TOKEN_LIFETIME)),
    ];
    let (mut set, mut remove) = ("v = :next".to_owned(), Vec::new());
    for (index, (name, value)) in ATTRIBUTES.into_iter().zip(values).enumerate() {
        let placeholder = format!("#a{index}");
        update = update.expression_attribute_names(&placeholder, name);
        match value {
            Some(value) => {
                set.push_str(&format!(", {placeholder} = :a{index}"));
                update = update.expression_attribute_values(format!(":a{index}"), value);
            }
            None => remove.push(placeholder),
        }
    }
    let remove = if remove.is_empty() { String::new() } else { format!(" REMOVE {}", remove.join(", ")) };
    update.update_expression(format!("SET {set}{remove}"))
}

/// An item's row, without the parts that cannot be read.
fn parse_item(item: &Attributes) -> TokenRow {
    let time = |name| read_number(item, name).and_then(|micros| Timestamp::from_microsecond(micros).ok());
    let sealed = item.get("sealed").and_then(|sealed| sealed.as_b().ok()).map(|sealed| sealed.as_ref());
    let lease = read_text(item, "owner").zip(time("until"));
    TokenRow {
        version: read_number(item, "v").and_then(|version| u64::try_from(version).ok()).unwrap_or_default(),
        sealed: sealed.filter(|sealed| sealed.len() <= MAX_SEALED_BYTES).map(<[u8]>::to_vec),
        expires: time("exp"),
        lease: lease.map(|(owner, until)| TokenLease { owner: owner.to_owned(), until }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_release_has_written_is_read_in_part() {
        let item = [("v", text("x")), ("sealed", text("x")), ("owner", text("one")), ("until", number("1e99"))];
        let item = item.map(|(name, value)| (name.to_owned(), value)).into();
        assert_eq!(parse_item(&item), TokenRow::default());
    }
}
