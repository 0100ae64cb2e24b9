//! State that processes share: slots, the control item, and races.

use futures::future::join_all;

use super::*;
use crate::control::slots::TURN;
use crate::ledger::{Control, Granted, OpenedBy, ProviderStop, SlotRequest, change_control};

async fn slots(ledger: &dyn Ledger, provider: &str, owner: &str, want: u32, seconds: u64) -> u32 {
    slots_of(ledger, provider, owner, (want, 0, 5), seconds).await.slots
}

/// The same, with how many are in use, and another cap.
async fn slots_of(
    ledger: &dyn Ledger,
    provider: &str,
    owner: &str,
    (want, in_use, cap): (u32, u32, u32),
    seconds: u64,
) -> Granted {
    let owner = Owner::from(owner);
    let request = SlotRequest { owner: &owner, want, in_use, cap, now: at(seconds), until: at(seconds + LEASE) };
    ledger.slots(provider, request).await.unwrap()
}

/// The hard cap.
pub async fn slots_never_exceed_the_cap(ledger: &dyn Ledger) {
    let provider = "slots-cap";
    assert_eq!(slots(ledger, provider, "a", 3, 0).await, 3);
    assert_eq!(slots(ledger, provider, "b", 3, 0).await, 2);
    assert_eq!(slots(ledger, provider, "c", 1, 0).await, 0);
    assert_eq!(slots(ledger, provider, "d", 3, 0).await, 0);
}

/// Its own do not stand in an owner's way, the others' do.
pub async fn slots_of_others_are_in_the_way(ledger: &dyn Ledger) {
    let provider = "slots-own";
    assert_eq!(slots(ledger, provider, "a", 3, 0).await, 3);
    assert_eq!(slots(ledger, provider, "b", 1, 0).await, 1);
    assert_eq!(slots(ledger, provider, "a", 5, 0).await, 4);
}

/// An owner that renews makes room for a waiting one, until that one has left or has expired.
pub async fn slots_are_shared_with_those_who_wait(ledger: &dyn Ledger) {
    let provider = "slots-share";
    assert_eq!(slots(ledger, provider, "a", 4, 0).await, 4);
    assert_eq!(slots(ledger, provider, "b", 4, 1).await, 1);
    assert_eq!(slots(ledger, provider, "a", 4, 2).await, 2, "half of four");
    assert_eq!(slots(ledger, provider, "b", 4, 3).await, 2);
    assert_eq!(slots(ledger, provider, "a", 4, 4).await, 2);
    assert_eq!(slots(ledger, provider, "a", 4, 3 + LEASE).await, 4, "the other has gone");
}

/// With fewer slots than owners each has its turn, and the one that waited first is first.
pub async fn slots_are_had_in_turns_where_there_are_too_few(ledger: &dyn Ledger) {
    let ask =
        async |owner: &'static str, seconds: u64| slots_of(ledger, "slots-turns", owner, (1, 0, 1), seconds).await;
    let (turn, waits, has) =
        (TURN.as_secs(), Granted { slots: 0, others_wait: false }, Granted { slots: 1, others_wait: true });
    assert_eq!(ask("a", 0).await, Granted { slots: 1, others_wait: false });
    assert_eq!(ask("b", 1).await, waits);
    assert_eq!(ask("c", 2).await, Granted { others_wait: true, ..waits });
    for seconds in (10..turn).step_by(10) {
        assert_eq!(ask("a", seconds).await, has);
        assert_eq!(ask("c", seconds).await.slots + ask("b", seconds).await.slots, 0);
    }
    assert_eq!(ask("a", turn).await.slots, 0, "its turn is over");
    assert_eq!(ask("c", turn).await.slots, 0, "another one was here before");
    assert_eq!(ask("b", turn).await, has);
    for seconds in (turn + 10..2 * turn).step_by(10) {
        assert_eq!(ask("a", seconds).await.slots + ask("c", seconds).await.slots, 0);
    }
    assert_eq!(ask("b", 2 * turn).await.slots, 0);
    assert_eq!(ask("a", 2 * turn).await.slots + ask("b", 2 * turn).await.slots, 0);
    assert_eq!(ask("c", 2 * turn).await, has);
}

