//! Conformance: derives the faults of an API from one good case, and judges how the provider handles each.
//!
//! The faults, and which failures are right for each, are in `faults`; the ids that try to break out of a URL in `ids`;
//! the rules of the contract in `contract`. docs/TESTING.md says why each is judged as it is.

mod contract;
mod faults;
mod ids;
mod report;
mod responder;
mod trial;
mod verdict;

use std::time::{Duration, Instant};

use damper_core::fetcher::FetchRequest;
use damper_core::record::Failure;
use damper_plugins::CachedValues;
use futures::StreamExt;
use futures::stream;

pub use contract::Rules;
pub use report::{Check, Conformance, Status};

use crate::case::{Call, Case, Exchange};
use crate::case_runner::{AT_A_TIME, CallState, CaseRunner, ProviderCall, ProviderSetup};
use crate::report::{CaseReport, Problem};
use crate::secrets::is_token_endpoint;
use responder::TrialResponder;
use trial::{GoodCall, Trial};
pub(crate) use verdict::is_called_secret;
use verdict::{Secrets, TrialResult};

/// The exchanges of a case to each of which every fault is applied; of a longer case the first and the last ones.
const MAX_EXCHANGES: usize = 4;
/// How long a call may take whose API answers. No measure of the provider, which a busy machine makes slow, but an end
/// for one that sleeps.
const MAX_CALL: Duration = Duration::from_secs(10);

/// An error that stops the suite before it begins.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConformanceError {
    /// There is no good case.
    #[error("there is no good case: write a case whose exchanges have no faults and whose result is a record")]
    NoGoodCase,
    /// The good case does not pass.
    #[error("the good case {} does not pass: {}", .0.name, .0.problems.iter().map(|it| it.what.as_str()).collect::<Vec<_>>().join("; "))]
    BadGoodCase(Box<CaseReport>),
}

impl CaseRunner {
    /// Runs the suite, from the first of the cases that is a good one.
    ///
    /// ```no_run
    /// # async fn example(runner: damper_workbench::CaseRunner, cases: Vec<damper_workbench::Case>)
    /// # -> Result<(), damper_workbench::conformance::ConformanceError> {
    /// use damper_workbench::conformance::{Rules, Status};
    ///
    /// // A component may have at most 2 MiB.
    /// let conformance = runner.conform(&cases, &Rules { max_bytes: 2 << 20 }).await?;
    /// for check in conformance.checks.iter().filter(|check| check.status == Status::Failed) {
    ///     println!("{}: {} ({:?})", check.name, check.came, check.problems);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If no case is good, or the good case does not pass.
    pub async fn conform(&self, cases: &[Case], rules: &Rules) -> Result<Conformance, ConformanceError> {
        let begun = Instant::now();
        let good = cases.iter().find(|case| case.is_good()).ok_or(ConformanceError::NoGoodCase)?;
        let passed = self.run(std::slice::from_ref(good)).await.cases.pop();
        if let Some(report) = passed.filter(|report| !report.has_passed()) {
            return Err(ConformanceError::BadGoodCase(Box::new(report)));
        }
        let mut checks = contract::checks(&self.file, rules);
        let (targets, state) = self.targets(good).await;
        let trials: Vec<_> = targets
            .iter()
            .flat_map(|target| self.trials(target).into_iter().map(move |trial| (target, trial)))
            .collect();
        let tried = stream::iter(trials.iter().map(|(target, trial)| self.run_trial(target, trial)));
        checks.extend(tried.buffered(AT_A_TIME).collect::<Vec<_>>().await);
        checks.push(self.fetch_again(&targets, state).await);
        Ok(Conformance {
            provider: self.file.manifest.name.clone(),
            version: self.file.manifest.version.clone(),
            digest: self.file.digest.clone(),
            case: good.name.clone(),
            checks,
            duration: begun.elapsed(),
        })
    }

    /// The calls of the good case, each with what the calls before it left; and what the last one leaves.
    async fn targets(&self, good: &Case) -> (Vec<GoodCall>, CallState) {
        let mut state = CallState::before(good);
        let (mut targets, mut earlier) = (Vec::new(), Vec::new());
        for (index, call) in good.calls().enumerate() {
            // The token exchanges of a case are about the host.
            let is_api = |exchange: &&Exchange| !is_token_endpoint(&exchange.request.url);
            let exchanges: Vec<Exchange> = call.exchanges.iter().filter(is_api).cloned().collect();
            let target = GoodCall {
                number: (!good.before.is_empty()).then_some(index + 1),
                case: Case {
                    last: Call { exchanges, expect: call.expect.clone() },
                    before: Vec::new(),
                    ..good.clone()
                },
                earlier: earlier.clone(),
                state: state.clone(),
            };
            if let Ok((tried, cache)) = self.fetch_trial(&target, None, &state).await {
                state = state.after(&tried.outcome, cache);
            }
            earlier.extend(target.case.last.exchanges.iter().cloned());
            targets.push(target);
        }
        (targets, state)
    }

