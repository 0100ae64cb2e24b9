//! A direct invocation: one record, now. The answer is the record or why there is none; it is an error only where
//! nothing was asked that could be answered.

use damper_core::item::Item;
use damper_core::pipeline::report::Stopped;
use damper_core::pipeline::{AdHoc, Pipeline, shortest_call};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Function, InvocationError, RESERVE, operator_reason};
use crate::meter::Meter;
use crate::metrics::Invocation;

impl Function {
    /// Fetch a record and answer with it.
    pub(super) async fn handle_ad_hoc(
        &self,
        provider: &str,
        item: Item,
        deadline: Instant,
    ) -> Result<Value, InvocationError> {
        let pipeline = self
            .load_pipeline(provider)
            .await
            .inspect_err(|error| tracing::warn!(%error, "the ad-hoc fetch was refused"))?;
        let meter = Meter::begin(&pipeline);
        let (id, came) = (item.id.clone(), pipeline.fetch_now(item, deadline).await?);
        meter.print(self.stores.clock.now(), Invocation::AdHoc);
        let mut answer = json!({ "provider": provider, "id": id });
        if let (Some(answer), Value::Object(result)) = (answer.as_object_mut(), came.to_json()) {
            answer.extend(result);
            if let Some(why) = self.explain(&pipeline, provider, came).await {
                answer.insert("why".to_owned(), why.into());
            }
        }
        let outcome = answer.get("outcome").and_then(|outcome| outcome.as_str());
        tracing::info!(outcome, "the ad-hoc fetch ended");
        Ok(answer)
    }

    /// Why there is no record, for a person.
    async fn explain(&self, pipeline: &Pipeline, provider: &str, came: AdHoc) -> Option<String> {
        Some(match came {
            AdHoc::NotReady(_) => "the API has taken the order; ask again at that time, or feed the item".to_owned(),
            AdHoc::Busy => "no request may start now: all slots are in use, or the limiter holds requests back; try \
                            again later"
                .to_owned(),
            AdHoc::Refused(Stopped::Deadline) => explain_short_timeout(pipeline),
            AdHoc::Refused(stopped) => self.explain_stop(provider, stopped).await,
            AdHoc::Record(_) | AdHoc::SettledBefore { .. } | AdHoc::NotBefore(_) | AdHoc::Failed(_) => return None,
        })
    }

    /// Why nothing was sent, for a person.
    async fn explain_stop(&self, provider: &str, stopped: Stopped) -> String {
        match stopped {
            Stopped::BreakerOpen => match self.stores.ledger.control(provider).await {
                Ok(control) => {
                    let reason = operator_reason(&control).unwrap_or("it was stopped").to_owned();
                    format!("{provider} is stopped until `damper resume {provider} --aws`: {reason}")
                }
                Err(error) => error.to_string(),
            },
            Stopped::WindowClosed => format!("the window of {provider} is closed now"),
            Stopped::QuotaSpent => format!("the day's quota of {provider} is spent"),
            Stopped::ApiDown => {
                format!("the API of {provider} is down; the function probes it and resumes without an operator")
            }
            Stopped::Asked | Stopped::Deadline => "the invocation has too little time left for a fetch".to_owned(),
            Stopped::TakenOver => {
                "another worker considers this one dead and has taken over its items: fetch again".to_owned()
            }
            Stopped::Storage(error) => error,
        }
    }
}

/// The message for a timeout that is too short for a fetch.
fn explain_short_timeout(pipeline: &Pipeline) -> String {
    let fetch_timeout = pipeline.manifest().limits.fetch_timeout;
    let needed = shortest_call(fetch_timeout).saturating_add(RESERVE).as_secs_f64().ceil();
    format!(
        "the invocation has too little time left: a fetch may take {} s (limits.fetch_timeout). Set TimeoutSeconds of the stack to \
         {needed} or more",
        fetch_timeout.as_secs_f64()
    )
}
