//! Lambda's API over HTTP on loopback: event source mappings (list, get and update, of those that were added), and
//! Invoke of the functions that were added.
//!
//! With the control plane's limit of 15 requests a second for all of them together, its refusals and its lag;
//! invocations are no part of that. Not supported: the rest of Lambda's API; mappings are created in code
//! ([`ControlPlane::create`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method};
use http_body_util::Full;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::config::StartingPosition;
use crate::driver::{EventSource, Parts, SharedSource};
use crate::lifecycle::{Change, Refusal};
use crate::runtime::{Function, PAYLOAD_BYTES};
use damper_stand_ins::serve::{Request, Response, Server, body, json as answer_json, serve};

const PATH: &str = "/2015-03-31/event-source-mappings";
const FUNCTIONS: &str = "/2015-03-31/functions/";
/// Lambda's limit for all requests at its control plane together.
const REQUESTS_PER_SECOND: usize = 15;
const BODY_BYTES: usize = 64 * 1024;

/// How often the API was called, by what was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// `ListEventSourceMappings`.
    pub list: u64,
    /// `GetEventSourceMapping`.
    pub get: u64,
    /// `UpdateEventSourceMapping` that enables.
    pub enable: u64,
    /// `UpdateEventSourceMapping` that disables.
    pub disable: u64,
    /// `UpdateEventSourceMapping` of anything else: the batch size.
    pub resize: u64,
    /// Of those: refused, a change being under way or a value wrong.
    pub refused: u64,
    /// Beside those: turned away, too many in a second.
    pub throttled: u64,
}

/// An error as the API answers it.
struct ApiError {
    status: u16,
    code: &'static str,
    message: String,
}

#[derive(Default)]
struct PlaneState {
    mappings: Vec<Arc<SharedSource>>,
    functions: BTreeMap<String, Function>,
    calls: Calls,
    recent: Vec<Timestamp>,
    conflicts: u32,
    throttles: u32,
}

struct SharedPlane {
    inner: Mutex<PlaneState>,
    clock: Clock,
}

/// The running API. Dropping it frees its port; the mappings go on.
pub struct ControlPlane {
    shared: Arc<SharedPlane>,
    server: Server,
}

impl ControlPlane {
    /// Starts without mappings.
    ///
    /// # Errors
    /// The system has no port left.
    pub async fn start(clock: Clock) -> std::io::Result<Self> {
        let shared = Arc::new(SharedPlane { inner: Mutex::default(), clock });
        let for_server = Arc::clone(&shared);
        let server = serve(move |request| route(Arc::clone(&for_server), request)).await?;
        Ok(Self { shared, server })
    }

    /// Its URL: the value for `AWS_ENDPOINT_URL_LAMBDA`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.addr)
    }

    /// Creates a mapping and starts it.
    ///
    /// # Errors
    /// The API's message: there is such a mapping already (409), or a value is out of its range (400).
    pub fn create(&self, parts: Parts) -> Result<EventSource, String> {
        let mut inner = self.shared.inner();
        let identity = &parts.identity;
        let same = inner
            .mappings
            .iter()
            .map(|mapping| &mapping.identity)
            .find(|there| there.stream_arn == identity.stream_arn && there.function_name == identity.function_name);
        if let Some(there) = same {
            return Err(format!(
                "ResourceConflictException: The event source arn (\" {} \") and function (\" {} \") provided mapping already \
                 exists. Please update or delete the existing mapping with UUID {}",
                there.stream_arn, there.function_name, there.uuid
            ));
        }
        let source = EventSource::start(parts).map_err(|error| format!("InvalidParameterValueException: {error}"))?;
        inner.mappings.push(source.shared());
        Ok(source)
    }

    /// Lets a function be invoked by its name, over HTTP.
    pub fn add_function(&self, function: &Function) {
        self.shared.inner().functions.insert(function.name().to_owned(), function.clone());
    }

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.shared.inner().calls
    }

    /// Has the next updates refused with 409 `ResourceConflictException`.
    pub fn refuse_next(&self, updates: u32) {
        self.shared.inner().conflicts = updates;
    }

    /// Has the next requests turned away with 429, as if others used the limit up.
    pub fn throttle_next(&self, requests: u32) {
        self.shared.inner().throttles = requests;
    }
}

