//! The verdict on a provider's behaviour in a trial.

use std::collections::BTreeMap;
use std::time::Duration;

use damper_core::manifest::Manifest;
use damper_core::record::{Failure, FailureKind, Fetched};

use super::faults::FaultCase;
use super::ids;
use super::responder::{MatchedExchange, ObservedRequest};
use super::trial::GoodCall;
use crate::case::{ForeseenBody, kind_name};
use crate::report::Problem;
use crate::secrets::{CaseSecrets, forms};

/// The shortest setting that counts as a secret, in bytes.
const MIN_SECRET_BYTES: usize = 8;
/// By how much a wait may be rounded up.
const ROUNDING: Duration = Duration::from_secs(1);

/// The result of a trial.
pub(super) struct TrialResult {
    pub(super) outcome: Result<Fetched, Failure>,
    pub(super) seen: Vec<ObservedRequest>,
    /// Whether it was stopped because it did not stop sending requests.
    pub(super) is_loop: bool,
    /// Requests that the host refused, because a credential was to go where it may not.
    pub(super) strays: Vec<String>,
    pub(super) log: Vec<String>,
}

/// Texts that must be in no message and no log: the credentials' secrets, and settings that are called like secrets.
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    pub(super) fn new(manifest: &Manifest, config: &BTreeMap<String, String>, secrets: &CaseSecrets) -> Self {
        let settings = manifest.config.iter().filter(|(key, _)| !config.contains_key(*key)).chain(config);
        let named = settings.filter(|(key, value)| is_called_secret(key) && value.len() >= MIN_SECRET_BYTES);
        Self(named.flat_map(|(_, value)| forms(value)).chain(secrets.forms()).collect())
    }

    fn is_in(&self, text: &str) -> bool {
        self.0.iter().any(|form| text.contains(form.as_str()))
    }
}

/// Whether a setting is called as secrets are.
pub(crate) fn is_called_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["key", "token", "secret", "password", "passwd", "credential"].iter().any(|word| key.contains(word))
}

/// The problems of a provider's outcome after a fault.
pub(super) fn on_fault(
    fault_case: &FaultCase,
    index: usize,
    target: &GoodCall,
    tried: &TrialResult,
    secrets: &Secrets,
) -> Vec<Problem> {
    let mut problems = always(tried, secrets);
    if tried.is_loop {
        return problems;
    }
    // An API that no longer knows an order: the provider may place it once more. What is missing may also be a part
    // that not every record has.
    let may_be_missing = fault_case.or_record_later && (index > 0 || target.state.is_resumed());
    match &tried.outcome {
        Ok(_) if may_be_missing => {}
        Err(failure) if may_be_missing && failure.kind == FailureKind::NotReady => {}
        Ok(_) => problems.push(Problem::new("the fetch returned a record")),
        Err(failure) => problems.extend(kind_problem(fault_case, failure)),
    }
    if let (Some(wait), Err(failure)) = (fault_case.wait, &tried.outcome) {
        let (wait, got) = (Duration::from_secs(wait), failure.retry_after);
        if !got.is_some_and(|got| (wait..=wait + ROUNDING).contains(&got)) {
            let got = got.map_or("none".to_owned(), |got| format!("{got:?}"));
            problems.push(Problem::new(format!("Retry-After is {wait:?}, and its retry_after is {got}")));
        }
    }
    let asked = tried.seen.iter().filter(|seen| seen.exchange == MatchedExchange::Own(index)).count();
    if asked > fault_case.requests {
        let times = if fault_case.requests == 1 { "once" } else { "twice" };
        problems.push(Problem::new(format!(
            "it sent the request {asked} times, and at most {times} is allowed: the host retries"
        )));
    }
    let foreign =
        tried.seen.iter().filter(|seen| seen.exchange == MatchedExchange::None && seen.carries_secret).count();
    if foreign > 0 {
        problems.push(Problem::new("a credential was sent to another host"));
    }
    // A repeated session may repeat all that came before.
    let most = target.case.last.exchanges.len() * fault_case.requests + target.earlier.len() + 1;
    if tried.seen.len() > most {
        problems.push(Problem::new(format!("it sent {} requests, and at most {most} are allowed", tried.seen.len())));
    }
    problems
}

