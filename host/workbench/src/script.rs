//! Answers the requests of a case from its exchanges, and records the unexpected requests.

use sha2::{Digest, Sha256};
use url::Url;

use crate::case::{Answer, Call, Exchange, Fault, ForeseenBody, ForeseenRequest, Order};
use crate::difference::{difference, readable};
use crate::network::{ReceivedRequest, Responder};
use crate::report::Problem;
use crate::secrets::{CaseSecrets, is_token_endpoint};

/// The status of the response to an unexpected request.
const NOT_FORESEEN: u16 = 501;

/// The exchanges of a case, and which of them are done.
pub(crate) struct Script {
    exchanges: Vec<Exchange>,
    is_done: Vec<bool>,
    order: Order,
    secrets: CaseSecrets,
    /// Whether the case says what the token endpoint answers.
    has_tokens: bool,
    problems: Vec<Problem>,
    /// Exchanges that are reported as the nearest to an unexpected request, and not again as missing.
    told: Vec<usize>,
    seen: usize,
    is_derailed: bool,
}

impl Script {
    pub(crate) fn new(call: &Call, order: Order, secrets: CaseSecrets) -> Self {
        Self {
            exchanges: call.exchanges.clone(),
            is_done: vec![false; call.exchanges.len()],
            order,
            secrets,
            has_tokens: call.exchanges.iter().any(|exchange| is_token_endpoint(&exchange.request.url)),
            problems: Vec::new(),
            told: Vec::new(),
            seen: 0,
            is_derailed: false,
        }
    }

    /// The problems of the call, after its end.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let not_sent = self.pending().filter(|(index, _)| !self.told.contains(index)).map(|(index, exchange)| {
            let ForeseenRequest { method, url, .. } = &exchange.request;
            Problem::new(format!("the provider did not send the request of exchange {}: {method} {url}", index + 1))
        });
        self.problems.iter().cloned().chain(not_sent).collect()
    }

    /// Whether an unexpected request was sent. The outcome is then of little use.
    pub(crate) fn is_derailed(&self) -> bool {
        self.is_derailed
    }

    /// The exchanges that may come next, all of them or the first.
    fn pending(&self) -> impl Iterator<Item = (usize, &Exchange)> {
        let all = self.exchanges.iter().enumerate().zip(&self.is_done);
        all.filter(|(_, is_done)| !**is_done).map(|(exchange, _)| exchange)
    }

    fn due(&self) -> impl Iterator<Item = (usize, &Exchange)> {
        self.pending().take(if self.order == Order::InOrder { 1 } else { usize::MAX })
    }

    fn mark_done(&mut self, index: usize) {
        if let Some(is_done) = self.is_done.get_mut(index) {
            *is_done = true;
        }
    }

    fn record_unforeseen(&mut self, request: &ReceivedRequest) {
        self.is_derailed = true;
        let number = self.seen;
        let sent = format!("{} {}", request.method, request.url);
        let nearest =
            self.due().max_by_key(|(index, exchange)| (likeness(&exchange.request, request), usize::MAX - index));
        let problem = match nearest {
            None if self.exchanges.is_empty() => {
                Problem::new(format!("the case has no exchange, and this request was sent: {sent}"))
            }
            None => Problem::new(format!("this request was sent after the last exchange of the case: {sent}")),
            Some((index, exchange)) => {
                let foreseen = &exchange.request;
                let what = format!("request {number} is not the one of exchange {}", index + 1);
                let detail = difference("foreseen", &as_foreseen(foreseen), "sent", &as_sent(request, foreseen));
                let problem = Problem::new(what).with(detail);
                self.told.push(index);
                problem
            }
        };
        self.problems.push(problem);
    }
}

impl Responder for Script {
    fn on_connect(&mut self, origin: &str) -> bool {
        let is_refused = |(_, exchange): &(usize, &Exchange)| {
            exchange.answer.fault == Some(Fault::Refused)
                && exchange.request.url.origin().ascii_serialization() == origin
        };
        let refused = self.due().find(is_refused).map(|(index, _)| index);
        if let Some(index) = refused {
            self.seen += 1;
            self.mark_done(index);
        }
        refused.is_some()
    }

