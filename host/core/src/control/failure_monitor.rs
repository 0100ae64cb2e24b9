//! The failure monitor: decides from the results of recent fetches whether an operator is needed, and whether a failure
//! is caused by the record itself.
//!
//! It keeps the last twenty results. A moved path or a bad release must not turn a whole stream into dead letters, and
//! an outage must not spend the attempts of good records.

use std::collections::VecDeque;

use crate::dead_letter::Reason;

/// The number of results that are kept.
const WINDOW: usize = 20;
/// The number of would-be dead letters among them that stops the provider: half.
const TOO_MANY_DEAD_LETTERS: usize = WINDOW / 2;
/// The number of refusals or traps in a row, with no success between, that stops it.
const TOO_MANY_IN_A_ROW: usize = 3;

/// The most fetches in flight while none succeeds: with [`TOO_MANY_DEAD_LETTERS`], fewer than [`WINDOW`] items are
/// affected.
const CAUTIOUS_IN_FLIGHT: u32 = 8;

/// The result of a fetch, as the monitor counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeClass {
    /// It returned a record.
    Success,
    /// The item would become a dead letter, for this reason.
    DeadLetter(Reason),
    /// The API refused our credential.
    Unauthorized,
    /// The component trapped.
    Trapped,
    /// The component cannot run, or lacks a secret.
    Broken,
    /// The API has taken the order, and the record is not ready yet.
    Accepted,
    /// A failure that may pass: throttled, unavailable, timed out, malformed but to be retried.
    Transient,
}

/// Why an operator is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// The API refuses our credential repeatedly.
    Unauthorized,
    /// The component traps repeatedly.
    Trapping,
    /// The component cannot run, or lacks a secret.
    Broken,
    /// Half or more of twenty items would be dead letters, most of them for this reason.
    MassDeadLetters(Reason),
}

/// The most dead letters that a process takes at a time out of an operator's grant: few enough that other processes
/// find some left, and that a crash loses little of the grant.
pub const GRANT_SHARE: u32 = 20;

/// A share of the dead letters that an operator allows, taken out of the control item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GrantShare {
    /// The number of the grant: a later grant voids the share.
    pub grant: u64,
    /// How many dead letters.
    pub dead_letters: u32,
}

/// The monitor's verdict on one result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MonitorVerdict {
    /// Why an operator is needed, if so.
    pub alarm: Option<Alarm>,
    /// Whether an operator has allowed this dead letter.
    pub is_allowed: bool,
}

/// The last results of a provider's fetches.
#[derive(Debug, Clone, Default)]
pub struct FailureMonitor {
    recent: VecDeque<OutcomeClass>,
    /// Orders that the API has taken lately, at most [`WINDOW`]; each failure takes one back. They show that the API
    /// works, and leave no room in `recent`: dead letters must not hide behind polls.
    accepted: usize,
    allowance: GrantShare,
}

impl FailureMonitor {
    /// Let this share of would-be dead letters pass without counting them: an operator has allowed them. The rest of an
    /// earlier grant is void.
    pub fn allow(&mut self, share: GrantShare) {
        let left = if self.allowance.grant == share.grant { self.allowance.dead_letters } else { 0 };
        self.allowance = GrantShare { dead_letters: left.saturating_add(share.dead_letters), ..share };
    }

    /// How many may still pass.
    #[must_use]
    pub fn allowance(&self) -> u32 {
        self.allowance.dead_letters
    }

    /// Take the remaining allowance, to be given back: none may pass from here on.
    pub fn take_allowance(&mut self) -> GrantShare {
        let taken = self.allowance;
        self.allowance.dead_letters = 0;
        taken
    }

    /// Whether one more would-be dead letter may raise an alarm, unless it is allowed.
    #[must_use]
    pub fn is_near_alarm(&self) -> bool {
        self.count_dead_letters().saturating_add(1) >= TOO_MANY_DEAD_LETTERS
    }

    /// Discard all results: the cause is fixed.
    pub fn reset(&mut self) {
        self.recent.clear();
        self.accepted = 0;
    }

