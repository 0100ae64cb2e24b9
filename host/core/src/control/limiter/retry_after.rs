//! Retry-After: a gate that stops all fetches, and the rate that is learned from it.
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
//! In HELD another Retry-After lowers the rate to 0.98 of what was observed, by half at the most where few answers tell
//! it; not where the API has sustained that pace before, from one Retry-After to the next with the gate between: a rate
//! limit refuses nothing there, unless it accepted a burst; then it accepts the same number each time until it refuses,
//! which random refusals do not. Only a Retry-After for a fetch that started after the last one counts: those beside it
//! say nothing new of the rate.
//!
//! Not every Retry-After is about a rate: some APIs send it for too many at a time. The two are distinguished by the
//! requests that succeed: where more in flight than ever succeeded since the last Retry-After were too many, it is the
//! number; where as many have succeeded, it is the rate. A learned rate is given up when the number is to blame twice
//! running.
//!
//! And some send it at random: then only the refused item waits, and no rate is kept. `cause` tells the two apart, by
//! whether refusals go on at such a pace.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::admission::Permit;
use crate::control::limiter::cause::{Advice, AnswerPace, Cause};
use crate::control::pacer::Pacer;
use crate::control::rebase::Rebase;

/// The longest Retry-After that is believed; a longer one is cut to this.
pub(crate) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);
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
/// With fewer good responses before the first Retry-After no rate is learned: it is only a gate.
const FEWEST_GOOD: u32 = 3;
/// How often in a row the number in flight has to be the cause until a learned rate is given up.
const GIVE_UP_RATE: u32 = 2;
/// An observation longer than this is not caused by a trial alone.
const LONG_OBSERVED: Duration = Duration::from_secs(120);
/// The number of good responses that is enough to lower a rate by more than half at once.
const MANY_GOOD: u32 = 20;
/// Two accepted rates count as the same if they differ by less than this share.
const SAME: f64 = 0.05;
/// A longer Retry-After stops all fetches even if refusals come at random.
const LONGEST_AT_RANDOM: Duration = Duration::from_secs(60);

/// The state that is learned from Retry-After responses.
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
    learned: Option<LearnedRate>,
    /// The mean rate that the API accepted from one Retry-After to the next, its gate included, in fetches a second.
    sustained: Option<f64>,
    /// The rate that the API accepted between the last two Retry-After, in fetches a second.
    observed: Option<f64>,
    /// Whether that was as much as between the two before.
    is_regular: bool,
    /// Whether a rate is behind the refusals.
    cause: Cause,
}

/// The cause of a Retry-After.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// Nothing new.
    Nothing,
    /// The rate.
    Rate,
    /// How many are in flight.
    Number,
    /// Chance, as is known from now on.
    Chance,
}