/// What is worth a look in a provider's outcome after a fault, although it is right.
pub(super) fn note_on_fault(
    fault_case: &FaultCase,
    index: usize,
    target: &GoodCall,
    tried: &TrialResult,
) -> Option<String> {
    // The first request of a later call asks for the order; the others may be for a part of the record.
    let is_poll = index == 0 && target.state.is_resumed();
    let is_final = |failure: &Failure| matches!(failure.kind, FailureKind::NotFound | FailureKind::Rejected);
    let is_final = tried.outcome.as_ref().is_err_and(is_final);
    (fault_case.or_record_later && is_poll && is_final).then(|| {
        "this is final: the record is not fetched today. If the API answers so for an order that it has forgotten, \
         place the order once more (`Forgotten` of the SDK's two_step)"
            .to_owned()
    })
}

fn kind_problem(fault_case: &FaultCase, failure: &Failure) -> Option<Problem> {
    let is_own = matches!(failure.kind, FailureKind::Other(_)) && fault_case.or_own;
    if is_own || fault_case.right.contains(&failure.kind) || is_always_wrong(&failure.kind) {
        return None;
    }
    let mut right: Vec<String> = fault_case.right.iter().map(kind_name).collect();
    if fault_case.or_own {
        right.push("a kind of its own".to_owned());
    }
    let kind = kind_name(&failure.kind);
    Some(
        Problem::new(format!("it failed as {kind}, and expected is {}", right.join(" or ")))
            .with(failure.message.clone()),
    )
}

/// Kinds that `always` tells of.
fn is_always_wrong(kind: &FailureKind) -> bool {
    matches!(kind, FailureKind::Trapped | FailureKind::Broken | FailureKind::OutOfQuota)
}

/// Problems of any trial.
fn always(tried: &TrialResult, secrets: &Secrets) -> Vec<Problem> {
    let mut problems = Vec::new();
    if tried.is_loop {
        problems.push(Problem::new(format!("it does not stop sending requests: {} so far", tried.seen.len())));
    }
    if let Err(failure) = &tried.outcome {
        if is_always_wrong(&failure.kind) {
            problems.push(Problem::new(kind_name(&failure.kind)).with(failure.message.clone()));
        }
        if secrets.is_in(&failure.message) || secrets.is_in(&kind_name(&failure.kind)) {
            problems.push(Problem::new("its message contains a secret"));
        }
    }
    if tried.log.iter().any(|line| secrets.is_in(line)) {
        problems.push(Problem::new("its log contains a secret"));
    }
    for stray in &tried.strays {
        problems.push(Problem::new(format!("it tried to send a credential to another host: {stray}")));
    }
    problems
}

/// The problems of a provider's outcome where nothing goes wrong.
pub(super) fn on_good(target: &GoodCall, tried: &TrialResult, secrets: &Secrets) -> Vec<Problem> {
    let mut problems = always(tried, secrets);
    let wanted = if target.is_last() { "a record" } else { "not-ready" };
    let got = match &tried.outcome {
        Ok(_) if target.is_last() => return problems,
        Err(failure) if !target.is_last() && failure.kind == FailureKind::NotReady => return problems,
        Ok(_) => Problem::new(format!("the fetch returned a record, and expected is {wanted}")),
        Err(failure) => Problem::new(format!("it failed as {}, and expected is {wanted}", kind_name(&failure.kind)))
            .with(failure.message.clone()),
    };
    problems.push(got);
    problems
}

/// The problems of a provider's outcome for an id.
pub(super) fn on_id(target: &GoodCall, tried: &TrialResult, secrets: &Secrets) -> Vec<Problem> {
    let mut problems = always(tried, secrets);
    let exchanges = &target.case.last.exchanges;
    for (seen, exchange) in tried.seen.iter().zip(exchanges) {
        let body = match &exchange.request.body {
            Some(ForeseenBody::Bytes(bytes)) => Some(bytes.to_vec()),
            Some(ForeseenBody::Json(value)) => Some(value.to_string().into_bytes()),
            _ => None,
        };
        if let Some(problem) = ids::break_out(&exchange.request, body.as_deref(), &seen.request) {
            problems.push(
                Problem::new(format!("the id changed the request's structure: {problem}"))
                    .with(seen.request.url.to_string()),
            );
        }
    }
    if tried.seen.len() > exchanges.len() + 1 {
        problems.push(Problem::new(format!("it sent {} requests", tried.seen.len())));
    }
    problems
}
