//! The failure monitor: sees from how fetches end whether a person is needed, and whether a failure is the record's own.
//!
//! It looks at the last twenty ends. A moved path or a bad release must not empty a stream into dead letters, and an
//! outage must not spend the attempts of good records.

use std::collections::VecDeque;

use crate::dead_letter::Reason;

/// How many ends are looked at.
const WINDOW: usize = 20;
/// So many would-be dead letters among them stop the provider: half.
const TOO_MANY_DEAD_LETTERS: usize = WINDOW / 2;
/// So many refusals or traps in a row, with no success between, stop it.
const TOO_MANY_IN_A_ROW: usize = 3;

/// So many fetches run at a time while none succeeds: with [`TOO_MANY_DEAD_LETTERS`], fewer than [`WINDOW`] items are touched.
const CAUTIOUS_IN_FLIGHT: u32 = 8;

/// How a fetch ended, as far as a person would care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeClass {
    /// A record came.
    Success,
    /// The item would be given up on, for this reason.
    DeadLetter(Reason),
    /// The API refused our credential.
    Unauthorized,
    /// The component trapped.
    Trapped,
    /// The component cannot run, or lacks a secret.
    Broken,
    /// Anything that time may mend: throttled, unavailable, timed out, malformed but to be retried.
    Transient,
}

/// Why a person is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// The API goes on refusing our credential.
    Unauthorized,
    /// The component goes on trapping.
    Trapping,
    /// The component cannot run, or lacks a secret.
    Broken,
    /// Half or more of twenty items would be dead letters, most of them for this reason.
    MassDeadLetters(Reason),
}

/// Of how many dead letters a process takes its part at a time, of those that an operator allows: few enough that other processes find
/// some left, and that a crash loses little of the grant.
pub const GRANT_SHARE: u32 = 20;

/// A part of the dead letters that an operator allows, taken out of the control item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GrantShare {
    /// Of which grant: a later one ends it.
    pub grant: u64,
    /// How many dead letters.
    pub dead_letters: u32,
}

/// The monitor's verdict on one end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MonitorVerdict {
    /// Why a person is needed, if so.
    pub alarm: Option<Alarm>,
    /// Whether an operator has allowed this dead letter.
    pub is_allowed: bool,
}

/// The last ends of a provider's fetches.
#[derive(Debug, Clone, Default)]
pub struct FailureMonitor {
    recent: VecDeque<OutcomeClass>,
    allowance: GrantShare,
}

impl FailureMonitor {
    /// Let so many would-be dead letters pass without counting them: an operator has said that they are right. What was left of an earlier
    /// grant is void.
    pub fn allow(&mut self, share: GrantShare) {
        let left = if self.allowance.grant == share.grant { self.allowance.dead_letters } else { 0 };
        self.allowance = GrantShare { dead_letters: left.saturating_add(share.dead_letters), ..share };
    }

    /// How many may still pass.
    #[must_use]
    pub fn allowance(&self) -> u32 {
        self.allowance.dead_letters
    }

    /// What may still pass, to be given back: none may from here on.
    pub fn take_allowance(&mut self) -> GrantShare {
        let taken = self.allowance;
        self.allowance.dead_letters = 0;
        taken
    }

    /// Whether one more would-be dead letter may call a person, unless it is allowed.
    #[must_use]
    pub fn is_near_alarm(&self) -> bool {
        self.count_dead_letters().saturating_add(1) >= TOO_MANY_DEAD_LETTERS
    }

    /// Forget what was seen: somebody has mended it.
    pub fn reset(&mut self) {
        self.recent.clear();
    }

    /// Take in one end.
    pub fn record(&mut self, class: OutcomeClass) -> MonitorVerdict {
        if matches!(class, OutcomeClass::DeadLetter(_)) && self.allowance.dead_letters > 0 {
            self.allowance.dead_letters -= 1;
            return MonitorVerdict { alarm: None, is_allowed: true };
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

    /// Whether other items succeed at present: then a failure is the record's own, and its attempt counts.
    #[must_use]
    pub fn others_succeed(&self) -> bool {
        let good = self.count(OutcomeClass::Success);
        good > 0 && good * 2 >= self.recent.len()
    }

    /// The most fetches at a time while none of the last twenty has brought a record: at the start, after a bad release, in an
    /// outage. So a person is called before more than twenty items are touched, and a dead API is not pressed.
    #[must_use]
    pub fn cautious_limit(&self) -> Option<u32> {
        (self.count(OutcomeClass::Success) == 0).then_some(CAUTIOUS_IN_FLIGHT)
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
