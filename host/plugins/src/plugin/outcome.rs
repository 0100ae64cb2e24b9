//! Converts the outcome of a call to the pipeline's types.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use damper_core::manifest::Limits;
use damper_core::record::{Failure, FailureKind, Fetched};
use damper_core::resume::MAX_RESUME_BYTES;
use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

use crate::bindings::damper::provider::types;
use crate::call::GuestCall;
use crate::redaction::Scrubber;

/// The longest message of a failure, in bytes.
const MAX_MESSAGE_BYTES: usize = 2_048;
/// The longest name of a failure's kind, and of a media type, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// The most attributes of a record, and the most bytes of their names and values.
const MAX_ATTRIBUTES: usize = 64;
const MAX_ATTRIBUTE_BYTES: usize = 16 * 1024;

/// The kind that the SDKs of JavaScript and Python give an exception that the provider did not handle.
const EXCEPTION: &str = "exception";

/// The longest Retry-After that is passed on; a clock can count it.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(30 * 24);

/// The memory limit of an instance, in bytes, and its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MemoryLimit {
    /// The manifest's.
    Manifest(usize),
    /// The process has less than the manifest asks for.
    Process(usize),
}

impl MemoryLimit {
    pub(super) fn bytes(self) -> usize {
        let (Self::Manifest(bytes) | Self::Process(bytes)) = self;
        bytes
    }
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(bytes) => write!(f, "limits.memory allows ({bytes} bytes)"),
            Self::Process(bytes) => write!(f, "this process has for one provider ({bytes} bytes)"),
        }
    }
}

/// Checks a guest's record against the limits, and removes secrets.
pub(super) async fn check_record(
    call: &GuestCall,
    fetched: types::Fetched,
    limits: &Limits,
    scrubber: &Arc<Scrubber>,
) -> Result<Fetched, Failure> {
    let types::Fetched { content_type, body, attributes, .. } = fetched;
    let malformed = |why: String| Err(Failure::new(FailureKind::Malformed, why));
    call.memory.release_in_transit();
    if body.len() as u64 > limits.response_bytes {
        let (length, limit) = (body.len(), limits.response_bytes);
        return malformed(format!("the record has {length} bytes, more than limits.response_bytes allows ({limit})"));
    }
    let bytes: usize = attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
    if attributes.len() > MAX_ATTRIBUTES || bytes > MAX_ATTRIBUTE_BYTES {
        let count = attributes.len();
        return malformed(format!(
            "the record has {count} attributes of {bytes} bytes, more than {MAX_ATTRIBUTES} or {MAX_ATTRIBUTE_BYTES} bytes"
        ));
    }
    if let Err(over) = call.memory.reserve_in_transit(body.len()).await {
        return malformed(format!(
            "the record has {} bytes, and the call may hold no more than {}",
            body.len(),
            over.limit
        ));
    }
    let without_secrets = |text: String| scrubber.scrub_text(&text).into_owned();
    let scrubbed = scrubber.replace_in_body(body).await;
    let (body, _) =
        scrubbed.ok_or_else(|| Failure::new(FailureKind::Broken, "the record could not be searched for secrets"))?;
    Ok(Fetched {
        content_type: scrubber.to_line(&content_type, MAX_NAME_BYTES),
        body: body.into(),
        attributes: attributes
            .into_iter()
            .map(|(name, value)| (without_secrets(name), without_secrets(value)))
            .collect(),
    })
}

