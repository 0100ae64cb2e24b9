//! An operator's commands for a provider: pause and resume. They are the same on one machine and in AWS.
//!
//! The control item is changed first, because it decides; then the mapping, which only saves deliveries that would be
//! gated.
//!
//! ```
//! # #[cfg(feature = "testing")]
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use damper_core::{ledger::{Ledger, ProviderStop}, mapping::Mapping, operate::{pause, resume}};
//! # use damper_core::testing::{mapping::MemoryMapping, memory::MemoryLedger};
//! # let (ledger, mapping) = (MemoryLedger::new(), MemoryMapping::new(100, std::time::Duration::ZERO));
//! # let now: jiff::Timestamp = "2026-11-22T10:00:00Z".parse()?;
//! pause(&ledger, &mapping, "demo", now, "maintenance").await?;
//! assert!(ledger.control("demo").await?.needs_operator());
//! assert!(!mapping.read("demo").await?.enabled);
//!
//! let before = resume(&ledger, &mapping, "demo", now, None).await?;
//! assert!(matches!(before.breaker, ProviderStop::Open { reason, .. } if reason == "maintenance"));
//! assert_eq!(ledger.control("demo").await?.breaker, ProviderStop::Closed);
//! assert!(mapping.read("demo").await?.enabled);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "testing"))]
//! # fn main() {}
//! ```

use jiff::Timestamp;

use crate::control::crashes::Crash;
use crate::control::item::{Control, Disabled, OpenedBy, ProviderStop};
use crate::ledger::{Ledger, change_control};
use crate::mapping::{Mapping, MappingChange, MappingError, MappingState};
use crate::pipeline::AdaptError;

/// Stop a provider until it is resumed: nothing is fetched after the fetches in flight have ended. Returns the control
/// item before the change; if it needed an operator already, nothing is changed.
///
/// # Errors
/// If the control item or the mapping cannot be read or changed. A change that was written to the control item by then
/// holds.
pub async fn pause(
    ledger: &dyn Ledger,
    mapping: &dyn Mapping,
    provider: &str,
    now: Timestamp,
    reason: &str,
) -> Result<Control, AdaptError> {
    stop(ledger, mapping, provider, now, OpenedBy::Operator, reason).await
}

/// Stop a provider until it is resumed, as [`pause`] does, in the name of `by`: an operator, or a fault that only an
/// operator can fix.
///
/// # Errors
/// As [`pause`].
pub async fn stop(
    ledger: &dyn Ledger,
    mapping: &dyn Mapping,
    provider: &str,
    now: Timestamp,
    by: OpenedBy,
    reason: &str,
) -> Result<Control, AdaptError> {
    let state = state(mapping, provider).await;
    let known = state.as_ref().ok().copied().flatten();
    let (mut change, mut decided) = (None, None);
    let before = change_control(ledger, provider, |control| {
        if control.needs_operator() {
            return false;
        }
        control.breaker = ProviderStop::Open { since: now, by, reason: reason.to_owned() };
        change = known.and_then(|state| control.governor.pause(now, by, state));
        decided = control.governor.disabled.clone();
        true
    })
    .await?;
    // The provider is stopped, whether or not its mapping can be reached.
    state?;
    apply(ledger, mapping, provider, now, change, decided).await?;
    Ok(before)
}

/// Records that a process died while the provider's component ran. If the component must be the cause, the provider is
/// stopped until it is resumed.
///
/// # Errors
/// As [`pause`].
pub async fn record_crash(
    ledger: &dyn Ledger,
    mapping: &dyn Mapping,
    provider: &str,
    now: Timestamp,
    crash: &Crash,
) -> Result<(), AdaptError> {
    let mut is_cause = false;
    change_control(ledger, provider, |control| {
        let before = control.crashes.clone();
        is_cause = control.crashes.record(crash.clone());
        control.crashes != before
    })
    .await?;
    if is_cause {
        let reason = format!(
            "the process crashed repeatedly while component {} ran. Look for the cause in the system's log (out of memory, a signal); \
             then replace the component, or resume",
            crash.component
        );
        stop(ledger, mapping, provider, now, OpenedBy::Config, &reason).await?;
    }
    Ok(())
}

/// Resume a provider: the cause of its stop is fixed, or the pause is over. A breaker that the API's failing opened
/// stays open until the API is tried, which it is at once. `allowed`: this many more dead letters do not stop it.
/// Returns the control item before the change.
///
/// # Errors
/// If the control item or the mapping cannot be read or changed; resume again. A change that was written to the control
/// item by then holds.
pub async fn resume(
    ledger: &dyn Ledger,
    mapping: &dyn Mapping,
    provider: &str,
    now: Timestamp,
    allowed: Option<u32>,
) -> Result<Control, AdaptError> {
    let state = state(mapping, provider).await;
    let known = state.as_ref().ok().copied().flatten();
    let mut change = None;
    let before = change_control(ledger, provider, |control| {
        let old = control.clone();
        if control.needs_operator() {
            control.breaker = ProviderStop::Closed;
            control.crashes.forget();
        }
        if let Some(allowed) = allowed {
            control.dead_letters_allowed = allowed;
            control.dead_letters_grant = control.dead_letters_grant.saturating_add(1);
        }
        change = known.and_then(|state| control.governor.resume(state));
        *control != old
    })
    .await?;
    // The provider may go on, whether or not its mapping can be reached.
    state?;
    apply(ledger, mapping, provider, now, change, None).await?;
    Ok(before)
}

