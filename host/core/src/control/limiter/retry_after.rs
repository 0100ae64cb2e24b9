//! Retry-After: a gate that nobody passes, and the rate that is learned from having run into it.
//!
//! ```text
//!         two refusals: gate, rate = 0.9 of what was observed (one: gate)
//!   NO RATE ----------------------------------------------------------> HELD
//!
//!             10 to 240 s later: rate + 5% (10%, 20%, ... after successes)
//!   HELD ----------------------------------------------------------------> TRIAL
//!     ^ ^             15 s without Retry-After: the higher rate is held      | |
//!     | +--------------------------------------------------------------------+ |
//!     +------------------------------------------------------------------------+
//!          Retry-After: gate, back to the rate before, the next trial twice as late
//! ```
//!
//! In HELD another Retry-After lowers the rate to 0.98 of what was observed, by half at the most where few answers tell it; not where the
//! API has sustained that pace before, from one Retry-After to the next with the gate between: a rate limit refuses nothing there. Only
//! a Retry-After for a fetch that started after the last one counts: those beside it say nothing new of the rate.
//!
//! Not every Retry-After is about a rate: some APIs send it for too many at a time. The two are told apart by what succeeds:
//! where more in flight than ever succeeded since the last Retry-After were too many, it is the number; where as many have
//! succeeded, it is the rate. A learned rate is given up when the number is to blame twice running.
//!
//! And some send it at random, whatever was sent before: then nobody but the refused item waits, and no rate is kept. `cause` tells
//! the two apart, by whether refusals go on at such a pace.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::admission::Permit;
use crate::control::limiter::LONGEST_RETRY_AFTER;
use crate::control::limiter::cause::{Advice, Cause, Pace};
use crate::control::pacer::Pacer;
use crate::control::rebase::Rebase;

/// The lowest rate that is learned, in fetches a second.
const LOWEST_RATE: f64 = 0.05;
/// The highest rate that is learned: beyond it, it is no bound.
const HIGHEST_RATE: f64 = 1e6;
/// How many fetches a higher rate is tried with at least.
const LEAST_TRIED: f64 = 10.0;
/// How long a higher rate is tried at least.
const TRIAL: Duration = Duration::from_secs(15);
/// The shortest and the longest time from one trial to the next.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(10);
const LONGEST_INTERVAL: Duration = Duration::from_secs(240);
/// By what share the first trial raises the rate; doubled by each success up to 1.
const FIRST_GAIN: f64 = 0.05;
/// So few good answers before the first Retry-After say nothing of a rate: that one is only a gate.
const FEWEST_GOOD: u32 = 3;
/// So often running the number in flight has to be to blame until a learned rate is given up.
const GIVE_UP_RATE: u32 = 2;
/// What was observed for longer than this is more than a trial's doing.
const LONG_OBSERVED: Duration = Duration::from_secs(120);
/// So many good answers tell a rate well enough to lower it by more than half at once.
const MANY_GOOD: u32 = 20;
/// A longer Retry-After binds everybody even where refusals come at random: whoever asks for so much means it.
const LONGEST_AT_RANDOM: Duration = Duration::from_secs(60);

/// What the API's Retry-After answers have taught.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct RetryAfter {
    gate: Option<Duration>,
    /// When the rate was last lowered.
    cut: Option<Duration>,
    /// Since when good answers are counted.
    counted_since: Option<Duration>,
    good: u32,
    /// The most in flight of which one that started after the last cut was answered well.
    most_good: u32,
    /// The same for the cut before.
    most_good_before: u32,
    /// How many were answered well that started after the last cut.
    good_since_cut: u32,
    /// Whether the last refusal was the first of all, and no other has come beside it.
    is_lone: bool,
    /// How often running it was the number in flight that was too high.
    too_many: u32,
    learned: Option<Learned>,
    /// What the API has borne in the mean from one Retry-After to the next, its gate included, in fetches a second.
    sustained: Option<f64>,
    /// Whether a rate is behind the refusals.
    cause: Cause,
}

/// What a Retry-After is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// Nothing new.
    Nothing,
    /// The rate.
    Rate,
    /// How many are in flight.
    Number,
}

/// A rate that is kept because of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Learned {
    /// In fetches a second.
    rate: f64,
    /// The rate before the trial, or the same.
    held: f64,
    pacer: Pacer,
    state: State,
    interval: Duration,
    gain: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// The rate is held until then.
    Held { until: Duration },
    /// A higher one is tried until then.
    Trial { until: Duration },
}

impl RetryAfter {
    /// Until when nothing may start.
    pub(super) fn gate(&self, now: Duration) -> Option<Duration> {
        self.gate.filter(|gate| now < *gate)
    }

