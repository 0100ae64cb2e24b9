//! The end of a run: what each provider's stream has come to, what this run did, and where the records lie.

use damper_config::Config;
use damper_core::admin::Counts;
use damper_core::ledger::OpenedBy;
use damper_core::pipeline::progress::Snapshot;
use serde_json::{Value, json};

use super::tally::RunTotals;
use crate::commands::status::counts_in_json;
use crate::error::{CliError, Exit};
use crate::screen::{printable, put, put_json};

/// How a provider's part of a run ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing is pending.
    Done,
    /// A signal came first.
    Interrupted,
    /// The window is closed; when it opens.
    WindowClosed(String),
    /// The day's quota is spent; when the next day begins.
    QuotaSpent(String),
    /// Nothing is left but items that wait for their next attempt.
    Waiting {
        /// How many entries.
        entries: usize,
        /// When the first is due, a text for people.
        until: String,
    },
    /// Its mapping is disabled.
    Paused,
    /// Its breaker is open.
    Stopped(CliError),
    /// It could not go on.
    Failed(CliError),
}

impl Outcome {
    fn exit(&self) -> Exit {
        match self {
            Self::Done => Exit::Done,
            Self::Interrupted | Self::WindowClosed(_) | Self::QuotaSpent(_) | Self::Waiting { .. } => Exit::WorkLeft,
            Self::Paused | Self::Stopped(_) => Exit::Stopped,
            Self::Failed(error) => error.exit(),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Interrupted => "interrupted",
            Self::WindowClosed(_) => "window-closed",
            Self::QuotaSpent(_) => "quota-spent",
            Self::Waiting { .. } => "waiting",
            Self::Paused => "paused",
            Self::Stopped(_) => "stopped",
            Self::Failed(_) => "failed",
        }
    }

    fn next(&self, provider: &str) -> Option<String> {
        match self {
            Self::Done => None,
            Self::Interrupted => Some(format!("interrupted; `damper run {provider}` goes on")),
            Self::WindowClosed(opens) => {
                Some(format!("the window is closed; {opens}; `damper run {provider} --watch` waits for it"))
            }
            Self::QuotaSpent(begins) => {
                Some(format!("the day's quota is spent; {begins}; `damper run {provider} --watch` waits for it"))
            }
            Self::Waiting { entries, until } => Some(format!(
                "{entries} pending entries wait for their next attempt, the first until {until}; \
                 `damper run {provider}` goes on then, `damper run {provider} --watch` waits for it"
            )),
            Self::Paused => {
                Some(format!("its mapping is disabled, so nothing is delivered; `damper resume {provider}` enables it"))
            }
            Self::Stopped(CliError::Stopped { by: OpenedBy::Operator, .. }) => {
                Some(format!("paused; `damper resume {provider}` ends the pause; then run again"))
            }
            Self::Stopped(_) => Some(format!("stopped; mend it, then `damper resume {provider}` and run again")),
            Self::Failed(error) => Some(format!("failed: {error}")),
        }
    }
}

/// One provider's part of the summary.
#[derive(Debug)]
pub(super) struct ProviderSummary {
    pub(super) provider: String,
    pub(super) outcome: Outcome,
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
    let exit = lines.iter().map(|line| line.outcome.exit()).max().unwrap_or(Exit::Done);
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
        let Counts { fed, fetched, skipped, dead_letters, pending, oldest_pending } = self.counts;
        let sum = u128::from(fetched) + u128::from(skipped) + u128::from(dead_letters) + u128::from(pending);
        if sum == u128::from(fed) && (pending == 0) == oldest_pending.is_none() {
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
        }
        if fetched > 0 {
            text.push_str(&format!("\n  records: {}", printable(&records(config, name))));
        }
        if dead_letters > 0 {
            text.push_str(&format!("\n  dead letters: damper dead-letters list --provider {name}"));
        }
        if let Some(next) = self.outcome.next(name) {
            text.push_str(&format!("\n  {}", printable(&next)));
        }
        text
    }

    fn as_json(&self, config: &Config) -> Value {
        let totals = self.totals.as_ref().map(|(totals, snapshot)| {
            json!({
                "fetched": totals.fetched, "skipped": totals.skipped, "dead_letters": totals.dead_letters,
                "retried": snapshot.retried, "requests": snapshot.requests,
            })
        });
        json!({
            "provider": self.provider, "outcome": self.outcome.word(), "exit_code": self.outcome.exit().code(),
            "error": match &self.outcome {
                Outcome::Failed(error) | Outcome::Stopped(error) => Some(error.to_string()),
                _ => None,
            },
            "counts": counts_in_json(&self.counts), "run": totals, "records": records(config, &self.provider),
        })
    }
}

/// The path of a provider's records, as a pattern for a shell.
fn records(config: &Config, provider: &str) -> String {
    let folder = std::path::absolute(&config.output).unwrap_or_else(|_| config.output.clone());
    folder.join(provider).join(format!("*/*/*{}", config.compression.ending())).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(counts: Counts) -> ProviderSummary {
        ProviderSummary { provider: "demo".into(), outcome: Outcome::Done, counts, totals: None }
    }

    #[test]
    fn counts_that_do_not_add_up_are_an_error() {
        let counts = Counts { fed: 3, fetched: 1, skipped: 1, dead_letters: 1, pending: 0, oldest_pending: None };
        assert!(line(counts).check().is_ok());
        assert!(line(Counts { fetched: 2, ..counts }).check().is_err());
        assert!(line(Counts { pending: 1, fed: 4, ..counts }).check().is_err(), "pending, and no entry is");
    }
}
