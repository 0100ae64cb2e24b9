//! The configuration of a mapping: the fields of Lambda's `CreateEventSourceMapping`, and how quickly this one moves.

use std::time::Duration;

use jiff::Timestamp;

/// The start of a mapping in a stream that it has no checkpoint of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartingPosition {
    /// The oldest record that the stream still has.
    TrimHorizon,
    /// Records that arrive after the mapping was made.
    Latest,
    /// Records that arrived at this time or later.
    AtTimestamp(Timestamp),
}

/// The mapping's configuration, with AWS's defaults but for the name of the on-failure destination.
#[derive(Debug, Clone, PartialEq)]
pub struct MappingConfig {
    /// Most records in one batch: 1 to 10,000.
    pub batch_size: u32,
    /// How long a batch is waited for: 0 to 300 s.
    pub batching_window: Duration,
    /// How many batches of one shard may be in flight: 1 to 10. The order holds per partition key.
    pub parallelization_factor: u32,
    /// The start position.
    pub starting_position: StartingPosition,
    /// Whether the answer's `batchItemFailures` are read at all (`ReportBatchItemFailures`).
    pub report_batch_item_failures: bool,
    /// Retries of one batch before it is discarded (0 to 10,000); none: without end (AWS's -1).
    pub maximum_retry_attempts: Option<u32>,
    /// The age at which records are discarded (60 s to 7 days); none: never (AWS's -1).
    pub maximum_record_age: Option<Duration>,
    /// Whether a batch that failed as a whole is split in two.
    pub bisect_batch_on_function_error: bool,
    /// The ARN of the on-failure destination, as the API tells it.
    pub on_failure: Option<String>,
    /// Whether it polls.
    pub enabled: bool,
}

impl Default for MappingConfig {
    fn default() -> Self {
        Self {
            batch_size: 100,
            batching_window: Duration::ZERO,
            parallelization_factor: 1,
            starting_position: StartingPosition::TrimHorizon,
            report_batch_item_failures: false,
            maximum_retry_attempts: None,
            maximum_record_age: None,
            bisect_batch_on_function_error: false,
            on_failure: None,
            enabled: true,
        }
    }
}

/// A value that Lambda would refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}; it has to be {range}")]
pub struct ConfigError {
    /// The field, as the API names it.
    pub field: &'static str,
    /// The given value.
    pub value: String,
    /// The allowed values.
    pub range: &'static str,
}

impl MappingConfig {
    /// Checks the ranges that Lambda checks.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refuse = |field, value: String, range| Err(ConfigError { field, value, range });
        if !(1..=10_000).contains(&self.batch_size) {
            return refuse("BatchSize", self.batch_size.to_string(), "1 to 10,000");
        }
        if self.batching_window > Duration::from_secs(300) {
            return refuse("MaximumBatchingWindowInSeconds", self.batching_window.as_secs().to_string(), "0 to 300");
        }
        if !(1..=10).contains(&self.parallelization_factor) {
            return refuse("ParallelizationFactor", self.parallelization_factor.to_string(), "1 to 10");
        }
        if self.maximum_retry_attempts.is_some_and(|attempts| attempts > 10_000) {
            return refuse("MaximumRetryAttempts", format!("{:?}", self.maximum_retry_attempts), "-1 to 10,000");
        }
        let ages = Duration::from_secs(60)..=Duration::from_secs(604_800);
        if self.maximum_record_age.is_some_and(|age| !ages.contains(&age)) {
            return refuse(
                "MaximumRecordAgeInSeconds",
                format!("{:?}", self.maximum_record_age),
                "-1, or 60 to 604,800",
            );
        }
        Ok(())
    }
}

/// How quickly the mapping moves between batches. AWS does not tell its own numbers; these are of its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// The pause before the first retry of a batch that failed whole; it doubles with each.
    pub backoff_first: Duration,
    /// The longest such pause.
    pub backoff_max: Duration,
    /// The pause after a partial failure. Zero, the harshest: redelivered at once.
    pub after_partial: Duration,
    /// The pause between two polls of a shard that has nothing new. AWS polls once a second.
    pub poll_every: Duration,
    /// The most bytes of one event.
    pub payload_bytes: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            backoff_first: Duration::from_millis(500),
            backoff_max: Duration::from_secs(60),
            after_partial: Duration::ZERO,
            poll_every: Duration::from_millis(20),
            payload_bytes: 6 * 1024 * 1024,
        }
    }
}

impl Pace {
    /// The pause after the failed attempt of that number (1: the first).
    #[must_use]
    pub fn backoff(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(20);
        self.backoff_first.saturating_mul(1 << doublings).min(self.backoff_max)
    }
}

/// How long the mapping's states lag behind what was asked. In AWS: seconds, up to several minutes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lags {
    /// From Creating to Enabled or Disabled.
    pub create: Duration,
    /// From Enabling to Enabled.
    pub enable: Duration,
    /// From Disabling to Disabled; it polls meanwhile.
    pub disable: Duration,
    /// From Updating to Enabled or Disabled; the old values hold meanwhile.
    pub update: Duration,
    /// How long it still polls and invokes after it says Disabled.
    pub stray: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_lambdas() {
        assert_eq!(MappingConfig::default().check(), Ok(()));
        let refused = |change: fn(&mut MappingConfig)| {
            let mut config = MappingConfig::default();
            change(&mut config);
            config.check().map_err(|error| error.field)
        };
        assert_eq!(refused(|config| config.batch_size = 0), Err("BatchSize"));
        assert_eq!(refused(|config| config.batch_size = 10_001), Err("BatchSize"));
        assert_eq!(refused(|config| config.parallelization_factor = 11), Err("ParallelizationFactor"));
        assert_eq!(
            refused(|config| config.batching_window = Duration::from_secs(301)),
            Err("MaximumBatchingWindowInSeconds")
        );
        assert_eq!(
            refused(|config| config.maximum_record_age = Some(Duration::from_secs(59))),
            Err("MaximumRecordAgeInSeconds")
        );
    }

    #[test]
    fn backoff_doubles_up_to_its_longest() {
        let pace = Pace::default();
        let pauses: Vec<_> = [1, 2, 3, 8, 50].map(|attempt| pace.backoff(attempt).as_millis()).to_vec();
        assert_eq!(pauses, [500, 1_000, 2_000, 60_000, 60_000]);
    }
}
