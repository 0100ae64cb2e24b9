//! `damper dead-letters`: what was given up on, why, and once more.

use clap::{Args, Subcommand};
use damper_core::admin::{DeadLetterEntry, DeadLetterStore, LetterId, RedriveTarget};
use damper_core::dead_letter::{DeadLetter, Filter, Reason, Redriven};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde_json::json;

use crate::backend::BackendArgs;
use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::screen::{put, put_json, table};

/// List, show and redrive the items that were given up on
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper dead-letters list gleif --reason not-found
  damper dead-letters show 17
  damper dead-letters redrive --provider gleif --reason rejected && damper run gleif
  damper dead-letters list gleif --aws

In AWS, a dead letter's id is PROVIDER/ENTRY: its provider and its entry in the stream.")]
pub(crate) struct DeadLetters {
    #[command(flatten)]
    backend: BackendArgs,

    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List dead letters, the oldest first
    #[command(after_help = "Example:\n  damper dead-letters list gleif --json | jq -r .payload")]
    List {
        /// Only those of this provider
        #[arg(value_name = "PROVIDER", conflicts_with = "provider")]
        name: Option<String>,

        #[command(flatten)]
        which: Which,

        /// Also those that were already redriven
        #[arg(long)]
        all: bool,

        /// The largest number of dead letters to list
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u32,

        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Show one dead letter in full
    #[command(
        after_help = "Example:\n  damper dead-letters show 17\n  damper dead-letters show --aws gleif/49561234567890"
    )]
    Show {
        /// Its id, as `list` prints it
        id: LetterId,

        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Feed dead letters again, as new items with all their attempts
    #[command(
        after_help = "Example:\n  damper dead-letters redrive 17 18\n  damper dead-letters redrive --provider gleif --reason rejected"
    )]
    Redrive {
        /// Their ids, as `list` prints them
        #[arg(value_name = "ID", conflicts_with_all = ["provider", "reason", "all"])]
        ids: Vec<LetterId>,

        #[command(flatten)]
        which: Which,

        /// The dead letters of all providers
        #[arg(long, conflicts_with = "provider")]
        all: bool,

        /// One JSON object: {"redriven": N, "fetched_meanwhile": N}
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Which {
    /// Only those of this provider
    #[arg(long)]
    provider: Option<String>,

    /// Only those with this reason
    #[arg(long, value_parser = parse_reason, value_name = REASONS)]
    reason: Option<Reason>,
}

const REASONS: &str = "unreadable|not-found|rejected|attempts-spent|never-ready|too-old|uncertain";

fn parse_reason(text: &str) -> Result<Reason, String> {
    let known: StrDeserializer<'_, ValueError> = text.into_deserializer();
    Reason::deserialize(known).map_err(|_| format!("it must be one of {REASONS}"))
}

/// Do what was asked for with the dead letters.
///
/// # Errors
/// If they cannot be read, or a letter is not there.
pub(crate) fn run(command: &DeadLetters, context: &Context) -> Result<Exit, CliError> {
    context::runtime()?.block_on(act(command, context)).map_err(|error| command.backend.explain(error))?;
    Ok(Exit::Done)
}

async fn act(command: &DeadLetters, context: &Context) -> Result<(), CliError> {
    let config = context.data_config()?;
    let backend = command.backend.open(context, &config).await?;
    let (letters, flag) = (backend.dead_letters(), command.backend.flag());
    match &command.action {
        Action::List { name, which, all, limit, json } => {
            let provider = name.as_ref().or(which.provider.as_ref());
            if let Some(provider) = provider {
                command.backend.check_exists_here(&*backend, &config, provider).await?;
            }
            let which = Filter { provider: provider.cloned(), reason: which.reason, with_redriven: *all };
            list(context, letters, &which, *limit, *json).await
        }
        Action::Show { id, json } => show(letters, id, flag, *json).await,
        Action::Redrive { ids, which, all, json } => {
            let providers = if *all {
                command.backend.providers(&*backend, &config).await?
            } else {
                which.provider.iter().cloned().collect()
            };
            if let Some(provider) = &which.provider {
                command.backend.check_exists_here(&*backend, &config, provider).await?;
            }
            let chosen = choose(ids, providers, which.reason, *all)?;
            redrive(context, letters, chosen, flag, *json).await
        }
    }
}

async fn list(
    context: &Context,
    letters: &dyn DeadLetterStore,
    which: &Filter,
    limit: u32,
    as_json: bool,
) -> Result<(), CliError> {
    let found = letters.list(which, limit, as_json).await?;
    let count = letters.count(which).await?;
    if as_json {
        found.iter().try_for_each(put_json)?;
    } else if !found.is_empty() {
        let header = ["id", "provider", "item", "reason", "attempts", "died", "what went wrong"];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        rows.extend(found.iter().map(row));
        put(table(&rows).trim_end())?;
    }
    let shown = found.len() as u64;
    match (shown, count) {
        (_, Some(0)) | (0, None) => context.screen.say("no dead letters"),
        (shown, Some(count)) if shown < count => {
            context.screen.say(format!("{shown} of {count}; --limit {count} shows all, PROVIDER and --reason fewer"));
        }
        (shown, None) if shown >= u64::from(limit) => {
            context.screen.say(format!("the first {shown}; a higher --limit shows more, if there are more"));
        }
        _ => {}
    }
    Ok(())
}

fn row(stored: &DeadLetterEntry) -> Vec<String> {
    let letter = &stored.letter;
    let message =
        if stored.redriven.is_some() { format!("(redriven) {}", letter.message) } else { letter.message.clone() };
    vec![
        stored.id.to_string(),
        letter.provider.clone(),
        cut(&item(letter), 48),
        reason_name(letter.reason),
        letter.attempts.to_string(),
        format!("{:.0}", letter.died),
        cut(&message, 100),
    ]
}

/// The item's id, or its raw text where it is no item.
fn item(letter: &DeadLetter) -> String {
    damper_core::item::Item::parse(&letter.payload)
        .map_or_else(|_| String::from_utf8_lossy(&letter.payload).into_owned(), |item| item.id)
}

fn reason_name(reason: Reason) -> String {
    json!(reason).as_str().unwrap_or_default().to_owned()
}

fn cut(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    text.chars().take(characters.saturating_sub(1)).chain(['…']).collect()
}

async fn show(letters: &dyn DeadLetterStore, id: &LetterId, flag: &str, as_json: bool) -> Result<(), CliError> {
    let stored = letters.show(id).await?.ok_or_else(|| no_letter(id, flag))?;
    if as_json {
        return put_json(&stored);
    }
    let letter = &stored.letter;
    let rows = [
        ("id", stored.id.to_string()),
        ("provider", letter.provider.clone()),
        ("payload", String::from_utf8_lossy(&letter.payload).into_owned()),
        ("reason", reason_name(letter.reason)),
        ("what went wrong", letter.message.clone()),
        ("status", letter.status.map(|status| status.to_string()).unwrap_or_default()),
        ("attempts", letter.attempts.to_string()),
        ("arrived", letter.arrived.to_string()),
        ("died", letter.died.to_string()),
        ("redriven", stored.redriven.map(|at| at.to_string()).unwrap_or_default()),
        ("entry", letter.sequence.to_string()),
        ("component", letter.component.clone()),
    ];
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| vec![key.to_owned(), value])
        .collect();
    put(table(&rows).trim_end())
}

