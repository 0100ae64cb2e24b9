//! The brake: sees from how fetches end whether a person is needed, and whether a failure is the record's own.
//!
//! It looks at the last twenty ends. A moved path or a bad release must not empty a stream into dead letters, and an
//! outage must not spend the attempts of good records.

use std::collections::VecDeque;

use crate::dead_letter::Reason;

/// How many ends are looked at.
const WINDOW: usize = 20;
/// So many would-be dead letters among them stop the provider: half.
const TOO_MANY_DEAD: usize = WINDOW / 2;
/// So many refusals or traps in a row, with no success between, stop it.
const TOO_MANY_IN_A_ROW: usize = 3;

/// So many fetches run at a time while none succeeds: with [`TOO_MANY_DEAD`], fewer than [`WINDOW`] items are touched.
const CAUTIOUS_IN_FLIGHT: u32 = 8;

/// How a fetch ended, as far as a person would care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// A record came.
    Good,
    /// The item would be given up on, for this reason.
    WouldDie(Reason),
    /// The API refused our credential.
    Unauthorized,
    /// The component trapped.
    Trapped,
    /// The component cannot run, or lacks a secret.
    Broken,
    /// Anything that time may mend: throttled, unavailable, timed out, malformed but to be retried.
    Passing,
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
    MassDeath(Reason),
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
    pub deaths: u32,
}

/// What the brake says of one end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heard {
    /// Why a person is needed, if so.
    pub alarm: Option<Alarm>,
    /// Whether an operator has allowed this dead letter.
    pub is_allowed: bool,
}

/// The last ends of a provider's fetches.
#[derive(Debug, Clone, Default)]
pub struct Brake {
    recent: VecDeque<Sign>,
    allowed: GrantShare,
}

impl Brake {
    /// Let so many would-be dead letters pass without counting them: an operator has said that they are right. What was left of an earlier
    /// grant is void.
    pub fn allow(&mut self, share: GrantShare) {
        let left = if self.allowed.grant == share.grant { self.allowed.deaths } else { 0 };
        self.allowed = GrantShare { deaths: left.saturating_add(share.deaths), ..share };
    }

    /// How many may still pass.
    #[must_use]
    pub fn allowed(&self) -> u32 {
        self.allowed.deaths
    }

    /// What may still pass, to be given back: none may from here on.
    pub fn take_allowed(&mut self) -> GrantShare {
        let taken = self.allowed;
        self.allowed.deaths = 0;
        taken
    }

    /// Whether one more would-be dead letter may call a person, unless it is allowed.
    #[must_use]
    pub fn is_at_the_limit(&self) -> bool {
        self.deaths().saturating_add(1) >= TOO_MANY_DEAD
    }

    /// Forget what was seen: somebody has mended it.
    pub fn reset(&mut self) {
        self.recent.clear();
    }

    /// Take in one end.
    pub fn saw(&mut self, sign: Sign) -> Heard {
        if matches!(sign, Sign::WouldDie(_)) && self.allowed.deaths > 0 {
            self.allowed.deaths -= 1;
            return Heard { alarm: None, is_allowed: true };
        }
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(sign);
        let alarm = match sign {
            Sign::Broken => Some(Alarm::Broken),
            Sign::Unauthorized if self.goes_on(sign) => Some(Alarm::Unauthorized),
            Sign::Trapped if self.goes_on(sign) => Some(Alarm::Trapping),
            Sign::WouldDie(reason) if self.deaths() >= TOO_MANY_DEAD => {
                Some(Alarm::MassDeath(self.main_reason(reason)))
            }
            _ => None,
        };
        Heard { alarm, is_allowed: false }
    }

    /// Whether other items succeed at present: then a failure is the record's own, and its attempt counts.
    #[must_use]
    pub fn others_succeed(&self) -> bool {
        let good = self.count(Sign::Good);
        good > 0 && good * 2 >= self.recent.len()
    }

    /// The most fetches at a time while none of the last twenty has brought a record: at the start, after a bad release, in an
    /// outage. So a person is called before more than twenty items are touched, and a dead API is not pressed.
    #[must_use]
    pub fn caution(&self) -> Option<u32> {
        (self.count(Sign::Good) == 0).then_some(CAUTIOUS_IN_FLIGHT)
    }

    /// Either in a row without a success between, or half of all.
    fn goes_on(&self, sign: Sign) -> bool {
        let since_good = self.recent.iter().rev().take_while(|seen| **seen != Sign::Good);
        since_good.filter(|seen| **seen == sign).count() >= TOO_MANY_IN_A_ROW || self.count(sign) >= TOO_MANY_DEAD
    }

    fn deaths(&self) -> usize {
        self.recent.iter().filter(|seen| matches!(seen, Sign::WouldDie(_))).count()
    }

