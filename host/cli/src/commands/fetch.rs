//! `damper fetch`: one record, now, with the requests it took. It is no entry of a stream and counts nowhere, but it
//! draws from the provider's slots like any other.

mod wait;

use std::time::Instant;

use clap::Args;
use damper_config::Config;
use damper_config::provider::{self, Bound};
use damper_core::fetcher::Fetcher;
use damper_core::item::{Item, Params};
use damper_core::manifest::Manifest;
use damper_core::record::{Failure, FailureKind, Fetched};
use damper_local::Database;
use damper_plugins::{HostOptions, Plugin, PluginHost, TracedFetch};
use damper_runner::{Slot, SlotNotice, count_keys, share_tokens};
use serde_json::{Value, json};

use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::harden;
use crate::lock;
use crate::screen::{put_bytes, put_json, size, table};

/// Fetch one record, and print it with its requests
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper fetch gleif.wasm 529900W18LQJJN6SJ336
  damper fetch catfacts 1 --param lang=en --json
  damper fetch valuations P-17 --wait    # follows an order until its record is there

The record goes to standard output. The requests and the component's output go to standard error.
The component has the same hosts and secrets as in `damper run`.")]
pub(crate) struct Fetch {
    /// The component's file, or the provider's name
    #[arg(value_name = "FILE.wasm|PROVIDER")]
    provider: String,

    /// The record's id, as the API defines it
    id: String,

    /// A parameter of the item
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parse_param)]
    params: Vec<(String, String)>,

    /// Wait until the record is there, also if the API takes an order first. The fetch goes through the ledger: it
    /// continues an order of an earlier fetch or run, and its record is stored and fetched once a day
    #[arg(long)]
    wait: bool,

    /// One JSON object instead: the record or the failure, and the requests
    #[arg(long)]
    json: bool,
}

pub(crate) fn parse_param(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    pair.map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| "write it as NAME=VALUE".to_owned())
}

/// Fetch a record.
///
/// # Errors
/// If the provider or the item cannot be used. That there is no record is no error of that kind: it is told, and the
/// exit says so.
pub(crate) fn run(command: &Fetch, context: &Context) -> Result<Exit, CliError> {
    let config = context.data_config()?;
    let bound = provider::open_any(&config, &command.provider)?;
    let params: Params = command.params.iter().cloned().collect();
    let item = Item::new(command.id.clone(), params)
        .map_err(|error| CliError::input(error.to_string(), "an id has 1 to 512 bytes"))?;
    item.identity(&bound.manifest.identity).map_err(|error| {
        CliError::input(error.to_string(), "give each parameter of the identity as --param NAME=VALUE")
    })?;
    if command.wait {
        return wait::run(context, &config, bound, item, command.json);
    }
    now(context, &config, &bound, item, command.json)
}

/// Fetch an item once, and show what came of it.
///
/// # Errors
/// As [`run`].
pub(crate) fn now(
    context: &Context,
    config: &Config,
    bound: &Bound,
    item: Item,
    as_json: bool,
) -> Result<Exit, CliError> {
    for warning in &bound.warnings {
        context.screen.warn(warning);
    }
    lock::enforce_one(context, config, bound)?;
    harden::before_fetching(context, config, &[])?;
    context::runtime()?.block_on(async {
        let plugin = load(context, config, bound)?;
        // Compiling is not part of the fetch, and takes longer than a slot counts: nobody renews this one.
        plugin.prepare().await.map_err(|failure| load_error(&bound.manifest.name, &failure))?;
        let slot = acquire_slot(context, config, &bound.manifest).await?;
        let request = bound.first_fetch(item, context.clock.now());
        let begun = Instant::now();
        // One request at a time: the fetch itself holds the one slot that was acquired.
        let traced = plugin.fetch_traced(request, slot.permits()).await;
        let seconds = begun.elapsed().as_secs_f64();
        slot.give_back(traced.report.unanswered_since.is_some()).await;
        plugin.return_unsent().await;
        show(context, &traced, seconds, as_json)
    })
}