    fn answer(&mut self, request: ReceivedRequest) -> Answer {
        if !self.has_tokens
            && let Some(answer) = self.secrets.token_answer(&request)
        {
            return answer;
        }
        self.seen += 1;
        let (sent, request) = (self.secrets.without_parameters(&request), request);
        let found = self.due().find(|(_, exchange)| fits(&exchange.request, &sent));
        let Some((index, exchange)) = found else {
            self.record_unforeseen(&sent);
            return Answer::of(NOT_FORESEEN);
        };
        let (answer, wanted) = (exchange.answer.clone(), exchange.request.credentials.clone());
        // The host's own request for a token carries the client's secret.
        let problem = self.secrets.problem(&request, &wanted).filter(|_| !is_token_endpoint(&request.url));
        if let Some(problem) = problem {
            self.problems.push(Problem::new(format!("the request of exchange {}: {problem}", index + 1)));
        }
        self.mark_done(index);
        answer
    }

    fn closes_after_answer(&self) -> bool {
        // A refused connection has to be a new one.
        self.exchanges.iter().any(|exchange| exchange.answer.fault == Some(Fault::Refused))
    }
}

fn fits(foreseen: &ForeseenRequest, request: &ReceivedRequest) -> bool {
    let has =
        |(name, value): (&String, &String)| request.headers.iter().any(|(known, sent)| known == name && sent == value);
    foreseen.method == request.method
        && foreseen.url == request.url
        && foreseen.headers.iter().all(has)
        && foreseen.body.as_ref().is_none_or(|body| body_fits(body, &request.body))
}

fn body_fits(foreseen: &ForeseenBody, body: &[u8]) -> bool {
    match foreseen {
        ForeseenBody::Bytes(bytes) => bytes == body,
        ForeseenBody::Json(value) => serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|sent| sent == *value),
        ForeseenBody::Sha256(digest) => sha256(body) == *digest,
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How near a request is to a foreseen one: the first of URL, path, host and method that they share counts most.
fn likeness(foreseen: &ForeseenRequest, request: &ReceivedRequest) -> u32 {
    let same = |part: fn(&Url) -> Option<&str>| u32::from(part(&foreseen.url) == part(&request.url));
    let path = u32::from(foreseen.url.path() == request.url.path());
    8 * u32::from(foreseen.url == request.url)
        + 4 * path
        + 2 * same(Url::host_str)
        + u32::from(foreseen.method == request.method)
}

/// A foreseen request as text, for a difference.
fn as_foreseen(request: &ForeseenRequest) -> String {
    let mut text = format!("{} {}\n", request.method, request.url);
    for (name, value) in &request.headers {
        text.push_str(&format!("{name}: {value}\n"));
    }
    match &request.body {
        None => {}
        Some(ForeseenBody::Bytes(bytes)) => text.push_str(&format!("\n{}\n", readable(bytes))),
        Some(ForeseenBody::Json(value)) => text.push_str(&format!("\n{}\n", readable(value.to_string().as_bytes()))),
        Some(ForeseenBody::Sha256(digest)) => text.push_str(&format!("\nsha256:{digest}\n")),
    }
    text
}

/// A request as text, as far as the foreseen one looks at it.
fn as_sent(request: &ReceivedRequest, foreseen: &ForeseenRequest) -> String {
    let mut text = format!("{} {}\n", request.method, request.url);
    for name in foreseen.headers.keys() {
        let values: Vec<&str> =
            request.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect();
        if !values.is_empty() {
            text.push_str(&format!("{name}: {}\n", values.join(", ")));
        }
    }
    match &foreseen.body {
        None => {}
        Some(ForeseenBody::Sha256(_)) => text.push_str(&format!("\nsha256:{}\n", sha256(&request.body))),
        Some(_) => text.push_str(&format!("\n{}\n", readable(&request.body))),
    }
    text
}
