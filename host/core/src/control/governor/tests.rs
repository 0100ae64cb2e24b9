use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds { limit: 8, max_batch: 10_000 };
const FAST: Invocation = Invocation { ok: 1_000, launching: Duration::from_secs(100), tail: Duration::from_secs(1) };

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn mapping(batch_size: u32, enabled: bool) -> MappingState {
    MappingState { batch_size, enabled, pending: false }
}

fn resize(size: u32) -> Option<MappingChange> {
    Some(MappingChange { batch_size: Some(size), enabled: None })
}

const OFF: MappingChange = MappingChange { batch_size: None, enabled: Some(false) };

/// A governor and its mapping, which applies a change when `settle` is called.
struct Fixture {
    governor: Governor,
    mapping: MappingState,
    asked: Vec<(Timestamp, MappingChange)>,
}

impl Fixture {
    fn new(batch_size: u32) -> Self {
        Self { governor: Governor::default(), mapping: mapping(batch_size, true), asked: Vec::new() }
    }

    fn end_invocation(&mut self, now: Timestamp, block_reason: Option<BlockReason>) -> Option<MappingChange> {
        let change = self.governor.on_invocation_done(now, Some(FAST), BOUNDS, block_reason, self.mapping);
        self.apply(now, change)
    }

    fn tick(&mut self, now: Timestamp, block_reason: Option<BlockReason>) -> Option<MappingChange> {
        let change = self.governor.tick(now, BOUNDS, block_reason, self.mapping);
        self.apply(now, change)
    }

    fn apply(&mut self, now: Timestamp, change: Option<MappingChange>) -> Option<MappingChange> {
        if let Some(change) = change {
            self.governor.record_change(now, change, self.governor.disabled.clone());
            self.asked.push((now, change));
            self.mapping.batch_size = change.batch_size.unwrap_or(self.mapping.batch_size);
            self.mapping.enabled = change.enabled.unwrap_or(self.mapping.enabled);
        }
        change
    }
}

/// The process that disabled the mapping died before it could note that it had asked for that.
#[test]
fn a_change_on_its_way_that_nobody_noted_is_not_taken_for_an_operators() {
    let (mut governor, spent) = (Governor::default(), Some(BlockReason::Quota { until: at(9_000) }));
    assert_eq!(governor.on_invocation_done(at(0), Some(FAST), BOUNDS, spent, mapping(500, true)), Some(OFF));
    let changing = MappingState { pending: true, ..mapping(500, true) };
    assert_eq!(governor.on_invocation_done(at(3), None, BOUNDS, spent, changing), None);
    assert_eq!(governor.tick(at(60), BOUNDS, spent, mapping(500, false)), None);
    assert_eq!(governor.disabled.as_ref().map(|disabled| disabled.by), Some(OpenedBy::Quota));
    let on = governor.tick(at(9_001), BOUNDS, None, mapping(500, false));
    assert_eq!(on.and_then(|change| change.enabled), Some(true), "and the next day it is enabled again");
}

#[test]
fn the_batch_follows_the_rate_and_then_rests() {
    let mut fixture = Fixture::new(500);
    assert_eq!(fixture.end_invocation(at(0), None), resize(6_000), "10 a second for 600 s");
    assert_eq!(fixture.end_invocation(at(200), None), None);
    assert_eq!(fixture.end_invocation(at(4_000), None), None, "steady: nothing is changed");
}

#[test]
fn a_slow_api_still_gets_batches_of_four_times_the_limit() {
    let mut governor = Governor::default();
    let slow = Invocation { ok: 1, launching: Duration::from_secs(100), tail: Duration::from_secs(100) };
    assert_eq!(governor.on_invocation_done(at(0), Some(slow), BOUNDS, None, mapping(500, true)), resize(32));
    let tight = Bounds { limit: 8, max_batch: 5 };
    assert_eq!(Governor::default().on_invocation_done(at(0), Some(slow), tight, None, mapping(500, true)), resize(5));
}

#[test]
fn small_differences_and_early_ones_change_nothing() {
    let mut governor = Governor::default();
    assert_eq!(governor.on_invocation_done(at(0), Some(FAST), BOUNDS, None, mapping(4_700, true)), None, "28% more");
    let change = governor.on_invocation_done(at(10), Some(FAST), BOUNDS, None, mapping(500, true)).unwrap();
    governor.record_change(at(10), change, None);
    let faster = Invocation { ok: 9_000, ..FAST };
    assert_eq!(
        governor.on_invocation_done(at(100), Some(faster), BOUNDS, None, mapping(6_000, true)),
        None,
        "90 s after the last"
    );
    assert!(governor.on_invocation_done(at(131), Some(faster), BOUNDS, None, mapping(6_000, true)).is_some());
}

