//! Each row of the level's rules. Fetches come in rounds: as many as may be in flight start together and take equally
//! long.

use super::*;

/// A level under a cap of 64, and the time.
struct Bench {
    level: Level,
    now: Duration,
}

impl Bench {
    /// In START, at 8.
    fn starting() -> Self {
        Self { level: Level::default().under(64), now: Duration::ZERO }
    }

    /// In HOLD at this level, with a settled normal of 100 ms; the next look up and down are far away.
    fn holding(level: f64) -> Self {
        let mut bench = Self::starting();
        bench.level.hold(bench.now, level);
        bench.postpone();
        bench.rounds(80, 100);
        bench.level.errors.clear();
        assert!(bench.level.phase == Phase::Hold && bench.level.baseline.is_known());
        bench
    }

    /// In UP at 25, from HOLD at 20.
    fn up() -> Self {
        let mut bench = Self::holding(20.0);
        bench.level.climb.reset_in(bench.now, Duration::ZERO);
        for _ in 0..20 {
            bench.level.advance(bench.now, false);
            bench.now += Duration::from_millis(50);
        }
        assert_eq!((bench.level.name(), bench.level.limit()), ("up", 25));
        bench
    }

    fn postpone(&mut self) {
        let far = self.now + Duration::from_secs(100_000);
        self.level.climb.reset_in(far, Duration::ZERO);
        self.level.descent.wait(far);
    }

    fn permit(&self, in_flight: u32) -> Permit {
        Permit { started: self.now, in_flight }
    }

    /// `count` fetches start together and end so, all after the same time. Returns whether it looks like an outage.
    fn round(&mut self, count: u32, latency_ms: u64, end: impl Fn(u32) -> FetchEnd) -> bool {
        let permit = self.permit(self.level.limit());
        self.level.on_wait();
        self.now += Duration::from_millis(latency_ms);
        (0..count).any(|number| self.level.on_ended(self.now, permit, end(number), false))
    }

    /// Rounds of good answers, all that the level allows.
    fn rounds(&mut self, count: u32, latency_ms: u64) {
        for _ in 0..count {
            assert!(!self.round(self.level.limit(), latency_ms, |_| FetchEnd::Good));
        }
    }

    /// Rounds until the state is another.
    fn until_change(&mut self, latency_ms: impl Fn(&Level) -> u64) -> (&'static str, u32) {
        let before = (self.level.name(), self.level.measure.since);
        for _ in 0..2_000 {
            self.rounds(1, latency_ms(&self.level));
            if (self.level.name(), self.level.measure.since) != before {
                return (self.level.name(), self.level.limit());
            }
        }
        panic!("still in {} at {}", before.0, self.level.limit());
    }

    fn overload(&mut self, in_flight: u32) {
        let permit = self.permit(in_flight);
        self.now += Duration::from_millis(10);
        assert!(!self.level.on_ended(self.now, permit, FetchEnd::Overload, false));
    }
}

#[test]
fn the_first_level_is_a_quarter_of_the_cap_between_one_and_eight() {
    for (most, first) in [(0, 1), (1, 1), (4, 1), (12, 3), (64, 8), (1_000, 8)] {
        assert_eq!(Level::default().under(most).limit(), first, "{most}");
    }
}

#[test]
fn start_rises_by_half_while_answers_become_no_slower() {
    let mut bench = Bench::starting();
    let levels: Vec<u32> = (0..6).map(|_| bench.until_change(|_| 100).1).collect();
    assert_eq!(levels, [12, 18, 27, 40, 60, 64]);
    assert_eq!(bench.until_change(|_| 100), ("hold", 64), "no more than the cap");
}

#[test]
fn start_does_not_rise_where_nothing_has_to_wait() {
    let mut bench = Bench::starting();
    for _ in 0..100 {
        let permit = bench.permit(3);
        bench.now += Duration::from_millis(100);
        assert!(!bench.level.on_ended(bench.now, permit, FetchEnd::Good, false));
    }
    assert_eq!((bench.level.name(), bench.level.limit()), ("start", 8));
}

#[test]
fn start_goes_one_step_back_where_answers_become_slower() {
    let mut bench = Bench::starting();
    bench.until_change(|_| 100);
    bench.until_change(|_| 100);
    assert_eq!(bench.until_change(|_| 180), ("hold", 12), "18 were too many");
    assert_eq!(bench.level.too_much, Some(18.0));
}

#[test]
fn a_429_in_start_holds_one_less_than_were_in_flight() {
    let mut bench = Bench::starting();
    bench.until_change(|_| 100);
    bench.overload(11);
    assert_eq!((bench.level.name(), bench.level.limit(), bench.level.climb.step), ("hold", 10, 0.1));
}

