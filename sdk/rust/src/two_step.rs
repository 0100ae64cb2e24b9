//! APIs that take an order first, and have its record later.
//!
//! [`fetch`] places the order and remembers its number as the item's resume state. It is called again when the API
//! said, perhaps in another process, and polls the order until its record is ready. Between the calls nothing runs and
//! nothing waits. An order that the API has forgotten is placed once more.
//!
//! ```
//! use damper_sdk::prelude::*;
//! use damper_sdk::two_step::{self, Placed, Polled};
//! use std::time::Duration;
//!
//! const ORDERS: &str = "https://api.example.org/orders";
//!
//! fn fetch(request: &FetchRequest) -> Result<Record, Failure> {
//!     let place = |key: &str| {
//!         let body = json::json!({ "policy": request.id });
//!         let answer = http::post(ORDERS).header("Idempotency-Key", key).json(&body).send()?.ok()?;
//!         let order = answer.json::<Value>()?.str_at("/order")?.to_owned();
//!         Ok(Placed::Ordered { order, retry_after: answer.retry_after() })
//!     };
//!     let poll = |order: &str| {
//!         let answer = http::get(ORDERS).join("{order}").path("order", order).send()?;
//!         Ok(match answer.status() {
//!             202 => Polled::Pending { retry_after: answer.retry_after() },
//!             404 => Polled::Forgotten,
//!             _ => Polled::Ready(Record::json(answer.ok()?)?),
//!         })
//!     };
//!     two_step::fetch(request, place, poll)
//! }
//!
//! let mut api = damper_sdk::testing::Api::new();
//! let item = FetchRequest::new("P-17");
//! api.post(ORDERS).answer_header("Retry-After", "5").answers(202, r#"{"order": "7"}"#);
//! let failure = api.run(|| fetch(&item)).unwrap_err();
//! let FailureKind::NotReady(resume) = failure.kind else { panic!("{failure}") };
//! assert_eq!(failure.retry_after, Some(Duration::from_secs(5)));
//!
//! api.get("https://api.example.org/orders/7").answers(200, r#"{"value": 12}"#);
//! assert!(api.run(|| fetch(&item.with_resume(resume))).is_ok());
//! ```

use std::time::Duration;

use serde_json::{Value, json};

use crate::{Failure, FetchRequest, Record, ids};

/// The result of placing an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// The API has taken it.
    Ordered {
        /// The text by which the API knows the order: its number, or the URL to poll. At most some 4,000 bytes.
        order: String,
        /// When the API is to be asked, from now; `None`: Damper's backoff decides.
        retry_after: Option<Duration>,
    },
    /// The record is there already.
    Ready(Record),
}

/// The result of asking for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// The record is not ready.
    Pending {
        /// When the API is to be asked again, from now; `None`: Damper's backoff decides.
        retry_after: Option<Duration>,
    },
    /// Here it is.
    Ready(Record),
    /// The API does not know this order any more; it is placed once more. This says nothing about the record.
    Forgotten,
}

/// An order, as it is remembered from call to call.
struct Order {
    text: String,
    /// How often orders of this item were forgotten before.
    forgotten: u64,
}

impl Order {
    fn parse(resume: &[u8]) -> Option<Self> {
        let state: Value = serde_json::from_slice(resume).ok()?;
        let text = state.get("order")?.as_str()?.to_owned();
        Some(Self { text, forgotten: state.get("forgotten")?.as_u64()? })
    }

    fn not_ready(&self, retry_after: Option<Duration>) -> Failure {
        let state = json!({ "order": self.text, "forgotten": self.forgotten });
        // Texts and numbers have a form in JSON.
        let state = serde_json::to_vec(&state).unwrap_or_default();
        let failure = Failure::not_ready("the API has taken the order, and its record is not ready", state);
        Failure { retry_after, ..failure }
    }
}

/// Fetches the record of an item by an order.
///
/// `place` is called with an idempotency key, and `poll` with the order that `place` returned. The key is the same for
/// the same item and day, so that an API which honours it takes the order once, also if its answer was lost.
///
/// # Errors
///
/// `not-ready` until the record is there; the failures of `place` and `poll`, after which the order is kept.
pub fn fetch(
    request: &FetchRequest,
    place: impl FnOnce(&str) -> Result<Placed, Failure>,
    poll: impl FnOnce(&str) -> Result<Polled, Failure>,
) -> Result<Record, Failure> {
    let order = request.resume.as_deref().and_then(Order::parse);
    let forgotten = match order {
        None => 0,
        Some(order) => match poll(&order.text)? {
            Polled::Ready(record) => return Ok(record),
            Polled::Pending { retry_after } => return Err(order.not_ready(retry_after)),
            Polled::Forgotten => order.forgotten.saturating_add(1),
        },
    };
    match place(&idempotency_key(request, forgotten))? {
        Placed::Ready(record) => Ok(record),
        Placed::Ordered { order, .. } if order.is_empty() => {
            Err(Failure::malformed("the API's answer to an order does not name the order"))
        }
        Placed::Ordered { order: text, retry_after } => Err(Order { text, forgotten }.not_ready(retry_after)),
    }
}

