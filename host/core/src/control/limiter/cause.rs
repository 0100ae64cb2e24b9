//! Why an API refuses with Retry-After: because too much was sent, or at random.
//!
//! ```text
//!             ratio above ln 7: refusals come singly, and at a pace that the API has sustained
//!   RATE ------------------------------------------------------------------------------------------> RANDOM
//!     ^                                                                                                 |
//!     |  one of four is refused, or none at 0.7 of the pace                                             |
//!     +-------------------------------------------------------------------------------------------------+
//! ```
//!
//! A rate limit refuses all that comes while the budget is spent, and nothing below its rate. Refusals at random come
//! singly, and as often for each request whatever the pace. Four sequential probability ratio tests (Abraham Wald,
//! "Sequential Tests of Statistical Hypotheses", 1945) tell the two apart; each adds up `ln(P(answer | random) /
//! P(answer | rate))`:
//!
//! | test | looks at | random | rate | decides at |
//! | --- | --- | --- | --- | --- |
//! | company | fetches that started after a refused one and before its refusal came | 5% refused | at least 25% | ln 7 for random, together with the next |
//! | pace | fetches at a held pace that the API has sustained, gates included | as many refused as ever | a tenth of it | ln 7 for random |
//! | watch | all answers while refusals are taken to be random | 5% refused | at least 25% | 0, from at most 8: five refusals in a row are a rate |
//! | trial | answers at 0.7 of the pace, for a minute at a time, 10 s after the belief began, then at intervals from 60 s that double up to an hour | as many as ever | a tenth | ±3 |
//!
//! Therefore a wrong hypothesis ends: "rate" after some five refusals at a held pace, "random" after five refusals
//! together, or by the trial, which takes `3 / share` requests. Each time that "random" was wrong, and no trial had
//! confirmed it, it takes ten times the evidence, up to a thousand times.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::admission::Permit;
use crate::control::rebase::Rebase;

/// A good answer and a refusal in the tests of company and of the watch: `ln(0.95 / 0.75)` and `ln(0.05 / 0.25)`.
const GOOD_BESIDE: f64 = 0.236;
const REFUSED_BESIDE: f64 = -1.609;
/// A refusal at a lower pace: `ln 10`; so much less often a rate limit would refuse there.
const REFUSED_BELOW: f64 = std::f64::consts::LN_10;
/// The evidence that a good response at a lower pace takes away, as a share of the share that is refused.
const GOOD_BELOW: f64 = 0.9;
/// The evidence that makes refusals random: `ln 7`, one mistake in eight. A mistake costs some five refusals and is
/// remembered; to wait for more evidence costs a pause of all fetches for each refusal.
const ENOUGH: f64 = 2.0;
/// No more evidence of a rate is held than this: `ln 20`.
const MOST_FOR_RATE: f64 = 3.0;
/// The same for a trial at a lower pace, either way.
const ENOUGH_FOR_TRIAL: f64 = 3.0;
/// The evidence with which the belief begins that refusals are random, and the most that is held.
const FIRST_WATCHED: f64 = 5.0;
const MOST_WATCHED: f64 = 8.0;
/// At most so often a wrong belief makes the next one harder.
const MOST_MISTAKES: u32 = 3;
/// The pace of a trial, as a share of what was observed.
const TRIAL_PACE: f64 = 0.7;
/// When the first trial is due, when the next ones are, and how long one may take.
const FIRST_TRIAL: Duration = Duration::from_secs(10);
const SHORTEST_INTERVAL: Duration = Duration::from_secs(60);
const LONGEST_INTERVAL: Duration = Duration::from_secs(3_600);
const LONGEST_TRIAL: Duration = Duration::from_secs(60);
/// The pace is observed over at least this many good responses and this time: neither a burst nor an idle time shows
/// it.
const FEWEST_OBSERVED: u32 = 20;
const SHORTEST_OBSERVED: Duration = Duration::from_secs(5);
const LONGEST_OBSERVED: Duration = Duration::from_secs(60);
/// The share of refusals is that of about so many of the last answers.
const REMEMBERED: f64 = 2_000.0;

/// The current hypothesis on refusals with Retry-After, and its evidence.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Cause {
    random: Option<Random>,
    /// The evidence for refusals at random, as a logarithm, while a rate is believed in.
    ratio: f64,
    /// Answers, and refusals among them, the older ones counting less.
    answers: f64,
    refusals: f64,
    /// When the last refused fetch that counts had started.
    refused_started: Option<Duration>,
    /// How often "random" turned out to be wrong since a trial last confirmed it.
    mistakes: u32,
}