/// The mapping, if there is one.
async fn state(mapping: &dyn Mapping, provider: &str) -> Result<Option<MappingState>, MappingError> {
    match mapping.read(provider).await {
        Ok(state) => Ok(Some(state)),
        Err(MappingError::Unknown(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn apply(
    ledger: &dyn Ledger,
    mapping: &dyn Mapping,
    provider: &str,
    now: Timestamp,
    change: Option<MappingChange>,
    decided: Option<Disabled>,
) -> Result<(), AdaptError> {
    let Some(change) = change else { return Ok(()) };
    mapping.apply(provider, change).await?;
    let noted = |control: &mut Control| {
        control.governor.record_change(now, change, decided.clone());
        true
    };
    change_control(ledger, provider, noted).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;

    use super::*;
    use crate::testing::mapping::MemoryMapping;
    use crate::testing::memory::MemoryLedger;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    struct Fixture {
        ledger: MemoryLedger,
        mapping: MemoryMapping,
    }

    impl Fixture {
        fn new() -> Self {
            Self { ledger: MemoryLedger::new(), mapping: MemoryMapping::new(500, Duration::ZERO) }
        }

        async fn pause(&self) -> Control {
            pause(&self.ledger, &self.mapping, "demo", at(10), "maintenance").await.unwrap()
        }

        async fn resume(&self) -> Control {
            resume(&self.ledger, &self.mapping, "demo", at(20), None).await.unwrap()
        }

        async fn breaker(&self) -> ProviderStop {
            self.ledger.control("demo").await.unwrap().breaker
        }

        async fn open_breaker(&self, by: OpenedBy) {
            let breaker = ProviderStop::Open { since: at(1), by, reason: "x".into() };
            let open = |control: &mut Control| {
                control.breaker = breaker.clone();
                true
            };
            change_control(&self.ledger, "demo", open).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_pause_holds_until_it_is_resumed() {
        let fixture = Fixture::new();
        fixture.pause().await;
        assert!(matches!(fixture.breaker().await, ProviderStop::Open { by: OpenedBy::Operator, .. }));
        assert!(!fixture.mapping.now().enabled);
        fixture.resume().await;
        assert_eq!(fixture.breaker().await, ProviderStop::Closed);
        assert!(fixture.mapping.now().enabled);
    }

    /// A mapping whose service does not answer.
    struct Unreachable;

    #[async_trait]
    impl Mapping for Unreachable {
        async fn read(&self, provider: &str) -> Result<MappingState, MappingError> {
            Err(MappingError::Failed { provider: provider.to_owned(), message: "no answer".to_owned() })
        }

        async fn apply(&self, provider: &str, _: MappingChange) -> Result<(), MappingError> {
            self.read(provider).await.map(drop)
        }
    }

    #[tokio::test]
    async fn a_pause_holds_though_the_mapping_cannot_be_reached() {
        let fixture = Fixture::new();
        let paused = pause(&fixture.ledger, &Unreachable, "demo", at(10), "maintenance").await;
        assert!(matches!(paused, Err(AdaptError::Mapping(_))));
        assert!(matches!(fixture.breaker().await, ProviderStop::Open { by: OpenedBy::Operator, .. }));
    }

    #[tokio::test]
    async fn a_provider_goes_on_though_the_mapping_cannot_be_reached() {
        let fixture = Fixture::new();
        fixture.pause().await;
        let resumed = resume(&fixture.ledger, &Unreachable, "demo", at(20), Some(7)).await;
        assert!(matches!(resumed, Err(AdaptError::Mapping(_))));
        assert_eq!(fixture.breaker().await, ProviderStop::Closed);
        assert_eq!(fixture.ledger.control("demo").await.unwrap().dead_letters_allowed, 7);
        assert!(!fixture.mapping.now().enabled);
        fixture.resume().await;
        assert!(fixture.mapping.now().enabled, "resumed again, with the mapping back, it is fed again");
    }

    #[tokio::test]
    async fn a_pause_does_not_hide_what_needs_mending() {
        let fixture = Fixture::new();
        fixture.open_breaker(OpenedBy::Config).await;
        assert!(fixture.pause().await.needs_operator());
        assert!(matches!(fixture.breaker().await, ProviderStop::Open { by: OpenedBy::Config, .. }));
    }

    #[tokio::test]
    async fn resuming_does_not_call_a_failing_api_well_but_has_it_tried() {
        let fixture = Fixture::new();
        fixture.open_breaker(OpenedBy::Breaker).await;
        fixture.mapping.set(MappingChange { batch_size: None, enabled: Some(false) });
        fixture.resume().await;
        assert!(matches!(fixture.breaker().await, ProviderStop::Open { by: OpenedBy::Breaker, .. }));
        assert!(fixture.mapping.now().enabled);
    }
}
