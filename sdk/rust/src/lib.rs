//! Write a Damper provider: one attribute on one plain function.
//!
//! A provider turns an id into a record of one third-party API. Damper does the rest: once a day, retries with backoff,
//! Retry-After, rate and concurrency limits, the circuit breaker. A provider never retries, never sleeps and keeps
//! nothing between calls; it sends requests to the API and returns the record or the failure.
//!
//! ```
//! use damper_sdk::prelude::*;
//!
//! #[damper_sdk::provider]
//! fn fetch(request: &FetchRequest) -> Result<Record, Failure> {
//!     let answer = http::get("https://api.example.org/v1/things/{id}")
//!         .path("id", &request.id)
//!         .query("fields", "all")
//!         .header("Accept", "application/json")
//!         .send()?
//!         .ok()?;
//!     Record::json(answer)
//! }
//!
//! // The same function runs natively, against a script of requests and answers.
//! let mut api = damper_sdk::testing::Api::new();
//! api.get("https://api.example.org/v1/things/a%2Fb?fields=all")
//!     .header("Accept", "application/json")
//!     .answers(200, r#"{"name": "a thing"}"#);
//! let record = api.run(|| fetch(&FetchRequest::new("a/b"))).unwrap();
//! assert_eq!(record.content_type(), "application/json");
//! ```
//!
//! # What `?` makes of an error
//!
//! | what happened | failure | what Damper does |
//! | --- | --- | --- |
//! | 429 | `throttled`, with Retry-After, or else the reset of the API's rate headers | waits, spends no attempt |
//! | 5xx (503 with its Retry-After) | `unavailable` | retries; an outage spends no attempt |
//! | 408 | `timed-out` | as above |
//! | 401, 403, 407 | `unauthorized` | stops the provider when it goes on |
//! | 404, 410 | `not-found` | dead letter |
//! | any other 4xx | `rejected` | dead letter |
//! | 1xx, 3xx, or a body that does not parse | `malformed` | retries a few times, then dead letter |
//! | [`http::Error::TimedOut`] | `timed-out` | retries |
//! | [`http::Error::Unreachable`], [`http::Error::Broken`] | `unavailable` | retries |
//! | [`http::Error::TooLarge`], [`http::Error::Redirects`] | `malformed` | retries a few times |
//! | [`http::Error::BadValue`]: an id that no URL can carry | `rejected` | dead letter |
//! | [`http::Error::Denied`], [`http::Error::Invalid`] | `other("denied")`, `other("invalid-request")` | the provider's own mistake: as `malformed` |
//!
//! An API that means something else by a status is met with [`http::Response::status`] before
//! [`http::Response::ok`].
//!
//! # Building
//!
//! `damper build` compiles the crate to one component. By hand: `cargo build --release --target wasm32-wasip2`, with
//! `crate-type = ["cdylib", "rlib"]`. Natively (`cargo test`) the host's part is played by [`testing`], and with the feature
//! `testing` (for `[dev-dependencies]` alone) also in wasm: `damper test --wasm`.

mod backend;
pub mod cache;
pub mod config;
mod failure;
pub mod http;
pub mod ids;
pub mod json;
pub mod log;
mod record;
mod request;
pub mod sign;
mod stamp;
#[cfg(any(not(target_arch = "wasm32"), feature = "testing"))]
pub mod testing;
pub mod text;
pub mod two_step;
#[cfg(all(test, feature = "xml"))]
mod vectors;
#[cfg(feature = "xml")]
pub mod xml;

/// Makes a plain function the provider that this crate is.
///
/// The function takes `&`[`FetchRequest`] and returns a [`Result`] of [`Record`] and [`Failure`], or of types that turn
/// into these. There is one provider in a crate. The attribute leaves the function as it is, so tests call it as any
/// other; for wasm32 it adds the component's export, and the custom section `damper:sdk` by which the host knows which
/// contract the component was made for.
///
/// ```
/// use damper_sdk::prelude::*;
///
/// #[damper_sdk::provider]
/// fn fetch(request: &FetchRequest) -> Result<Record, Failure> {
///     Ok(Record::text(format!("hello, {}", request.id)))
/// }
/// ```
///
/// The macro refuses, in words, a function that cannot be a provider:
///
/// ```compile_fail
/// #[damper_sdk::provider]
/// async fn fetch(request: &damper_sdk::FetchRequest) -> Result<damper_sdk::Record, damper_sdk::Failure> {
///     unreachable!()
/// }
/// ```
pub use damper_sdk_macros::provider;
pub use failure::{Failure, FailureKind};
pub use record::Record;
pub use request::FetchRequest;
pub use stamp::{SDK_VERSION, WIT_VERSION};

/// Imports that nearly every provider uses: `use damper_sdk::prelude::*;`.
pub mod prelude {
    pub use crate::json::{Lookup, Value};
    pub use crate::{Failure, FailureKind, FetchRequest, Record, cache, config, http, json, log, sign};
}

/// A provider's export. With the feature `testing` there is none: the crate is a test program then, and no component.
#[cfg(not(feature = "testing"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __component {
    ($($export:item)*) => { $($export)* };
}

/// As above, with the feature `testing`.
#[cfg(feature = "testing")]
#[doc(hidden)]
#[macro_export]
macro_rules! __component {
    ($($export:item)*) => {};
}

/// Names in the attribute macro's expansion; not for authors, and free to change at any time.
#[doc(hidden)]
pub mod __private {
    pub use crate::__component as component;
    #[cfg(all(target_arch = "wasm32", not(feature = "testing")))]
    pub use crate::backend::wasm::{
        bindings,
        bindings::damper::provider::types::{
            Failure as WitFailure, FetchRequest as WitFetchRequest, Fetched as WitFetched,
        },
        bindings::{Guest, export_provider},
        call,
    };
    pub use crate::stamp::STAMP;

    use crate::{Failure, FetchRequest, Record};

    /// Calls a provider function, whatever its result's types turn into.
    pub fn outcome<R, E>(
        provider: impl FnOnce(&FetchRequest) -> Result<R, E>,
        request: &FetchRequest,
    ) -> Result<Record, Failure>
    where
        R: Into<Record>,
        E: Into<Failure>,
    {
        provider(request).map(Into::into).map_err(Into::into)
    }
}
