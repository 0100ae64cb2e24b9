//! The content of a stream: entries as bytes, and the items that they encode.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::escape::escape_text;

/// The longest id of an item, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 512;
/// The longest identity as the ledger keeps it, in bytes; DynamoDB takes keys of 2,048 with the provider's name.
pub const MAX_IDENTITY_BYTES: usize = 1_900;
/// The largest entry that is read as an item, in bytes.
pub const MAX_ENTRY_BYTES: usize = 64 * 1024;

/// An entry's name in its stream: opaque text without an order (a batch has an order).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SequenceNumber(pub Arc<str>);

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<u64> for SequenceNumber {
    fn from(number: u64) -> Self {
        Self(number.to_string().into())
    }
}

impl From<&str> for SequenceNumber {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// One entry of a stream as it was delivered, not parsed yet.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name in the stream.
    pub sequence: SequenceNumber,
    /// When it came into the stream.
    pub arrived: Timestamp,
    /// The bytes that were fed.
    pub payload: Bytes,
}

/// Further parameters of an item, sorted by name.
pub type Params = BTreeMap<String, String>;

/// A request to fetch one record.
///
/// ```
/// use damper_core::item::Item;
///
/// let item = Item::parse(br#"{"id": "42", "params": {"lang": "de", "page": 2}}"#)?;
/// assert_eq!(item.params["page"], "2"); // every value is kept as text
///
/// // The manifest says which parameters are part of the identity, which is fetched once a day.
/// assert_eq!(item.identity(&["lang".to_owned()])?.as_str(), "42?lang=de");
/// assert!(Item::parse(b"42").is_err(), "no object: such an entry becomes a dead letter");
/// # Ok::<(), damper_core::item::ItemError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The record's identifier in the API's terms, 1 to [`MAX_ID_BYTES`] bytes.
    pub id: String,
    /// Hints for the provider; those that the manifest lists in `identity` are part of what is fetched once a day.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: Params,
}

/// Why an entry is no item. Such an entry becomes a dead letter with its raw bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// The entry is larger than [`MAX_ENTRY_BYTES`].
    #[error("the entry has {0} bytes, more than {MAX_ENTRY_BYTES}: feed the id and its parameters only")]
    EntryTooLarge(usize),
    /// The entry is not a JSON object of the form `{"id": "...", "params": {...}}`.
    #[error("the entry is not {{\"id\": \"...\", \"params\": {{...}}}}: {0}")]
    NotAnItem(String),
    /// The id is empty.
    #[error("the id is empty")]
    IdEmpty,
    /// The id is longer than [`MAX_ID_BYTES`].
    #[error("the id has {0} bytes, more than {MAX_ID_BYTES}")]
    IdTooLong(usize),
    /// A parameter that belongs to the identity is missing.
    #[error("the parameter {0:?} is part of the identity and is missing")]
    IdentityParamMissing(String),
    /// Id and identity parameters together are longer than [`MAX_IDENTITY_BYTES`].
    #[error("id and identity parameters have {0} bytes together, more than {MAX_IDENTITY_BYTES}")]
    IdentityTooLong(usize),
}

/// A parameter's value as it may be fed: text, or a number or truth value that is kept as its text.
#[derive(Deserialize)]
#[serde(untagged)]
enum ParamValue {
    Text(String),
    Number(serde_json::Number),
    Truth(bool),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemShape {
    id: String,
    #[serde(default)]
    params: BTreeMap<String, ParamValue>,
}

impl Item {
    /// Read an item from an entry's bytes.
    ///
    /// # Errors
    /// If the bytes are not a JSON object of an item's shape, or the id is empty or too long.
    pub fn parse(payload: &[u8]) -> Result<Self, ItemError> {
        if payload.len() > MAX_ENTRY_BYTES {
            return Err(ItemError::EntryTooLarge(payload.len()));
        }
        let shape: ItemShape =
            serde_json::from_slice(payload).map_err(|error| ItemError::NotAnItem(escape_text(&error.to_string())))?;
        let params = shape.params.into_iter().map(|(name, value)| (name, value.into_text())).collect();
        Self::new(shape.id, params)
    }

    /// An item of this id and these parameters.
    ///
    /// # Errors
    /// If the id is empty or longer than [`MAX_ID_BYTES`].
    pub fn new(id: String, params: Params) -> Result<Self, ItemError> {
        match id.len() {
            0 => Err(ItemError::IdEmpty),
            1..=MAX_ID_BYTES => Ok(Self { id, params }),
            length => Err(ItemError::IdTooLong(length)),
        }
    }

    /// The entry that spells this item: one line of JSON.
    #[must_use]
    pub fn to_payload(&self) -> Bytes {
        // A struct of strings always serialises.
        serde_json::to_vec(self).map(Bytes::from).unwrap_or_default()
    }