fn no_letter(id: &LetterId, flag: &str) -> CliError {
    let hint = format!("`damper dead-letters list{flag} --all` lists all dead letters");
    CliError::input(format!("there is no dead letter {id}"), hint)
}

/// The letters to redrive, or an error if the command line names none.
fn choose(
    ids: &[LetterId],
    providers: Vec<String>,
    reason: Option<Reason>,
    all: bool,
) -> Result<Vec<RedriveTarget>, CliError> {
    if ids.is_empty() && providers.is_empty() && !all {
        let hint = "name ids, or --provider NAME, or --all";
        return Err(CliError::input("no dead letters are selected", hint));
    }
    let letters = ids.iter().cloned().map(RedriveTarget::Letter);
    Ok(letters.chain(providers.into_iter().map(|provider| RedriveTarget::Provider(provider, reason))).collect())
}

async fn redrive(
    context: &Context,
    letters: &dyn DeadLetterStore,
    chosen: Vec<RedriveTarget>,
    flag: &str,
    as_json: bool,
) -> Result<(), CliError> {
    for which in &chosen {
        if let RedriveTarget::Letter(id) = which {
            letters.show(id).await?.ok_or_else(|| no_letter(id, flag))?;
        }
    }
    let mut sum = Redriven::default();
    for which in &chosen {
        let Redriven { fed, fetched_meanwhile } = letters.redrive(which, context.clock.now()).await?;
        sum.fed = sum.fed.saturating_add(fed);
        sum.fetched_meanwhile = sum.fetched_meanwhile.saturating_add(fetched_meanwhile);
    }
    let Redriven { fed, fetched_meanwhile } = sum;
    if as_json {
        return put_json(&json!({ "redriven": fed, "fetched_meanwhile": fetched_meanwhile }));
    }
    let settled = match fetched_meanwhile {
        0 => String::new(),
        number => format!("; {number} are not, because their records have been fetched meanwhile"),
    };
    put(format!("{fed} dead letters are fed again{settled}; those that were fed again before are skipped"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_listed() {
        // A reason that is new has to be added to both lists.
        let every = [
            Reason::Unreadable,
            Reason::NotFound,
            Reason::Rejected,
            Reason::AttemptsSpent,
            Reason::NeverReady,
            Reason::TooOld,
            Reason::Uncertain,
        ];
        let name = |reason: &Reason| match reason {
            Reason::Unreadable
            | Reason::NotFound
            | Reason::Rejected
            | Reason::AttemptsSpent
            | Reason::NeverReady
            | Reason::TooOld
            | Reason::Uncertain => serde_json::to_value(reason).unwrap().as_str().unwrap().to_owned(),
        };
        assert_eq!(every.each_ref().map(name).join("|"), REASONS);
    }
}
