//! The responses of a trial: those of the good case, except for the faulty one.

use std::sync::Arc;

use damper_core::manifest::Manifest;
use damper_plugins::RequestTrace;
use tokio::sync::Notify;

use super::faults::ELSEWHERE;
use super::trial::{GoodCall, Trial};
use crate::case::{Answer, Exchange, Fault};
use crate::network::{ReceivedRequest, Responder};
use crate::secrets::CaseSecrets;

/// The number of requests after which a provider counts as looping.
const ENOUGH: usize = 24;

/// One request of a trial.
#[derive(Debug, Clone)]
pub(super) struct ObservedRequest {
    pub(super) request: ReceivedRequest,
    /// The exchange that it was taken for.
    pub(super) exchange: MatchedExchange,
    pub(super) carries_secret: bool,
}

/// The exchange that a request was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MatchedExchange {
    /// One of the call itself.
    Own(usize),
    /// One of an earlier call of the case.
    Earlier,
    /// None: the case has no such request.
    None,
}

/// The responder of a trial.
pub(super) struct TrialResponder {
    exchanges: Vec<Exchange>,
    /// Those of earlier calls, which are answered as before.
    earlier: Vec<Exchange>,
    is_done: Vec<bool>,
    /// Which exchange goes wrong, and how.
    wrong: Option<(usize, Answer)>,
    secrets: CaseSecrets,
    seen: Vec<ObservedRequest>,
    refused: usize,
    enough: Arc<Notify>,
}

impl TrialResponder {
    pub(super) fn new(target: &GoodCall, trial: Option<&Trial>, secrets: CaseSecrets) -> Self {
        let wrong = match trial {
            Some(Trial::Fault(fault_case, index)) => Some((*index, fault_case.answer.clone())),
            Some(Trial::Id(_)) | None => None,
        };
        let exchanges = target.case.last.exchanges.clone();
        Self {
            is_done: vec![false; exchanges.len()],
            exchanges,
            earlier: target.earlier.clone(),
            wrong,
            secrets,
            seen: Vec::new(),
            refused: 0,
            enough: Arc::default(),
        }
    }

    /// Notified when the provider has sent so many requests that it counts as looping.
    pub(super) fn enough(&self) -> Arc<Notify> {
        Arc::clone(&self.enough)
    }

    pub(super) fn requests(&self) -> &[ObservedRequest] {
        &self.seen
    }

    /// The exchange that a request is: the first one pending with its method and URL; else one that was; else, with
    /// another id, the one whose turn it is.
    fn exchange(&self, request: &ReceivedRequest) -> Option<usize> {
        let all = || self.exchanges.iter().zip(&self.is_done).enumerate();
        let pending = || all().filter(|(_, (_, is_done))| !**is_done);
        let fresh = pending().find(|(_, (exchange, _))| is_same(exchange, request));
        let again = || all().filter(|(_, (exchange, _))| is_same(exchange, request)).last();
        let turn = || if request.url.host_str() == Some(ELSEWHERE) { None } else { pending().next().or(all().last()) };
        fresh.or_else(again).or_else(turn).map(|(index, _)| index)
    }

    /// Whether the call itself has an exchange of this method and URL.
    fn is_own(&self, request: &ReceivedRequest) -> bool {
        self.exchanges.iter().any(|exchange| is_same(exchange, request))
    }

    /// The answer of an earlier call to this request.
    fn earlier_answer(&self, request: &ReceivedRequest) -> Option<Answer> {
        let exchange = self.earlier.iter().rev().find(|exchange| is_same(exchange, request));
        exchange.map(|exchange| exchange.answer.clone())
    }

    fn count(&mut self) {
        if self.seen.len() + self.refused >= ENOUGH {
            self.enough.notify_one();
        }
    }
}

impl Responder for TrialResponder {
    fn on_connect(&mut self, origin: &str) -> bool {
        let Some((index, Answer { fault: Some(Fault::Refused), .. })) = &self.wrong else { return false };
        let is_due = self.is_done.iter().take(*index).all(|is_done| *is_done);
        let is_there =
            self.exchanges.get(*index).is_some_and(|it| it.request.url.origin().ascii_serialization() == origin);
        if is_due && is_there {
            self.refused += 1;
            self.count();
        }
        is_due && is_there
    }

    fn answer(&mut self, request: ReceivedRequest) -> Answer {
        // The host fetches tokens, so faults of the token endpoint are not the provider's.
        if let Some(answer) = self.secrets.token_answer(&request) {
            return answer;
        }
        let carries_secret = self.secrets.carries_secret(&request);
        let request = self.secrets.without_parameters(&request);
        let own = self.exchange(&request);
        let earlier = if self.is_own(&request) { None } else { self.earlier_answer(&request) };
        let exchange = match (&earlier, own) {
            (Some(_), _) => MatchedExchange::Earlier,
            (None, Some(index)) => MatchedExchange::Own(index),
            (None, None) => MatchedExchange::None,
        };
        self.seen.push(ObservedRequest { request, exchange, carries_secret });
        self.count();
        if let Some(answer) = earlier {
            return answer;
        }
        let Some(index) = own else { return Answer::of(404) };
        if let Some(is_done) = self.is_done.get_mut(index) {
            *is_done = true;
        }
        match &self.wrong {
            Some((wrong, answer)) if *wrong == index => answer.clone(),
            _ => self.exchanges.get(index).map_or_else(|| Answer::of(404), |exchange| exchange.answer.clone()),
        }
    }

    fn closes_after_answer(&self) -> bool {
        matches!(self.wrong, Some((_, Answer { fault: Some(Fault::Refused), .. })))
    }
}

fn is_same(exchange: &Exchange, request: &ReceivedRequest) -> bool {
    exchange.request.method == request.method && exchange.request.url == request.url
}

/// The manifest with the host to which redirects lead.
pub(super) fn with_elsewhere(mut manifest: Manifest) -> Manifest {
    manifest.egress.hosts.push(ELSEWHERE.to_owned());
    manifest
}

/// The requests that the host refused because they carried a credential to a host that may not have it.
pub(super) fn strays(requests: &[RequestTrace]) -> Vec<String> {
    let is_stray = |trace: &&RequestTrace| {
        trace.outcome.as_ref().is_err_and(|why| why.contains("the credential") && why.contains("may not be sent to"))
    };
    requests.iter().filter(is_stray).map(|trace| format!("{} {}", trace.method, trace.url)).collect()
}
