//! The function: it takes an event, runs the same pipeline as everywhere, and returns a response. The parts specific to
//! Lambda are here: the response for the Kinesis mapping, the deadline, the tick over all providers.

mod ad_hoc;
mod batch;
mod tick;

use std::sync::Arc;
use std::time::Duration;

use damper_core::control::item::{Control, OpenedBy, ProviderStop};
use damper_core::operate;
use damper_core::pipeline::{Pipeline, Stores};
use serde_json::Value;
use tokio::time::Instant;
use tracing::Instrument;

use crate::event::{Event, EventError};
use crate::providers::{ProviderError, Providers};

/// The time reserved at the end of an invocation for its response.
const RESERVE: Duration = Duration::from_secs(1);
/// How long a batch that cannot be worked at is kept: the mapping would deliver it again at once.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// All that an invocation needs, for as long as the process lives.
pub(crate) struct Function {
    providers: Arc<dyn Providers>,
    stores: Stores,
    stream_prefix: String,
}

/// An invocation that ends in an error: the mapping delivers its batch again, and a direct caller gets the error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvocationError {
    #[error(transparent)]
    Event(#[from] EventError),
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Item(#[from] damper_core::item::ItemError),
}

impl From<InvocationError> for lambda_runtime::Diagnostic {
    fn from(error: InvocationError) -> Self {
        let error_type = match error {
            InvocationError::Event(_) => "Event",
            InvocationError::Provider(_) => "Provider",
            InvocationError::Item(_) => "Item",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}

impl Function {
    /// A function over these providers and stores.
    pub(crate) fn new(providers: Arc<dyn Providers>, stores: Stores, stream_prefix: String) -> Self {
        Self { providers, stores, stream_prefix }
    }

    /// Answer an invocation. `deadline_ms` is its end, in milliseconds since 1970 by the machine's clock.
    ///
    /// # Errors
    /// If the event cannot be read, or a direct invocation asks for what there is not.
    pub(crate) async fn answer(
        &self,
        event: &str,
        request_id: &str,
        deadline_ms: u64,
    ) -> Result<Value, InvocationError> {
        let deadline = deadline_from(deadline_ms);
        let event = Event::parse(event, &self.stream_prefix).inspect_err(
            |error| tracing::error!(request_id, %error, "the event cannot be read; if it is a batch, the mapping delivers it again"),
        )?;
        match event {
            Event::Batch(batch) => {
                let span = tracing::info_span!("batch", request_id, provider = batch.provider);
                Ok(self.handle_batch(batch, deadline).instrument(span).await)
            }
            Event::Tick => {
                let span = tracing::info_span!("tick", request_id);
                Ok(self.handle_tick(deadline).instrument(span).await)
            }
            Event::AdHoc { provider, item } => {
                let span = tracing::info_span!("ad-hoc", request_id, provider, id = item.id);
                self.handle_ad_hoc(&provider, item, deadline).instrument(span).await
            }
        }
    }

    /// A provider's pipeline. Earlier crashes while its component ran are recorded first, so that what they mean holds
    /// from the first fetch.
    async fn load_pipeline(&self, provider: &str) -> Result<Arc<Pipeline>, ProviderError> {
        let pipeline = self.providers.pipeline(provider)?;
        let (ledger, mapping, now) = (&*self.stores.ledger, &*self.stores.mapping, self.stores.clock.now());
        let crashes = self.providers.crashes(provider);
        for crash in &crashes {
            tracing::warn!(provider, process = crash.process, "an earlier process crashed while the component ran");
            if let Err(error) = operate::record_crash(ledger, mapping, provider, now, crash).await {
                tracing::error!(%error, "the crash was not recorded; the next invocation tries again");
                return Ok(pipeline);
            }
        }
        if !crashes.is_empty() {
            self.providers.forget_crashes(provider);
        }
        Ok(pipeline)
    }

    /// A provider that cannot be worked for is stopped for all invocations, until its package is mended and it is
    /// resumed.
    async fn stop_provider(&self, provider: &str, error: &ProviderError) {
        let (ledger, mapping, now) = (&*self.stores.ledger, &*self.stores.mapping, self.stores.clock.now());
        if let Err(error) = operate::stop(ledger, mapping, provider, now, OpenedBy::Config, &error.to_string()).await {
            tracing::error!(%error, "the provider was not stopped; its next batch tries again");
        }
    }
}

/// Whether a person stopped the provider, or has to mend something before it may go on.
fn operator_reason(control: &Control) -> Option<&str> {
    match &control.breaker {
        ProviderStop::Open { by: OpenedBy::Config | OpenedBy::Operator, reason, .. } => Some(reason),
        _ => None,
    }
}

/// The instant of a deadline, less what the answer needs. The clock is the machine's: Lambda's deadlines know no other.
fn deadline_from(deadline_ms: u64) -> Instant {
    let now = damper_core::clock::WallClock::System.now().as_millisecond();
    let left = i64::try_from(deadline_ms).unwrap_or(i64::MAX).saturating_sub(now).max(0).unsigned_abs();
    Instant::now() + Duration::from_millis(left).saturating_sub(RESERVE)
}

#[cfg(test)]
mod tests;