    /// When the learned rate lets the next fetch start, if not now.
    pub(super) fn next(&self, now: Duration) -> Option<Duration> {
        self.learned.as_ref().and_then(|learned| learned.pacer.next(now))
    }

    /// The learned rate, in fetches a second.
    pub(super) fn rate(&self) -> Option<f64> {
        self.learned.as_ref().map(|learned| learned.rate)
    }

    pub(super) fn started(&mut self, now: Duration) {
        self.counted_since.get_or_insert(now);
        if let Some(learned) = &mut self.learned {
            learned.pacer.started(now);
        }
    }

    pub(super) fn good(&mut self, permit: Permit) {
        self.cause.good(permit, self.pace(), self.cut);
        self.good = self.good.saturating_add(1);
        if self.cut.is_none_or(|cut| permit.started > cut) {
            self.most_good = self.most_good.max(permit.in_flight);
            self.good_since_cut = self.good_since_cut.saturating_add(1);
        }
    }

    /// Begin or end a trial whose time has come.
    pub(super) fn advance(&mut self, now: Duration) {
        match self.cause.advance(now) {
            Advice::Keep(pace) => self.learned = Some(Learned::new(now, pace)),
            Advice::Release => self.learned = None,
            Advice::Stay => self.sustained = self.rate(),
            Advice::AsItIs if self.cause.is_random() => {}
            Advice::AsItIs => {
                if let Some(learned) = &mut self.learned {
                    learned.advance(now);
                }
            }
        }
    }

    /// Whether this Retry-After binds everybody, and not only the item that was refused.
    pub(super) fn binds_all(&self, wait: Duration) -> bool {
        !self.cause.is_random() || wait > LONGEST_AT_RANDOM
    }

    /// Close the gate, whoever it was that the API answered so.
    pub(super) fn close_gate(&mut self, now: Duration, wait: Duration) {
        let gate = now.saturating_add(wait.min(LONGEST_RETRY_AFTER));
        self.gate = Some(self.gate.map_or(gate, |before| before.max(gate)));
        if let Some(learned) = &mut self.learned {
            learned.pacer.not_before(gate);
        }
    }

    /// Learn from a Retry-After, after [`RetryAfter::close_gate`].
    pub(super) fn learn(&mut self, now: Duration, permit: Permit, wait: Duration) -> About {
        if self.cause.is_random() {
            if !self.cause.refused_at_random() {
                self.believe_in_rate(now, wait);
            }
            return About::Nothing;
        }
        if self.cut.is_some_and(|cut| permit.started <= cut) {
            if self.cause.refused_too(permit, self.cut) {
                self.sustained = None;
                if std::mem::take(&mut self.is_lone) {
                    self.learn_rate(now, true);
                }
            }
            return About::Nothing;
        }
        let is_first = self.cut.replace(now).is_none();
        if is_first && self.good < FEWEST_GOOD {
            return About::Nothing;
        }
        let is_number = permit.in_flight > self.most_that_succeeded(permit).max(1);
        self.too_many = if is_number { self.too_many.saturating_add(1) } else { 0 };
        if is_number && (self.learned.is_none() || self.too_many >= GIVE_UP_RATE) {
            self.learned = None;
            return About::Number;
        }
        if !is_number && self.cause.refused(now, permit, self.pace()) {
            self.learned = None;
            return About::Nothing;
        }
        // The first refusal of all tells little, and often comes while the level is still found: it is a gate and no more, unless another
        // one comes beside it.
        self.is_lone = is_first;
        if !is_first {
            self.learn_rate(now, false);
        }
        About::Rate
    }

    /// Refusals came together: there is a rate behind them after all, and it is to be observed from now on.
    fn believe_in_rate(&mut self, now: Duration, wait: Duration) {
        self.close_gate(now, wait);
        self.cut = Some(now);
        self.counted_since = Some(now);
        self.good = 0;
        self.learned = None;
    }

    /// The most in flight that succeeded since the last cut. Soon after it few can have: then what succeeded before counts as well,
    /// for else the first refusal at random after a gate would be one of too many.
    fn most_that_succeeded(&mut self, permit: Permit) -> u32 {
        let (most, since) = (std::mem::take(&mut self.most_good), std::mem::take(&mut self.good_since_cut));
        let before = std::mem::replace(&mut self.most_good_before, most);
        let are_few = since < permit.in_flight.saturating_mul(2);
        if are_few {
            self.most_good_before = most.max(before);
        }
        if are_few { most.max(before) } else { most }
    }

