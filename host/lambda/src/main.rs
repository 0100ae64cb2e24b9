//! `bootstrap`: Damper's Lambda function, the one for all providers. This file only begins the program.

mod authorities;
mod aws;
mod event;
mod function;
mod logging;
mod meter;
mod metrics;
mod providers;
mod secrets;
mod settings;

use std::process::ExitCode;
use std::sync::Arc;

use damper_hardening::{Policy, restrict};
use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::function::Function;
use crate::settings::Settings;

fn main() -> ExitCode {
    authorities::read_one_bundle();
    let settings = Settings::from_environment();
    // Logging starts before the settings are checked, so that their errors are logged too.
    logging::start(settings.as_ref().ok().and_then(|settings| settings.log.as_deref()));
    let started = settings.map_err(anyhow::Error::from).and_then(|settings| {
        give_up_rights(&settings);
        start(&settings)
    });
    match started {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the function does not start: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Gives up what the function does not need: it reads its package and what every program reads, and writes to the
/// temporary folder alone.
fn give_up_rights(settings: &Settings) {
    let mut policy = Policy::for_fetching();
    policy.readable.push(settings.package.clone());
    policy.readable.extend(settings.certificates.iter().cloned());
    policy.writable.push(std::env::temp_dir());
    for (layer, why) in restrict(&policy, settings.hardening).missing() {
        tracing::debug!(%layer, why, "a layer of hardening is missing");
    }
}

#[tokio::main]
async fn start(settings: &Settings) -> anyhow::Result<()> {
    let function = Arc::new(aws::build_function(settings).await?);
    let handler = service_fn(move |invocation: LambdaEvent<Box<RawValue>>| {
        let function = Arc::clone(&function);
        async move { answer(&function, invocation).await }
    });
    // The layer that `lambda_runtime::run` adds would log each payload; `Function` opens a span of its own.
    Runtime::new(handler).run().await.map_err(anyhow::Error::from_boxed)
}

async fn answer(
    function: &Function,
    invocation: LambdaEvent<Box<RawValue>>,
) -> Result<Value, function::InvocationError> {
    let LambdaEvent { payload, context } = invocation;
    function.answer(payload.get(), &context.request_id, context.deadline).await
}
