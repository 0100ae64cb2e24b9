//! The requests of a call, and what is kept of them: for the bundle of a dead letter, for a person, or whole for a
//! case.

mod level;
mod request;
mod request_log;
mod trace;

pub(crate) use level::CaptureLevel;
pub(crate) use request::OutgoingRequest;
pub(crate) use request_log::{RequestLogEntry, ResponseLogEntry};
pub use trace::{RecordedExchange, RecordedResponse, RequestTrace, is_private_header};