/// A key for `Idempotency-Key` and its like: a UUID made of the item's id and parameters, its day, and how often its
/// order was `forgotten`. An API that has forgotten an order may still know its key.
#[must_use]
pub fn idempotency_key(request: &FetchRequest, forgotten: u64) -> String {
    let mut name = String::new();
    let mut push = |part: &str| name.push_str(&format!("{}:{part},", part.len()));
    push("damper order");
    push(&request.id);
    for (parameter, value) in &request.params {
        push(parameter);
        push(value);
    }
    push(&request.day);
    push(&forgotten.to_string());
    // It fails only for a namespace that is no UUID.
    ids::uuid_v5(ids::NAMESPACE_URL, &name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FailureKind;

    fn not_expected<T>(_: &str) -> Result<T, Failure> {
        panic!("not to be called")
    }

    fn resume_of(failure: Failure) -> Vec<u8> {
        match failure.kind {
            FailureKind::NotReady(resume) => resume,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_forgotten_order_is_placed_once_more_with_another_key() {
        let item = FetchRequest::new("42");
        let mut keys = Vec::new();
        let mut place = |key: &str| {
            keys.push(key.to_owned());
            Ok(Placed::Ordered { order: keys.len().to_string(), retry_after: None })
        };
        let first = resume_of(fetch(&item, &mut place, not_expected).unwrap_err());
        let again = item.clone().with_resume(first);
        let second = resume_of(fetch(&again, &mut place, |_| Ok(Polled::Forgotten)).unwrap_err());
        let poll = |order: &str| {
            assert_eq!(order, "2");
            Ok(Polled::Ready(Record::text("there")))
        };
        assert!(fetch(&item.with_resume(second), not_expected, poll).is_ok());
        assert_ne!(keys[0], keys[1]);
    }

    #[test]
    fn a_pending_order_is_kept_as_it_is() {
        let wait = Some(Duration::from_secs(9));
        let place = |_: &str| Ok(Placed::Ordered { order: "ü\"7".to_owned(), retry_after: wait });
        let failure = fetch(&FetchRequest::new("42"), place, not_expected).unwrap_err();
        assert_eq!(failure.retry_after, wait);
        let item = FetchRequest::new("42").with_resume(resume_of(failure.clone()));
        let poll = |order: &str| {
            assert_eq!(order, "ü\"7");
            Ok(Polled::Pending { retry_after: wait })
        };
        assert_eq!(fetch(&item, not_expected, poll).unwrap_err(), failure);
    }

    #[test]
    fn an_answer_that_does_not_name_the_order_is_malformed() {
        let place = |_: &str| Ok(Placed::Ordered { order: String::new(), retry_after: None });
        let failure = fetch(&FetchRequest::new("42"), place, not_expected).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Malformed);
    }

    #[test]
    fn a_record_that_is_there_at_once_needs_no_poll() {
        let place = |_: &str| Ok(Placed::Ready(Record::text("there")));
        assert!(fetch(&FetchRequest::new("42"), place, not_expected).is_ok());
    }

    #[test]
    fn a_resume_state_of_another_version_places_the_order_anew() {
        for resume in ["", "7", "{}", "{\"order\": 7}"] {
            let place = |_: &str| Ok(Placed::Ready(Record::text("there")));
            assert!(fetch(&FetchRequest::new("42").with_resume(resume), place, not_expected).is_ok(), "{resume}");
        }
    }

    /// The same keys as in the other SDKs' tests.
    #[test]
    fn the_key_is_made_of_the_item_and_the_day() {
        let item = FetchRequest::new("42");
        assert_eq!(idempotency_key(&item, 0), "b59c48be-e3f1-55ed-92ed-4c5f4b3a0997");
        let other = FetchRequest::new("ä/1").with_param("lang", "de");
        assert_eq!(idempotency_key(&other, 1), "da290238-7e81-54bb-82d8-de3aaba47d08");
    }
}