/// Refusals are taken to be random.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Random {
    watched: f64,
    /// The evidence of the trials, those that ended undecided included.
    tried: f64,
    trial: Trial,
    interval: Duration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Trial {
    /// One begins then or later, once the pace is observed by good answers.
    Due { since: Duration, at: Duration, good: u32 },
    /// A lower pace is kept, until then at the latest.
    Running { until: Duration },
}

/// At which pace a fetch was refused or answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerPace {
    /// At none that is kept.
    Free,
    /// At one that the API has sustained: a rate limit refuses nothing there.
    Sustained,
    /// At one that is held, and that the API has not sustained yet.
    Held,
    /// At a higher one, for a trial: a rate limit refuses there now and then, and singly.
    Trial,
}

/// The change to make to the pace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Advice {
    /// Nothing.
    AsItIs,
    /// Keep this pace, in fetches a second, for a trial.
    Keep(f64),
    /// Keep none: refusals are random.
    Release,
    /// The pace of the trial is one that the API sustains, and refusals depend on the rate.
    Stay,
}

impl Cause {
    /// Whether refusals are taken to come at random.
    pub(super) fn is_random(&self) -> bool {
        self.random.is_some()
    }

    /// Move its instants to the time of the process that has read it.
    pub(super) fn rebase(&mut self, rebase: &Rebase) {
        self.mistakes = self.mistakes.min(MOST_MISTAKES);
        self.refused_started.iter_mut().for_each(|started| rebase.past(started));
        if let Some(random) = &mut self.random {
            random.interval = random.interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
            match &mut random.trial {
                Trial::Due { since, at, .. } => {
                    rebase.past(since);
                    rebase.ahead(at, LONGEST_INTERVAL);
                }
                Trial::Running { until } => rebase.ahead(until, LONGEST_TRIAL),
            }
        }
    }

    /// A good answer came. `cut`: when the last refusal came.
    pub(super) fn on_good_answer(&mut self, permit: Permit, pace: AnswerPace, cut: Option<Duration>) {
        let share = self.count(false);
        let beside = self.is_beside_refused(permit, cut);
        match &mut self.random {
            Some(random) => {
                random.watched = (random.watched + GOOD_BESIDE).min(MOST_WATCHED);
                match &mut random.trial {
                    Trial::Due { good, .. } => *good = good.saturating_add(1),
                    Trial::Running { .. } => random.tried -= GOOD_BELOW * share,
                }
            }
            None if beside => self.ratio += GOOD_BESIDE,
            None if pace == AnswerPace::Sustained => self.ratio = (self.ratio - GOOD_BELOW * share).max(-MOST_FOR_RATE),
            None => {}
        }
    }

    /// A fetch was refused that had started before the last refusal came. Returns whether it is one of several: it
    /// started after that one.
    pub(super) fn on_refused_beside(&mut self, permit: Permit, cut: Option<Duration>) -> bool {
        self.count(true);
        let is_beside = self.is_beside_refused(permit, cut);
        if is_beside {
            self.ratio = (self.ratio + REFUSED_BESIDE).max(-MOST_FOR_RATE);
        }
        is_beside
    }

    /// A fetch was refused that says something new. Returns whether refusals are random from now on.
    pub(super) fn on_refused(&mut self, now: Duration, permit: Permit, pace: AnswerPace) -> bool {
        self.count(true);
        if pace == AnswerPace::Sustained {
            self.ratio += REFUSED_BELOW;
        }
        self.refused_started = (pace != AnswerPace::Trial).then_some(permit.started);
        if self.ratio < ENOUGH + f64::from(self.mistakes) * REFUSED_BELOW {
            return false;
        }
        let trial = Trial::Due { since: now, at: now.saturating_add(FIRST_TRIAL), good: 0 };
        self.random = Some(Random { watched: FIRST_WATCHED, tried: 0.0, trial, interval: SHORTEST_INTERVAL });
        true
    }

    /// A fetch was refused though refusals are taken to be random. Returns whether they still are.
    pub(super) fn on_refused_at_random(&mut self) -> bool {
        self.count(true);
        let Some(random) = &mut self.random else { return false };
        random.watched += REFUSED_BESIDE;
        if matches!(random.trial, Trial::Running { .. }) {
            random.tried += REFUSED_BELOW;
        }
        if random.watched < 0.0 {
            // A hypothesis that a trial confirmed was right: the API has changed since, or many refusals came together
            // by chance.
            if random.interval > SHORTEST_INTERVAL {
                self.end_belief(0.0);
            } else {
                self.was_wrong();
            }
        }
        self.is_random()
    }

