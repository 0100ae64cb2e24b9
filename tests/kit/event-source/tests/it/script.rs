//! Shared by the tests: functions that answer as a closure says, and event sources of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use bytes::Bytes;
use damper_event_source::{EventSource, Identity, Invocation, Invoke, MappingConfig, MemoryStream, Pace, Parts, View};
use serde_json::Value;

pub(crate) const LIMIT: Duration = Duration::from_secs(20);
pub(crate) const STREAM: &str = "arn:aws:kinesis:eu-west-1:111111111111:stream/items";
pub(crate) const SHARD: &str = "shardId-000000000000";

type Answer = dyn Fn(&Value) -> Result<String, String> + Send + Sync;

/// A function that answers as told and remembers its events.
pub(crate) struct Script {
    answer: Box<Answer>,
    events: Mutex<Vec<Value>>,
}

impl Script {
    pub(crate) fn new(answer: impl Fn(&Value) -> Result<String, String> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { answer: Box::new(answer), events: Mutex::default() })
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        self.events.lock().unwrap().clone()
    }

    /// Per event, the data of its records.
    pub(crate) fn data(&self) -> Vec<Vec<String>> {
        self.events().iter().map(data_of).collect()
    }
}

pub(crate) fn data_of(event: &Value) -> Vec<String> {
    let decode = |record: &Value| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(record["kinesis"]["data"].as_str().unwrap());
        String::from_utf8(bytes.unwrap()).unwrap()
    };
    event["Records"].as_array().unwrap().iter().map(decode).collect()
}

#[async_trait]
impl Invoke for Script {
    async fn invoke(&self, event: Bytes) -> Option<Invocation> {
        let event: Value = serde_json::from_slice(&event).unwrap();
        let result = (self.answer)(&event).map(Bytes::from);
        let mut events = self.events.lock().unwrap();
        events.push(event);
        Some(Invocation { request_id: format!("request-{}", events.len()), result })
    }
}

/// Quick retries, quick polls.
pub(crate) fn quick() -> Pace {
    Pace {
        backoff_first: Duration::from_millis(1),
        backoff_max: Duration::from_millis(4),
        poll_every: Duration::from_millis(2),
        ..Pace::default()
    }
}

pub(crate) fn parts(stream: &Arc<MemoryStream>, function: &Arc<Script>, config: MappingConfig) -> Parts {
    let (stream, function) = (Arc::clone(stream), Arc::clone(function));
    Parts { config, pace: quick(), ..Parts::new(Identity::new(STREAM, "damper"), stream, function) }
}

pub(crate) async fn wait(source: &EventSource, wanted: impl Fn(&View) -> bool) -> View {
    match source.wait_for(LIMIT, wanted).await {
        Ok(view) => view,
        Err(view) => panic!("not as wanted after {LIMIT:?}: {view:#?}"),
    }
}