/// One of the provider's slots, as soon as there is one.
///
/// # Errors
/// If the database fails.
pub(crate) async fn acquire_slot<'a>(
    context: &'a Context,
    config: &Config,
    manifest: &'a Manifest,
) -> Result<Slot<'a>, CliError> {
    let name = &manifest.name;
    let notify = |notice| match notice {
        SlotNotice::WindowClosed => {
            context.screen.warn(format!("the window of {name} is closed now; this one fetch goes ahead"));
        }
        SlotNotice::AllInUse => context.screen.say(format!("waiting: all slots of {name} are in use")),
    };
    Ok(Slot::acquire(config, &context.clock, manifest, notify).await?)
}

fn load(context: &Context, config: &Config, bound: &Bound) -> Result<Plugin, CliError> {
    // Without a database, nobody has stored a token.
    let database = open_shared_database(config, bound)?;
    let key_counting = database.clone().map(|database| count_keys(database, &context.clock));
    let token_sharing = database.map(|database| share_tokens(database, &context.clock));
    let host = PluginHost::new(HostOptions { token_sharing, key_counting, ..context.host_options(1)? })?;
    let name = bound.manifest.name.clone();
    let loaded = host.load(&bound.file, bound.manifest.clone(), bound.grants.clone());
    loaded.map_err(|error| CliError::load(name, error.to_string()))
}

/// The database, if it is there. It is made if requests are to be counted in it: the next command has to know of them.
///
/// # Errors
/// If it cannot be used.
pub(crate) fn open_shared_database(config: &Config, bound: &Bound) -> Result<Option<Database>, CliError> {
    let is_needed = bound.grants.has_limited_keys() || config.database.exists();
    Ok(is_needed.then(|| Database::open(&config.database)).transpose()?)
}

fn load_error(provider: &str, failure: &Failure) -> CliError {
    CliError::load(provider.to_owned(), failure.message.clone())
}

fn show(context: &Context, traced: &TracedFetch, seconds: f64, as_json: bool) -> Result<Exit, CliError> {
    let outcome = &traced.report.outcome;
    if as_json {
        put_json(&in_json(traced, seconds))?;
    } else {
        for line in &traced.lines {
            context.screen.say(format!("the component wrote ({:?}): {}", line.level, line.json));
        }
        context.screen.say(requests(traced, seconds).trim_end());
    }
    match outcome {
        Ok(record) if !as_json => {
            put_bytes(&record.body)?;
            if !record.body.ends_with(b"\n") {
                put_bytes(b"\n")?;
            }
        }
        Ok(_) => {}
        Err(failure) => context.screen.error(&CliError::Input {
            what: failure.to_string(),
            path: None,
            hint: hint(failure).map(str::to_owned),
        }),
    }
    Ok(outcome.as_ref().map_or_else(|failure| exit(&failure.kind), |_| Exit::Done))
}

/// The exit code for a failed fetch.
pub(crate) fn exit(kind: &FailureKind) -> Exit {
    match kind {
        FailureKind::NotFound | FailureKind::Rejected | FailureKind::Malformed | FailureKind::Broken => Exit::BadInput,
        FailureKind::Unauthorized | FailureKind::Trapped => Exit::Stopped,
        FailureKind::NotReady
        | FailureKind::Throttled
        | FailureKind::Unavailable
        | FailureKind::TimedOut
        | FailureKind::OutOfQuota
        | FailureKind::Other(_) => Exit::WorkLeft,
    }
}