    /// The item's identity, which is fetched once a day: the id and the parameters that the manifest lists in
    /// `identity`.
    ///
    /// # Errors
    /// If such a parameter is missing, or all together are too long.
    pub fn identity(&self, identity_params: &[String]) -> Result<Identity, ItemError> {
        Identity::of(&self.id, &self.params, identity_params)
    }
}

impl ParamValue {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Truth(truth) => truth.to_string(),
        }
    }
}

/// An item's identity as one string: the id, and `?name=value&...` for the identity's parameters. The characters `%`,
/// `?`, `&`, `=` and controls are percent-encoded, so that two identities are equal only if all their parts are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(Arc<str>);

impl Identity {
    /// The identity of `id` with those of `params` that `names` lists, in the order of the names.
    ///
    /// # Errors
    /// If a listed parameter is missing, or the whole is too long.
    pub fn of(id: &str, params: &Params, names: &[String]) -> Result<Self, ItemError> {
        let mut text = String::with_capacity(id.len());
        push_encoded(&mut text, id);
        for (position, name) in names.iter().enumerate() {
            let value = params.get(name).ok_or_else(|| ItemError::IdentityParamMissing(name.clone()))?;
            text.push(if position == 0 { '?' } else { '&' });
            push_encoded(&mut text, name);
            text.push('=');
            push_encoded(&mut text, value);
        }
        if text.len() > MAX_IDENTITY_BYTES {
            return Err(ItemError::IdentityTooLong(text.len()));
        }
        Ok(Self(text.into()))
    }

    /// The identity as the ledger keeps it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn push_encoded(text: &mut String, part: &str) {
    for character in part.chars() {
        if character.is_control() || matches!(character, '%' | '?' | '&' | '=') {
            let mut buffer = [0; 4];
            for byte in character.encode_utf8(&mut buffer).bytes() {
                text.push_str(&format!("%{byte:02X}"));
            }
        } else {
            text.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_item_reads_text_numbers_and_truth_as_text() {
        let item = Item::parse(br#"{"id":"a","params":{"n":12,"b":true,"t":"x"}}"#).unwrap();
        assert_eq!(item.params, params(&[("n", "12"), ("b", "true"), ("t", "x")]));
    }

    #[test]
    fn what_is_no_item_says_why() {
        let cases: [&[u8]; 6] = [b"", b"[]", b"{\"id\":1}", b"{\"id\":\"\"}", b"{\"id\":\"a\",\"x\":1}", b"\xff\xfe"];
        for payload in cases {
            let error = Item::parse(payload).unwrap_err().to_string();
            assert!(!error.is_empty(), "{payload:?}");
        }
        let odd = br#"{"id":"a","\u001b[2J":1}"#;
        let many = format!(r#"{{"id":"a","{}":1}}"#, "y".repeat(20_000));
        for payload in [odd.as_slice(), many.as_bytes()] {
            let error = Item::parse(payload).unwrap_err().to_string();
            assert!(error.len() < 1_200 && !error.contains('\u{1b}'), "{error:?}");
        }
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(10_240));
        assert_eq!(Item::parse(long.as_bytes()), Err(ItemError::IdTooLong(10_240)));
    }

    #[test]
    fn identity_holds_the_listed_parameters_only() {
        let item = Item::new("a?b".into(), params(&[("lang", "en"), ("hint", "x")])).unwrap();
        assert_eq!(item.identity(&["lang".into()]).unwrap().as_str(), "a%3Fb?lang=en");
        assert_eq!(item.identity(&[]).unwrap().as_str(), "a%3Fb");
        assert_eq!(item.identity(&["region".into()]), Err(ItemError::IdentityParamMissing("region".into())));
    }

    proptest! {
        #[test]
        fn parsing_any_bytes_never_panics(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Item::parse(&payload);
        }

        #[test]
        fn an_item_survives_its_own_payload(id in "\\PC{1,40}", name in "\\PC{0,10}", value in "\\PC{0,10}") {
            let item = Item::new(id, Params::from([(name, value)])).unwrap();
            prop_assert_eq!(Item::parse(&item.to_payload()).unwrap(), item);
        }

        #[test]
        fn different_parts_never_share_an_identity(a in ".{1,8}", b in ".{0,8}", c in ".{1,8}", d in ".{0,8}") {
            let names = ["p".to_owned()];
            let left = Identity::of(&a, &params(&[("p", &b)]), &names).unwrap();
            let right = Identity::of(&c, &params(&[("p", &d)]), &names).unwrap();
            prop_assert_eq!(left == right, a == c && b == d);
        }
    }
}