    /// At which pace fetches start at present.
    fn pace(&self) -> Pace {
        let Some(learned) = &self.learned else { return Pace::Free };
        // A refusal before anything has succeeded tells of a limit that has fallen.
        let is_sustained = self.good > 0 && self.sustained.is_some_and(|sustained| learned.rate <= sustained);
        match learned.state {
            State::Trial { .. } => Pace::Trial,
            State::Held { .. } if is_sustained => Pace::Sustained,
            State::Held { .. } => Pace::Held,
        }
    }

    fn learn_rate(&mut self, now: Duration, is_first: bool) {
        if !is_first && self.learned.is_none() && self.good < FEWEST_GOOD {
            return;
        }
        let pace = self.pace();
        let span = now.saturating_sub(self.counted_since.unwrap_or(now));
        let observed = f64::from(self.good) / span.as_secs_f64().max(1.0);
        // Before the first Retry-After there was no gate: that is no rate for long.
        if pace != Pace::Sustained {
            self.sustained = (!is_first).then_some(observed);
        }
        match &mut self.learned {
            // Not the rate: refusals are random, or it has fallen, and then they come together or `cause` is soon refuted.
            Some(learned) if pace == Pace::Sustained => learned.keep(now),
            Some(learned) => learned.cut(now, observed, span, self.good),
            None => self.learned = Some(Learned::new(now, 0.9 * observed)),
        }
        if let (Some(learned), Some(gate)) = (&mut self.learned, self.gate) {
            learned.pacer.not_before(gate);
        }
        self.counted_since = Some(now);
        self.good = 0;
    }

    /// Move its instants to the time of the process that has read it.
    pub(super) fn rebase(&mut self, rebase: &Rebase) {
        self.gate.iter_mut().for_each(|gate| rebase.ahead(gate, LONGEST_RETRY_AFTER));
        self.cut.iter_mut().chain(&mut self.counted_since).for_each(|past| rebase.past(past));
        self.cause.rebase(rebase);
        if let Some(learned) = &mut self.learned {
            learned.pacer.rebase(rebase, LONGEST_RETRY_AFTER);
            learned.interval = learned.interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
            match &mut learned.state {
                State::Held { until } => rebase.ahead(until, LONGEST_INTERVAL),
                State::Trial { until } => rebase.ahead(until, TRIAL),
            }
        }
    }

    /// Make sure that what was read from elsewhere can be worked with.
    pub(super) fn repaired(mut self) -> Self {
        self.learned = self.learned.filter(|learned| learned.rate.is_finite() && learned.held.is_finite());
        if let Some(learned) = &mut self.learned {
            learned.set(learned.rate);
            learned.held = learned.held.clamp(LOWEST_RATE, HIGHEST_RATE);
            learned.gain = learned.gain.clamp(FIRST_GAIN, 1.0);
        }
        self
    }
}

impl Learned {
    fn new(now: Duration, rate: f64) -> Self {
        let rate = rate.clamp(LOWEST_RATE, HIGHEST_RATE);
        let state = State::Held { until: now.saturating_add(SHORTEST_INTERVAL) };
        let pacer = Pacer::making_up(rate);
        Self { rate, held: rate, pacer, state, interval: SHORTEST_INTERVAL, gain: FIRST_GAIN }
    }

    fn set(&mut self, rate: f64) {
        self.rate = rate.clamp(LOWEST_RATE, HIGHEST_RATE);
        self.pacer.set_rate(Some(self.rate));
    }

    /// A refusal where the rate cannot be to blame.
    fn keep(&mut self, now: Duration) {
        self.state = State::Held { until: now.saturating_add(self.interval) };
    }

    fn cut(&mut self, now: Duration, observed: f64, span: Duration, good: u32) {
        let lower = 0.98 * observed;
        let least = if good < MANY_GOOD { 0.5 } else { 0.0 };
        let rate = match self.state {
            State::Held { .. } => lower.clamp(least * self.rate, 0.98 * self.rate),
            State::Trial { .. } if span < LONG_OBSERVED => lower.clamp(least * self.held, self.held),
            State::Trial { .. } => self.held,
        };
        if matches!(self.state, State::Trial { .. }) {
            self.interval = (self.interval * 2).min(LONGEST_INTERVAL);
        }
        self.set(rate);
        self.held = self.rate;
        self.gain = FIRST_GAIN;
        self.state = State::Held { until: now.saturating_add(self.interval) };
    }