#[test]
fn a_pending_change_is_not_issued_twice() {
    let mut governor = Governor::default();
    let change = governor.on_invocation_done(at(0), Some(FAST), BOUNDS, None, mapping(500, true)).unwrap();
    governor.record_change(at(0), change, None);
    let closed = Some(BlockReason::Window { until: Some(at(9_999)) });
    // The service says that it is updating, or still shows the old value.
    let updating = MappingState { pending: true, ..mapping(500, true) };
    assert_eq!(governor.on_invocation_done(at(130), Some(FAST), BOUNDS, closed, updating), None);
    assert_eq!(governor.on_invocation_done(at(140), Some(FAST), BOUNDS, closed, mapping(500, true)), None);
    assert_eq!(
        governor.on_invocation_done(at(301), Some(FAST), BOUNDS, closed, mapping(500, true)),
        Some(OFF),
        "lost for good"
    );
}

#[test]
fn a_closed_window_disables_at_once_and_opens_with_the_last_good_batch() {
    let mut fixture = Fixture::new(500);
    fixture.end_invocation(at(0), None);
    let closed = Some(BlockReason::Window { until: Some(at(7_200)) });
    assert_eq!(fixture.end_invocation(at(60), closed), Some(OFF));
    let disabled = fixture.governor.disabled.clone().unwrap();
    assert_eq!((disabled.by, disabled.until), (OpenedBy::Window, Some(at(7_200))));
    assert_eq!(fixture.tick(at(600), closed), None);
    let on = MappingChange { batch_size: None, enabled: Some(true) };
    assert_eq!(fixture.tick(at(7_200), None), Some(on), "the batch size is still the good one");
    assert_eq!(fixture.governor.disabled, None);
}

#[test]
fn an_enabling_that_was_refused_is_asked_for_again() {
    let mut fixture = Fixture::new(500);
    fixture.end_invocation(at(0), Some(BlockReason::Window { until: Some(at(100)) }));
    let on = MappingChange { batch_size: None, enabled: Some(true) };
    for second in [600, 660] {
        let asked = fixture.governor.tick(at(second), BOUNDS, None, fixture.mapping);
        assert_eq!(asked, Some(on), "the service refused the one before");
    }
    assert_eq!(fixture.tick(at(720), None), Some(on));
    assert_eq!((fixture.mapping.enabled, fixture.governor.disabled), (true, None));
}

#[test]
fn a_reading_from_before_a_disabling_does_not_hide_why_the_mapping_is_off() {
    let mut fixture = Fixture::new(500);
    let before = fixture.mapping;
    let spent = Some(BlockReason::Quota { until: at(3_600) });
    let off = fixture.governor.on_invocation_done(at(100), None, BOUNDS, spent, fixture.mapping);
    assert_eq!(off, Some(OFF));
    // A share was given back meanwhile, and another process decides by what it has read before.
    assert_eq!(fixture.governor.tick(at(100), BOUNDS, None, before), None);
    fixture.apply(at(101), off);
    assert_eq!(fixture.tick(at(160), spent), None);
    assert_eq!(fixture.governor.disabled.as_ref().map(|disabled| disabled.by), Some(OpenedBy::Quota));
    assert_eq!(fixture.tick(at(3_600), None).and_then(|change| change.enabled), Some(true), "nobody has to resume it");
}

#[test]
fn a_mapping_that_was_fed_before_a_disabling_was_decided_has_to_be_read() {
    let mut governor = Governor::default();
    governor.record_mapping(at(0), mapping(500, true));
    assert_eq!(governor.assumed_mapping(at(400)), Some(mapping(500, true)), "nobody has decided anything since");
    let closed = Some(BlockReason::Window { until: Some(at(500)) });
    assert_eq!(governor.on_invocation_done(at(401), None, BOUNDS, closed, mapping(500, true)), Some(OFF));
    assert_eq!(governor.assumed_mapping(at(402)), None);
    assert_eq!(
        governor.assumed_mapping(at(5_591)),
        None,
        "the clock was set forward, and whoever disables it is frozen"
    );
}

