//! The decision case by case, and what holds for all rows.

use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::item::{Identity, Item, Params};

const TODAY: i8 = 25;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn day(number: i8) -> Day {
    Day(date(2026, 11, number))
}

fn row(number: i8, state: ClaimState, sequence: u64) -> ClaimRow {
    ClaimRow { day: day(number), state, sequence: sequence.into(), attempts: 0, abandoned: Vec::new(), resume: None }
}

fn in_flight(owner: &str, lease: i64) -> ClaimState {
    ClaimState::InFlight { owner: Owner::from(owner), lease: at(lease) }
}

fn abandoned(number: i8, owner: &str) -> Abandoned {
    Abandoned { day: day(number), owner: Owner::from(owner) }
}

/// Decide about a claim of the owner `me` for the entry 7, which arrived on a day, at 0 with a lease until 60.
fn decide(rows: &[ClaimRow], since: i8) -> ClaimDecision {
    let identity: Identity = Item::new("a".to_owned(), Params::new()).unwrap().identity(&[]).unwrap();
    let (sequence, owner) = (SequenceNumber::from(7), Owner::from("me"));
    let request = ClaimRequest {
        provider: "demo",
        identity: &identity,
        sequence: &sequence,
        today: day(TODAY),
        since: day(since),
        owner: &owner,
        now: at(0),
        lease: at(60),
    };
    decide_claim(rows, &request)
}

fn answer(rows: &[ClaimRow], since: i8) -> Claim {
    match decide(rows, since) {
        ClaimDecision::Refused(claim) => claim,
        ClaimDecision::Granted(grant) => grant.into_claim(),
    }
}

fn grant(rows: &[ClaimRow], since: i8) -> ClaimGrant {
    match decide(rows, since) {
        ClaimDecision::Granted(grant) => grant,
        ClaimDecision::Refused(claim) => panic!("{claim:?}"),
    }
}

#[test]
fn each_state_of_a_row_has_its_answer() {
    let free = Claim::Granted { attempt: 1, abandoned: Vec::new(), resume: None };
    let expired = Claim::Granted { attempt: 1, abandoned: vec![abandoned(TODAY, "other")], resume: None };
    let cases = [
        ("a record", ClaimState::Done, Claim::Done { by: 3_u64.into() }),
        ("a dead letter", ClaimState::Dead, Claim::Dead { by: 3_u64.into() }),
        ("another's claim", in_flight("other", 1), Claim::Held { until: at(1) }),
        ("another's claim that has expired", in_flight("other", 0), expired.clone()),
        ("a lease from before the clock was set back", in_flight("other", 617), expired),
        ("its own claim", in_flight("me", 50), free.clone()),
        ("a wait", ClaimState::Retry { due: at(1) }, Claim::Waiting { until: at(1) }),
        ("a wait that is over", ClaimState::Retry { due: at(0) }, free.clone()),
        ("a wait from before the clock was set back", ClaimState::Retry { due: at(25 * 3600 + 1) }, free.clone()),
    ];
    for (name, state, expected) in cases {
        assert_eq!(answer(&[row(TODAY, state, 3)], TODAY), expected, "{name}");
    }
    assert_eq!(answer(&[], TODAY), free, "no row");
}

#[test]
fn an_end_is_this_entrys_own_or_a_record_or_the_earliest() {
    let rows = |ends: &[(ClaimState, u64)]| -> Vec<ClaimRow> {
        ends.iter().zip(20..).map(|((state, sequence), number)| row(number, state.clone(), *sequence)).collect()
    };
    let (done, dead) = (ClaimState::Done, ClaimState::Dead);
    let own = rows(&[(done.clone(), 1), (dead.clone(), 7), (done.clone(), 2)]);
    assert_eq!(answer(&own, 20), Claim::Dead { by: 7_u64.into() });
    let others = rows(&[(dead.clone(), 1), (done.clone(), 2), (done, 3)]);
    assert_eq!(answer(&others, 20), Claim::Done { by: 2_u64.into() });
    assert_eq!(answer(&rows(&[(dead.clone(), 1), (dead, 2)]), 20), Claim::Dead { by: 1_u64.into() });
}

#[test]
fn expired_claims_of_earlier_days_move_into_todays_row() {
    let earlier =
        ClaimRow { attempts: 2, abandoned: vec![abandoned(22, "first")], ..row(24, in_flight("second", -5), 7) };
    let today = ClaimRow { attempts: 1, ..row(TODAY, in_flight("me", 60), 7) };
    let grant = grant(&[earlier, today], 23);
    assert_eq!((grant.attempt, &*grant.over, grant.is_written), (4, &[day(24)][..], false));
    assert_eq!(grant.abandoned, [abandoned(22, "first"), abandoned(24, "second")]);
    let claim = Claim::Granted { attempt: 4, abandoned: vec![abandoned(24, "second")], resume: None };
    assert_eq!(grant.into_claim(), claim, "a claim from before the entry's arrival is another entry's");
}

