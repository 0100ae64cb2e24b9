//! The contract of every ledger. One suite runs against the memory ledger, SQLite and DynamoDB, so that none drifts.
//!
//! ```
//! use std::sync::Arc;
//! use damper_core::testing::contract::Ledgers;
//! use damper_core::testing::memory::MemoryLedger;
//!
//! async fn fresh() -> Ledgers {
//!     let ledger = Arc::new(MemoryLedger::new());
//!     Ledgers { one: ledger.clone(), other: ledger, keep: Box::new(()) }
//! }
//! damper_core::ledger_contract!(fresh); // one #[tokio::test] for each behaviour
//! ```
//!
//! Each behaviour uses a provider name of its own, so that all may share one store. Times are whole milliseconds.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use crate::day::Day;
use crate::dead_letter::{DeadLetter, Reason};
use crate::item::{Identity, Params, SequenceNumber};
use crate::ledger::{Abandoned, Claim, ClaimRequest, Claimed, Finish, Finished, Ledger, Owner, Release};

mod claims;
mod days;
mod ends;
mod parking;
mod repeats;
mod resume;
mod shared;

pub use claims::*;
pub use days::*;
pub use ends::*;
pub use parking::*;
pub use repeats::*;
pub use resume::*;
pub use shared::*;

/// Two ways into one store, as two processes have them, and what keeps the store alive.
pub struct Ledgers {
    /// The one.
    pub one: Arc<dyn Ledger>,
    /// The other; where there is only one way in, the same again.
    pub other: Arc<dyn Ledger>,
    /// For example the folder that the store lies in.
    pub keep: Box<dyn Any + Send>,
}

