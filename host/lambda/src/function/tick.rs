//! The scheduled tick: each provider's governor sees whether its mapping is to be enabled or disabled, its metrics are
//! told, and what is parked of it and due is worked at.
//!
//! All providers share one control plane of 15 requests a second: their turns are spread over the tick.

use std::sync::Arc;
use std::time::Duration;

use damper_core::mapping::MappingError;
use damper_core::pipeline::report::Report;
use damper_core::pipeline::{AdaptError, Pipeline};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Function;
use crate::meter::Meter;
use crate::metrics::Invocation;

/// The mean time between two providers' turns. A turn is two calls at the most: read, and change.
const BETWEEN: Duration = Duration::from_millis(250);
/// Turns are never spread over more than this: the schedule's next tick comes after a minute.
const LONGEST_SPREAD: Duration = Duration::from_secs(40);

impl Function {
    /// Ticks every provider. The response says how many changed their mapping, and how many failed.
    pub(super) async fn handle_tick(&self, deadline: Instant) -> Value {
        let names = match self.providers.names() {
            Ok(names) => names,
            Err(error) => {
                tracing::error!(%error, "the tick failed: the providers of the package cannot be listed");
                return json!({ "providers": 0, "changed": 0, "failed": 1 });
            }
        };
        let begin = Instant::now();
        let spread = turn_spread(names.len(), deadline.saturating_duration_since(begin));
        let turns = names.iter().map(|name| {
            let at = begin + spread.mul_f64(self.stores.random.unit());
            async move {
                sleep_until(at).await;
                self.tick_provider(name, deadline).await
            }
        });
        let (mut changed, mut failed) = (0, 0);
        let mut turns: FuturesUnordered<_> = turns.collect();
        while let Some(turn) = turns.next().await {
            match turn {
                Ok(did_change) => changed += u32::from(did_change),
                Err(()) => failed += 1,
            }
        }
        json!({ "providers": names.len(), "changed": changed, "failed": failed })
    }

    /// Ticks one provider; returns whether its mapping was changed.
    async fn tick_provider(&self, name: &str, deadline: Instant) -> Result<bool, ()> {
        let pipeline = match self.load_pipeline(name).await {
            Ok(pipeline) => pipeline,
            Err(error) => {
                tracing::error!(provider = name, %error, "the tick failed: the provider cannot be loaded");
                return Err(());
            }
        };
        let meter = Meter::begin(&pipeline);
        let ticked = pipeline.tick().await;
        let worked = self.process_due_parked(&pipeline, deadline).await;
        meter.print(self.stores.clock.now(), if worked { Invocation::Parked } else { Invocation::Tick });
        match ticked {
            Ok(change) => Ok(change.is_some()),
            // Not deployed yet, or given a function of its own.
            Err(AdaptError::Mapping(MappingError::Unknown(_))) => Ok(false),
            Err(error) => {
                tracing::warn!(provider = name, %error, "the tick failed; the next tick tries again");
                Err(())
            }
        }
    }
}

impl Function {
    /// Work at what is parked and due. Returns whether anything was.
    async fn process_due_parked(&self, pipeline: &Arc<Pipeline>, deadline: Instant) -> bool {
        let provider = &pipeline.manifest().name;
        match pipeline.process_parked(deadline, &CancellationToken::new()).await {
            Ok(Report { taken_up, parked, stopped, .. }) => {
                let worked = !taken_up.is_empty() || !parked.is_empty();
                if worked {
                    let (ended, waiting) = (taken_up.len(), parked.len());
                    tracing::info!(provider, ended, waiting, ?stopped, "parked entries were processed");
                }
                worked
            }
            Err(error) => {
                tracing::warn!(provider, %error, "parked entries were not processed; the next tick tries again");
                false
            }
        }
    }
}

/// Over how long the turns of so many providers are spread, with some time `left` for the last one.
fn turn_spread(providers: usize, left: Duration) -> Duration {
    let wanted = BETWEEN.saturating_mul(u32::try_from(providers.saturating_sub(1)).unwrap_or(u32::MAX));
    wanted.min(LONGEST_SPREAD).min(left / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_as_far_apart_as_the_control_plane_needs() {
        let minute = Duration::from_secs(60);
        assert_eq!(turn_spread(1, minute), Duration::ZERO);
        assert_eq!(turn_spread(51, minute * 15), Duration::from_millis(12_500), "two calls each: eight a second");
        assert_eq!(turn_spread(1_000, minute * 15), LONGEST_SPREAD);
        assert_eq!(turn_spread(51, Duration::from_secs(10)), Duration::from_secs(5));
    }
}