    /// Record one result.
    pub fn record(&mut self, class: OutcomeClass) -> MonitorVerdict {
        if matches!(class, OutcomeClass::DeadLetter(_)) && self.allowance.dead_letters > 0 {
            self.allowance.dead_letters -= 1;
            return MonitorVerdict { alarm: None, is_allowed: true };
        }
        match class {
            OutcomeClass::Accepted => {
                self.accepted = self.accepted.saturating_add(1).min(WINDOW);
                return MonitorVerdict::default();
            }
            OutcomeClass::Success => {}
            _ => self.accepted = self.accepted.saturating_sub(1),
        }
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(class);
        let alarm = match class {
            OutcomeClass::Broken => Some(Alarm::Broken),
            OutcomeClass::Unauthorized if self.is_persistent(class) => Some(Alarm::Unauthorized),
            OutcomeClass::Trapped if self.is_persistent(class) => Some(Alarm::Trapping),
            OutcomeClass::DeadLetter(reason) if self.count_dead_letters() >= TOO_MANY_DEAD_LETTERS => {
                Some(Alarm::MassDeadLetters(self.main_reason(reason)))
            }
            _ => None,
        };
        MonitorVerdict { alarm, is_allowed: false }
    }

    /// Whether other items succeed at present: then a failure is caused by the record itself, and its attempt counts.
    #[must_use]
    pub fn others_succeed(&self) -> bool {
        let good = self.count(OutcomeClass::Success) + self.accepted;
        good > 0 && good * 2 >= self.recent.len() + self.accepted
    }

    /// The most fetches in flight while none of the last twenty has returned a record or an accepted order: at the
    /// start, after a bad release, in an outage. It raises the alarm before more than twenty items are affected, and
    /// sends few requests to an API that is down.
    #[must_use]
    pub fn cautious_limit(&self) -> Option<u32> {
        (self.count(OutcomeClass::Success) + self.accepted == 0).then_some(CAUTIOUS_IN_FLIGHT)
    }

    /// Either in a row without a success between, or half of all.
    fn is_persistent(&self, class: OutcomeClass) -> bool {
        let since_good = self.recent.iter().rev().take_while(|recorded| **recorded != OutcomeClass::Success);
        since_good.filter(|recorded| **recorded == class).count() >= TOO_MANY_IN_A_ROW
            || self.count(class) >= TOO_MANY_DEAD_LETTERS
    }

    fn count_dead_letters(&self) -> usize {
        self.recent.iter().filter(|recorded| matches!(recorded, OutcomeClass::DeadLetter(_))).count()
    }

    /// The reason of most of the would-be dead letters; `last` where another has as many.
    fn main_reason(&self, last: Reason) -> Reason {
        let of = |reason| self.count(OutcomeClass::DeadLetter(reason));
        let reasons = self
            .recent
            .iter()
            .filter_map(|recorded| if let OutcomeClass::DeadLetter(reason) = recorded { Some(*reason) } else { None });
        reasons.fold(last, |most, reason| if of(reason) > of(most) { reason } else { most })
    }