/// One test for each behaviour, in the module where it stands. `$fresh` is the name of an `async fn() -> Ledgers`, or
/// of one that answers `None` if there is no store here; it says so itself. With `ignore = "..."` they run only where somebody
/// asks for them.
#[macro_export]
macro_rules! ledger_contract {
    ($fresh:ident $(, ignore = $reason:literal)?) => {
        $crate::ledger_contract! { @one $fresh [$(#[ignore = $reason])?]:
            an_item_is_claimed_once
            a_claim_is_held_until_its_lease_ends
            a_clock_that_was_set_back_holds_no_item
            the_same_owner_may_claim_again
            an_expired_claim_is_granted_with_the_abandoned_owner
            abandoned_owners_accumulate_through_crashes_until_a_finish
            a_release_forgets_the_abandoned_owners
            only_counted_releases_raise_the_attempt
            a_released_item_waits_until_it_is_due
            a_crash_is_no_counted_attempt
            odd_identities_are_kept_apart
            providers_do_not_see_each_others_rows
            a_done_of_any_day_since_arrival_satisfies
            a_dead_of_any_day_since_arrival_satisfies
            an_entry_is_told_its_own_end_first
            a_live_claim_of_an_earlier_day_holds
            an_expired_claim_of_an_earlier_day_is_listed_with_its_day
            attempts_add_up_over_the_days
            an_earlier_day_keeps_the_item_waiting
            rows_before_the_arrival_do_not_matter
            what_was_abandoned_before_the_arrival_is_not_listed
            an_arrival_after_today_hides_nothing
            a_fetched_item_is_done
            a_dead_item_is_dead
            a_finish_after_a_takeover_is_fenced
            a_release_after_a_takeover_does_nothing
            a_late_release_of_an_earlier_claim_does_nothing
            a_late_finish_without_a_takeover_holds
            a_finish_may_be_repeated
            a_release_opens_no_ended_item
            some_of_a_finish_may_be_fenced
            a_dead_letter_without_a_claim_is_taken_again_and_again
            what_is_known_to_be_done_was_fetched_that_day
            a_repeated_claim_is_the_same_claim
            a_repeated_claim_of_a_later_day_is_the_same_claim
            a_repeated_finish_holds
            a_repeated_release_counts_once
            a_repeated_request_for_slots_takes_no_more
            a_resume_state_comes_back_with_each_claim
            a_resume_state_outlives_a_crash_and_the_day
            a_resume_state_ends_with_its_item
            parked_entries_come_when_they_are_due
            parking_twice_keeps_one
            parked_entries_are_forgotten_by_name_and_time
            many_large_parked_entries_are_read
            slots_never_exceed_the_cap
            slots_of_others_are_in_the_way
            slots_are_shared_with_those_who_wait
            slots_are_had_in_turns_where_there_are_too_few
            slots_in_use_are_given_to_nobody_else
            slots_run_out
            slots_of_a_clock_that_was_set_back_run_out
            slots_are_renewed
            slots_shrink_and_are_given_back
            slots_grow_when_others_have_left
            slots_of_providers_are_apart
            the_control_item_begins_with_its_default
            a_control_item_is_written_once_for_each_version
        }
        $crate::ledger_contract! { @two $fresh [$(#[ignore = $reason])?]:
            one_of_many_claimants_wins
            slots_hold_under_contention
            no_write_of_a_control_item_is_lost
            no_change_of_a_control_item_is_lost_or_doubled
            what_one_writes_the_other_reads
        }
    };
    (@one $fresh:ident $ignore:tt: $($behaviour:ident)*) => {
        $($crate::ledger_contract! { @test $fresh $ignore $behaviour(one) })*
    };
    (@two $fresh:ident $ignore:tt: $($behaviour:ident)*) => {
        $($crate::ledger_contract! { @test $fresh $ignore $behaviour(one, other) })*
    };
    (@test $fresh:ident [$(#[$ignore:meta])?] $behaviour:ident($($way:ident),*)) => {
        $(#[$ignore])?
        #[tokio::test]
        async fn $behaviour() {
            let ledgers: Option<$crate::testing::contract::Ledgers> = $fresh().await.into();
            let Some(ledgers) = ledgers else { return };
            $crate::testing::contract::$behaviour($(&*ledgers.$way),*).await;
        }
    };
}

/// A time of the tests: `seconds` after their beginning.
fn at(seconds: u64) -> Timestamp {
    "2026-11-22T10:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_secs(seconds)
}

/// The day `number` of the tests.
fn day(number: u8) -> Day {
    format!("2026-11-{number:02}").parse().unwrap()
}

const TODAY: u8 = 22;
/// How long a lease of the tests lasts, in seconds.
const LEASE: u64 = 60;

fn identity(id: &str) -> Identity {
    Identity::of(id, &Params::new(), &[]).unwrap()
}

/// A client of one provider's items in a ledger, with short names for its actions.
struct LedgerClient<'a> {
    ledger: &'a dyn Ledger,
    provider: &'a str,
    /// The lease of each owner's latest claim of an item on a day.
    leases: Mutex<BTreeMap<(String, String, u8), Timestamp>>,
}

/// The item of a claim, and its days; the rest is the same for all.
struct Ask<'a> {
    id: &'a str,
    entry: &'a str,
    since: u8,
    today: u8,
}

/// An entry of the same name as its item that arrived today.
fn today(id: &str) -> Ask<'_> {
    Ask { id, entry: id, since: TODAY, today: TODAY }
}

impl<'a> LedgerClient<'a> {
    fn new(ledger: &'a dyn Ledger, provider: &'a str) -> Self {
        Self { ledger, provider, leases: Mutex::default() }
    }

    async fn claim(&self, owner: &str, ask: Ask<'_>, seconds: u64) -> Claim {
        let request = ClaimRequest {
            provider: self.provider,
            identity: &identity(ask.id),
            sequence: &SequenceNumber::from(ask.entry),
            today: day(ask.today),
            since: day(ask.since),
            owner: &Owner::from(owner),
            now: at(seconds),
            lease: at(seconds + LEASE),
        };
        let claim = self.ledger.claim(request).await.unwrap();
        if matches!(claim, Claim::Granted { .. }) {
            let key = (owner.to_owned(), ask.id.to_owned(), ask.today);
            self.leases.lock().unwrap().insert(key, at(seconds + LEASE));
        }
        claim
    }

    async fn finish_fetched(&self, owner: &str, ask: Ask<'_>) -> Finished {
        self.finish(owner, Finish::Fetched(self.latest_claim(owner, &ask))).await
    }

    async fn finish_dead(&self, owner: &str, ask: Ask<'_>) -> Finished {
        let letter = letter(self.provider, ask.entry);
        self.finish(owner, Finish::Dead { claimed: Some(self.latest_claim(owner, &ask)), letter }).await
    }

    async fn finish(&self, owner: &str, finish: Finish) -> Finished {
        let finished = self.ledger.finish(self.provider, &Owner::from(owner), vec![finish]).await.unwrap();
        assert_eq!(finished.len(), 1, "one answer for one item");
        finished[0]
    }

    async fn release(&self, owner: &str, ask: Ask<'_>, counted: bool, due: u64) {
        self.release_claim(owner, self.latest_claim(owner, &ask), counted, due).await;
    }

    async fn release_claim(&self, owner: &str, claimed: Claimed, counted: bool, due: u64) {
        let error = "it's \"broken\"\n".to_owned();
        let release = Release { claimed, counted, not_before: at(due), error, resume: None };
        self.ledger.release(self.provider, &Owner::from(owner), release).await.unwrap();
    }

    /// An owner's latest claim; one that never was where there is none.
    fn latest_claim(&self, owner: &str, ask: &Ask<'_>) -> Claimed {
        let key = (owner.to_owned(), ask.id.to_owned(), ask.today);
        let lease = self.leases.lock().unwrap().get(&key).copied().unwrap_or_else(|| at(LEASE));
        Claimed { identity: identity(ask.id), day: day(ask.today), sequence: SequenceNumber::from(ask.entry), lease }
    }
}

fn letter(provider: &str, entry: &str) -> DeadLetter {
    DeadLetter {
        provider: provider.to_owned(),
        sequence: SequenceNumber::from(entry),
        arrived: at(0),
        died: at(1),
        payload: (&b"{\"id\":\"\xff\"}"[..]).into(),
        reason: Reason::NotFound,
        message: "no such 'record'".to_owned(),
        status: Some(404),
        attempts: 1,
        component: "sha256:00".to_owned(),
        bundle: None,
    }
}

fn granted_claim(attempt: u32, abandoned: &[(u8, &str)]) -> Claim {
    let abandoned =
        abandoned.iter().map(|(number, owner)| Abandoned { day: day(*number), owner: Owner::from(*owner) }).collect();
    Claim::Granted { attempt, abandoned, resume: None }
}

fn done_claim(by: &str) -> Claim {
    Claim::Done { by: SequenceNumber::from(by) }
}

fn dead_claim(by: &str) -> Claim {
    Claim::Dead { by: SequenceNumber::from(by) }
}