/// A process decides to disable the mapping, freezes, and does it after others have seen for long that it was not done.
#[test]
fn a_disabling_that_comes_late_is_not_taken_for_an_operators() {
    for is_seen_first in [false, true] {
        let mut fixture = Fixture::new(500);
        let off = fixture.governor.on_invocation_done(
            at(0),
            None,
            BOUNDS,
            Some(BlockReason::Quota { until: at(100) }),
            fixture.mapping,
        );
        let decided = fixture.governor.disabled.clone();
        assert_eq!((off, fixture.tick(at(400), None), fixture.governor.disabled.clone()), (Some(OFF), None, None));
        fixture.mapping.enabled = false;
        if is_seen_first {
            assert_eq!(fixture.tick(at(410), None), None);
        }
        fixture.governor.record_change(at(411), OFF, decided);
        fixture.tick(at(460), None);
        assert_eq!(fixture.governor.disabled, None, "nobody has to resume it");
        assert!(fixture.mapping.enabled);
    }
}

/// A process enables the mapping and freezes before it notes so. Others disable it again.
#[test]
fn an_enabling_that_is_noted_late_does_not_hide_a_later_disabling() {
    let mut fixture = Fixture::new(500);
    fixture.end_invocation(at(0), Some(BlockReason::Window { until: Some(at(100)) }));
    let on = fixture.governor.tick(at(100), BOUNDS, None, fixture.mapping).unwrap();
    let decided = fixture.governor.disabled.clone();
    fixture.mapping.enabled = true;
    assert_eq!(fixture.tick(at(130), Some(BlockReason::Window { until: Some(at(9_000)) })), Some(OFF));
    fixture.governor.record_change(at(200), on, decided);
    assert_eq!(fixture.tick(at(600), None).and_then(|change| change.enabled), Some(true), "nobody has to resume it");
}

#[test]
fn what_an_operator_disabled_before_is_not_taken_over() {
    let mut fixture = Fixture::new(500);
    fixture.governor.pause(at(0), OpenedBy::Operator, fixture.mapping);
    let quota = Disabled { by: OpenedBy::Quota, since: at(5), until: Some(at(9)) };
    fixture.governor.record_change(at(6), OFF, Some(quota));
    assert_eq!(fixture.governor.disabled.map(|disabled| disabled.by), Some(OpenedBy::Operator));
}

#[test]
fn an_enabling_by_somebody_else_is_believed_after_a_while() {
    let mut fixture = Fixture::new(500);
    fixture.end_invocation(at(0), Some(BlockReason::Window { until: Some(at(100)) }));
    fixture.mapping.enabled = true;
    fixture.tick(at(400), None);
    fixture.tick(at(800), None);
    assert_eq!(fixture.governor.disabled, None);
}

#[test]
fn an_outage_is_probed_in_place_then_disabled_and_tried_at_each_tick() {
    let mut fixture = Fixture::new(500);
    fixture.end_invocation(at(0), None);
    let down = Some(BlockReason::ApiDown { since: at(100) });
    assert_eq!(fixture.end_invocation(at(999), down), None, "not for fifteen minutes yet");
    assert_eq!(fixture.end_invocation(at(1_000), down), Some(OFF));
    let probe = MappingChange { batch_size: Some(32), enabled: Some(true) };
    assert_eq!(fixture.tick(at(1_200), down), Some(probe), "a small batch, to see whether it is back");
    assert_eq!(fixture.end_invocation(at(1_230), down), Some(OFF), "it is not");
    assert_eq!(fixture.tick(at(1_800), down), Some(MappingChange { batch_size: Some(64), ..probe }), "a larger one");
    assert_eq!(fixture.end_invocation(at(1_815), None), resize(6_000), "it is: in one step");
}

#[test]
fn what_an_operator_disabled_stays_disabled() {
    let mut fixture = Fixture::new(500);
    fixture.mapping.enabled = false;
    for now in 1..10 {
        assert_eq!(fixture.tick(at(now * 600), None), None);
    }
    assert_eq!(fixture.governor.disabled.as_ref().map(|disabled| disabled.by), Some(OpenedBy::Operator));
    let change = fixture.governor.resume(fixture.mapping);
    assert_eq!(fixture.apply(at(7_000), change), Some(MappingChange { batch_size: None, enabled: Some(true) }));
}

