//! The mapping's states, which lag behind what was asked, and what is refused meanwhile. Pure: time is passed in.

use jiff::Timestamp;

use crate::clock::later;
use crate::config::{ConfigError, Lags, MappingConfig};

/// The field `State` of `GetEventSourceMapping`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Made a moment ago; it does not poll yet.
    Creating,
    /// Asked to poll; it does not yet.
    Enabling,
    /// It polls.
    Enabled,
    /// Asked to stop; it still polls.
    Disabling,
    /// Stopped, but for invocations that come late.
    Disabled,
    /// New values were asked for; the old ones hold.
    Updating,
}

impl State {
    /// The state as the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Enabling => "Enabling",
            Self::Enabled => "Enabled",
            Self::Disabling => "Disabling",
            Self::Disabled => "Disabled",
            Self::Updating => "Updating",
        }
    }

    /// Whether a change is under way.
    #[must_use]
    pub fn is_pending(self) -> bool {
        !matches!(self, Self::Enabled | Self::Disabled)
    }
}

/// The changes of `UpdateEventSourceMapping` that are supported here; a field that is none stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// `Enabled`.
    pub enabled: Option<bool>,
    /// `BatchSize`.
    pub batch_size: Option<u32>,
    /// `ParallelizationFactor`.
    pub parallelization_factor: Option<u32>,
    /// `MaximumRetryAttempts`.
    pub maximum_retry_attempts: Option<Option<u32>>,
    /// `MaximumRecordAgeInSeconds`.
    pub maximum_record_age: Option<Option<std::time::Duration>>,
}

/// Why an update was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 400: another change is under way.
    #[error("Cannot update the event source mapping because it is in use.")]
    InUse(State),
    /// 409: another operation is under way.
    #[error("The event source mapping cannot be updated: another operation is in progress.")]
    Conflict,
    /// 400: a value is out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// A change under way.
#[derive(Debug, Clone)]
struct Pending {
    state: State,
    target: MappingConfig,
    until: Timestamp,
}

/// The states of one mapping.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    in_force: MappingConfig,
    pending: Option<Pending>,
    strays_until: Option<Timestamp>,
    lags: Lags,
    last_modified: Timestamp,
}

impl Lifecycle {
    /// A mapping that is being created.
    #[must_use]
    pub fn new(config: MappingConfig, lags: Lags, now: Timestamp) -> Self {
        let mut in_force = config.clone();
        in_force.enabled = false;
        let pending = Pending { state: State::Creating, target: config, until: later(now, lags.create) };
        Self { in_force, pending: Some(pending), strays_until: None, lags, last_modified: now }
    }

    /// Lets what is due take effect. Everything below speaks of the last time this was called with.
    pub fn settle(&mut self, now: Timestamp) {
        if let Some(pending) = self.pending.take_if(|pending| pending.until <= now) {
            if self.in_force.enabled && !pending.target.enabled {
                self.strays_until = Some(later(pending.until, self.lags.stray));
            }
            self.in_force = pending.target;
        }
        self.strays_until = self.strays_until.filter(|until| *until > now && !self.in_force.enabled);
    }

    /// The state that the API reports.
    #[must_use]
    pub fn state(&self) -> State {
        match &self.pending {
            Some(pending) => pending.state,
            None if self.in_force.enabled => State::Enabled,
            None => State::Disabled,
        }
    }

    /// Whether records are polled and batches invoked now, whatever state the API reports.
    #[must_use]
    pub fn polls(&self) -> bool {
        self.in_force.enabled || self.strays_until.is_some()
    }

    /// The values that hold now.
    #[must_use]
    pub fn in_force(&self) -> &MappingConfig {
        &self.in_force
    }

    /// The values that the API tells: those that were asked for.
    #[must_use]
    pub fn reported_config(&self) -> &MappingConfig {
        self.pending.as_ref().map_or(&self.in_force, |pending| &pending.target)
    }

    /// When it was changed last.
    #[must_use]
    pub fn last_modified(&self) -> Timestamp {
        self.last_modified
    }

    /// Asks for a change. One that changes nothing is taken and changes nothing.
    ///
    /// # Errors
    /// A change is under way, or a value is out of its range.
    pub fn update(&mut self, change: &Change, now: Timestamp) -> Result<(), Refusal> {
        self.settle(now);
        if self.pending.is_some() {
            return Err(Refusal::InUse(self.state()));
        }
        let target = apply_change(&self.in_force, change);
        target.check()?;
        self.last_modified = now;
        if target == self.in_force {
            return Ok(());
        }
        let (state, lag) = match (self.in_force.enabled, target.enabled) {
            (false, true) => (State::Enabling, self.lags.enable),
            (true, false) => (State::Disabling, self.lags.disable),
            _ => (State::Updating, self.lags.update),
        };
        self.pending = Some(Pending { state, target, until: later(now, lag) });
        Ok(())
    }
}

fn apply_change(config: &MappingConfig, change: &Change) -> MappingConfig {
    let mut target = config.clone();
    target.enabled = change.enabled.unwrap_or(target.enabled);
    target.batch_size = change.batch_size.unwrap_or(target.batch_size);
    target.parallelization_factor = change.parallelization_factor.unwrap_or(target.parallelization_factor);
    target.maximum_retry_attempts = change.maximum_retry_attempts.unwrap_or(target.maximum_retry_attempts);
    target.maximum_record_age = change.maximum_record_age.unwrap_or(target.maximum_record_age);
    target
}