#[test]
fn after_an_outage_start_stops_below_what_was_too_much() {
    let mut bench = Bench::holding(20.0);
    bench.level.too_much = Some(20.0);
    bench.level.on_outage();
    bench.level.restart(bench.now);
    assert_eq!((bench.level.name(), bench.level.limit()), ("start", 7), "half of 0.7 x 20");
    while bench.level.name() == "start" {
        bench.rounds(1, 100);
    }
    assert_eq!((bench.level.name(), bench.level.limit()), ("hold", 19));
}

#[test]
fn a_look_up_rises_by_one_each_half_latency_and_then_measures() {
    let mut bench = Bench::holding(20.0);
    bench.level.climb.reset_in(bench.now, Duration::ZERO);
    let mut levels = Vec::new();
    for _ in 0..6 {
        bench.level.advance(bench.now, false);
        levels.push((bench.level.name(), bench.level.limit()));
        bench.now += Duration::from_millis(50);
    }
    assert_eq!(levels, [("ramp", 21), ("ramp", 22), ("ramp", 23), ("ramp", 24), ("up", 25), ("up", 25)]);
}

#[test]
fn no_look_up_where_a_rate_is_kept_or_nothing_waits() {
    let mut bench = Bench::holding(20.0);
    bench.level.climb.reset_in(bench.now, Duration::ZERO);
    bench.level.advance(bench.now, true);
    assert_eq!(bench.level.name(), "hold");
    bench.level.limits = false;
    bench.level.advance(bench.now, false);
    assert_eq!(bench.level.name(), "hold");
}

#[test]
fn a_look_up_that_costs_nothing_is_kept_and_followed_by_another_at_once() {
    let mut bench = Bench::up();
    assert_eq!(bench.until_change(|_| 100), ("hold", 25));
    bench.level.on_wait();
    bench.level.advance(bench.now, false);
    assert_eq!(bench.level.name(), "ramp");
}

#[test]
fn a_look_up_that_makes_answers_slower_is_taken_back_and_the_next_is_later_and_smaller() {
    let mut bench = Bench::up();
    assert_eq!(bench.until_change(|_| 125), ("hold", 20));
    assert_eq!((bench.level.climb.interval, bench.level.climb.step), (Duration::from_secs(8), 0.125));
    assert_eq!(bench.level.climb.due, bench.now + Duration::from_secs(8));
}

#[test]
fn a_429_while_looking_up_is_the_experiments_fault() {
    for (in_flight, held) in [(25, 24), (22, 21), (15, 20)] {
        let mut bench = Bench::up();
        bench.overload(in_flight);
        assert_eq!((bench.level.name(), bench.level.limit()), ("hold", held));
        assert_eq!(bench.level.climb.interval, Duration::from_secs(8));
    }
}

#[test]
fn a_429_in_hold_backs_off_and_looks_up_again_soon() {
    let mut bench = Bench::holding(20.0);
    bench.overload(18);
    assert_eq!((bench.level.name(), bench.level.limit()), ("hold", 12), "0.7 x 18");
    assert_eq!(bench.level.climb.due, bench.now + Duration::from_millis(500));
}

#[test]
fn many_429s_at_once_are_one_event() {
    let mut bench = Bench::holding(20.0);
    let permit = bench.permit(20);
    bench.now += Duration::from_millis(10);
    for _ in 0..20 {
        assert!(!bench.level.on_ended(bench.now, permit, FetchEnd::Overload, false));
        bench.now += Duration::from_millis(1);
    }
    assert_eq!(bench.level.limit(), 14);
}

#[test]
fn six_surprises_in_a_minute_mean_that_somebody_shares_the_api() {
    let mut bench = Bench::holding(40.0);
    for surprise in 1..=6 {
        assert!(!bench.level.overload.is_shared(bench.now), "{surprise}");
        bench.overload(bench.level.limit());
        bench.now += Duration::from_secs(9);
    }
    let (before, shared_since) = (bench.level.limit, bench.now);
    assert!(bench.level.overload.is_shared(bench.now));
    bench.level.limit = 40.0;
    bench.overload(40);
    assert_eq!(bench.level.limit(), 34, "a little is given up: 0.85");
    bench.level.limit = before;
    bench.now = shared_since + SHARED + Duration::from_secs(1);
    assert!(!bench.level.overload.is_shared(bench.now));
}

const SHARED: Duration = Duration::from_secs(300);

#[test]
fn seven_surprises_in_seven_minutes_mean_nothing() {
    let mut bench = Bench::holding(40.0);
    for _ in 0..7 {
        bench.overload(bench.level.limit());
        bench.now += Duration::from_secs(60);
        assert!(!bench.level.overload.is_shared(bench.now));
    }
}