impl SharedPlane {
    fn inner(&self) -> MutexGuard<'_, PlaneState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PlaneState {
    fn admit(&mut self, now: Timestamp) -> Result<(), ApiError> {
        self.recent.retain(|at| crate::clock::later(*at, Duration::from_secs(1)) > now);
        let is_scripted = self.throttles > 0;
        self.throttles = self.throttles.saturating_sub(1);
        if is_scripted || self.recent.len() >= REQUESTS_PER_SECOND {
            self.calls.throttled = self.calls.throttled.saturating_add(1);
            let message = "Rate exceeded".to_owned();
            return Err(ApiError { status: 429, code: "TooManyRequestsException", message });
        }
        self.recent.push(now);
        Ok(())
    }

    fn mapping(&self, uuid: &str) -> Result<Arc<SharedSource>, ApiError> {
        let found = self.mappings.iter().find(|mapping| mapping.identity.uuid == uuid);
        found.cloned().ok_or_else(|| ApiError {
            status: 404,
            code: "ResourceNotFoundException",
            message: "The resource you requested does not exist.".to_owned(),
        })
    }
}

async fn route(shared: Arc<SharedPlane>, request: Request) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let invoked = uri.path().strip_prefix(FUNCTIONS).and_then(|rest| rest.strip_suffix("/invocations"));
    if let (&Method::POST, Some(name)) = (&method, invoked) {
        return invoke(&shared, name, request).await.unwrap_or_else(|error| error_response(&error));
    }
    let body = body(request, BODY_BYTES).await.unwrap_or_default();
    // Not held while the request is served.
    let admitted = shared.inner().admit(shared.clock.now());
    let result = admitted.and_then(|()| {
        let rest = uri.path().strip_prefix(PATH).map(|rest| rest.trim_matches('/'));
        match (method, rest) {
            (Method::GET, Some("")) => Ok((200, list(&shared, uri.query().unwrap_or_default()))),
            (Method::GET, Some(uuid)) => get(&shared, uuid).map(|body| (200, body)),
            (Method::PUT, Some(uuid)) if !uuid.is_empty() => update(&shared, uuid, &body).map(|body| (202, body)),
            _ => Err(ApiError { status: 404, code: "UnknownOperationException", message: format!("not here: {uri}") }),
        }
    });
    match result {
        Ok((status, body)) => answer_json(status, &body),
        Err(error) => error_response(&error),
    }
}

fn error_response(error: &ApiError) -> Response {
    let body = json!({ "Type": "User", "message": error.message, "Message": error.message });
    let mut response = answer_json(error.status, &body);
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(error.code));
    response
}

/// Invokes a function and waits for its answer. An error of the function's own is an answer too, marked as one.
async fn invoke(shared: &SharedPlane, name: &str, request: Request) -> Result<Response, ApiError> {
    let function = shared.inner().functions.get(name).cloned().ok_or_else(|| ApiError {
        status: 404,
        code: "ResourceNotFoundException",
        message: format!("Function not found: {name}"),
    })?;
    let event = body(request, PAYLOAD_BYTES).await.ok_or_else(|| ApiError {
        status: 413,
        code: "RequestTooLargeException",
        message: format!("Request must be smaller than {PAYLOAD_BYTES} bytes for the InvokeFunction operation"),
    })?;
    Ok(match function.call(event).await.result {
        Ok(answer) => Response::new(Full::new(answer)),
        Err(error) => {
            let answer = Bytes::from(json!({ "errorMessage": error }).to_string());
            let mut response = Response::new(Full::new(answer));
            response.headers_mut().insert("x-amz-function-error", HeaderValue::from_static("Unhandled"));
            response
        }
    })
}

fn list(shared: &SharedPlane, query: &str) -> Value {
    let asked = |name: &str| {
        let pair = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
        pair.map(|(_, value)| percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned())
    };
    let (stream, function) = (asked("EventSourceArn"), asked("FunctionName"));
    let mappings = {
        let mut inner = shared.inner();
        inner.calls.list = inner.calls.list.saturating_add(1);
        inner.mappings.clone()
    };
    let is_asked = |mapping: &&Arc<SharedSource>| {
        let identity = &mapping.identity;
        let is_function = |name: &String| *name == identity.function_name || *name == identity.function_arn();
        stream.as_ref().is_none_or(|arn| *arn == identity.stream_arn) && function.as_ref().is_none_or(is_function)
    };
    let described: Vec<_> = mappings.iter().filter(is_asked).map(|mapping| describe(mapping)).collect();
    json!({ "EventSourceMappings": described, "NextMarker": null })
}

fn get(shared: &SharedPlane, uuid: &str) -> Result<Value, ApiError> {
    let mapping = {
        let mut inner = shared.inner();
        inner.calls.get = inner.calls.get.saturating_add(1);
        inner.mapping(uuid)?
    };
    Ok(describe(&mapping))
}

