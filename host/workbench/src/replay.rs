//! A dead letter's bundle as a case: the same item, the answers that the API gave then, and the failure that came of
//! them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use damper_core::bundle::{self, Bundle};
use damper_core::dead_letter::DeadLetter;
use damper_core::item::{Item, ItemError};
use url::Url;

use crate::case::{
    Answer, Call, Case, CaseItem, Exchange, Expect, ExpectedFailure, Fault, ForeseenBody, ForeseenRequest, Order,
};
use crate::record::fault;

/// A dead letter as a case.
///
/// ```no_run
/// # async fn example(letter: damper_core::dead_letter::DeadLetter, runner: damper_workbench::CaseRunner)
/// # -> Result<(), damper_workbench::replay::ReplayError> {
/// use damper_workbench::replay::Replay;
///
/// // The API's responses of the last fetch, with the component as it is now: does it still fail?
/// let Replay { case, notes } = Replay::of(&letter, Default::default())?;
/// let report = runner.run(&[case]).await;
/// println!("{:?} {notes:?}", report.cases[0].outcome);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Replay {
    /// The case.
    pub case: Case,
    /// Differences between the replay and the original call, for a person.
    pub notes: Vec<String>,
}

/// A dead letter that cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// It holds no fetch.
    #[error("the dead letter contains no fetch: its item was given up on before a fetch ({0})")]
    NoFetch(String),
    /// Its payload is no item.
    #[error("the dead letter's payload is not an item: {0}")]
    Payload(#[from] ItemError),
    /// A URL cannot be read: a secret stood in it.
    #[error("the URL {0:?} cannot be requested again: it contained a secret, which is not stored")]
    Url(String),
}

impl Replay {
    /// The case of a dead letter; `config` is what the operator set.
    ///
    /// # Errors
    /// If the letter holds no fetch that can be replayed.
    pub fn of(letter: &DeadLetter, config: BTreeMap<String, String>) -> Result<Self, ReplayError> {
        let bundle = letter.bundle.as_deref().ok_or_else(|| ReplayError::NoFetch(letter.message.clone()))?;
        let item = Item::parse(&letter.payload)?;
        let mut notes = Vec::new();
        let exchanges = bundle.exchanges.iter().enumerate();
        let exchanges = exchanges.map(|(index, exchange)| foreseen_exchange(index + 1, exchange, &mut notes));
        let case = Case {
            name: format!("{} {}", letter.provider, letter.sequence),
            path: PathBuf::from(format!("dead letter {}", letter.sequence)),
            description: None,
            // Requests side by side ended in an order of their own.
            order: Order::Any,
            item: CaseItem {
                id: item.id,
                params: item.params,
                attempt: bundle.attempt,
                day: bundle.day,
                resume: bundle.resume.clone(),
            },
            config,
            cache: BTreeMap::new(),
            before: Vec::new(),
            last: Call {
                exchanges: exchanges.collect::<Result<_, _>>()?,
                expect: Expect::Failure(expected_failure(letter, bundle)),
            },
        };
        Ok(Self { case, notes })
    }
}

fn expected_failure(letter: &DeadLetter, bundle: &Bundle) -> ExpectedFailure {
    ExpectedFailure {
        kind: bundle.kind.clone(),
        retry_after: bundle.retry_after_ms.map(Duration::from_millis),
        status: letter.status,
        message: None,
    }
}

fn foreseen_exchange(
    number: usize,
    exchange: &bundle::Exchange,
    notes: &mut Vec<String>,
) -> Result<Exchange, ReplayError> {
    let bundle::Exchange { method, url, body, credentials, answer, .. } = exchange;
    let request = ForeseenRequest {
        method: method.clone(),
        url: Url::parse(url).map_err(|_| ReplayError::Url(url.clone()))?,
        headers: BTreeMap::new(),
        credentials: credentials.clone(),
        // A part that was cut or redacted is not checked.
        body: Some(ForeseenBody::Bytes(body.bytes.clone())).filter(|_| !body.is_cut && !body.bytes.is_empty()),
    };
    Ok(Exchange { request, answer: recorded_answer(number, answer, notes) })
}

