//! Gates, rates, and what teaches none.

use super::*;

const fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn permit(milliseconds: u64) -> Permit {
    Permit { started: at(milliseconds), in_flight: 5 }
}

/// 100 good answers in 10 s, then a Retry-After of 5 s, twice.
fn limits_after_refusals() -> RetryAfter {
    let mut limits = RetryAfter::default();
    limits.on_started(at(0));
    (0..100).for_each(|_| limits.on_good_answer(permit(0)));
    limits.close_gate(at(10_000), at(5_000));
    limits.learn(at(10_000), permit(9_900), at(1_000));
    assert_eq!(limits.rate(), None, "it is alone");
    limits.learn(at(10_000), permit(9_950), at(1_000));
    limits
}

fn rate(limits: &RetryAfter) -> f64 {
    (limits.rate().unwrap() * 1e6).round() / 1e6
}

#[test]
fn nobody_passes_the_gate_and_then_starts_are_paced() {
    let mut limits = limits_after_refusals();
    assert_eq!(limits.gate(at(14_999)), Some(at(15_000)));
    assert_eq!(limits.gate(at(15_000)), None);
    assert_eq!(rate(&limits), 9.0);
    assert_eq!(limits.next(at(15_000)), None);
    limits.on_started(at(15_000));
    assert!(limits.next(at(15_100)).is_some_and(|next| next < at(15_112)));
}

#[test]
fn a_shorter_retry_after_does_not_open_the_gate_early() {
    let mut limits = limits_after_refusals();
    limits.close_gate(at(11_000), at(1_000));
    assert_eq!(limits.gate(at(12_000)), Some(at(15_000)));
}

#[test]
fn an_absurd_retry_after_is_cut_to_a_day() {
    let mut limits = limits_after_refusals();
    limits.close_gate(at(11_000), Duration::MAX);
    assert_eq!(limits.gate(at(11_000)), Some(at(11_000) + LONGEST_RETRY_AFTER));
}

#[test]
fn a_retry_after_to_the_first_fetches_teaches_no_rate_but_another_does() {
    let mut limits = RetryAfter::default();
    limits.on_started(at(0));
    limits.on_good_answer(permit(0));
    limits.close_gate(at(100), at(1_000));
    limits.learn(at(100), permit(0), at(1_000));
    assert_eq!((limits.gate(at(100)), limits.rate()), (Some(at(1_100)), None));
    limits.close_gate(at(2_000), at(1_000));
    limits.learn(at(2_000), permit(1_900), at(1_000));
    assert_eq!(limits.rate(), None, "too few good answers tell no rate, and go on being counted");
    (0..2).for_each(|_| limits.on_good_answer(permit(3_500)));
    limits.learn(at(6_000), permit(5_900), at(1_000));
    assert_eq!(rate(&limits), 0.45);
}

#[test]
fn fetches_beside_the_throttled_one_teach_nothing_more() {
    let mut limits = limits_after_refusals();
    limits.learn(at(10_050), permit(9_950), at(1_000));
    limits.learn(at(10_060), permit(10_000), at(1_000));
    assert_eq!(rate(&limits), 9.0);
}

#[test]
fn another_retry_after_lowers_the_rate_by_half_at_the_most() {
    let mut limits = limits_after_refusals();
    (0..50).for_each(|_| limits.on_good_answer(permit(11_000)));
    limits.learn(at(20_000), permit(19_000), at(1_000));
    assert_eq!(rate(&limits), 4.9);
    limits.learn(at(40_000), permit(39_000), at(1_000));
    assert_eq!(rate(&limits), 2.45);
}

#[test]
fn a_trial_that_passes_is_followed_by_a_bolder_one() {
    let mut limits = limits_after_refusals();
    limits.advance(at(19_999));
    assert_eq!(rate(&limits), 9.0);
    limits.advance(at(20_000));
    assert_eq!(rate(&limits), 9.45);
    limits.advance(at(35_000));
    assert_eq!(rate(&limits), 10.395);
}

#[test]
fn a_trial_that_fails_goes_back_and_the_next_comes_later() {
    let mut limits = limits_after_refusals();
    limits.advance(at(20_000));
    (0..200).for_each(|_| limits.on_good_answer(permit(21_000)));
    limits.learn(at(30_000), permit(29_000), at(1_000));
    assert_eq!(rate(&limits), 9.0);
    limits.advance(at(49_999));
    assert_eq!(rate(&limits), 9.0, "20 s later, not 10");
    limits.advance(at(50_000));
    assert_eq!(rate(&limits), 9.45);
}

#[test]
fn more_in_flight_than_ever_succeeded_are_too_many_and_teach_no_rate() {
    let mut limits = RetryAfter::default();
    limits.on_started(at(0));
    (0..100).for_each(|_| limits.on_good_answer(permit(0)));
    assert_eq!(limits.learn(at(10_000), Permit { in_flight: 6, ..permit(9_900) }, at(1_000)), About::Number);
    assert_eq!(limits.rate(), None);
    (0..100).for_each(|_| limits.on_good_answer(permit(11_000)));
    assert_eq!(limits.learn(at(20_000), permit(19_900), at(1_000)), About::Rate);
    assert!(limits.rate().is_some());
}

#[test]
fn a_rate_is_given_up_when_the_number_is_to_blame_twice_running() {
    let mut limits = limits_after_refusals();
    for (time, about) in [(20_000, About::Rate), (30_000, About::Number)] {
        limits.on_good_answer(permit(time - 5_000));
        assert_eq!(limits.learn(at(time), Permit { in_flight: 6, ..permit(time - 100) }, at(1_000)), about);
    }
    assert_eq!(limits.rate(), None);
}

/// Refused at once after so many good answers, with a Retry-After of 2 s.
fn refused_after(limits: &mut RetryAfter, good: u32, milliseconds: u64) -> About {
    (0..good).for_each(|_| limits.on_good_answer(permit(milliseconds - 50)));
    limits.close_gate(at(milliseconds), at(2_000));
    limits.learn(at(milliseconds), permit(milliseconds - 20), at(2_000))
}

#[test]
fn refusals_at_a_sustained_pace_are_chance_but_not_where_the_api_bears_the_same_each_time() {
    // One every 4 s, after as many good answers each time, or after as many in the mean.
    for (counts, ends) in [([20, 20, 20, 20, 20, 20], About::Rate), ([24, 12, 24, 8, 24, 8], About::Chance)] {
        let mut limits = RetryAfter::default();
        limits.on_started(at(0));
        let _ = refused_after(&mut limits, 40, 4_000);
        let mut about = refused_after(&mut limits, 20, 8_000);
        for (number, count) in (3..).zip(counts) {
            if about != About::Chance {
                about = refused_after(&mut limits, count, number * 4_000);
            }
        }
        assert_eq!(about, ends, "{counts:?}");
    }
}

#[test]
fn as_many_as_were_in_flight_with_a_refused_fetch_and_succeeded_are_not_too_many() {
    let mut limits = RetryAfter::default();
    limits.on_started(at(0));
    (0..10).for_each(|_| limits.on_good_answer(Permit { in_flight: 3, ..permit(0) }));
    let _ = limits.learn(at(1_000), Permit { in_flight: 9, ..permit(980) }, at(1_000));
    // They started before the refusal came, and ended after it.
    (1..9).for_each(|in_flight| limits.on_good_answer(Permit { in_flight, ..permit(970) }));
    assert_eq!(limits.learn(at(2_100), Permit { in_flight: 8, ..permit(2_080) }, at(1_000)), About::Rate);
}
