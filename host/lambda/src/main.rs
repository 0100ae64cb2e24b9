//! `bootstrap`: Damper's Lambda function, the one for all providers. This file only begins the program.

mod authorities;
mod aws;
mod event;
mod function;
mod logging;
mod meter;
mod metrics;
mod providers;
mod settings;

use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::function::Function;
use crate::settings::Settings;

fn main() -> ExitCode {
    authorities::read_one_bundle();
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the function does not start: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn start() -> anyhow::Result<()> {
    let settings = Settings::from_environment();
    // What is wrong with the settings is a log line like any other.
    logging::start(settings.as_ref().ok().and_then(|settings| settings.log.as_deref()));
    let function = Arc::new(aws::function(&settings?).await?);
    let handler = service_fn(move |invocation: LambdaEvent<Box<RawValue>>| {
        let function = Arc::clone(&function);
        async move { answer(&function, invocation).await }
    });
    // The layer that `lambda_runtime::run` adds would log each payload; `Function` opens a span of its own.
    Runtime::new(handler).run().await.map_err(anyhow::Error::from_boxed)
}

async fn answer(function: &Function, invocation: LambdaEvent<Box<RawValue>>) -> Result<Value, function::Refused> {
    let LambdaEvent { payload, context } = invocation;
    function.answer(payload.get(), &context.request_id, context.deadline).await
}