fn recorded_answer(number: usize, answer: &bundle::ExchangeOutcome, notes: &mut Vec<String>) -> Answer {
    let of = |status, headers, body, fault| Answer { status, headers, body, delay: Duration::ZERO, fault };
    match answer {
        bundle::ExchangeOutcome::Came { status, headers, body } => {
            if body.is_cut {
                notes.push(format!(
                    "only the first {} bytes of the response to request {number} were stored; the replay ends after them",
                    body.bytes.len()
                ));
            }
            // The length and the encoding were those of the answer as it came.
            let told = |name: &str| !matches!(name, "content-length" | "content-encoding" | "transfer-encoding");
            let headers = headers.iter().filter(|(name, _)| told(name)).cloned().collect();
            of(*status, headers, body.bytes.clone(), None)
        }
        bundle::ExchangeOutcome::Failed { why } => {
            let fault = fault(why).unwrap_or_else(|| {
                notes.push(format!("request {number} had no response ({why}); the replay resets the connection"));
                Fault::Reset
            });
            of(0, Vec::new(), bytes::Bytes::new(), Some(fault))
        }
    }
}

#[cfg(test)]
mod tests {

    use damper_core::bundle::Body;
    use damper_core::dead_letter::Reason;
    use damper_core::item::SequenceNumber;
    use damper_core::record::{Failure, FailureKind};

    use super::*;

    fn letter(exchanges: Vec<bundle::Exchange>) -> DeadLetter {
        let failure = Failure { status: Some(404), ..Failure::new(FailureKind::NotFound, "no such record") };
        let bundle = Bundle::of(&failure, "2026-11-25".parse().unwrap(), 2, exchanges);
        DeadLetter {
            provider: "demo".to_owned(),
            sequence: SequenceNumber::from(7),
            arrived: jiff::Timestamp::UNIX_EPOCH,
            died: jiff::Timestamp::UNIX_EPOCH,
            payload: r#"{"id":"a","params":{"lang":"en"}}"#.into(),
            reason: Reason::NotFound,
            message: failure.message,
            status: failure.status,
            attempts: 2,
            component: String::new(),
            bundle: Some(Box::new(bundle)),
        }
    }

    fn exchange(url: &str, answer: bundle::ExchangeOutcome) -> bundle::Exchange {
        bundle::Exchange {
            method: "GET".to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: Body::default(),
            credentials: vec!["key".to_owned()],
            answer,
        }
    }

    fn came(body: Body) -> bundle::ExchangeOutcome {
        let headers = [("content-type", "text/html"), ("content-length", "9999")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        bundle::ExchangeOutcome::Came { status: 404, headers, body }
    }

    #[test]
    fn a_letter_is_a_case_of_the_same_item_answers_and_failure() {
        let letter = letter(vec![exchange("https://api.test/a", came(Body::of(b"none")))]);
        let Replay { case, notes } = Replay::of(&letter, BTreeMap::new()).unwrap();
        assert_eq!((case.item.id.as_str(), case.item.attempt, case.item.params["lang"].as_str()), ("a", 2, "en"));
        let exchange = &case.last.exchanges[0];
        assert_eq!((exchange.answer.status, exchange.request.credentials.as_slice()), (404, &["key".to_owned()][..]));
        assert_eq!(exchange.answer.headers, [("content-type".to_owned(), "text/html".to_owned())]);
        assert!(matches!(&case.last.expect, Expect::Failure(failure) if failure.kind == FailureKind::NotFound));
        assert_eq!(notes, [""; 0]);
    }

    #[test]
    fn what_is_not_as_it_was_is_told() {
        let cut = Body { is_cut: true, ..Body::of(b"begin") };
        let strange = bundle::ExchangeOutcome::Failed { why: "too many redirects".to_owned() };
        let slow = bundle::ExchangeOutcome::Failed { why: "timed out".to_owned() };
        let url = "https://api.test/a";
        let letter = letter(vec![exchange(url, came(cut)), exchange(url, strange), exchange(url, slow)]);
        let Replay { case, notes } = Replay::of(&letter, BTreeMap::new()).unwrap();
        assert!(notes[0].contains("first 5 bytes") && notes[1].contains("too many redirects"), "{notes:?}");
        let faults: Vec<_> = case.last.exchanges.iter().map(|exchange| exchange.answer.fault).collect();
        assert_eq!(faults, [None, Some(Fault::Reset), Some(Fault::Timeout)]);
    }

    #[test]
    fn a_letter_without_a_fetch_is_no_case() {
        let none = DeadLetter { bundle: None, ..letter(Vec::new()) };
        assert!(matches!(Replay::of(&none, BTreeMap::new()), Err(ReplayError::NoFetch(_))));
        let garbage = DeadLetter { payload: "garbage".into(), ..letter(Vec::new()) };
        assert!(matches!(Replay::of(&garbage, BTreeMap::new()), Err(ReplayError::Payload(_))));
        let secret = letter(vec![exchange("[secret]", came(Body::default()))]);
        assert_eq!(Replay::of(&secret, BTreeMap::new()).unwrap_err(), ReplayError::Url("[secret]".to_owned()));
    }
}
