//! damper.lock on the way to a run: providers are held against it, and the operator hears what was pinned.

use damper_config::lock::{self, Candidate, Enforced, FirstUse, LockError, WriteOutcome};
use damper_config::{Bound, Config};

use crate::context::Context;
use crate::error::CliError;

/// Holds providers against what is pinned, pins what is new, and says so. Answers for each, in the same order, whether
/// it may be used.
///
/// # Errors
/// If the file is there and cannot be used: then none of them may.
pub(crate) fn enforce(
    context: &Context,
    config: &Config,
    candidates: &[Candidate],
) -> Result<Vec<Result<(), LockError>>, CliError> {
    let Enforced { answers, first_use } = lock::enforce(config, candidates)?;
    if let Some(first_use) = first_use {
        tell(context, &first_use);
    }
    Ok(answers)
}

/// As [`enforce`], for one provider that is about to be used.
///
/// # Errors
/// If it may not be used.
pub(crate) fn enforce_one(context: &Context, config: &Config, bound: &Bound) -> Result<(), CliError> {
    let candidate = Candidate::new(config, &bound.manifest.name, &bound.file, &bound.grants);
    Ok(enforce(context, config, &[candidate])?.into_iter().collect::<Result<(), LockError>>()?)
}

fn tell(context: &Context, first_use: &FirstUse) {
    let (names, file) = (first_use.providers.join(", "), first_use.file.display());
    match &first_use.outcome {
        WriteOutcome::Done => {
            context.screen.say(format!("{names}: first use, the hosts it may reach are pinned in {file}"));
        }
        WriteOutcome::Unwritable(error) => {
            let problem = format!("the hosts that {names} may reach are not pinned: cannot write {file}: {error}");
            context.screen.warn(problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    #[test]
    fn a_damaged_file_is_bad_input_with_a_hint() {
        let damaged = LockError::Damaged { path: "damper.lock".into(), problem: "no TOML".to_owned() };
        let error = CliError::from(damaged);
        assert_eq!(error.exit(), Exit::BadInput);
        assert_eq!(error.place().as_deref(), Some("damper.lock"));
        assert!(error.hint().is_some_and(|hint| hint.contains("version control")));
    }
}
