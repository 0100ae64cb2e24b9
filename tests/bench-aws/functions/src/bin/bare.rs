//! The least that a function of this kind can be: Lambda's runtime, an HTTP client, one request.
//!
//! Event: `{"url": "http://..."}`. Answer: the length of what came, in bytes.

use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use serde::Deserialize;

#[derive(Deserialize)]
struct Event {
    url: String,
}

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    let client = damper_bench_functions::client()?;
    let answer = |invocation: LambdaEvent<Event>| {
        let client = client.clone();
        async move {
            let answer = client.get(invocation.payload.url).send().await?.error_for_status()?;
            Ok::<_, lambda_runtime::Error>(answer.bytes().await?.len())
        }
    };
    Runtime::new(service_fn(answer)).run().await
}
