//! An invented API of valuations, as real ones are: OAuth2 with a client's secret, an order that is polled, XML, errors
//! of the business inside a 200; and random refusals on top. Its provider is `tests/fixtures/providers/valuation`.
//!
//! - `POST /token` with the client's id and secret answers a token for an hour.
//! - `POST /valuations` with `{"policy": ID}` and an `Idempotency-Key` answers 202 with the job's `Location` and
//!   `Retry-After`. The same key again answers the same job.
//! - `GET /valuations/JOB` answers 202 with `Retry-After` until the document is ready, and 404 if the job was
//!   forgotten.
//!
//! A job is ready after a number of polls that kept to Retry-After; a poll that came too early counts for nothing. So
//! the number of requests that a policy needs is known, however long a client waits: see [`policies`]. The API counts
//! what comes ([`book`]). It is not a general server for tests: that is the demo API.

pub mod bare;
pub mod book;
pub mod damper_run;
pub mod policies;
mod server;

pub use server::{Settings, ValuationApi};

/// The client's secret at the token endpoint, as damper.toml binds it.
pub const CLIENT: &str = "bench-client:bench-secret";