    fn count(&self, class: OutcomeClass) -> usize {
        self.recent.iter().filter(|recorded| **recorded == class).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarms(monitor: &mut FailureMonitor, classes: &[OutcomeClass]) -> Vec<Option<Alarm>> {
        classes.iter().map(|class| monitor.record(*class).alarm).collect()
    }

    const NOT_FOUND: OutcomeClass = OutcomeClass::DeadLetter(Reason::NotFound);
    const TOO_OLD: OutcomeClass = OutcomeClass::DeadLetter(Reason::TooOld);

    #[test]
    fn an_expired_key_stops_the_provider_at_the_third_refusal() {
        let mut monitor = FailureMonitor::default();
        assert_eq!(
            alarms(
                &mut monitor,
                &[
                    OutcomeClass::Success,
                    OutcomeClass::Unauthorized,
                    OutcomeClass::Unauthorized,
                    OutcomeClass::Unauthorized
                ]
            ),
            [None, None, None, Some(Alarm::Unauthorized)]
        );
    }

    #[test]
    fn one_forbidden_record_among_good_ones_stops_nothing() {
        let mut monitor = FailureMonitor::default();
        for _ in 0..50 {
            assert_eq!(
                alarms(&mut monitor, &[OutcomeClass::Success, OutcomeClass::Unauthorized, OutcomeClass::Success]),
                [None; 3]
            );
        }
        assert!(monitor.others_succeed());
    }

    #[test]
    fn a_moved_path_stops_the_provider_within_twenty() {
        let mut monitor = FailureMonitor::default();
        let first = (1..=20).find(|_| monitor.record(NOT_FOUND).alarm.is_some());
        assert_eq!(first, Some(10));
    }

    #[test]
    fn some_unknown_records_are_no_alarm() {
        let mut monitor = FailureMonitor::default();
        for _ in 0..100 {
            assert_eq!(alarms(&mut monitor, &[OutcomeClass::Success, NOT_FOUND, OutcomeClass::Success]), [None; 3]);
        }
    }

    #[test]
    fn an_operator_may_let_dead_letters_pass() {
        let mut monitor = FailureMonitor::default();
        monitor.allow(GrantShare { grant: 1, dead_letters: 20 });
        monitor.allow(GrantShare { grant: 1, dead_letters: 10 });
        assert!((0..30).all(|_| monitor.record(NOT_FOUND) == MonitorVerdict { alarm: None, is_allowed: true }));
        assert_eq!(monitor.allowance(), 0);
        assert!((0..9).all(|_| monitor.record(NOT_FOUND) == MonitorVerdict::default()));
        assert!(monitor.is_near_alarm());
        assert_eq!(monitor.record(NOT_FOUND).alarm, Some(Alarm::MassDeadLetters(Reason::NotFound)));
    }

    #[test]
    fn a_later_grant_ends_an_earlier_one() {
        let mut monitor = FailureMonitor::default();
        monitor.allow(GrantShare { grant: 1, dead_letters: 20 });
        monitor.allow(GrantShare { grant: 2, dead_letters: 3 });
        assert_eq!(monitor.take_allowance(), GrantShare { grant: 2, dead_letters: 3 });
        assert_eq!(monitor.allowance(), 0);
    }

    #[test]
    fn the_alarm_names_the_reason_of_most() {
        let mut monitor = FailureMonitor::default();
        let classes = [
            NOT_FOUND,
            NOT_FOUND,
            TOO_OLD,
            TOO_OLD,
            TOO_OLD,
            TOO_OLD,
            TOO_OLD,
            OutcomeClass::Success,
            TOO_OLD,
            TOO_OLD,
        ];
        assert!(alarms(&mut monitor, &classes).iter().all(Option::is_none));
        assert_eq!(monitor.record(NOT_FOUND).alarm, Some(Alarm::MassDeadLetters(Reason::TooOld)));
    }

    #[test]
    fn nothing_is_pressed_before_something_succeeds() {
        let mut monitor = FailureMonitor::default();
        assert_eq!(monitor.cautious_limit(), Some(CAUTIOUS_IN_FLIGHT));
        monitor.record(OutcomeClass::Success);
        assert_eq!(monitor.cautious_limit(), None);
        alarms(&mut monitor, &[OutcomeClass::Transient; WINDOW]);
        assert_eq!(monitor.cautious_limit(), Some(CAUTIOUS_IN_FLIGHT));
    }

    #[test]
    fn in_an_outage_no_failure_is_the_records_own() {
        let mut monitor = FailureMonitor::default();
        assert!(!monitor.others_succeed(), "nothing is known yet");
        alarms(&mut monitor, &[OutcomeClass::Success; 20]);
        assert!(monitor.others_succeed());
        alarms(&mut monitor, &[OutcomeClass::Transient; 11]);
        assert!(!monitor.others_succeed());
    }
}
