//! The demo API: a real HTTP/1.1 server on loopback with the faults of third-party APIs.
//!
//! It serves made-up records at `GET /records/{id}` and can be slow, drip its answers, fail, send half a
//! JSON, throttle, go dark and come back. Everything that shapes this is one struct, [`Settings`], given
//! at the start and changeable while it runs (`PUT /control`). Its bookkeeping is exact, since the
//! pipeline's promises (the hard cap, once a day) are checked against it.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /records/{id}` | a record, or whatever the settings and the id ask for (see [`Settings`] and [`IdKind`]) |
//! | `GET /control`, `PUT /control` | the settings; a whole or partial JSON changes them, an unknown key is refused with 400 |
//! | `GET /stats` | [`Stats`] as JSON |
//! | `GET /log` | one [`LogLine`] per finished record request, as NDJSON, in the order they finished |
//! | `POST /reset` | forgets stats and log; what is in flight stays in flight |
//! | `GET /health` | 200 |
//! | `POST /enquiry/{vendor}` | a contract enquiry by SOAP, of three vendors; see `enquiry.rs` |
//!
//! Faults affect only `/records/`: control, stats and health answer at once, during an outage too.
//!
//! It is not a mock of a particular API, not a proxy, and it listens on loopback only.
//!
//! ```no_run
//! use damper_demo_api::{DemoApi, Latency, Settings};
//!
//! let api = DemoApi::start(Settings {
//!     latency: Latency { median_ms: 20.0, sigma: 0.3, ..Latency::default() },
//!     ..Settings::default()
//! })?;
//! println!("{}/records/42", api.url());
//! assert_eq!(api.stats().peak_in_flight, 0);
//! # Ok::<(), damper_demo_api::StartError>(())
//! ```

mod answer;
mod book;
mod bucket;
mod chance;
mod control;
mod enquiry;
mod records;
mod reply;
mod routes;
mod server;
mod settings;

pub use answer::IdKind;
pub use book::{LogLine, Outcome, Stats};
pub use server::{DemoApi, Options, StartError};
pub use settings::{Drip, Latency, Outage, OutageMode, RateLimit, Refusals, RetryAfter, Settings, SettingsError};
