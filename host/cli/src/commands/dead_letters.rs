//! `damper dead-letters`: what was given up on, why, and once more.

use clap::{Args, Subcommand};
use damper_core::dead_letter::{DeadLetter, Reason};
use damper_local::StoredLetter;
use damper_local::dead_letters::{DeadLetters as Letters, Filter, Redrive};
use damper_local::stream::SqliteStream;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde_json::json;

use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::screen::{put, put_json, table};

/// List, show and redrive the items that were given up on
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper dead-letters list --provider gleif --reason not-found
  damper dead-letters show 17
  damper dead-letters redrive --provider gleif --reason rejected && damper run gleif")]
pub(crate) struct DeadLetters {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List dead letters, the oldest first
    #[command(after_help = "Example:\n  damper dead-letters list --provider gleif --json | jq -r .payload")]
    List {
        #[command(flatten)]
        which: Which,

        /// Those that were redriven already, too
        #[arg(long)]
        all: bool,

        /// How many at most
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u32,

        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show one dead letter, whole
    #[command(after_help = "Example:\n  damper dead-letters show 17")]
    Show {
        /// Its number, as `list` gives it
        id: i64,

        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Feed dead letters again: as new items, with all their attempts
    #[command(
        after_help = "Example:\n  damper dead-letters redrive 17 18\n  damper dead-letters redrive --provider gleif --reason rejected"
    )]
    Redrive {
        /// Their numbers, as `list` gives them
        #[arg(value_name = "ID", conflicts_with_all = ["provider", "reason", "all"])]
        ids: Vec<i64>,

        #[command(flatten)]
        which: Which,

        /// Those of every provider
        #[arg(long, conflicts_with = "provider")]
        all: bool,

        /// One JSON object: {"redriven": N}
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Which {
    /// Those of this provider only
    #[arg(long)]
    provider: Option<String>,

    /// Those of this reason only
    #[arg(long, value_parser = parse_reason, value_name = REASONS)]
    reason: Option<Reason>,
}

const REASONS: &str = "unreadable|not-found|rejected|attempts-spent|too-old|uncertain";

fn parse_reason(text: &str) -> Result<Reason, String> {
    let known: StrDeserializer<'_, ValueError> = text.into_deserializer();
    Reason::deserialize(known).map_err(|_| format!("it must be one of {REASONS}"))
}

/// Do what was asked for with the dead letters.
///
/// # Errors
/// Where there is no database or it fails, or a letter is not there.
pub(crate) fn run(command: &DeadLetters, context: &Context) -> Result<Exit, CliError> {
    let config = context.config()?;
    let database = context.existing_database(&config)?;
    let (letters, stream) = (Letters::new(database.clone()), SqliteStream::new(database));
    context::runtime()?.block_on(async {
        match &command.action {
            Action::List { which, all, limit, json } => list(context, &letters, which, (*all, *limit), *json).await?,
            Action::Show { id, json } => show(&letters, *id, *json).await?,
            Action::Redrive { ids, which, all, json } => {
                let chosen = choose(&stream, ids, which, *all).await?;
                redrive(context, &letters, chosen, *json).await?;
            }
        }
        Ok(Exit::Done)
    })
}

async fn list(
    context: &Context,
    letters: &Letters,
    which: &Which,
    (with_redriven, limit): (bool, u32),
    as_json: bool,
) -> Result<(), CliError> {
    let filter = Filter { provider: which.provider.clone(), reason: which.reason, with_redriven };
    let found = letters.list(filter.clone(), limit).await?;
    let count = letters.count(filter).await?;
    if as_json {
        found.iter().try_for_each(put_json)?;
    } else if !found.is_empty() {
        let header = ["number", "provider", "item", "reason", "attempts", "died", "what went wrong"];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        rows.extend(found.iter().map(row));
        put(table(&rows).trim_end())?;
    }
    let shown = found.len() as u64;
    match (shown, count) {
        (_, 0) => context.screen.say("no dead letters"),
        (shown, count) if shown < count => {
            context.screen.say(format!("{shown} of {count}; --limit {count} shows all, --provider and --reason fewer"));
        }
        _ => {}
    }
    Ok(())
}

fn row(stored: &StoredLetter) -> Vec<String> {
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

async fn show(letters: &Letters, id: i64, as_json: bool) -> Result<(), CliError> {
    let stored = letters.show(id).await?.ok_or_else(|| no_letter(id))?;
    if as_json {
        return put_json(&stored);
    }
    let letter = &stored.letter;
    let rows = [
        ("number", stored.id.to_string()),
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

fn no_letter(id: i64) -> CliError {
    CliError::input(format!("there is no dead letter {id}"), "`damper dead-letters list --all` lists those there are")
}

/// What to redrive, or an error where the command line does not say.
async fn choose(stream: &SqliteStream, ids: &[i64], which: &Which, all: bool) -> Result<Vec<Redrive>, CliError> {
    let of = |provider: String| Redrive::Provider { provider, reason: which.reason };
    match (&which.provider, all) {
        (Some(provider), _) => Ok(vec![of(provider.clone())]),
        (None, true) => Ok(stream.providers().await?.into_iter().map(of).collect()),
        (None, false) if ids.is_empty() => {
            let hint = "name numbers, or --provider NAME, or --all";
            Err(CliError::input("which dead letters are to be redriven is not said", hint))
        }
        (None, false) => Ok(ids.iter().copied().map(Redrive::Letter).collect()),
    }
}

async fn redrive(context: &Context, letters: &Letters, chosen: Vec<Redrive>, as_json: bool) -> Result<(), CliError> {
    for which in &chosen {
        if let Redrive::Letter(id) = which {
            letters.show(*id).await?.ok_or_else(|| no_letter(*id))?;
        }
    }
    let mut redriven = 0_u64;
    for which in chosen {
        redriven = redriven.saturating_add(letters.redrive(which, context.clock.now()).await?);
    }
    if as_json {
        return put_json(&json!({ "redriven": redriven }));
    }
    put(format!("{redriven} dead letters are fed again; those that were before are left out"))
}
