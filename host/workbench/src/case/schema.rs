//! The one schema of a case's file: the keys of its TOML tables, for reading and for recording. Unknown keys are
//! refused; [`super::check`] checks the values.
//!
//! A recorded case has its keys in the order of the fields here, values before tables.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The whole file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(crate) struct CaseTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(default, skip_serializing_if = "Order::is_default")]
    pub(crate) order: Order,
    pub(crate) request: ItemTable,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) config: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) cache: BTreeMap<String, String>,
    #[serde(default, rename = "exchange", skip_serializing_if = "Vec::is_empty")]
    pub(crate) exchanges: Vec<ExchangeTable>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expect: Option<ExpectTable>,
    #[serde(default, rename = "call", skip_serializing_if = "Vec::is_empty")]
    pub(crate) calls: Vec<CallTable>,
}

/// `[[call]]`: one call of several, one after another.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(crate) struct CallTable {
    #[serde(default, rename = "exchange", skip_serializing_if = "Vec::is_empty")]
    pub(crate) exchanges: Vec<ExchangeTable>,
    pub(crate) expect: ExpectTable,
}

/// Whether the order of exchanges counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// As written.
    #[default]
    InOrder,
    /// Any.
    Any,
}

impl Order {
    /// Whether it is the one that a case need not write.
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// `[request]`: the item.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(crate) struct ItemTable {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) params: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) day: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resume: Option<String>,
}

/// `[[exchange]]`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(crate) struct ExchangeTable {
    pub(crate) request: RequestTable,
    pub(crate) response: ResponseTable,
}

/// `[exchange.request]`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(crate) struct RequestTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<String>,
    pub(crate) url: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) credential: Option<OneOrMore>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) json: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body_sha256: Option<String>,
}

/// `[exchange.response]`.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(crate) struct ResponseTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) headers: Option<BTreeMap<String, OneOrMore>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) json: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delay: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<Fault>,
}

/// A fault on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// No connection. (Over plain http: as `reset`.)
    Refused,
    /// The connection is reset once the request is there.
    Reset,
    /// No answer ever.
    Timeout,
    /// Half of the body, and then the end.
    Truncated,
    /// A Content-Length that is larger than the body.
    WrongLength,
    /// A byte of the body now and then, without an end.
    SlowDrip,
}

impl Fault {
    /// Whether only the caller's patience ends it.
    #[must_use]
    pub fn is_endless(self) -> bool {
        matches!(self, Self::Timeout | Self::SlowDrip)
    }
}

/// A header's value or a credential's name, or several.
#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    /// These texts; nothing if there are none.
    pub(crate) fn of(texts: &[String]) -> Option<Self> {
        match texts {
            [] => None,
            [one] => Some(Self::One(one.clone())),
            more => Some(Self::More(more.to_vec())),
        }
    }

    pub(crate) fn into_vec(self) -> Vec<String> {
        match self {
            OneOrMore::One(text) => vec![text],
            OneOrMore::More(texts) => texts,
        }
    }
}

/// `[expect]`: one of the two.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(crate) struct ExpectTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) record: Option<RecordTable>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<FailureTable>,
}

/// `[expect.record]`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(crate) struct RecordTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attributes: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) json: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body_file: Option<String>,
}

/// `[expect.failure]`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(crate) struct FailureTable {
    pub(crate) kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}