/// A slot that may have a request in flight is not granted to another before that request has ended.
pub async fn slots_in_use_are_given_to_nobody_else(ledger: &dyn Ledger) {
    let provider = "slots-in-use";
    assert_eq!(slots(ledger, provider, "a", 4, 0).await, 4);
    assert_eq!(slots(ledger, provider, "b", 4, 1).await, 1);
    assert_eq!(slots_of(ledger, provider, "a", (4, 3, 5), 2).await, Granted { slots: 2, others_wait: true });
    assert_eq!(slots(ledger, provider, "b", 4, 3).await, 2, "of five, and three are in use");
    assert_eq!(slots_of(ledger, provider, "c", (4, 0, 5), 3).await, Granted { slots: 0, others_wait: true });
    assert_eq!(slots_of(ledger, provider, "a", (1, 1, 5), 4).await.slots, 1);
    assert_eq!(slots(ledger, provider, "c", 4, 4).await, 1);
}

/// A slot that is not renewed is free from the end of its time.
pub async fn slots_run_out(ledger: &dyn Ledger) {
    let provider = "slots-expire";
    assert_eq!(slots(ledger, provider, "a", 5, 0).await, 5);
    assert_eq!(slots(ledger, provider, "b", 5, LEASE - 1).await, 0);
    assert_eq!(slots(ledger, provider, "b", 5, LEASE).await, 5);
    assert_eq!(slots(ledger, provider, "a", 1, LEASE).await, 0, "the old owner has none left");
}

/// Slots that were written before the clock was set back count for as long as slots can count, and no longer.
pub async fn slots_of_a_clock_that_was_set_back_run_out(ledger: &dyn Ledger) {
    let (provider, longest) = ("slots-back", crate::ledger::LONGEST_SLOT.as_secs());
    assert_eq!(slots(ledger, provider, "a", 5, 1_000_000).await, 5);
    assert_eq!(slots(ledger, provider, "b", 5, 0).await, 0, "requests may be in flight");
    assert_eq!(slots(ledger, provider, "b", 5, LEASE + longest - 1).await, 0);
    assert_eq!(slots(ledger, provider, "b", 5, LEASE + longest).await, 5);
}

/// Slots that are renewed are kept.
pub async fn slots_are_renewed(ledger: &dyn Ledger) {
    let provider = "slots-renew";
    assert_eq!(slots(ledger, provider, "a", 4, 0).await, 4);
    assert_eq!(slots(ledger, provider, "a", 4, 30).await, 4);
    assert_eq!(slots(ledger, provider, "b", 4, LEASE).await, 1);
}

/// Fewer, then none.
pub async fn slots_shrink_and_are_given_back(ledger: &dyn Ledger) {
    let provider = "slots-shrink";
    assert_eq!(slots(ledger, provider, "a", 5, 0).await, 5);
    assert_eq!(slots(ledger, provider, "a", 2, 1).await, 2);
    assert_eq!(slots(ledger, provider, "b", 5, 1).await, 3);
    assert_eq!(slots(ledger, provider, "a", 0, 2).await, 0);
    assert_eq!(slots(ledger, provider, "a", 0, 2).await, 0, "twice does no harm");
    assert_eq!(slots(ledger, provider, "c", 5, 2).await, 2);
}

/// An owner that wanted more gets more when it is free.
pub async fn slots_grow_when_others_have_left(ledger: &dyn Ledger) {
    let provider = "slots-grow";
    assert_eq!(slots(ledger, provider, "a", 4, 0).await, 4);
    assert_eq!(slots(ledger, provider, "b", 5, 0).await, 1);
    slots(ledger, provider, "a", 0, 1).await;
    assert_eq!(slots(ledger, provider, "b", 5, 1).await, 5);
}

/// One provider's cap is no other's.
pub async fn slots_of_providers_are_apart(ledger: &dyn Ledger) {
    assert_eq!(slots(ledger, "slots-one", "a", 5, 0).await, 5);
    assert_eq!(slots(ledger, "slots-two", "a", 5, 0).await, 5);
    slots(ledger, "slots-one", "a", 0, 0).await;
    assert_eq!(slots(ledger, "slots-two", "b", 5, 0).await, 0);
}

/// A provider without a control item yet.
pub async fn the_control_item_begins_with_its_default(ledger: &dyn Ledger) {
    assert_eq!(ledger.control("control-new").await.unwrap(), Control::default());
}