fn update(shared: &SharedPlane, uuid: &str, body: &[u8]) -> Result<Value, ApiError> {
    let change = change(body)?;
    let (mapping, is_conflict) = {
        let mut inner = shared.inner();
        let calls = &mut inner.calls;
        let call = match change.enabled {
            Some(true) => &mut calls.enable,
            Some(false) => &mut calls.disable,
            None => &mut calls.resize,
        };
        *call = call.saturating_add(1);
        let is_conflict = inner.conflicts > 0;
        inner.conflicts = inner.conflicts.saturating_sub(1);
        (inner.mapping(uuid)?, is_conflict)
    };
    let result = if is_conflict { Err(Refusal::Conflict) } else { mapping.update(&change) };
    result.map_err(|refusal| {
        let mut inner = shared.inner();
        inner.calls.refused = inner.calls.refused.saturating_add(1);
        let (status, code) = match refusal {
            Refusal::InUse(_) => (400, "ResourceInUseException"),
            Refusal::Conflict => (409, "ResourceConflictException"),
            Refusal::Config(_) => (400, "InvalidParameterValueException"),
        };
        ApiError { status, code, message: refusal.to_string() }
    })?;
    Ok(describe(&mapping))
}

/// Reads an update's body; what this mapping cannot change is refused, so that nobody believes it was.
fn change(body: &[u8]) -> Result<Change, ApiError> {
    let invalid = |message: String| ApiError { status: 400, code: "InvalidParameterValueException", message };
    let value: Value =
        serde_json::from_slice(body).map_err(|error| invalid(format!("the body is no JSON: {error}")))?;
    let mut change = Change::default();
    for (name, value) in value.as_object().into_iter().flatten() {
        let number = || {
            let number = value.as_i64().and_then(|number| u32::try_from(number).ok());
            number.ok_or_else(|| invalid(format!("Value {value} at '{name}' is out of range")))
        };
        let or_without_end = || if value.as_i64() == Some(-1) { Ok(None) } else { number().map(Some) };
        match name.as_str() {
            "Enabled" => change.enabled = value.as_bool(),
            "BatchSize" => change.batch_size = Some(number()?),
            "ParallelizationFactor" => change.parallelization_factor = Some(number()?),
            "MaximumRetryAttempts" => change.maximum_retry_attempts = Some(or_without_end()?),
            "MaximumRecordAgeInSeconds" => {
                change.maximum_record_age =
                    Some(or_without_end()?.map(|seconds| Duration::from_secs(u64::from(seconds))));
            }
            other => return Err(invalid(format!("this stand-in cannot change {other}"))),
        }
    }
    Ok(change)
}

/// A mapping as the API describes it.
fn describe(mapping: &SharedSource) -> Value {
    let identity = &mapping.identity;
    let (state, config, last_modified, last_result) = mapping.description();
    let (starting, timestamp) = match config.starting_position {
        StartingPosition::TrimHorizon => ("TRIM_HORIZON", None),
        StartingPosition::Latest => ("LATEST", None),
        StartingPosition::AtTimestamp(time) => ("AT_TIMESTAMP", Some(time.as_second())),
    };
    let response_types = if config.report_batch_item_failures { vec!["ReportBatchItemFailures"] } else { vec![] };
    let mut described = json!({
        "UUID": identity.uuid,
        "BatchSize": config.batch_size,
        "BisectBatchOnFunctionError": config.bisect_batch_on_function_error,
        "DestinationConfig": { "OnFailure": config.on_failure.as_ref().map_or(json!({}), |arn| json!({ "Destination": arn })) },
        "EventSourceArn": identity.stream_arn,
        "EventSourceMappingArn": identity.mapping_arn(),
        "FunctionArn": identity.function_arn(),
        "FunctionResponseTypes": response_types,
        "LastModified": last_modified.as_second(),
        "LastProcessingResult": last_result,
        "MaximumBatchingWindowInSeconds": config.batching_window.as_secs(),
        "MaximumRecordAgeInSeconds": config.maximum_record_age.map_or(json!(-1), |age| json!(age.as_secs())),
        "MaximumRetryAttempts": config.maximum_retry_attempts.map_or(json!(-1), |attempts| json!(attempts)),
        "ParallelizationFactor": config.parallelization_factor,
        "StartingPosition": starting,
        "State": state.as_str(),
        "StateTransitionReason": "User action",
        "TumblingWindowInSeconds": 0,
    });
    if let (Some(timestamp), Some(fields)) = (timestamp, described.as_object_mut()) {
        fields.insert("StartingPositionTimestamp".to_owned(), json!(timestamp));
    }
    described
}
