//! `bootstrap`: Damper's Lambda function, the one for all providers. This file only begins the program.

mod aws;
mod event;
mod function;
mod logging;
mod metrics;
mod providers;
mod settings;

use std::sync::Arc;

use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::function::Function;
use crate::settings::Settings;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    let settings = Settings::from_environment()?;
    logging::start(settings.log.as_deref());
    let function = Arc::new(aws::function(&settings).await?);
    let handler = service_fn(move |invocation: LambdaEvent<Box<RawValue>>| {
        let function = Arc::clone(&function);
        async move { answer(&function, invocation).await }
    });
    // The layer that `lambda_runtime::run` adds would log each payload; `Function` opens a span of its own.
    Runtime::new(handler).run().await
}

async fn answer(function: &Function, invocation: LambdaEvent<Box<RawValue>>) -> Result<Value, function::Refused> {
    let LambdaEvent { payload, context } = invocation;
    function.answer(payload.get(), &context.request_id, context.deadline).await
}