/// Of two who read the same version one writes; what is read back is what was written, a version later.
pub async fn a_control_item_is_written_once_for_each_version(ledger: &dyn Ledger) {
    let provider = "control-once";
    let open = ProviderStop::Open { since: at(1), by: OpenedBy::Config, reason: "the key's \"expired\"\n".to_owned() };
    let first = Control { version: 0, breaker: open.clone(), dead_letters_allowed: 7, ..Control::default() };
    assert!(ledger.update_control(provider, &first).await.unwrap());
    assert!(!ledger.update_control(provider, &Control::default()).await.unwrap(), "version 0 is past");
    let read = ledger.control(provider).await.unwrap();
    assert_eq!(read, Control { version: 1, ..first.clone() });
    assert!(!ledger.update_control(provider, &Control { version: 2, ..read.clone() }).await.unwrap(), "nor to come");
    assert!(ledger.update_control(provider, &Control { breaker: ProviderStop::Closed, ..read }).await.unwrap());
    let read = ledger.control(provider).await.unwrap();
    assert_eq!((read.version, read.breaker), (2, ProviderStop::Closed));
    assert_eq!(ledger.control("control-other").await.unwrap(), Control::default());
}

/// However many ask at once, by whichever way in.
pub async fn one_of_many_claimants_wins(one: &dyn Ledger, other: &dyn Ledger) {
    for item in 0..8 {
        let id = item.to_string();
        let claims = join_all((0..16_usize).map(|number| {
            let (id, ledger) = (id.clone(), if number % 2 == 0 { one } else { other });
            async move {
                let client = LedgerClient::new(ledger, "race");
                client.claim(&format!("owner-{number}"), today(&id), 0).await
            }
        }))
        .await;
        let winners = claims.iter().filter(|claim| **claim == granted_claim(1, &[])).count();
        let held = claims.iter().filter(|claim| **claim == Claim::Held { until: at(LEASE) }).count();
        assert_eq!((winners, held), (1, 15), "{claims:?}");
    }
}

/// Never above the cap, not even for a moment: what all were granted at once is what they have at once.
pub async fn slots_hold_under_contention(one: &dyn Ledger, other: &dyn Ledger) {
    let granted = join_all((0..12_usize).map(|number| {
        let ledger = if number % 2 == 0 { one } else { other };
        async move { slots(ledger, "slots-race", &format!("owner-{number}"), 2, 0).await }
    }))
    .await;
    assert_eq!(granted.iter().sum::<u32>(), 5, "{granted:?}");
}

/// Each of many read-and-write rounds is in the end there.
pub async fn no_write_of_a_control_item_is_lost(one: &dyn Ledger, other: &dyn Ledger) {
    join_all((0..6_usize).map(|number| {
        let ledger = if number % 2 == 0 { one } else { other };
        async move {
            loop {
                let read = ledger.control("control-race").await.unwrap();
                let next = Control { dead_letters_allowed: read.dead_letters_allowed + 1, ..read };
                if ledger.update_control("control-race", &next).await.unwrap() {
                    return;
                }
            }
        }
    }))
    .await;
    let last = one.control("control-race").await.unwrap();
    assert_eq!((last.version, last.dead_letters_allowed), (6, 6));
}

/// Nor is any change: not where its writer heard nothing, and not twice.
pub async fn no_change_of_a_control_item_is_lost_or_doubled(one: &dyn Ledger, other: &dyn Ledger) {
    let grant_one = |control: &mut Control| {
        control.dead_letters_allowed += 1;
        true
    };
    join_all((0..6_usize).map(|number| {
        let ledger = if number % 2 == 0 { one } else { other };
        async move { change_control(ledger, "control-changes", grant_one).await.unwrap() }
    }))
    .await;
    let last = one.control("control-changes").await.unwrap();
    assert_eq!((last.version, last.dead_letters_allowed), (6, 6));
}

/// At once, and not after a while.
pub async fn what_one_writes_the_other_reads(one: &dyn Ledger, other: &dyn Ledger) {
    let (here, there) = (LedgerClient::new(one, "two-ways"), LedgerClient::new(other, "two-ways"));
    here.claim("a", today("x"), 0).await;
    assert_eq!(there.claim("b", today("x"), 1).await, Claim::Held { until: at(LEASE) });
    assert_eq!(here.finish_fetched("a", today("x")).await, Finished::Written);
    assert_eq!(there.claim("b", today("x"), 1).await, done_claim("x"));
    assert!(one.update_control("two-ways", &Control { dead_letters_allowed: 1, ..Control::default() }).await.unwrap());
    assert_eq!(other.control("two-ways").await.unwrap().dead_letters_allowed, 1);
}