#[test]
fn where_somebody_shares_the_api_steps_are_small_and_equal() {
    let mut bench = Bench::holding(20.0);
    (0..6).for_each(|_| bench.overload(20));
    bench.level.hold(bench.now, 20.0);
    bench.postpone();
    bench.rounds(10, 100);
    bench.level.climb.reset_in(bench.now, Duration::ZERO);
    for _ in 0..5 {
        bench.level.advance(bench.now, false);
        bench.now += Duration::from_millis(50);
    }
    assert_eq!((bench.level.name(), bench.level.limit()), ("up", 23), "4% of 64 more");
    bench.overload(23);
    assert_eq!((bench.level.name(), bench.level.limit()), ("hold", 17));
    assert_eq!(bench.level.climb.due, bench.now + Duration::from_secs(2));
}

#[test]
fn a_refusal_at_the_same_number_is_ones_own_limit_and_at_another_is_contested() {
    let mut bench = Bench::up();
    bench.overload(25);
    bench.level.hold(bench.now, 20.0);
    bench.overload(25);
    assert!(bench.level.overload.is_contested(bench.now), "20 were good, and are refused");

    for (again, contested) in [(25, false), (24, false), (27, false), (22, true), (28, true)] {
        let mut bench = Bench::up();
        bench.overload(25);
        assert!(!bench.level.overload.is_contested(bench.now));
        bench.level.phase = Bench::up().level.phase;
        bench.overload(again);
        assert_eq!(bench.level.overload.is_contested(bench.now), contested, "{again}");
        bench.now += Duration::from_secs(61);
        assert!(!bench.level.overload.is_contested(bench.now), "a minute later it is forgotten");
    }
}

#[test]
fn a_429_in_start_is_tried_for_company() {
    let mut bench = Bench::starting();
    bench.until_change(|_| 100);
    bench.overload(11);
    assert!(bench.level.overload.is_contested(bench.now));
    bench.now += Duration::from_secs(15);
    assert!(!bench.level.overload.is_contested(bench.now), "nothing moved");
}

#[test]
fn a_refused_look_up_gives_up_a_share_where_the_limit_is_contested() {
    let mut bench = Bench::up();
    bench.level.overload.mark_contested(bench.now, Duration::from_secs(9));
    bench.overload(25);
    assert_eq!(bench.level.name(), "hold");
    assert!((bench.level.held - 18.6).abs() < 1e-9, "0.93 x 20, fraction and all: {}", bench.level.held);
    assert_eq!(bench.level.climb.due, bench.now + Duration::from_secs(5));
}

#[test]
fn where_the_limit_is_contested_steps_are_equal_and_keep_the_fraction() {
    for (from, to) in [(10.0, 13.0), (18.6, 21.6), (40.3, 43.3)] {
        let mut bench = Bench::holding(from);
        bench.level.overload.mark_contested(bench.now, Duration::from_secs(9));
        bench.level.climb.reset_in(bench.now, Duration::ZERO);
        while bench.level.name() != "up" {
            bench.level.advance(bench.now, false);
            bench.now += Duration::from_millis(50);
        }
        assert!((bench.level.limit - to).abs() < 1e-9, "{from} by 4% of 64: {}", bench.level.limit);
    }
}

#[test]
fn slower_answers_that_follow_the_level_bring_it_down() {
    let mut bench = Bench::holding(40.0);
    // The API has lost capacity: from now on latency is in proportion to what is in flight.
    let knee = |level: &Level| u64::from(level.limit() * 10).max(100);
    assert_eq!(bench.until_change(knee), ("confirm", 40));
    assert_eq!(bench.until_change(knee), ("down", 28));
    assert_eq!(bench.until_change(knee), ("down", 19), "it follows: further down");
    assert_eq!(bench.until_change(knee), ("down", 13));
    assert_eq!(bench.until_change(knee), ("down", 9), "still slower than normal");
    assert_eq!(bench.until_change(knee), ("hold", 9), "normal again");
}

#[test]
fn slower_answers_that_do_not_follow_the_level_are_the_new_normal() {
    let mut bench = Bench::holding(40.0);
    assert_eq!(bench.until_change(|_| 300), ("confirm", 40));
    assert_eq!(bench.until_change(|_| 300), ("down", 28));
    assert_eq!(bench.until_change(|_| 300), ("hold", 40));
    assert_eq!(bench.level.descent.interval, Duration::from_secs(20));
    bench.postpone();
    bench.rounds(100, 300);
    assert_eq!((bench.level.name(), bench.level.limit()), ("hold", 40), "nobody minds any more");
}

