//! `damper doctor`: what this machine lacks to build and run providers, and how to mend it. Nothing is built or
//! changed.
//!
//! [`look`] asks the machine, [`checks`] judges what it said; so that every judgement can be tested without such a
//! machine.

mod checks;
mod look;
mod machine;

use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::screen::{put, put_json, table};

/// Check whether this machine can build and run providers, and show how to fix problems
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper doctor
  damper doctor --online            # also compare the clock with a server's
  damper doctor --json | jq '.checks[] | select(.state == \"problem\")'

The exit code is 4 if there is a problem, else 0. Warnings do not change it.")]
pub(crate) struct Doctor {
    /// Compare the clock with the Date header of this server's response, over plain HTTP
    #[arg(long, value_name = "HOST[:PORT]", num_args = 0..=1, default_missing_value = "example.com")]
    online: Option<String>,

    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it should be.
    Ok,
    /// Something works worse, or a part of what Damper can do is not to be had.
    Warning,
    /// Providers cannot be built or run.
    Problem,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

#[derive(Serialize)]
struct Report<'a> {
    checks: &'a [Check],
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Ok, found: found.into(), mend: None }
    }

    fn warning(name: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, state: State::Warning, found: found.into(), mend: Some(mend.into()) }
    }

    fn problem(name: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, state: State::Problem, found: found.into(), mend: Some(mend.into()) }
    }
}

/// Check the machine.
///
/// # Errors
/// If the result cannot be written. Problems of the machine are printed and decide the exit code.
pub(crate) fn run(command: &Doctor, context: &Context) -> Result<Exit, CliError> {
    let machine = look::machine(context, command.online.as_deref());
    let checks = checks::all(&machine);
    if command.json {
        put_json(&Report { checks: &checks })?;
    } else {
        put(for_people(&checks).trim_end())?;
    }
    let has_problem = checks.iter().any(|check| check.state == State::Problem);
    Ok(if has_problem { Exit::BadInput } else { Exit::Done })
}

/// A table, and below it what to do, in the same order.
fn for_people(checks: &[Check]) -> String {
    let word = |state| match state {
        State::Ok => "ok",
        State::Warning => "warning",
        State::Problem => "problem",
    };
    let row = |check: &Check| vec![word(check.state).to_owned(), check.name.to_owned(), check.found.clone()];
    let header = ["", "check", "found"].map(str::to_owned).to_vec();
    let mut text = table(&std::iter::once(header).chain(checks.iter().map(row)).collect::<Vec<_>>());
    for Check { name, state, mend, .. } in checks {
        if let Some(mend) = mend {
            text.push_str(&format!("\n{}: {name}\n  to fix it: {mend}\n", word(*state)));
        }
    }
    let count = |wanted| checks.iter().filter(|check| check.state == wanted).count();
    let (problems, warnings) = (count(State::Problem), count(State::Warning));
    let number = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    text.push_str(&format!("\n{}, {}\n", number(problems, "problem"), number(warnings, "warning")));
    text
}
