//! `damper fetch --wait`: one record through the ledger, followed until it is there. It goes on with an order that an
//! earlier fetch or run placed, and its record is stored as one of `damper run` is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use damper_config::Config;
use damper_config::provider::Bound;
use damper_core::item::Item;
use damper_core::pipeline::AdHoc;
use damper_core::pipeline::report::{End, Stopped};
use damper_local::Database;
use damper_plugins::{HostOptions, PluginHost};
use damper_runner::{FetchNotice, RunContext, Worker};
use serde_json::{Value, json};

use crate::commands::fetch::{exit, hint};
use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::harden;
use crate::lock;
use crate::screen::{put_bytes, put_json};

/// Fetch an item, wait for its record, and print it.
///
/// # Errors
/// If the provider cannot be used, or the database fails before the fetch.
pub(super) fn run(
    context: &Context,
    config: &Config,
    bound: Bound,
    item: Item,
    as_json: bool,
) -> Result<Exit, CliError> {
    for warning in &bound.warnings {
        context.screen.warn(warning);
    }
    lock::enforce_one(context, config, &bound)?;
    harden::before_fetching(context, config, &[])?;
    let runtime = context::runtime()?;
    let exit = runtime.block_on(async {
        let database = Database::open(&config.database)?;
        let warn = |warning: String| context.screen.warn(warning);
        let run_context = RunContext::open(config, database, context.clock.clone(), warn)?;
        let options = context.host_options(bound.manifest.limits.max_concurrency.get())?;
        let token_sharing = Some(run_context.token_sharing());
        let key_counting = Some(run_context.key_counting());
        let host = PluginHost::new(HostOptions { token_sharing, key_counting, ..options })?;
        let worker = Worker::load(&run_context, &host, bound).await?;
        let notify = |notice| match notice {
            FetchNotice::NotReady(at) => {
                context.screen.say(format!("the API has taken the order; asking again at {at}"));
            }
            FetchNotice::Waiting(at) => {
                context.screen.say(format!(
                    "waiting until {at}: an earlier fetch placed the order or failed, or a run has the item"
                ));
            }
            FetchNotice::Busy => {
                context.screen.say("waiting: all slots are in use, or the limiter holds requests back")
            }
        };
        let came = worker.fetch_now(item, notify).await.map_err(|error| {
            CliError::input(error.to_string(), "give each parameter of the identity as --param NAME=VALUE")
        })?;
        show(context, worker.name(), &came, as_json)
    });
    runtime.shutdown_background();
    exit
}

fn show(context: &Context, provider: &str, came: &AdHoc, as_json: bool) -> Result<Exit, CliError> {
    if as_json {
        put_json(&in_json(came))?;
    }
    let input = |what: String, hint: String| {
        context.screen.error(&CliError::Input { what, path: None, hint: Some(hint) });
    };
    Ok(match came {
        AdHoc::Record(line) => {
            if !as_json {
                let mut body = body_of(line);
                if !body.ends_with(b"\n") {
                    body.push(b'\n');
                }
                put_bytes(&body)?;
            }
            Exit::Done
        }
        AdHoc::SettledBefore { end: End::Fetched | End::Skipped, .. } => {
            context.screen.say(format!("the record was fetched today already: damper export {provider} prints it"));
            Exit::Done
        }
        AdHoc::SettledBefore { end: End::DeadLetter, .. } => {
            let hint = format!("damper dead-letters list --provider {provider}");
            input("the item became a dead letter today".to_owned(), hint);
            Exit::BadInput
        }
        AdHoc::Failed(failure) => {
            let hint = hint(failure).map(str::to_owned);
            context.screen.error(&CliError::Input { what: failure.to_string(), path: None, hint });
            exit(&failure.kind)
        }
        AdHoc::Refused(stopped) => {
            input(format!("nothing was sent: {}", reason(stopped)), format!("damper status {provider} says more"));
            Exit::WorkLeft
        }
        // The wait goes on for these.
        AdHoc::NotReady(_) | AdHoc::NotBefore(_) | AdHoc::Busy => Exit::WorkLeft,
    })
}

fn reason(stopped: &Stopped) -> String {
    match stopped {
        Stopped::BreakerOpen => "the provider is stopped".to_owned(),
        Stopped::WindowClosed => "the provider's window is closed".to_owned(),
        Stopped::QuotaSpent => "the day's quota is spent".to_owned(),
        Stopped::ApiDown => "the API is down".to_owned(),
        Stopped::Asked | Stopped::Deadline => "there was too little time".to_owned(),
        Stopped::TakenOver => "another process took the item over".to_owned(),
        Stopped::Storage(error) => error.clone(),
    }
}

/// The body of a stored line, as the API gave it.
fn body_of(line: &[u8]) -> Vec<u8> {
    let stored: Value = serde_json::from_slice(line).unwrap_or_default();
    match stored.get("body") {
        Some(Value::String(text)) if stored.get("encoding").is_some() => {
            STANDARD.decode(text).unwrap_or_else(|_| text.clone().into_bytes())
        }
        Some(Value::String(text)) => text.clone().into_bytes(),
        Some(json) => json.to_string().into_bytes(),
        None => line.to_vec(),
    }
}

/// The result as JSON, with the fields that `damper fetch` without `--wait` prints.
fn in_json(came: &AdHoc) -> Value {
    let mut json = json!({ "record": null, "failure": null });
    let fields = match (came.to_json(), came) {
        (Value::Object(mut fields), AdHoc::Refused(stopped)) => {
            fields.insert("why".to_owned(), reason(stopped).into());
            fields
        }
        (Value::Object(fields), _) => fields,
        _ => return json,
    };
    if let Some(json) = json.as_object_mut() {
        json.extend(fields);
    }
    json
}