#[test]
fn an_operator_may_take_a_closed_mapping_over() {
    let mut fixture = Fixture::new(500);
    fixture.end_invocation(at(0), Some(BlockReason::Window { until: Some(at(100)) }));
    assert_eq!(fixture.governor.pause(at(50), OpenedBy::Operator, fixture.mapping), None, "it is off already");
    assert_eq!(fixture.tick(at(600), Some(BlockReason::Operator)), None);
    assert_eq!(fixture.tick(at(1_200), None), None, "only resume enables it");
}

#[test]
fn a_mapping_that_somebody_enabled_is_disabled_again_where_it_must_be() {
    let mut fixture = Fixture::new(500);
    let closed = Some(BlockReason::Window { until: None });
    fixture.end_invocation(at(0), closed);
    fixture.tick(at(300), closed);
    fixture.mapping.enabled = true;
    assert_eq!(fixture.tick(at(600), closed), Some(OFF));
}

#[test]
fn a_long_retry_after_is_waited_for_with_the_mapping_off_and_a_short_one_is_not() {
    let mut fixture = Fixture::new(500);
    fixture.end_invocation(at(0), None);
    assert_eq!(fixture.end_invocation(at(130), Some(BlockReason::RetryAfter { until: at(230) })), None);
    assert_eq!(fixture.end_invocation(at(260), Some(BlockReason::RetryAfter { until: at(3_860) })), Some(OFF));
    assert_eq!(fixture.tick(at(4_200), None).and_then(|change| change.enabled), Some(true));
}

#[test]
fn one_quiet_invocation_says_nothing_of_the_rate() {
    let mut governor = Governor::default();
    let none = Invocation { ok: 0, launching: Duration::ZERO, tail: Duration::ZERO };
    assert_eq!(governor.on_invocation_done(at(0), Some(none), BOUNDS, None, mapping(500, true)), None);
    assert_eq!(governor.rate, None);
}

proptest! {
    #[test]
    fn changes_stay_within_bounds_and_far_enough_apart(
        steps in prop::collection::vec(
            (1..400_i64, 0..5_000_u64, 1..600_u64, 0..60_u32, 0..4_u8, any::<bool>()),
            1..80,
        ),
    ) {
        let mut fixture = Fixture::new(500);
        let mut now = 0;
        for (wait, ok, seconds, limit, block_reason, is_tick) in steps {
            now += wait;
            let block_reason = match block_reason {
                0 => Some(BlockReason::ApiDown { since: at(now - 1_000) }),
                1 => Some(BlockReason::Window { until: Some(at(now + 60)) }),
                2 => Some(BlockReason::Quota { until: at(now + 60) }),
                _ => None,
            };
            let bounds = Bounds { limit, max_batch: 2_000 };
            let invocation = Invocation { ok, launching: Duration::from_secs(seconds), tail: Duration::from_secs(1) };
            let change = if is_tick {
                fixture.governor.tick(at(now), bounds, block_reason, fixture.mapping)
            } else {
                fixture.governor.on_invocation_done(at(now), Some(invocation), bounds, block_reason, fixture.mapping)
            };
            fixture.apply(at(now), change);
            prop_assert!((1..=2_000).contains(&fixture.mapping.batch_size));
            prop_assert_eq!(fixture.mapping.enabled, fixture.governor.disabled.is_none());
        }
        // Between two changes of the batch size without an enable between them lie two minutes.
        for pair in fixture.asked.windows(2) {
            if pair.iter().all(|(_, change)| change.enabled.is_none()) {
                prop_assert!(time_between(pair[0].0, pair[1].0) >= LEAST_BETWEEN, "{:?}", pair);
            }
        }
    }

    #[test]
    fn a_governor_is_the_same_after_it_was_kept(
        rate in prop::option::of(0.0..1e6_f64), good in prop::option::of(1..10_000_u32),
    ) {
        let governor = Governor {
            rate,
            good_batch: good,
            disabled: Some(Disabled { by: OpenedBy::Quota, since: at(0), until: Some(at(9)) }),
            pending: Some(Pending { at: at(1), batch_size: good, enabled: Some(true) }),
            ..Governor::default()
        };
        let kept: Governor = serde_json::from_str(&serde_json::to_string(&governor).unwrap()).unwrap();
        prop_assert_eq!(kept, governor);
    }
}