    /// Begin or end a trial whose time has come.
    pub(super) fn advance(&mut self, now: Duration) -> Advice {
        let Some(random) = &mut self.random else { return Advice::AsItIs };
        match random.trial {
            // Fetches that were sent while the level still rose give no pace to compare with.
            Trial::Due { at, .. } if now.saturating_add(SHORTEST_OBSERVED) < at => {
                random.trial = Trial::Due { since: now, at, good: 0 };
                Advice::AsItIs
            }
            Trial::Due { at, .. } if now < at => Advice::AsItIs,
            Trial::Due { since, at, good } => {
                let span = now.saturating_sub(since);
                if span > LONGEST_OBSERVED {
                    random.trial = Trial::Due { since: now, at, good: 0 };
                    return Advice::AsItIs;
                }
                if span < SHORTEST_OBSERVED || good < FEWEST_OBSERVED {
                    return Advice::AsItIs;
                }
                random.trial = Trial::Running { until: now.saturating_add(LONGEST_TRIAL) };
                Advice::Keep(TRIAL_PACE * f64::from(good) / span.as_secs_f64())
            }
            Trial::Running { .. } if random.tried <= -ENOUGH_FOR_TRIAL => {
                self.was_wrong();
                Advice::Stay
            }
            Trial::Running { until } if now < until && random.tried < ENOUGH_FOR_TRIAL => Advice::AsItIs,
            Trial::Running { .. } => {
                random.trial = Trial::Due { since: now, at: now.saturating_add(random.interval), good: 0 };
                if random.tried >= ENOUGH_FOR_TRIAL {
                    random.tried = 0.0;
                    random.interval = (random.interval * 2).min(LONGEST_INTERVAL);
                    self.mistakes = 0;
                }
                Advice::Release
            }
        }
    }

    /// Take refusals for those of a rate again, with so much evidence that they are not.
    fn end_belief(&mut self, ratio: f64) {
        self.random = None;
        self.ratio = ratio;
        self.refused_started = None;
    }

    fn was_wrong(&mut self) {
        self.end_belief(-MOST_FOR_RATE);
        self.mistakes = (self.mistakes + 1).min(MOST_MISTAKES);
    }

    /// Whether it started after the fetch that was refused, and before that was known.
    fn is_beside_refused(&self, permit: Permit, cut: Option<Duration>) -> bool {
        let (Some(refused), Some(cut)) = (self.refused_started, cut) else { return false };
        permit.started > refused && permit.started <= cut
    }