#[test]
fn faster_answers_make_it_look_up_at_once() {
    let mut bench = Bench::holding(20.0);
    for _ in 0..40 {
        bench.rounds(1, 50);
        bench.level.advance(bench.now, false);
    }
    assert!(bench.level.limit() > 20);
}

#[test]
fn a_look_down_is_kept_where_fewer_get_as_much_done() {
    let mut bench = Bench::holding(20.0);
    bench.level.descent.due = bench.now;
    let knee = |level: &Level| u64::from(level.limit() * 5).max(60);
    assert_eq!(bench.until_change(knee), ("down", 16));
    assert_eq!(bench.until_change(knee), ("down", 12));
    assert_eq!(bench.until_change(knee), ("down", 9));
    assert_eq!(bench.until_change(knee), ("hold", 12), "9 were less than it bears");
}

#[test]
fn a_look_down_that_brings_nothing_is_taken_back_and_the_next_is_later() {
    let mut bench = Bench::holding(20.0);
    bench.level.descent.due = bench.now;
    assert_eq!(bench.until_change(|_| 100), ("down", 16));
    assert_eq!(bench.until_change(|_| 100), ("hold", 20));
    assert_eq!(bench.level.descent.interval, Duration::from_secs(20));
}

#[test]
fn failures_that_come_with_more_in_flight_are_the_experiments_fault() {
    let mut bench = Bench::up();
    let outage = bench.round(25, 100, |number| if number % 10 == 0 { FetchEnd::Failed } else { FetchEnd::Good });
    assert_eq!((outage, bench.level.name(), bench.level.limit()), (false, "hold", 20));
    assert_eq!(bench.level.climb.interval, Duration::from_secs(8));

    let mut bench = Bench::starting();
    bench.until_change(|_| 100);
    bench.round(12, 100, |number| if number % 5 == 0 { FetchEnd::Failed } else { FetchEnd::Good });
    assert_eq!((bench.level.name(), bench.level.limit()), ("hold", 8));
}

#[test]
fn one_failure_while_looking_up_is_nobodys_fault() {
    let mut bench = Bench::up();
    bench.round(25, 100, |number| if number == 3 { FetchEnd::Failed } else { FetchEnd::Good });
    assert_eq!(bench.level.name(), "up");
}

#[test]
fn failures_that_fewer_in_flight_halve_lower_the_level() {
    let mut bench = Bench::holding(20.0);
    bench.round(20, 100, |number| if number % 4 == 3 { FetchEnd::Failed } else { FetchEnd::Good });
    assert_eq!((bench.level.name(), bench.level.limit()), ("relief", 14));
    assert_eq!(bench.until_change(|_| 100), ("hold", 14));
    assert_eq!(bench.level.too_much, Some(20.0));
}

#[test]
fn failures_that_go_on_with_fewer_in_flight_are_not_our_doing() {
    let mut bench = Bench::holding(20.0);
    let quarter = |number: u32| if number % 4 == 3 { FetchEnd::Failed } else { FetchEnd::Good };
    bench.round(20, 100, quarter);
    assert_eq!(bench.level.name(), "relief");
    bench.round(14, 100, quarter);
    bench.round(14, 100, quarter);
    assert_eq!((bench.level.name(), bench.level.limit()), ("hold", 20));
    bench.round(20, 100, quarter);
    assert_eq!(bench.level.name(), "hold", "a quarter is what this API fails at");
}

#[test]
fn many_failures_look_like_an_outage() {
    let mut bench = Bench::holding(20.0);
    assert!(bench.round(8, 100, |_| FetchEnd::Failed), "eight in a row");
    let mut bench = Bench::holding(1.0);
    assert!(
        bench.round(400, 100, |number| if number % 2 == 0 { FetchEnd::Failed } else { FetchEnd::Good }),
        "half of many"
    );
}

#[test]
fn a_level_from_elsewhere_is_brought_under_the_cap() {
    let bench = Bench::holding(40.0);
    assert_eq!(bench.level.clone().under(10).limit(), 10);
    assert_eq!(bench.level.under(1_000).limit(), 40);
}

#[test]
fn what_refusals_at_random_have_cut_is_given_back_and_start_goes_on() {
    let mut bench = Bench::starting();
    bench.rounds(5, 100);
    let before = bench.level.limit();
    for in_flight in [before, before / 2] {
        bench.level.keep_in_mind();
        bench.overload(in_flight);
    }
    assert!(bench.level.limit() < before / 2, "{}", bench.level.limit());
    bench.level.give_back(bench.now);
    assert_eq!((bench.level.name(), bench.level.limit()), ("start", before));
    bench.level.hold(bench.now, 4.0);
    bench.level.give_back(bench.now);
    assert_eq!((bench.level.name(), bench.level.limit()), ("hold", 4), "once");
}
