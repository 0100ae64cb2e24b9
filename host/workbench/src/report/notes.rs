//! Remarks on how a component spends its time, which a passed case does not show.

use std::time::Duration;

use super::Figures;

/// The part of a fetch's time that a component may compute before that is remarkable.
const REMARKABLE_COMPUTING: f64 = 0.1;
/// The shortest sleep that is one.
const SHORTEST_SLEEP_MS: f64 = 10.0;

/// The remarks on these figures, in sentences.
pub(super) fn notes(figures: &Figures, fetch_timeout: Duration) -> Vec<String> {
    let timeout_ms = fetch_timeout.as_secs_f64() * 1_000.0;
    let mut notes = Vec::new();
    if figures.computed_ms >= timeout_ms * REMARKABLE_COMPUTING {
        notes.push(format!(
            "the component computed for {}, and a fetch may take {fetch_timeout:?}: look for a loop that does too much",
            seconds(figures.computed_ms)
        ));
    }
    if figures.slept_ms >= SHORTEST_SLEEP_MS {
        notes.push(format!(
            "the component slept for {} without a request, and held a slot of the API: never sleep, return a failure \
             with a wait (throttled, unavailable, not-ready)",
            seconds(figures.slept_ms)
        ));
    }
    notes
}

fn seconds(ms: f64) -> String {
    format!("{:.2?}", Duration::from_secs_f64((ms / 1_000.0).max(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_computing_and_any_sleep_are_remarkable() {
        let of = |computed_ms, slept_ms| {
            notes(&Figures { computed_ms, slept_ms, ..Figures::default() }, Duration::from_secs(5))
        };
        assert!(of(499.0, 9.0).is_empty());
        let both = of(1_250.0, 2_000.0);
        assert!(both[0].starts_with("the component computed for 1.25s, and a fetch may take 5s:"), "{both:?}");
        assert!(both[1].starts_with("the component slept for 2.00s without a request"), "{both:?}");
    }
}