/// Converts a guest's failure, with scrubbed texts.
pub(super) fn convert_failure(failure: types::Failure, scrubber: &Scrubber) -> Failure {
    let mut resume = Box::default();
    let kind = match failure.kind {
        types::FailureKind::Throttled => FailureKind::Throttled,
        types::FailureKind::Unavailable => FailureKind::Unavailable,
        types::FailureKind::TimedOut => FailureKind::TimedOut,
        types::FailureKind::Unauthorized => FailureKind::Unauthorized,
        types::FailureKind::NotFound => FailureKind::NotFound,
        types::FailureKind::Rejected => FailureKind::Rejected,
        types::FailureKind::Malformed => FailureKind::Malformed,
        types::FailureKind::NotReady(state) => match check_resume(state, scrubber) {
            Ok(state) => {
                resume = state;
                FailureKind::NotReady
            }
            Err(failure) => return failure,
        },
        // A defect of the provider, as a panic in Rust is.
        types::FailureKind::Other(name) if name == EXCEPTION => FailureKind::Trapped,
        types::FailureKind::Other(name) => FailureKind::Other(scrubber.to_line(&name, MAX_NAME_BYTES)),
    };
    Failure {
        kind,
        message: scrubber.to_line(&failure.message, MAX_MESSAGE_BYTES),
        retry_after: failure.retry_after_ms.map(|ms| Duration::from_millis(ms).min(MAX_RETRY_AFTER)),
        status: failure.status,
        resume,
        is_of_token_endpoint: false,
    }
}

/// Checks a resume state. One that holds a secret stops the provider: the ledger must not store it, and a state that
/// came back changed, or not at all, would confirm a guessed secret to the component, hundreds of guesses at a time. An
/// honest component never sees a secret: the host takes them out of every response.
fn check_resume(state: Vec<u8>, scrubber: &Scrubber) -> Result<Box<[u8]>, Failure> {
    let length = state.len();
    if length > MAX_RESUME_BYTES {
        let why = format!(
            "the component returned a resume state of {length} bytes, more than {MAX_RESUME_BYTES}: keep an order \
             number there, not a document"
        );
        return Err(Failure::new(FailureKind::Malformed, why));
    }
    if scrubber.replace(&state).is_some() {
        let why = "the component returned a resume state that holds a secret of this provider: no component is given \
                   one, so check where this component comes from, and change the secret";
        return Err(Failure::new(FailureKind::Broken, why));
    }
    Ok(state.into())
}

/// The failure of a call that timed out.
pub(super) fn timeout_failure(call: &GuestCall, timeout: Duration) -> Failure {
    if call.is_runaway(timeout) {
        let why = format!("the component did not end within {timeout:?}: it was computing");
        return Failure::new(FailureKind::Trapped, why);
    }
    let why = if call.memory.has_waited() {
        ": it waited for memory that other calls use"
    } else if call.usage().slept >= timeout / 2 {
        ": the component was sleeping, and not waiting for the API"
    } else {
        ""
    };
    Failure::new(FailureKind::TimedOut, format!("no record within {timeout:?}{why}"))
}

/// The failure of a component that could not be instantiated.
pub(super) fn start_failure(call: &GuestCall, memory: &MemoryLimit, error: &wasmtime::Error) -> Failure {
    let why = match (call.is_memory_refused(), memory) {
        (true, MemoryLimit::Manifest(bytes)) => {
            format!("the component does not start within limits.memory ({bytes} bytes): raise it in provider.toml")
        }
        (true, MemoryLimit::Process(_)) => format!("the component needs more memory to start than {memory}"),
        (false, _) => format!("the component does not start: {}", error.root_cause()),
    };
    Failure::new(FailureKind::Broken, why)
}

/// The failure of a guest that trapped.
pub(super) fn trap_failure(
    call: &GuestCall,
    memory: &MemoryLimit,
    scrubber: &Scrubber,
    error: &wasmtime::Error,
) -> Failure {
    let why = if call.is_memory_refused() {
        format!("the component asked for more memory than {memory}")
    } else if let Some(panic) = call.output.panic() {
        format!("the component {panic}")
    } else if let Some(exit) = error.downcast_ref::<I32Exit>() {
        format!("the component ended itself with exit code {}", exit.0)
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        format!("the component trapped: {}", trap.to_string().trim_start_matches("wasm trap: "))
    } else {
        format!("the component trapped: {}", error.root_cause())
    };
    Failure::new(FailureKind::Trapped, scrubber.to_line(&why, MAX_MESSAGE_BYTES))
}