fn hint(failure: &Failure) -> Option<&'static str> {
    match failure.kind {
        // As the plugin host words it.
        FailureKind::TimedOut if failure.message.contains("was sleeping") => Some(
            "a provider never sleeps: return a failure with a wait instead (throttled, unavailable, not-ready), and \
             Damper calls again",
        ),
        FailureKind::Trapped if failure.message.contains("did not end within") => Some(
            "look for a loop without an end, or for much work for one record: `damper test` shows the time and the \
             instructions of each case",
        ),
        FailureKind::Throttled | FailureKind::Unavailable | FailureKind::TimedOut => Some("try again later"),
        FailureKind::NotReady => Some("the API has taken the order: run it with --wait, or feed the item"),
        // Requests cannot be counted.
        FailureKind::OutOfQuota if failure.retry_after.is_some() => Some("try again later"),
        FailureKind::OutOfQuota => Some("the quota is full again on the provider's next day"),
        FailureKind::Unauthorized => Some("check the credential that damper.toml binds"),
        FailureKind::NotFound => Some("check the id"),
        FailureKind::Trapped => Some("the component has a defect; see its output above"),
        _ => None,
    }
}

fn requests(traced: &TracedFetch, seconds: f64) -> String {
    let header = ["request", "answer", "ms", "sent", "received"].map(str::to_owned).to_vec();
    let rows = traced.requests.iter().map(|it| {
        vec![
            format!("{} {}", it.method, it.url),
            it.outcome.as_ref().map_or_else(Clone::clone, u16::to_string),
            format!("{:.1}", it.duration.as_secs_f64() * 1_000.0),
            size(it.request_bytes as u64),
            size(it.response_bytes as u64),
        ]
    });
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    let count = traced.requests.len();
    let mut total = format!("{count} request{} in {:.1} ms", if count == 1 { "" } else { "s" }, seconds * 1_000.0);
    if traced.left_out > 0 {
        total.push_str(&format!(", and {} more that are not shown", traced.left_out));
    }
    if count == 0 { total } else { format!("{}{total}", table(&rows)) }
}

fn in_json(traced: &TracedFetch, seconds: f64) -> Value {
    let requests: Vec<Value> = traced
        .requests
        .iter()
        .map(|it| {
            json!({
                "method": it.method, "url": it.url, "status": it.outcome.as_ref().ok(),
                "error": it.outcome.as_ref().err(), "duration_ms": it.duration.as_secs_f64() * 1_000.0,
                "request_bytes": it.request_bytes, "response_bytes": it.response_bytes,
            })
        })
        .collect();
    let lines: Vec<Value> = traced
        .lines
        .iter()
        .map(|line| json!({ "level": format!("{:?}", line.level).to_lowercase(), "text": serde_json::from_str::<Value>(&line.json).ok() }))
        .collect();
    let (record, failure) = match &traced.report.outcome {
        Ok(record) => (Some(record_in_json(record)), None),
        Err(failure) => (None, Some(failure.to_json())),
    };
    json!({ "record": record, "failure": failure, "requests": requests, "log": lines, "duration_ms": seconds * 1_000.0 })
}

pub(crate) fn record_in_json(record: &Fetched) -> Value {
    let text = std::str::from_utf8(&record.body).ok();
    let body = match (serde_json::from_slice::<Value>(&record.body), text) {
        (Ok(json), _) => json,
        (Err(_), Some(text)) => text.into(),
        (Err(_), None) => String::from_utf8_lossy(&record.body).into_owned().into(),
    };
    json!({ "content_type": record.content_type, "attributes": record.attributes, "body": body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_that_sleeps_or_loops_is_told_from_a_slow_api() {
        let of = |kind, message: &str| hint(&Failure::new(kind, message)).unwrap();
        let sleeps = "no record within 1s: the component was sleeping, and not waiting for the API";
        assert!(of(FailureKind::TimedOut, sleeps).starts_with("a provider never sleeps"));
        assert_eq!(of(FailureKind::TimedOut, "no record within 1s"), "try again later");
        let loops = "the component did not end within 1s: it was computing";
        assert!(of(FailureKind::Trapped, loops).starts_with("look for a loop"));
        assert!(of(FailureKind::Trapped, "TypeError").contains("see its output above"));
    }
}