    /// Fetches the good case's record once more, with what the first fetch left in the provider's cache: a session that
    /// was stored must be of use.
    async fn fetch_again(&self, targets: &[GoodCall], state: CallState) -> Check {
        let check = Check::rule("a second fetch, with the cache of the first", String::new());
        let mut state = state.without_resume();
        for target in targets {
            let (tried, cache) = match self.fetch_trial(target, None, &state).await {
                Ok(tried) => tried,
                Err(error) => return check.with_failure(vec![Problem::new(error)]),
            };
            let secrets = Secrets::new(&self.file.manifest, &target.case.config, &self.secrets);
            let problems = verdict::on_good(target, &tried, &secrets);
            if !problems.is_empty() || target.is_last() {
                return check.with_verdict(&tried.outcome, problems);
            }
            state = state.after(&tried.outcome, cache);
        }
        check
    }

    fn trials(&self, target: &GoodCall) -> Vec<Trial> {
        let good = &target.case;
        let count = good.last.exchanges.len();
        let is_tried = |index: &usize| count <= MAX_EXCHANGES || *index == 0 || *index + MAX_EXCHANGES > count;
        let mut trials = Vec::new();
        for index in (0..count).filter(is_tried) {
            let Some(exchange) = good.last.exchanges.get(index) else { continue };
            let fault_cases = faults::all(&exchange.answer, good.item.day, &self.file.manifest, &self.secrets);
            trials.extend(fault_cases.into_iter().map(|fault_case| Trial::Fault(fault_case, index)));
        }
        trials.extend(ids::IDS.map(Trial::Id));
        // Trials that wait start first, and the others run meanwhile.
        trials.sort_by_key(|trial| !trial.is_endless());
        trials
    }

    async fn run_trial(&self, target: &GoodCall, trial: &Trial) -> Check {
        let check = Check::new(trial, target);
        let tried = match self.fetch_trial(target, Some(trial), &target.state).await {
            Ok((tried, _)) => tried,
            Err(error) => return check.with_failure(vec![Problem::new(error)]),
        };
        let secrets = Secrets::new(&self.file.manifest, &target.case.config, &self.secrets);
        let (problems, note) = match trial {
            Trial::Fault(fault_case, index) => (
                verdict::on_fault(fault_case, *index, target, &tried, &secrets),
                verdict::note_on_fault(fault_case, *index, target, &tried),
            ),
            Trial::Id(_) => (verdict::on_id(target, &tried, &secrets), None),
        };
        let check = check.with_verdict(&tried.outcome, problems);
        match note {
            Some(note) if check.status == Status::Passed => check.with_warning(note),
            _ => check,
        }
    }

    /// Makes a target's call, with a fault or without one.
    async fn fetch_trial(
        &self,
        target: &GoodCall,
        trial: Option<&Trial>,
        state: &CallState,
    ) -> Result<(TrialResult, CachedValues), String> {
        let good = &target.case;
        let responder = TrialResponder::new(target, trial, self.secrets.clone());
        let manifest = responder::with_elsewhere(self.file.manifest.clone());
        let call = self.provider_call(good, &good.last, state);
        let timeout = if trial.is_some_and(Trial::is_endless) { self.patience() } else { MAX_CALL };
        let id = if let Some(Trial::Id(id)) = trial { (*id).to_owned() } else { call.request.id.clone() };
        let call = ProviderCall { request: FetchRequest { id, timeout, ..call.request }, ..call };
        let enough = responder.enough();
        let setup = ProviderSetup { manifest, config: &good.config };
        let staged = self.call_provider(self.host(), setup, responder, call, &enough).await;
        let staged = staged.map_err(|error| format!("the provider does not load: {error}"))?;
        let seen = staged.server.responder().requests().to_vec();
        let log =
            |line: &damper_plugins::LogLine| serde_json::from_str(&line.json).unwrap_or_else(|_| line.json.clone());
        let cache = staged.cache;
        let tried = match staged.fetch {
            Some(fetch) => TrialResult {
                strays: responder::strays(&fetch.requests),
                log: fetch.lines.iter().map(log).collect(),
                outcome: fetch.report.outcome,
                seen,
                is_loop: false,
            },
            None => TrialResult {
                outcome: Err(Failure::new(damper_core::record::FailureKind::TimedOut, "stopped by the suite")),
                seen,
                is_loop: true,
                strays: Vec::new(),
                log: Vec::new(),
            },
        };
        Ok((tried, cache))
    }
}
