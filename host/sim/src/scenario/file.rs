//! A scenario's file, before its values are checked.

use std::time::Duration;

use serde::Deserialize;

use super::Feeding;
use crate::api::Conditions;
use crate::units::{duration, duration_if_any};

/// The keys of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) about: String,
    #[serde(deserialize_with = "duration")]
    pub(super) duration: Duration,
    #[serde(default = "first")]
    pub(super) seed: u64,
    #[serde(default = "one")]
    pub(super) clients: u32,
    pub(super) max_concurrency: u32,
    #[serde(deserialize_with = "duration")]
    pub(super) fetch_timeout: Duration,
    /// Left out: more than can ever be fetched.
    pub(super) backlog: Option<u64>,
    /// Items that come in every second.
    #[serde(default)]
    pub(super) arrival: f64,
    #[serde(default)]
    pub(super) mapping: Feeding,
    #[serde(default)]
    pub(super) api: Conditions,
    #[serde(default)]
    pub(super) changes: Vec<Change>,
}

/// A change of the API. It says when, and what is different from then on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    #[serde(deserialize_with = "duration")]
    pub(super) at: Duration,
    /// Left out: once. Given: again and again at this distance until the scenario's end.
    #[serde(default, deserialize_with = "duration_if_any")]
    pub(super) every: Option<Duration>,
    pub(super) api: Conditions,
}

fn first() -> u64 {
    1
}

fn one() -> u32 {
    1
}