#[test]
fn a_claim_whose_answer_was_lost_is_recognised() {
    assert!(grant(&[row(TODAY, in_flight("me", 60), 7)], TODAY).is_written);
    assert!(!grant(&[row(TODAY, in_flight("me", 59), 7)], TODAY).is_written, "an earlier claim of the same owner");
    assert!(!grant(&[row(TODAY, in_flight("me", 60), 8)], TODAY).is_written, "a claim for another entry");
    assert!(!grant(&[row(TODAY, in_flight("other", 0), 7)], TODAY).is_written);
}

fn states() -> impl Strategy<Value = ClaimState> {
    let owner = prop_oneof![Just("me"), Just("one"), Just("two")];
    prop_oneof![
        (owner, -100..100_i64).prop_map(|(owner, lease)| in_flight(owner, lease)),
        (-100..100_i64).prop_map(|due| ClaimState::Retry { due: at(due) }),
        Just(ClaimState::Done),
        Just(ClaimState::Dead),
    ]
}

fn some_rows() -> impl Strategy<Value = Vec<ClaimRow>> {
    let one = (states(), 5..9_u64, 0..4_u32, any::<bool>());
    proptest::collection::vec(proptest::option::of(one), 4).prop_map(|days| {
        let row_of = |(number, found): (i8, Option<(ClaimState, u64, u32, bool)>)| {
            let (state, sequence, attempts, was_abandoned) = found?;
            let is_in_flight = matches!(state, ClaimState::InFlight { .. });
            let before = (was_abandoned && is_in_flight).then(|| abandoned(number, "before"));
            Some(ClaimRow { attempts, abandoned: before.into_iter().collect(), ..row(number, state, sequence) })
        };
        (TODAY - 3..=TODAY).zip(days).filter_map(row_of).collect()
    })
}

/// The rows after a grant was written and earlier rows were released.
fn apply(rows: &[ClaimRow], grant: &ClaimGrant) -> Vec<ClaimRow> {
    let mut after: Vec<ClaimRow> = rows.iter().filter(|row| row.day != day(TODAY)).cloned().collect();
    for row in after.iter_mut().filter(|row| grant.over.contains(&row.day)) {
        (row.state, row.abandoned) = (ClaimState::Retry { due: at(0) }, Vec::new());
    }
    let attempts = rows.iter().find(|row| row.day == day(TODAY)).map_or(0, |row| row.attempts);
    let abandoned = grant.abandoned.clone();
    after.push(ClaimRow { attempts, abandoned, ..row(TODAY, in_flight("me", 60), 7) });
    after
}

proptest! {
    #[test]
    fn a_grant_takes_nothing_that_has_ended_is_held_or_waits(rows in some_rows()) {
        let has = |is: fn(&ClaimState) -> bool| rows.iter().any(|row| is(&row.state));
        let is_ended = has(|state| matches!(state, ClaimState::Done | ClaimState::Dead));
        let is_held = has(|state| {
            matches!(state, ClaimState::InFlight { owner, lease } if owner.as_str() != "me" && *lease > at(0))
        });
        let waits = has(|state| matches!(state, ClaimState::Retry { due } if *due > at(0)));
        let claim = answer(&rows, TODAY - 3);
        let is_expected = match &claim {
            Claim::Done { .. } | Claim::Dead { .. } => is_ended,
            Claim::Held { .. } => is_held && !is_ended,
            Claim::Waiting { .. } => waits && !is_held && !is_ended,
            Claim::Granted { .. } => !is_ended && !is_held && !waits,
        };
        prop_assert!(is_expected, "{claim:?}");
    }

    /// Each owner that had the item and did not end it is listed, so that its objects are looked at.
    #[test]
    #[test]
    fn a_grant_lists_each_expired_claim_once_and_is_found_again(rows in some_rows()) {
        let ClaimDecision::Granted(grant) = decide(&rows, TODAY - 3) else { return Ok(()) };
        let mut expected = Vec::new();
        for row in &rows {
            expected.extend(row.abandoned.clone());
            if let ClaimState::InFlight { owner, .. } = &row.state && owner.as_str() != "me" {
                expected.push(Abandoned { day: row.day, owner: owner.clone() });
            }
        }
        prop_assert_eq!(&grant.abandoned, &expected);
        let attempts: u32 = rows.iter().map(|row| row.attempts).sum();
        prop_assert_eq!(grant.attempt, attempts + 1);

        let after = apply(&rows, &grant);
        let ClaimDecision::Granted(again) = decide(&after, TODAY - 3) else { panic!("its own claim is not granted") };
        prop_assert!(again.is_written, "the claim whose answer was lost");
        prop_assert_eq!(again.into_claim(), grant.into_claim(), "the same answer");
    }
}
