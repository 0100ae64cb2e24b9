//! The end of a run: what each provider's stream has come to, what this run did, and where the records lie.

use damper_config::Config;
use damper_core::admin::Counts;
use damper_core::ledger::OpenedBy;
use damper_core::pipeline::progress::Snapshot;
use damper_runner::{Outcome, RunError, RunTotals};
use serde_json::{Value, json};

use crate::error::{CliError, Exit};
use crate::screen::{printable, put, put_json};

/// The exit code for an outcome.
fn exit_of(outcome: &Outcome<CliError>) -> Exit {
    match outcome {
        Outcome::Done => Exit::Done,
        Outcome::Interrupted | Outcome::WindowClosed(_) | Outcome::QuotaSpent(_) | Outcome::Waiting { .. } => {
            Exit::WorkLeft
        }
        Outcome::Paused | Outcome::Stopped(_) => Exit::Stopped,
        Outcome::Failed(error) => error.exit(),
    }
}

/// An outcome, for scripts.
fn word_of(outcome: &Outcome<CliError>) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Interrupted => "interrupted",
        Outcome::WindowClosed(_) => "window-closed",
        Outcome::QuotaSpent(_) => "quota-spent",
        Outcome::Waiting { .. } => "waiting",
        Outcome::Paused => "paused",
        Outcome::Stopped(_) => "stopped",
        Outcome::Failed(_) => "failed",
    }
}

/// The next steps, for people.
fn next_step(outcome: &Outcome<CliError>, provider: &str) -> Option<String> {
    match outcome {
        Outcome::Done => None,
        Outcome::Interrupted => Some(format!("interrupted; `damper run {provider}` continues")),
        Outcome::WindowClosed(opens) => {
            Some(format!("the window is closed; {opens}; `damper run {provider} --watch` waits for it"))
        }
        Outcome::QuotaSpent(begins) => {
            Some(format!("the day's quota is spent; {begins}; `damper run {provider} --watch` waits for it"))
        }
        Outcome::Waiting { entries, until } => Some(format!(
            "{entries} pending entries wait for their next attempt, the first until {until}; \
             `damper run {provider}` continues then, `damper run {provider} --watch` waits for it"
        )),
        Outcome::Paused => {
            Some(format!("its mapping is disabled, so nothing is delivered; `damper resume {provider}` enables it"))
        }
        Outcome::Stopped(CliError::Run(RunError::Stopped { by: OpenedBy::Operator, .. })) => {
            Some(format!("paused; `damper resume {provider}` ends the pause; then run again"))
        }
        Outcome::Stopped(_) => Some(format!("stopped; fix the cause, then `damper resume {provider}` and run again")),
        Outcome::Failed(error) => Some(format!("failed: {error}")),
    }
}

/// One provider's part of the summary.
#[derive(Debug)]
pub(super) struct ProviderSummary {
    pub(super) provider: String,
    pub(super) outcome: Outcome<CliError>,
    /// Its stream's entries by outcome.
    pub(super) counts: Counts,
    /// The totals of this run; `None` if the provider did not run.
    pub(super) totals: Option<(RunTotals, Snapshot)>,
}

/// Print the summary, and return the exit code.
///
/// # Errors
/// If the counts do not add up, or nothing can be printed.
pub(super) fn show(lines: &[ProviderSummary], config: &Config, as_json: bool) -> Result<Exit, CliError> {
    let exit = lines.iter().map(|line| exit_of(&line.outcome)).max().unwrap_or(Exit::Done);
    if as_json {
        let providers: Vec<Value> = lines.iter().map(|line| line.as_json(config)).collect();
        put_json(&json!({ "providers": providers, "exit_code": exit.code() }))?;
    } else if lines.is_empty() {
        put("nothing was ever fed: `damper feed PROVIDER FILE` enqueues items")?;
    } else {
        lines.iter().try_for_each(|line| put(line.as_text(config)))?;
    }
    lines.iter().try_for_each(ProviderSummary::check)?;
    Ok(exit)
}

impl ProviderSummary {
    /// fed = fetched + skipped + dead letters + pending, always.
    fn check(&self) -> Result<(), CliError> {
        if self.counts.add_up() {
            return Ok(());
        }
        Err(CliError::Counts { provider: self.provider.clone(), counts: format!("{:?}", self.counts) })
    }

    fn as_text(&self, config: &Config) -> String {
        let Counts { fed, fetched, skipped, dead_letters, pending, .. } = self.counts;
        let name = &self.provider;
        let mut text =
            format!("{name}: {fed} fed = {fetched} fetched + {skipped} skipped + {dead_letters} dead letters");
        if pending > 0 {
            text.push_str(&format!(" + {pending} pending"));
        }
        if let Some((totals, snapshot)) = &self.totals {
            text.push_str(&format!(
                "\n  this run: {} fetched, {} skipped, {} dead letters, {} retried, {} requests",
                totals.fetched, totals.skipped, totals.dead_letters, snapshot.retried, snapshot.requests
            ));
            if snapshot.polled > 0 {
                text.push_str(&format!(", {} not ready", snapshot.polled));
            }
        }
        if fetched > 0 {
            text.push_str(&format!("\n  records: {}", printable(&records(config, name))));
        }
        if dead_letters > 0 {
            text.push_str(&format!("\n  dead letters: damper dead-letters list {name}"));
        }
        if let Some(next) = next_step(&self.outcome, name) {
            text.push_str(&format!("\n  {}", printable(&next)));
        }
        text
    }

    fn as_json(&self, config: &Config) -> Value {
        let totals = self.totals.as_ref().map(|(totals, snapshot)| {
            json!({
                "fetched": totals.fetched, "skipped": totals.skipped, "dead_letters": totals.dead_letters,
                "retried": snapshot.retried, "not_ready": snapshot.polled, "requests": snapshot.requests,
            })
        });
        json!({
            "provider": self.provider, "outcome": word_of(&self.outcome), "exit_code": exit_of(&self.outcome).code(),
            "error": match &self.outcome {
                Outcome::Failed(error) | Outcome::Stopped(error) => Some(error.to_string()),
                _ => None,
            },
            "counts": self.counts, "run": totals, "records": records(config, &self.provider),
        })
    }
}

/// The path of a provider's records, as a pattern for a shell.
fn records(config: &Config, provider: &str) -> String {
    let folder = std::path::absolute(&config.output).unwrap_or_else(|_| config.output.clone());
    folder.join(provider).join(format!("*/*/*{}", config.compression.ending())).display().to_string()
}
