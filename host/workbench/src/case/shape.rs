//! A case as it is written: the keys of the TOML file, unknown ones refused. Nothing is checked beyond that here.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Fault, Order};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) order: Order,
    pub(super) request: Item,
    #[serde(default)]
    pub(super) config: BTreeMap<String, String>,
    #[serde(default, rename = "exchange")]
    pub(super) exchanges: Vec<Exchange>,
    pub(super) expect: Expect,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Item {
    pub(super) id: String,
    #[serde(default)]
    pub(super) params: BTreeMap<String, String>,
    pub(super) attempt: Option<u32>,
    pub(super) day: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exchange {
    pub(super) request: Request,
    pub(super) response: Response,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    pub(super) method: Option<String>,
    pub(super) url: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) credential: Option<OneOrMore>,
    pub(super) body: Option<String>,
    pub(super) json: Option<Value>,
    pub(super) body_file: Option<String>,
    pub(super) body_sha256: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Response {
    pub(super) status: Option<u16>,
    pub(super) headers: Option<BTreeMap<String, OneOrMore>>,
    pub(super) body: Option<String>,
    pub(super) json: Option<Value>,
    pub(super) body_file: Option<String>,
    pub(super) delay: Option<String>,
    pub(super) fault: Option<Fault>,
}

/// A header's value or a credential's name, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            OneOrMore::One(text) => vec![text],
            OneOrMore::More(texts) => texts,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    pub(super) record: Option<Record>,
    pub(super) failure: Option<Failure>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) content_type: Option<String>,
    pub(super) attributes: Option<BTreeMap<String, String>>,
    pub(super) body: Option<String>,
    pub(super) json: Option<Value>,
    pub(super) body_file: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failure {
    pub(super) kind: String,
    pub(super) retry_after: Option<String>,
    pub(super) status: Option<u16>,
    pub(super) message: Option<String>,
}
