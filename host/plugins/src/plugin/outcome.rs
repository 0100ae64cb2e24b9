//! How a call ended, in the pipeline's words.

use std::time::Duration;

use damper_core::manifest::Limits;
use damper_core::record::{Failure, FailureKind, Fetched};
use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

use crate::bindings::damper::provider::types;
use crate::call::Call;
use crate::text::Scrubber;

/// The longest message of a failure, in bytes.
const MAX_MESSAGE_BYTES: usize = 2_048;
/// The longest name of a failure's kind, and of a media type, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// The most attributes of a record, and the most bytes of their names and values.
const MAX_ATTRIBUTES: usize = 64;
const MAX_ATTRIBUTE_BYTES: usize = 16 * 1024;

/// The longest time that an API may ask to be left alone; a clock can count it.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(30 * 24);

/// A guest's record, within the limits and without secrets.
pub(super) fn fetched(fetched: types::Fetched, limits: &Limits, scrubber: &Scrubber) -> Result<Fetched, Failure> {
    let types::Fetched { content_type, body, attributes, .. } = fetched;
    let malformed = |why: String| Err(Failure::new(FailureKind::Malformed, why));
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
    let scrubbed = |text: String| scrubber.text(&text).into_owned();
    Ok(Fetched {
        content_type: scrubber.shown(&content_type, MAX_NAME_BYTES),
        body: scrubber.bytes(body).into(),
        attributes: attributes.into_iter().map(|(name, value)| (scrubbed(name), scrubbed(value))).collect(),
    })
}

/// A guest's failure, its texts made harmless.
pub(super) fn failure(failure: types::Failure, scrubber: &Scrubber) -> Failure {
    let kind = match failure.kind {
        types::FailureKind::Throttled => FailureKind::Throttled,
        types::FailureKind::Unavailable => FailureKind::Unavailable,
        types::FailureKind::TimedOut => FailureKind::TimedOut,
        types::FailureKind::Unauthorized => FailureKind::Unauthorized,
        types::FailureKind::NotFound => FailureKind::NotFound,
        types::FailureKind::Rejected => FailureKind::Rejected,
        types::FailureKind::Malformed => FailureKind::Malformed,
        types::FailureKind::Other(name) => FailureKind::Other(scrubber.shown(&name, MAX_NAME_BYTES)),
    };
    Failure {
        kind,
        message: scrubber.shown(&failure.message, MAX_MESSAGE_BYTES),
        retry_after: failure.retry_after_ms.map(|ms| Duration::from_millis(ms).min(MAX_RETRY_AFTER)),
        status: failure.status,
    }
}

/// The call's time is over.
pub(super) fn time_over(call: &Call, timeout: Duration) -> Failure {
    if call.ran_away(timeout) {
        let why = format!("the component ran for {timeout:?} without an end");
        return Failure::new(FailureKind::Trapped, why);
    }
    Failure::new(FailureKind::TimedOut, format!("no record within {timeout:?}"))
}

/// The component could not even be instantiated.
pub(super) fn not_started(call: &Call, limits: &Limits, error: &wasmtime::Error) -> Failure {
    let why = if call.is_memory_refused() {
        format!(
            "the component does not start within limits.memory ({} bytes): raise it in provider.toml",
            limits.memory_bytes
        )
    } else {
        format!("the component does not start: {}", error.root_cause())
    };
    Failure::new(FailureKind::Broken, why)
}

/// The guest ended in the middle of its work.
pub(super) fn trapped(call: &Call, limits: &Limits, scrubber: &Scrubber, error: &wasmtime::Error) -> Failure {
    let why = if call.is_memory_refused() {
        format!("the component asked for more memory than limits.memory allows ({} bytes)", limits.memory_bytes)
    } else if let Some(panic) = call.output.panic() {
        format!("the component {panic}")
    } else if let Some(exit) = error.downcast_ref::<I32Exit>() {
        format!("the component ended itself with exit code {}", exit.0)
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        format!("the component trapped: {}", trap.to_string().trim_start_matches("wasm trap: "))
    } else {
        format!("the component trapped: {}", error.root_cause())
    };
    Failure::new(FailureKind::Trapped, scrubber.shown(&why, MAX_MESSAGE_BYTES))
}
