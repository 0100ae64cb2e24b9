//! Lambda without AWS, for tests: an event source mapping of our own that polls a Kinesis stream of a stand-in and
//! drives the real `bootstrap` through the Runtime API, with the semantics that the pipeline has to live with and no
//! stand-in has.
//!
//! | part | is |
//! | --- | --- |
//! | [`Mapping`] | the state machine: records and answers in, invocations and discards out; pure, time is passed in |
//! | [`Lifecycle`] | the mapping's states, which lag, and the updates refused meanwhile; pure |
//! | [`Stream`] | where records come from: [`KinesisStream`] (moto, ministack), [`MemoryStream`] |
//! | [`Function`] | Lambda's side of the Runtime API: processes, timeouts, kills, freezing, log lines |
//! | [`EventSource`] | the driver: polls, invokes, moves the checkpoint |
//! | [`ControlPlane`] | Lambda's API for mappings, over HTTP, with the lag, the refusals and 15 requests a second |
//! | [`Clock`] | the time of day, which a test can move forward |
//!
//! LocalStack's tests recorded the expected behaviour against AWS; `tests/it/recorded.rs` names each recording.
//!
//! This is no full Lambda emulator (one function, no versions, no layers, no IAM), and it is not shipped. Not modelled:
//! event filters, tumbling windows, enhanced fan-out, and resharding (a stream's shards are those it has when the
//! mapping begins to poll).

mod clock;
mod config;
mod control_plane;
mod driver;
mod event;
mod lifecycle;
mod mapping;
mod record;
mod reply;
mod runtime;
mod stream;

pub use clock::Clock;
pub use config::{ConfigError, Lags, MappingConfig, Pace, StartingPosition};
pub use control_plane::{Calls, ControlPlane};
pub use driver::{EventSource, Invocation, Invoke, Parts, View};
pub use event::{Identity, event, failure_document, failure_key};
pub use lifecycle::{Change, Lifecycle, Refusal, State};
pub use mapping::{Action, Answer, BatchId, Condition, Delivery, Discarded, LastAnswer, Mapping};
pub use record::{Record, SequenceNumber};
pub use reply::{Reply, read_reply};
pub use runtime::{Function, FunctionConfig, InvocationRecord, LogLine, Outcome, StartError};
pub use stream::{KinesisStream, MemoryStream, Position, Stream, StreamError};