/// A rate that is kept because of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct LearnedRate {
    /// In fetches a second.
    rate: f64,
    /// The rate before the trial, or the same.
    held: f64,
    pacer: Pacer,
    state: RatePhase,
    interval: Duration,
    gain: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RatePhase {
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

    pub(super) fn on_started(&mut self, now: Duration) {
        self.counted_since.get_or_insert(now);
        if let Some(learned) = &mut self.learned {
            learned.pacer.on_started(now);
        }
    }

    pub(super) fn on_good_answer(&mut self, permit: Permit) {
        self.cause.on_good_answer(permit, self.pace(), self.cut);
        self.good = self.good.saturating_add(1);
        if self.cut.is_some_and(|cut| permit.started <= cut) {
            // It was in flight when another one was refused: as many as with it were not too many.
            self.most_good_before = self.most_good_before.max(permit.in_flight);
        } else {
            self.most_good = self.most_good.max(permit.in_flight);
            self.good_since_cut = self.good_since_cut.saturating_add(1);
        }
    }

    /// Begin or end a trial whose time has come.
    pub(super) fn advance(&mut self, now: Duration) {
        match self.cause.advance(now) {
            Advice::Keep(pace) => self.learned = Some(LearnedRate::new(now, pace)),
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

    /// Whether this Retry-After stops all fetches, and not only the item that was refused.
    pub(super) fn binds_all(&self, wait: Duration) -> bool {
        !self.cause.is_random() || wait > LONGEST_AT_RANDOM
    }

    /// Close the gate for all fetches.
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
            if !self.cause.on_refused_at_random() {
                self.believe_in_rate(now, wait);
            }
            return About::Nothing;
        }
        if self.cut.is_some_and(|cut| permit.started <= cut) {
            if self.cause.on_refused_beside(permit, self.cut) {
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
        let before = self.observed.replace(self.observed_by(now));
        self.is_regular = before.is_some_and(|before| (self.observed_by(now) - before).abs() < SAME * before);
        let is_number = permit.in_flight > self.most_that_succeeded(permit).max(1);
        self.too_many = if is_number { self.too_many.saturating_add(1) } else { 0 };
        if is_number && (self.learned.is_none() || self.too_many >= GIVE_UP_RATE) {
            self.learned = None;
            return About::Number;
        }
        if !is_number && self.cause.on_refused(now, permit, self.pace()) {
            self.learned = None;
            return About::Chance;
        }
        // The first refusal of all is weak evidence, and often comes while the level is still being found: it is a gate
        // and no more, unless another one comes beside it.
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

    /// The most in flight that succeeded since the last cut. Soon after it few can have: then what succeeded before
    /// counts as well, for else the first refusal at random after a gate would be one of too many.
    fn most_that_succeeded(&mut self, permit: Permit) -> u32 {
        let (most, since) = (std::mem::take(&mut self.most_good), std::mem::take(&mut self.good_since_cut));
        let before = std::mem::replace(&mut self.most_good_before, most);
        let are_few = since < permit.in_flight.saturating_mul(2);
        if are_few {
            self.most_good_before = most.max(before);
        }
        if are_few { most.max(before) } else { most }
    }

    /// The rate that the API has accepted since good responses are counted, in fetches a second.
    fn observed_by(&self, now: Duration) -> f64 {
        let span = now.saturating_sub(self.counted_since.unwrap_or(now));
        f64::from(self.good) / span.as_secs_f64().max(1.0)
    }

    /// At which pace fetches start at present.
    fn pace(&self) -> AnswerPace {
        let Some(learned) = &self.learned else { return AnswerPace::Free };
        // A refusal before any success shows that the limit has fallen; one after as many as before shows a limit below
        // the accepted burst.
        let is_sustained =
            self.good > 0 && !self.is_regular && self.sustained.is_some_and(|sustained| learned.rate <= sustained);
        match learned.state {
            RatePhase::Trial { .. } => AnswerPace::Trial,
            RatePhase::Held { .. } if is_sustained => AnswerPace::Sustained,
            RatePhase::Held { .. } => AnswerPace::Held,
        }
    }

    fn learn_rate(&mut self, now: Duration, is_first: bool) {
        if !is_first && self.learned.is_none() && self.good < FEWEST_GOOD {
            return;
        }
        let pace = self.pace();
        let span = now.saturating_sub(self.counted_since.unwrap_or(now));
        let observed = self.observed_by(now);
        // Before the first Retry-After there was no gate: that is no rate for long.
        if pace != AnswerPace::Sustained {
            self.sustained = (!is_first).then_some(observed);
        }
        match &mut self.learned {
            // Not the rate: refusals are random, or it has fallen, and then they come together or `cause` is soon
            // refuted.
            Some(learned) if pace == AnswerPace::Sustained => learned.keep(now),
            Some(learned) => learned.cut(now, observed, span, self.good),
            None => self.learned = Some(LearnedRate::new(now, 0.9 * observed)),
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
                RatePhase::Held { until } => rebase.ahead(until, LONGEST_INTERVAL),
                RatePhase::Trial { until } => rebase.ahead(until, TRIAL),
            }
        }
    }

    /// Bring values that were read from elsewhere into their bounds.
    pub(super) fn repair(mut self) -> Self {
        self.learned = self.learned.filter(|learned| learned.rate.is_finite() && learned.held.is_finite());
        if let Some(learned) = &mut self.learned {
            learned.set(learned.rate);
            learned.held = learned.held.clamp(LOWEST_RATE, HIGHEST_RATE);
            learned.gain = learned.gain.clamp(FIRST_GAIN, 1.0);
        }
        self
    }
}

impl LearnedRate {
    fn new(now: Duration, rate: f64) -> Self {
        let rate = rate.clamp(LOWEST_RATE, HIGHEST_RATE);
        let state = RatePhase::Held { until: now.saturating_add(SHORTEST_INTERVAL) };
        let pacer = Pacer::making_up(rate);
        Self { rate, held: rate, pacer, state, interval: SHORTEST_INTERVAL, gain: FIRST_GAIN }
    }

    fn set(&mut self, rate: f64) {
        self.rate = rate.clamp(LOWEST_RATE, HIGHEST_RATE);
        self.pacer.set_rate(Some(self.rate));
    }

    /// A refusal where the rate cannot be to blame.
    fn keep(&mut self, now: Duration) {
        self.state = RatePhase::Held { until: now.saturating_add(self.interval) };
    }

    fn cut(&mut self, now: Duration, observed: f64, span: Duration, good: u32) {
        let lower = 0.98 * observed;
        let least = if good < MANY_GOOD { 0.5 } else { 0.0 };
        let rate = match self.state {
            RatePhase::Held { .. } => lower.clamp(least * self.rate, 0.98 * self.rate),
            RatePhase::Trial { .. } if span < LONG_OBSERVED => lower.clamp(least * self.held, self.held),
            RatePhase::Trial { .. } => self.held,
        };
        if matches!(self.state, RatePhase::Trial { .. }) {
            self.interval = (self.interval * 2).min(LONGEST_INTERVAL);
        }
        self.set(rate);
        self.held = self.rate;
        self.gain = FIRST_GAIN;
        self.state = RatePhase::Held { until: now.saturating_add(self.interval) };
    }

    fn advance(&mut self, now: Duration) {
        if let RatePhase::Trial { until } = self.state
            && now >= until
        {
            self.interval = SHORTEST_INTERVAL;
            self.gain = (2.0 * self.gain).min(1.0);
            self.state = RatePhase::Held { until: now };
        }
        if let RatePhase::Held { until } = self.state
            && now >= until
        {
            self.held = self.rate;
            self.set(self.rate * (1.0 + self.gain));
            let requests = Duration::try_from_secs_f64(LEAST_TRIED / self.rate).unwrap_or(TRIAL);
            self.state = RatePhase::Trial { until: now.saturating_add(TRIAL.max(requests)) };
        }
    }
}

#[cfg(test)]
mod tests;
