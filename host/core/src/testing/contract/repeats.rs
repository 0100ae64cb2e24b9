//! Requests that arrive twice in a row because the answer of the first one was lost: the second gets the same answer,
//! and changes nothing more.

use super::*;
use crate::ledger::SlotRequest;

/// Neither of a new item, nor of one that was tried before, nor of one that is taken over.
pub async fn a_repeated_claim_is_the_same_claim(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "claim-twice");
    for expected in 1..4 {
        let second = u64::from(expected);
        for _ in 0..2 {
            assert_eq!(client.claim("a", today("x"), second).await, granted_claim(expected, &[]));
        }
        client.release("a", today("x"), true, second).await;
    }
    client.claim("a", today("y"), 0).await;
    for _ in 0..2 {
        assert_eq!(client.claim("b", today("y"), LEASE).await, granted_claim(1, &[(TODAY, "a")]));
    }
    assert_eq!(client.finish_fetched("b", today("y")).await, Finished::Written);
}

/// Nor where the claim of an earlier day is over, which writes two rows.
pub async fn a_repeated_claim_of_a_later_day_is_the_same_claim(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "claim-twice-later");
    let yesterday = || Ask { today: TODAY - 1, since: TODAY - 1, ..today("x") };
    let later = || Ask { since: TODAY - 1, ..today("x") };
    client.claim("a", yesterday(), 0).await;
    client.release("a", yesterday(), true, 0).await;
    client.claim("a", yesterday(), 0).await;
    for _ in 0..2 {
        assert_eq!(client.claim("b", later(), LEASE).await, granted_claim(2, &[(TODAY - 1, "a")]));
    }
    assert_eq!(client.finish_fetched("a", yesterday()).await, Finished::Fenced);
    client.release("b", later(), true, LEASE).await;
    assert_eq!(client.claim("c", later(), LEASE).await, granted_claim(3, &[]));
}

/// Also where others have asked for the item in between.
pub async fn a_repeated_finish_holds(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "finish-twice");
    client.claim("a", today("x"), 0).await;
    client.claim("a", today("y"), 0).await;
    assert_eq!(client.finish_fetched("a", today("x")).await, Finished::Written);
    assert_eq!(client.finish_dead("a", today("y")).await, Finished::Written);
    assert_eq!(client.claim("b", today("x"), 2 * LEASE).await, done_claim("x"));
    assert_eq!(client.claim("b", today("y"), 2 * LEASE).await, dead_claim("y"));
    assert_eq!(client.finish_fetched("a", today("x")).await, Finished::Written);
    assert_eq!(client.finish_dead("a", today("y")).await, Finished::Written);
}

/// Its attempt counts once, and it does not take away a later claim of another owner.
pub async fn a_repeated_release_counts_once(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "release-twice");
    client.claim("a", today("x"), 0).await;
    for _ in 0..2 {
        client.release("a", today("x"), true, 0).await;
    }
    assert_eq!(client.claim("b", today("x"), 0).await, granted_claim(2, &[]));
    client.release("a", today("x"), true, 0).await;
    assert_eq!(client.claim("c", today("x"), 1).await, Claim::Held { until: at(LEASE) });
}

/// An owner that asks twice has no more than one that asks once, and leaves no less to the others.
pub async fn a_repeated_request_for_slots_takes_no_more(ledger: &dyn Ledger) {
    let slots = async |owner: &str, want: u32| {
        let owner = Owner::from(owner);
        let request = SlotRequest { owner: &owner, want, in_use: 0, cap: 5, now: at(0), until: at(LEASE) };
        let first = ledger.slots("slots-twice", request.clone()).await.unwrap();
        let second = ledger.slots("slots-twice", request).await.unwrap();
        assert_eq!(first, second, "{owner} wants {want}");
        second.slots
    };
    assert_eq!(slots("a", 4).await, 4);
    assert_eq!(slots("b", 4).await, 1);
    assert_eq!(slots("a", 4).await, 2, "makes room for who waits, once");
    assert_eq!(slots("b", 4).await, 2);
    assert_eq!(slots("a", 0).await, 0);
    assert_eq!(slots("b", 4).await, 4);
    assert_eq!(slots("c", 5).await, 1);
}
