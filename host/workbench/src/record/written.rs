//! A case as it is written, in the order in which a person reads it.

use std::collections::BTreeMap;

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Written {
    pub(super) description: String,
    pub(super) request: Item,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) config: BTreeMap<String, String>,
    #[serde(rename = "exchange", skip_serializing_if = "Vec::is_empty")]
    pub(super) exchanges: Vec<Exchange>,
    pub(super) expect: Expect,
}

#[derive(Debug, Serialize)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) day: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) params: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Exchange {
    pub(super) request: Request,
    pub(super) response: Response,
}

/// A body: in the case or in a file.
#[derive(Debug, Default, Serialize)]
pub(super) struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body_file: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) credential: Option<Names>,
    #[serde(flatten)]
    pub(super) body: Body,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) headers: BTreeMap<String, String>,
}

/// A name, or several.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Names {
    One(String),
    More(Vec<String>),
}

impl Names {
    /// None if there is none.
    pub(super) fn of(names: &[String]) -> Option<Self> {
        match names {
            [] => None,
            [one] => Some(Self::One(one.clone())),
            more => Some(Self::More(more.to_vec())),
        }
    }
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Response {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<&'static str>,
    #[serde(flatten)]
    pub(super) body: Body,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) headers: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Expect {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<Record>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<Failure>,
}

#[derive(Debug, Serialize)]
pub(super) struct Record {
    pub(super) content_type: String,
    #[serde(flatten)]
    pub(super) body: Body,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) attributes: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Failure {
    pub(super) kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
}