    /// The reason of most of the would-be dead letters; `last` where another has as many.
    fn main_reason(&self, last: Reason) -> Reason {
        let of = |reason| self.count(Sign::WouldDie(reason));
        let reasons =
            self.recent.iter().filter_map(|seen| if let Sign::WouldDie(reason) = seen { Some(*reason) } else { None });
        reasons.fold(last, |most, reason| if of(reason) > of(most) { reason } else { most })
    }

    fn count(&self, sign: Sign) -> usize {
        self.recent.iter().filter(|seen| **seen == sign).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarms(brake: &mut Brake, signs: &[Sign]) -> Vec<Option<Alarm>> {
        signs.iter().map(|sign| brake.saw(*sign).alarm).collect()
    }

    const NOT_FOUND: Sign = Sign::WouldDie(Reason::NotFound);
    const TOO_OLD: Sign = Sign::WouldDie(Reason::TooOld);

    #[test]
    fn an_expired_key_stops_the_provider_at_the_third_refusal() {
        let mut brake = Brake::default();
        assert_eq!(
            alarms(&mut brake, &[Sign::Good, Sign::Unauthorized, Sign::Unauthorized, Sign::Unauthorized]),
            [None, None, None, Some(Alarm::Unauthorized)]
        );
    }

    #[test]
    fn one_forbidden_record_among_good_ones_stops_nothing() {
        let mut brake = Brake::default();
        for _ in 0..50 {
            assert_eq!(alarms(&mut brake, &[Sign::Good, Sign::Unauthorized, Sign::Good]), [None; 3]);
        }
        assert!(brake.others_succeed());
    }

    #[test]
    fn a_moved_path_stops_the_provider_within_twenty() {
        let mut brake = Brake::default();
        let first = (1..=20).find(|_| brake.saw(NOT_FOUND).alarm.is_some());
        assert_eq!(first, Some(10));
    }

    #[test]
    fn some_unknown_records_are_no_alarm() {
        let mut brake = Brake::default();
        for _ in 0..100 {
            assert_eq!(alarms(&mut brake, &[Sign::Good, NOT_FOUND, Sign::Good]), [None; 3]);
        }
    }

    #[test]
    fn an_operator_may_let_dead_letters_pass() {
        let mut brake = Brake::default();
        brake.allow(GrantShare { grant: 1, deaths: 20 });
        brake.allow(GrantShare { grant: 1, deaths: 10 });
        assert!((0..30).all(|_| brake.saw(NOT_FOUND) == Heard { alarm: None, is_allowed: true }));
        assert_eq!(brake.allowed(), 0);
        assert!((0..9).all(|_| brake.saw(NOT_FOUND) == Heard::default()));
        assert!(brake.is_at_the_limit());
        assert_eq!(brake.saw(NOT_FOUND).alarm, Some(Alarm::MassDeath(Reason::NotFound)));
    }

    #[test]
    fn a_later_grant_ends_an_earlier_one() {
        let mut brake = Brake::default();
        brake.allow(GrantShare { grant: 1, deaths: 20 });
        brake.allow(GrantShare { grant: 2, deaths: 3 });
        assert_eq!(brake.take_allowed(), GrantShare { grant: 2, deaths: 3 });
        assert_eq!(brake.allowed(), 0);
    }

    #[test]
    fn the_alarm_names_the_reason_of_most() {
        let mut brake = Brake::default();
        let signs = [NOT_FOUND, NOT_FOUND, TOO_OLD, TOO_OLD, TOO_OLD, TOO_OLD, TOO_OLD, Sign::Good, TOO_OLD, TOO_OLD];
        assert!(alarms(&mut brake, &signs).iter().all(Option::is_none));
        assert_eq!(brake.saw(NOT_FOUND).alarm, Some(Alarm::MassDeath(Reason::TooOld)));
    }

    #[test]
    fn nothing_is_pressed_before_something_succeeds() {
        let mut brake = Brake::default();
        assert_eq!(brake.caution(), Some(CAUTIOUS_IN_FLIGHT));
        brake.saw(Sign::Good);
        assert_eq!(brake.caution(), None);
        alarms(&mut brake, &[Sign::Passing; WINDOW]);
        assert_eq!(brake.caution(), Some(CAUTIOUS_IN_FLIGHT));
    }

    #[test]
    fn in_an_outage_no_failure_is_the_records_own() {
        let mut brake = Brake::default();
        assert!(!brake.others_succeed(), "nothing is known yet");
        alarms(&mut brake, &[Sign::Good; 20]);
        assert!(brake.others_succeed());
        alarms(&mut brake, &[Sign::Passing; 11]);
        assert!(!brake.others_succeed());
    }
}
