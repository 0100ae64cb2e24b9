//! A proxy before a stand-in that passes everything on and counts: requests by their method, and DynamoDB's request
//! units.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use damper_stand_ins::serve::{Request, Response, Server, body, json, serve};
use http_body_util::Full;
use serde_json::Value;

const BODY_BYTES: usize = 64 * 1024 * 1024;
/// DynamoDB's operations that read.
const READS: [&str; 5] = ["GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"];
/// Headers of one connection, which are not passed on.
const OF_A_CONNECTION: [&str; 4] = ["host", "content-length", "connection", "transfer-encoding"];

/// Request units of DynamoDB.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Units {
    pub(crate) read: f64,
    pub(crate) write: f64,
}

#[derive(Debug, Default)]
struct MeterCounts {
    requests: BTreeMap<String, u64>,
    units: Units,
}

/// A running meter.
pub(crate) struct Meter {
    server: Server,
    counted: Arc<Mutex<MeterCounts>>,
}

impl Meter {
    /// Start one before this endpoint.
    pub(crate) async fn start(endpoint: &str) -> anyhow::Result<Self> {
        let counted = Arc::new(Mutex::new(MeterCounts::default()));
        let (client, endpoint) = (reqwest::Client::builder().no_proxy().build()?, endpoint.to_owned());
        let for_server = Arc::clone(&counted);
        let server = serve(move |request| {
            let (client, endpoint, counted) = (client.clone(), endpoint.clone(), Arc::clone(&for_server));
            async move {
                let passed = pass_on(&client, &endpoint, &counted, request).await;
                passed.unwrap_or_else(|error| json(502, &Value::String(format!("{error:#}"))))
            }
        });
        Ok(Self { server: server.await?, counted })
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.addr)
    }

    /// The units so far.
    pub(crate) fn units(&self) -> Units {
        lock(&self.counted).units
    }

    /// The requests of this method so far.
    pub(crate) fn requests(&self, method: &str) -> u64 {
        lock(&self.counted).requests.get(method).copied().unwrap_or_default()
    }
}

async fn pass_on(
    client: &reqwest::Client,
    endpoint: &str,
    counted: &Mutex<MeterCounts>,
    request: Request,
) -> anyhow::Result<Response> {
    let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers().clone());
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).map(str::to_owned);
    let sent = body(request, BODY_BYTES).await.ok_or_else(|| anyhow::anyhow!("the request broke off"))?;
    let mut passed = client.request(method.clone(), format!("{endpoint}{uri}")).body(sent.clone());
    for (name, value) in headers.iter().filter(|(name, _)| !OF_A_CONNECTION.contains(&name.as_str())) {
        passed = passed.header(name, value);
    }
    let answer = passed.send().await?;
    let (status, headers, came) = (answer.status(), answer.headers().clone(), answer.bytes().await?);
    {
        let mut counted = lock(counted);
        *counted.requests.entry(method.to_string()).or_default() += 1;
        if let Some(target) = target {
            count(&mut counted.units, &target, &sent, status.is_success(), &came);
        }
    }
    let mut response = Response::new(Full::new(came));
    *response.status_mut() = status;
    for (name, value) in headers.iter().filter(|(name, _)| !OF_A_CONNECTION.contains(&name.as_str())) {
        response.headers_mut().append(name, value.clone());
    }
    Ok(response)
}

/// Adds the consumption that an answer reports, and the charges of AWS that the stand-in does not report: a write that
/// its condition refused, like one that went through (rows here are below a kilobyte); and a read of items by their
/// keys, found or not, half a unit each at least.
fn count(units: &mut Units, target: &str, sent: &Bytes, is_success: bool, answer: &Bytes) {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default();
    let least = if operation == "BatchGetItem" { least_of_batch(sent) } else { 0.0 };
    let refused =
        answer.get("__type").and_then(Value::as_str).is_some_and(|kind| kind.contains("ConditionalCheckFailed"));
    let consumed = match answer.get("ConsumedCapacity") {
        Some(Value::Array(tables)) => tables.iter().filter_map(|table| table.get("CapacityUnits")?.as_f64()).sum(),
        Some(table) => table.get("CapacityUnits").and_then(Value::as_f64).unwrap_or_default(),
        None if !is_success && refused => 1.0,
        None => 0.0,
    };
    if READS.contains(&operation) { units.read += consumed.max(least) } else { units.write += consumed }
}

/// The least that reading these keys costs: half a unit each, or a whole one where the read is consistent.
fn least_of_batch(request: &Bytes) -> f64 {
    let request: Value = serde_json::from_slice(request).unwrap_or_default();
    let tables = request.get("RequestItems").and_then(Value::as_object).into_iter().flatten();
    let of_table = |(_, asked): (&String, &Value)| {
        let keys = asked.get("Keys").and_then(Value::as_array).map_or(0, Vec::len);
        let is_consistent = asked.get("ConsistentRead").and_then(Value::as_bool).unwrap_or(false);
        keys as f64 * if is_consistent { 1.0 } else { 0.5 }
    };
    tables.map(of_table).sum()
}

fn lock(counted: &Mutex<MeterCounts>) -> MutexGuard<'_, MeterCounts> {
    counted.lock().unwrap_or_else(PoisonError::into_inner)
}
