//! A batch of a stream: to entries, through the pipeline, and to the one answer that loses nothing, the lowest sequence
//! number that is not finished.
//!
//! The answer never names what is not in the batch, and never nothing at all: either would make the mapping deliver the
//! whole batch again.

use aws_lambda_events::event::streams::KinesisEventResponse;
use damper_aws::kinesis;
use damper_core::pipeline::report::{Report, Stopped};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Function, LONGEST_WAIT};
use crate::event::Batch;
use crate::meter::Meter;
use crate::metrics::Invocation;
use crate::providers::ProviderError;

impl Function {
    /// Work at a batch and answer from where it is to be delivered again.
    pub(super) async fn handle_batch(&self, batch: Batch, deadline: Instant) -> Value {
        let first = batch.first().unwrap_or_default().to_owned();
        let pipeline = match self.load_pipeline(&batch.provider).await {
            Ok(pipeline) => pipeline,
            Err(error) => {
                tracing::error!(%error, "the batch is not processed: its provider cannot be loaded; the mapping delivers it again");
                // A provider that moves to another function is delivered here until its own stack is deployed: nothing
                // is wrong with it.
                if !matches!(error, ProviderError::Elsewhere { .. }) {
                    self.stop_provider(&batch.provider, &error).await;
                }
                hold_batch(deadline).await;
                return batch_response(Some(&first));
            }
        };
        let meter = Meter::begin(&pipeline);
        let delivered = batch.records.len();
        let report = pipeline.process(kinesis::entries(batch.records), deadline, &CancellationToken::new()).await;
        log_report(&report, delivered);
        meter.print(self.stores.clock.now(), Invocation::Batch { entries: delivered });
        // Without this wait the mapping would deliver the batch again at once: no earlier step pauses if the ledger or
        // the sink fails, or if the timeout is too short.
        if report.ended.is_empty() && matches!(report.stopped, Some(Stopped::Storage(_) | Stopped::Deadline)) {
            hold_batch(deadline).await;
        }
        batch_response(report.first_unfinished.as_ref().map(kinesis::record_of))
    }
}

fn log_report(report: &Report, delivered: usize) {
    let (ended, first_unfinished) = (report.ended.len(), report.first_unfinished.as_ref().map(ToString::to_string));
    let parked = report.parked.len();
    match &report.stopped {
        Some(Stopped::Storage(error)) => {
            tracing::error!(
                delivered,
                ended,
                first_unfinished,
                error,
                "the ledger or the sink failed; nothing is lost, and the unfinished entries are delivered again"
            );
        }
        stopped => tracing::info!(delivered, ended, parked, first_unfinished, ?stopped, "the batch ended"),
    }
}

async fn hold_batch(deadline: Instant) {
    sleep_until(deadline.min(Instant::now() + LONGEST_WAIT)).await;
}

fn batch_response(first_unfinished: Option<&str>) -> Value {
    let mut response = KinesisEventResponse::default();
    if let Some(sequence) = first_unfinished {
        response.add_failure(sequence);
    }
    // A struct of texts always serialises.
    serde_json::to_value(response).unwrap_or_default()
}
