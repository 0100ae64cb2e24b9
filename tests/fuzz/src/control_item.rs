//! A provider's control item as a ledger stores it, and what a process does that begins with it.

use std::time::Duration;

use damper_core::control::admission::{Admission, ConcurrencyLimiter, Outcome};
use damper_core::control::governor::{Bounds, Invocation, block_reason, forecast};
use damper_core::control::item::Control;
use damper_core::control::limiter::{Limiter, LimiterConfig};
use damper_core::control::window::Window;
use damper_core::mapping::MappingState;
use jiff::Timestamp;

/// 2026-11-28, noon.
const NOW: Timestamp = Timestamp::constant(1_795_867_200, 0);
/// The process's own time then.
const ELAPSED: Duration = Duration::from_secs(1_795_867_200);
/// No state stops a provider for longer: the longest Retry-After that is believed, and some room for what comes on top.
const LONGEST_WAIT: Duration = Duration::from_secs(25 * 3_600);
const CONFIG: LimiterConfig = LimiterConfig { max_in_flight: 20, requests_per_second: Some(50.0) };
const QUOTA: u64 = 1_000;
const BOUNDS: Bounds = Bounds { limit: 4, max_batch: 500 };
/// Requests in the simulated life of a limiter.
const STEPS: u32 = 200;

/// An item that was read is written and read back the same. A limiter and a governor that begin with it do not panic,
/// never exceed the caps, and soon start a fetch, whatever was stored.
pub fn control_item(data: &[u8]) {
    let Ok(control) = serde_json::from_slice::<Control>(data) else { return };
    let written = serde_json::to_string(&control).expect("a control item is written");
    let read: Control = serde_json::from_str(&written).expect("what was written is read");
    assert_eq!(read, control, "{written}");
    check_limiter(&control);
    check_governor(&control);
    check_usage(control);
}

fn check_limiter(control: &Control) {
    let mut limiter = Limiter::new(CONFIG);
    if let Some(saved) = &control.limiter {
        limiter.load(&saved.state, &saved.rebase(ELAPSED, NOW));
    }
    let (mut now, mut waited) = (ELAPSED, Duration::ZERO);
    let mut permits = Vec::new();
    for step in 0..STEPS {
        let reading = limiter.snapshot(now);
        assert!(reading.limit <= CONFIG.max_in_flight, "{reading:?}");
        assert!(reading.rate.is_none_or(|rate| rate <= 50.0), "{reading:?}");
        match limiter.admit(now, permits.len() as u32) {
            Admission::Now => {
                waited = Duration::ZERO;
                permits.push(limiter.on_started(now));
            }
            Admission::At(at) => {
                assert!(at > now, "it is asked again and again: {reading:?}");
                waited += at - now;
                assert!(waited <= LONGEST_WAIT, "nothing starts for {waited:?}: {reading:?}");
                now = at;
            }
            Admission::AfterCompletion => {
                assert!(!permits.is_empty(), "it waits for nothing: {reading:?}");
                now += Duration::from_millis(50);
                limiter.on_completed(now, permits.remove(0), outcome(step));
            }
        }
        assert!(permits.len() <= CONFIG.max_in_flight as usize);
    }
    let state = limiter.save().expect("a limiter is saved");
    assert!(Limiter::new(CONFIG).load(&state, &control_rebase(now)), "what was saved is loaded");
}

fn control_rebase(now: Duration) -> damper_core::control::rebase::Rebase {
    damper_core::control::rebase::Rebase::new(now, now)
}

/// Mostly good ends, and some of each other kind.
fn outcome(step: u32) -> Outcome {
    match step % 16 {
        3 => Outcome::Failed,
        7 => Outcome::TimedOut,
        11 => Outcome::Throttled { retry_after: None },
        _ => Outcome::Ok,
    }
}

fn check_governor(control: &Control) {
    let window = Window::always_utc();
    let block_reason = block_reason(control, &window, Some(QUOTA), NOW);
    let invocation = Invocation { ok: 90, launching: Duration::from_secs(9), tail: Duration::from_secs(1) };
    for (batch_size, enabled, pending) in [(100, true, false), (1, false, false), (500, true, true)] {
        let mapping = MappingState { batch_size, enabled, pending };
        let mut governor = control.governor.clone();
        for minute in 0..30_i64 {
            let now = NOW.saturating_add(Duration::from_secs(60 * minute.unsigned_abs())).unwrap_or(NOW);
            let change = if minute % 2 == 0 {
                governor.tick(now, BOUNDS, block_reason, mapping)
            } else {
                governor.on_invocation_done(now, Some(invocation), BOUNDS, block_reason, mapping)
            };
            if let Some(change) = change {
                governor.record_change(now, change, governor.disabled.clone());
            }
            governor.record_mapping(now, mapping);
            let _ = governor.assumed_mapping(now);
        }
        let _ = forecast(1_000, governor.rate, &window, control.usage.remaining(window.day(NOW), Some(QUOTA)), NOW);
    }
}

/// No more requests of a day than its quota, whatever was counted.
fn check_usage(mut control: Control) {
    let today = Window::always_utc().day(NOW);
    let usage = &mut control.usage;
    usage.turn_back(today, Some(QUOTA));
    let before = usage.on(today);
    let granted = usage.reserve(today, 600, Some(QUOTA)).saturating_add(usage.reserve(today, 600, Some(QUOTA)));
    assert!(granted == 0 || before.saturating_add(granted) <= QUOTA, "{granted} beside {before}");
    usage.give_back(today, granted);
    assert!(usage.on(today) <= before, "{usage:?}");
}