    fn advance(&mut self, now: Duration) {
        if let State::Trial { until } = self.state
            && now >= until
        {
            self.interval = SHORTEST_INTERVAL;
            self.gain = (2.0 * self.gain).min(1.0);
            self.state = State::Held { until: now };
        }
        if let State::Held { until } = self.state
            && now >= until
        {
            self.held = self.rate;
            self.set(self.rate * (1.0 + self.gain));
            let requests = Duration::try_from_secs_f64(LEAST_TRIED / self.rate).unwrap_or(TRIAL);
            self.state = State::Trial { until: now.saturating_add(TRIAL.max(requests)) };
        }
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

    /// 100 good answers in 10 s, then a Retry-After of 5 s, twice.
    fn throttled() -> RetryAfter {
        let mut limits = RetryAfter::default();
        limits.started(at(0));
        (0..100).for_each(|_| limits.good(permit(0)));
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
        let mut limits = throttled();
        assert_eq!(limits.gate(at(14_999)), Some(at(15_000)));
        assert_eq!(limits.gate(at(15_000)), None);
        assert_eq!(rate(&limits), 9.0);
        assert_eq!(limits.next(at(15_000)), None);
        limits.started(at(15_000));
        assert!(limits.next(at(15_100)).is_some_and(|next| next < at(15_112)));
    }

    #[test]
    fn a_shorter_retry_after_does_not_open_the_gate_early() {
        let mut limits = throttled();
        limits.close_gate(at(11_000), at(1_000));
        assert_eq!(limits.gate(at(12_000)), Some(at(15_000)));
    }

    #[test]
    fn an_absurd_retry_after_is_cut_to_a_day() {
        let mut limits = throttled();
        limits.close_gate(at(11_000), Duration::MAX);
        assert_eq!(limits.gate(at(11_000)), Some(at(11_000) + LONGEST_RETRY_AFTER));
    }

    #[test]
    fn a_retry_after_to_the_first_fetches_teaches_no_rate_but_another_does() {
        let mut limits = RetryAfter::default();
        limits.started(at(0));
        limits.good(permit(0));
        limits.close_gate(at(100), at(1_000));
        limits.learn(at(100), permit(0), at(1_000));
        assert_eq!((limits.gate(at(100)), limits.rate()), (Some(at(1_100)), None));
        limits.close_gate(at(2_000), at(1_000));
        limits.learn(at(2_000), permit(1_900), at(1_000));
        assert_eq!(limits.rate(), None, "too few good answers tell no rate, and go on being counted");
        (0..2).for_each(|_| limits.good(permit(3_500)));
        limits.learn(at(6_000), permit(5_900), at(1_000));
        assert_eq!(rate(&limits), 0.45);
    }

    #[test]
    fn fetches_beside_the_throttled_one_teach_nothing_more() {
        let mut limits = throttled();
        limits.learn(at(10_050), permit(9_950), at(1_000));
        limits.learn(at(10_060), permit(10_000), at(1_000));
        assert_eq!(rate(&limits), 9.0);
    }

    #[test]
    fn another_retry_after_lowers_the_rate_by_half_at_the_most() {
        let mut limits = throttled();
        (0..50).for_each(|_| limits.good(permit(11_000)));
        limits.learn(at(20_000), permit(19_000), at(1_000));
        assert_eq!(rate(&limits), 4.9);
        limits.learn(at(40_000), permit(39_000), at(1_000));
        assert_eq!(rate(&limits), 2.45);
    }

    #[test]
    fn a_trial_that_passes_is_followed_by_a_bolder_one() {
        let mut limits = throttled();
        limits.advance(at(19_999));
        assert_eq!(rate(&limits), 9.0);
        limits.advance(at(20_000));
        assert_eq!(rate(&limits), 9.45);
        limits.advance(at(35_000));
        assert_eq!(rate(&limits), 10.395);
    }

    #[test]
    fn a_trial_that_fails_goes_back_and_the_next_comes_later() {
        let mut limits = throttled();
        limits.advance(at(20_000));
        (0..200).for_each(|_| limits.good(permit(21_000)));
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
        limits.started(at(0));
        (0..100).for_each(|_| limits.good(permit(0)));
        assert_eq!(limits.learn(at(10_000), Permit { in_flight: 6, ..permit(9_900) }, at(1_000)), About::Number);
        assert_eq!(limits.rate(), None);
        (0..100).for_each(|_| limits.good(permit(11_000)));
        assert_eq!(limits.learn(at(20_000), permit(19_900), at(1_000)), About::Rate);
        assert!(limits.rate().is_some());
    }

    #[test]
    fn a_rate_is_given_up_when_the_number_is_to_blame_twice_running() {
        let mut limits = throttled();
        for (time, about) in [(20_000, About::Rate), (30_000, About::Number)] {
            limits.good(permit(time - 5_000));
            assert_eq!(limits.learn(at(time), Permit { in_flight: 6, ..permit(time - 100) }, at(1_000)), about);
        }
        assert_eq!(limits.rate(), None);
    }
}
