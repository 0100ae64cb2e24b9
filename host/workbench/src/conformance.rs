//! Conformance: from one good case, everything that an API may do to a provider, and a verdict on what the provider makes of it.
//!
//! The faults, and which failures are right for each, are in `faults`; the ids that try to break out of a URL in `ids`; the
//! rules of the contract in `contract`. docs/TESTING.md says why each is judged as it is.

mod contract;
mod director;
mod faults;
mod ids;
mod report;
mod verdict;

use std::time::{Duration, Instant};

use damper_core::fetcher::FetchRequest;
use damper_core::manifest::Manifest;
use damper_core::record::{Failure, Fetched};
use futures::StreamExt;
use futures::stream;

pub use contract::Rules;
pub use report::{Check, Conformance, Status};

use crate::bench::{AT_A_TIME, Bench, Call, Set};
use crate::case::{Case, Exchange, Fault};
use crate::report::{CaseReport, Problem};
use crate::secrets::is_token_endpoint;
use director::{Seen, Trial};
use faults::Trouble;
use verdict::Secrets;
pub(crate) use verdict::is_called_secret;

/// The exchanges of a case to each of which every fault is applied; of a longer case the first and the last ones.
const MAX_EXCHANGES: usize = 4;
/// How long a call may take whose API answers. No measure of the provider, which a busy machine makes slow, but an end for one that sleeps.
const MAX_CALL: Duration = Duration::from_secs(10);

/// What stops the suite before it begins.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConformanceError {
    /// There is no good case.
    #[error(
        "there is no good case: write one in which a record comes of exchanges without faults, for the suite to start from"
    )]
    NoGoodCase,
    /// The good case does not pass.
    #[error("the good case {} does not pass: {}", .0.name, .0.problems.iter().map(|it| it.what.as_str()).collect::<Vec<_>>().join("; "))]
    BadGoodCase(Box<CaseReport>),
}

/// One thing to try.
#[derive(Clone)]
enum Try {
    /// An exchange goes wrong.
    Fault(Trouble, usize),
    /// The item has this id.
    Id(&'static str),
}

/// What came of a try.
struct Tried {
    outcome: Result<Fetched, Failure>,
    seen: Vec<Seen>,
    /// Whether it was stopped because it asked on and on.
    is_loop: bool,
    /// Requests that the host refused, because a credential was to go where it may not.
    strays: Vec<String>,
    log: Vec<String>,
}

impl Bench {
    /// Runs the suite, from the first of the cases that is a good one.
    ///
    /// # Errors
    /// Where none is good, or it does not pass.
    pub async fn conform(&self, cases: &[Case], rules: &Rules) -> Result<Conformance, ConformanceError> {
        let begun = Instant::now();
        let good = cases.iter().find(|case| case.is_good()).ok_or(ConformanceError::NoGoodCase)?;
        let passed = self.run(std::slice::from_ref(good)).await.cases.pop();
        if let Some(report) = passed.filter(|report| !report.has_passed()) {
            return Err(ConformanceError::BadGoodCase(Box::new(report)));
        }
        let mut checks = contract::checks(&self.file, rules);
        // What a case says of tokens is about the host.
        let is_api = |exchange: &&Exchange| !is_token_endpoint(&exchange.request.url);
        let good = &Case { exchanges: good.exchanges.iter().filter(is_api).cloned().collect(), ..good.clone() };
        let tries = self.tries(good);
        let tried = stream::iter(tries.iter().map(|attempt| self.try_out(good, attempt)));
        checks.extend(tried.buffered(AT_A_TIME).collect::<Vec<_>>().await);
        Ok(Conformance {
            provider: self.file.manifest.name.clone(),
            version: self.file.manifest.version.clone(),
            digest: self.file.digest.clone(),
            case: good.name.clone(),
            checks,
            duration: begun.elapsed(),
        })
    }

    fn tries(&self, good: &Case) -> Vec<Try> {
        let count = good.exchanges.len();
        let is_tried = |index: &usize| count <= MAX_EXCHANGES || *index == 0 || *index + MAX_EXCHANGES > count;
        let mut tries = Vec::new();
        for index in (0..count).filter(is_tried) {
            let Some(exchange) = good.exchanges.get(index) else { continue };
            let troubles = faults::all(&exchange.answer, good.item.day, &self.file.manifest, &self.secrets);
            tries.extend(troubles.into_iter().map(|trouble| Try::Fault(trouble, index)));
        }
        tries.extend(ids::IDS.map(Try::Id));
        // Those that wait are begun first, so that the others run meanwhile.
        tries.sort_by_key(|attempt| !attempt.is_endless());
        tries
    }

    async fn try_out(&self, good: &Case, attempt: &Try) -> Check {
        let trial = Trial::new(good, attempt, self.secrets.clone());
        let manifest = director::with_elsewhere(self.file.manifest.clone());
        let check = Check::new(attempt, good.exchanges.len());
        let tried = match self.make(good, attempt, trial, manifest).await {
            Ok(tried) => tried,
            Err(error) => return check.failed(vec![Problem::new(error)]),
        };
        let secrets = Secrets::new(&self.file.manifest, &good.config, &self.secrets);
        let problems = match attempt {
            Try::Fault(trouble, index) => verdict::on_fault(trouble, *index, good, &tried, &secrets),
            Try::Id(_) => verdict::on_id(good, &tried, &secrets),
        };
        check.judged(&tried.outcome, problems)
    }

    async fn make(&self, good: &Case, attempt: &Try, trial: Trial, manifest: Manifest) -> Result<Tried, String> {
        let call = self.call(good);
        let timeout = if attempt.is_endless() { self.patience() } else { MAX_CALL };
        let id = if let Try::Id(id) = attempt { (*id).to_owned() } else { call.request.id.clone() };
        let call = Call { request: FetchRequest { id, timeout, ..call.request }, ..call };
        let enough = trial.enough();
        let set = Set { manifest, config: &good.config };
        let staged = self.stage(self.host(), set, trial, call, &enough).await;
        let staged = staged.map_err(|error| format!("the provider does not load: {error}"))?;
        let seen = staged.server.director().seen().to_vec();
        let log =
            |line: &damper_plugins::LogLine| serde_json::from_str(&line.json).unwrap_or_else(|_| line.json.clone());
        Ok(match staged.fetch {
            Some(fetch) => Tried {
                strays: director::strays(&fetch.requests),
                log: fetch.lines.iter().map(log).collect(),
                outcome: fetch.report.outcome,
                seen,
                is_loop: false,
            },
            None => Tried {
                outcome: Err(Failure::new(damper_core::record::FailureKind::TimedOut, "stopped by the suite")),
                seen,
                is_loop: true,
                strays: Vec::new(),
                log: Vec::new(),
            },
        })
    }
}

impl Try {
    fn is_endless(&self) -> bool {
        matches!(self, Self::Fault(trouble, _) if trouble.answer.fault.is_some_and(Fault::is_endless))
    }
}