    /// Count an answer; what share of them is refused.
    fn count(&mut self, refused: bool) -> f64 {
        if self.answers >= REMEMBERED {
            self.answers /= 2.0;
            self.refusals /= 2.0;
        }
        self.answers += 1.0;
        self.refusals += f64::from(u8::from(refused));
        // As if one of a hundred had been refused before.
        (self.refusals + 0.5) / (self.answers + 50.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn permit(milliseconds: u64) -> Permit {
        Permit { started: at(milliseconds), in_flight: 5 }
    }

    /// `count` fetches from `from`, 20 a second, of which every `nth` is refused; returns the time after them.
    fn go_on(cause: &mut Cause, from: Duration, count: u64, nth: u64) -> Duration {
        let mut now = from;
        for number in 1..=count {
            now += at(50);
            cause.advance(now);
            if number % nth == 0 {
                let _ = cause.on_refused_at_random();
            } else {
                cause.on_good_answer(Permit { started: now, in_flight: 5 }, AnswerPace::Free, None)
            }
        }
        now
    }

    /// Refusals that came at a sustained pace, a hundred good answers apart.
    fn random() -> Cause {
        let mut cause = Cause::default();
        for number in 1..=9 {
            let now = at(number * 10_000);
            (0..100).for_each(|_| cause.on_good_answer(permit(number * 10_000 - 5_000), AnswerPace::Sustained, None));
            if cause.on_refused(now, Permit { started: now, in_flight: 5 }, AnswerPace::Sustained) {
                return cause;
            }
        }
        panic!("never random: {cause:?}");
    }

    #[test]
    fn refusals_that_go_on_at_a_sustained_pace_are_random() {
        assert!(random().is_random());
    }

    #[test]
    fn refusals_at_a_higher_pace_say_nothing_and_good_answers_at_a_sustained_one_speak_for_a_rate() {
        let mut cause = Cause::default();
        for number in 0..1_000 {
            (0..20).for_each(|_| cause.on_good_answer(permit(number * 1_000), AnswerPace::Sustained, None));
            assert!(!cause.on_refused(at(number * 1_000 + 900), permit(number * 1_000 + 800), AnswerPace::Trial));
        }
        assert!(cause.ratio < 0.0, "{cause:?}");
    }

    #[test]
    fn good_answers_beside_a_refused_fetch_make_refusals_random_and_more_refusals_do_not() {
        for (good, refused, is_random) in [(20, 0, true), (8, 0, false), (20, 2, false)] {
            let mut cause = Cause::default();
            assert!(!cause.on_refused(at(1_500), permit(1_000), AnswerPace::Free));
            (0..good).for_each(|_| cause.on_good_answer(permit(1_200), AnswerPace::Free, Some(at(1_500))));
            (0..refused).for_each(|_| assert!(cause.on_refused_beside(permit(1_200), Some(at(1_500)))));
            // Fetches that started before the refused one, or after its refusal, do not count.
            (0..99).for_each(|_| cause.on_good_answer(permit(900), AnswerPace::Free, Some(at(1_500))));
            (0..99).for_each(|_| cause.on_good_answer(permit(1_600), AnswerPace::Free, Some(at(1_500))));
            assert_eq!(cause.on_refused(at(4_000), permit(3_900), AnswerPace::Free), is_random, "{good}, {refused}");
        }
    }

    #[test]
    fn refusals_together_are_a_rate_again_and_then_it_takes_more_to_believe_otherwise() {
        let mut cause = random();
        assert_eq!((0..9).take_while(|_| cause.on_refused_at_random()).count(), 3, "of a belief that is young");
        assert!(!cause.is_random());
        assert_eq!(cause.mistakes, 1);
        let mut cause = random();
        go_on(&mut cause, at(100_000), 100, 1_000);
        assert_eq!((0..9).take_while(|_| cause.on_refused_at_random()).count(), 4);
    }

    #[test]
    fn refusals_as_many_at_a_lower_pace_confirm_it_and_none_there_refute_it() {
        let mut cause = random();
        let now = go_on(&mut cause, at(100_000), 110, 50);
        let Some(Random { trial: Trial::Running { .. }, .. }) = cause.random else { panic!("no trial: {cause:?}") };
        let mut refuted = cause.clone();
        let later = go_on(&mut cause, now, 1_000, 50);
        assert!(cause.is_random(), "{cause:?}");
        assert_eq!(cause.random.as_ref().unwrap().interval, 2 * SHORTEST_INTERVAL, "after {:?}", later - now);
        let mut now = now;
        let stays = (0..2_000).find(|_| {
            now += at(20);
            refuted.on_good_answer(permit(0), AnswerPace::Free, None);
            refuted.advance(now) == Advice::Stay
        });
        assert!(stays.is_some_and(|goods| goods < 1_000) && !refuted.is_random(), "{stays:?}");
    }

    #[test]
    fn what_a_trial_has_confirmed_was_no_mistake_though_refusals_come_together_later() {
        let mut cause = random();
        go_on(&mut cause, at(100_000), 1_110, 50);
        assert!(cause.random.as_ref().is_some_and(|random| random.interval > SHORTEST_INTERVAL), "{cause:?}");
        while cause.on_refused_at_random() {}
        assert_eq!((cause.mistakes, cause.ratio), (0, 0.0));
    }

    #[test]
    fn what_was_sent_soon_after_the_belief_began_tells_no_pace_for_the_trial() {
        let mut cause = random();
        let Some(Random { trial: Trial::Due { since, .. }, .. }) = cause.random else { panic!("{cause:?}") };
        // 5 s at one a second, while the level is on its way, then at fifty.
        for late in (0..5_000).step_by(100) {
            assert_eq!(cause.advance(since + at(late)), Advice::AsItIs);
            if late % 1_000 == 0 {
                cause.on_good_answer(permit(0), AnswerPace::Free, None);
            }
        }
        for late in (5_000..20_000).step_by(20) {
            if let Advice::Keep(pace) = cause.advance(since + at(late)) {
                return assert!((33.0..36.0).contains(&pace), "{pace}, 0.7 of 50");
            }
            cause.on_good_answer(permit(0), AnswerPace::Free, None);
        }
        panic!("no trial: {cause:?}");
    }

    #[test]
    fn an_idle_time_tells_no_pace() {
        let mut cause = random();
        assert_eq!(cause.advance(at(10_000_000)), Advice::AsItIs);
        for number in 0..400 {
            let advice = cause.advance(at(10_000_000 + 100 * number));
            cause.on_good_answer(permit(0), AnswerPace::Free, None);
            if let Advice::Keep(pace) = advice {
                assert!((6.0..8.0).contains(&pace), "{pace}");
                return;
            }
        }
        panic!("no trial: {cause:?}");
    }
}
