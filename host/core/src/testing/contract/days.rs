//! Claims that look at several days: the entry arrived on an earlier one.

use super::*;

const YESTERDAY: u8 = TODAY - 1;
const BEFORE: u8 = TODAY - 2;

/// The entry `x` arrived on `since` and is claimed today.
fn since(since: u8) -> Ask<'static> {
    Ask { since, ..today("x") }
}

/// The item as it was asked for on an earlier day.
fn on(day: u8) -> Ask<'static> {
    Ask { id: "x", entry: "x", since: day, today: day }
}

/// A redelivery after midnight fetches nothing again.
pub async fn a_done_of_any_day_since_arrival_satisfies(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "done-earlier");
    client.claim("a", on(BEFORE), 0).await;
    client.finish_fetched("a", on(BEFORE)).await;
    assert_eq!(client.claim("b", since(BEFORE), 1).await, done_claim("x"));
    assert_eq!(client.claim("b", Ask { entry: "y", ..since(BEFORE) }, 1).await, done_claim("x"));
}

/// Nor is an item that was given up on tried again.
pub async fn a_dead_of_any_day_since_arrival_satisfies(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "dead-earlier");
    client.claim("a", on(BEFORE), 0).await;
    client.finish_dead("a", on(BEFORE)).await;
    assert_eq!(client.claim("b", Ask { entry: "y", ..since(BEFORE) }, 1).await, dead_claim("x"));
    // Given up on for one entry, fetched for another a day later: the record satisfies.
    let later = Ask { entry: "z", ..since(YESTERDAY) };
    assert_eq!(client.claim("b", later, 1).await, granted_claim(1, &[]));
    client.finish_fetched("b", Ask { entry: "z", ..since(YESTERDAY) }).await;
    assert_eq!(client.claim("c", Ask { entry: "y", ..since(BEFORE) }, 2).await, done_claim("z"));
}

/// A redelivered entry hears what became of itself, not of a later entry: its end is not counted for another.
pub async fn an_entry_is_told_its_own_end_first(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "own-end");
    client.claim("a", on(BEFORE), 0).await;
    client.finish_dead("a", on(BEFORE)).await;
    for (day, entry) in [(YESTERDAY, "y"), (TODAY, "z")] {
        let ask = || Ask { id: "x", entry, since: day, today: day };
        assert_eq!(client.claim("b", ask(), 1).await, granted_claim(1, &[]));
        client.finish_fetched("b", ask()).await;
    }
    assert_eq!(client.claim("c", since(BEFORE), 2).await, dead_claim("x"));
    assert_eq!(client.claim("c", Ask { entry: "z", ..since(BEFORE) }, 2).await, done_claim("z"));
    assert_eq!(
        client.claim("c", Ask { entry: "other", ..since(BEFORE) }, 2).await,
        done_claim("y"),
        "else the earliest"
    );
}

/// A fetch that began before midnight is not begun again after it.
pub async fn a_live_claim_of_an_earlier_day_holds(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "held-earlier");
    client.claim("a", on(YESTERDAY), 0).await;
    assert_eq!(client.claim("b", since(YESTERDAY), 1).await, Claim::Held { until: at(LEASE) });
    assert_eq!(client.claim("b", since(TODAY), 1).await, granted_claim(1, &[]), "it does not hold what arrived today");
}

/// The sink's folder of an abandoned owner is named by the day of its claim. Once listed, it is no claim any more.
pub async fn an_expired_claim_of_an_earlier_day_is_listed_with_its_day(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "expired-earlier");
    client.claim("a", on(BEFORE), 0).await;
    let yesterday = Ask { since: BEFORE, ..on(YESTERDAY) };
    assert_eq!(client.claim("b", yesterday, 100).await, granted_claim(1, &[(BEFORE, "a")]));
    assert_eq!(client.finish_fetched("a", on(BEFORE)).await, Finished::Fenced, "the earlier claim is over");
    let both = [(BEFORE, "a"), (YESTERDAY, "b")];
    assert_eq!(client.claim("c", since(BEFORE), 200).await, granted_claim(1, &both));
    assert_eq!(client.claim("d", since(BEFORE), 300).await, granted_claim(1, &[both[0], both[1], (TODAY, "c")]));
    client.release("d", since(BEFORE), false, 300).await;
    assert_eq!(client.claim("e", since(BEFORE), 301).await, granted_claim(1, &[]), "somebody has looked");
}

/// An item cannot be tried for ever by trying it every day.
pub async fn attempts_add_up_over_the_days(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "attempts-earlier");
    for (second, day) in [BEFORE, BEFORE, YESTERDAY].into_iter().enumerate() {
        let ask = || Ask { since: BEFORE, ..on(day) };
        client.claim("a", ask(), second as u64).await;
        client.release("a", ask(), true, second as u64).await;
    }
    assert_eq!(client.claim("b", since(BEFORE), 9).await, granted_claim(4, &[]));
    client.release("b", since(BEFORE), true, 9).await;
    assert_eq!(client.claim("b", since(BEFORE), 10).await, granted_claim(5, &[]));
}

/// Midnight shortens no time to wait.
pub async fn an_earlier_day_keeps_the_item_waiting(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "waits-earlier");
    client.claim("a", on(YESTERDAY), 0).await;
    client.release("a", on(YESTERDAY), true, 30).await;
    assert_eq!(client.claim("b", since(YESTERDAY), 1).await, Claim::Waiting { until: at(30) });
    assert_eq!(client.claim("b", since(YESTERDAY), 30).await, granted_claim(2, &[]));
}

/// A record that was fetched yesterday does not satisfy an entry that arrived today.
pub async fn rows_before_the_arrival_do_not_matter(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "before-arrival");
    client.claim("a", on(BEFORE), 0).await;
    client.finish_fetched("a", on(BEFORE)).await;
    client.claim("a", on(YESTERDAY), 0).await;
    client.release("a", on(YESTERDAY), true, 1_000).await;
    assert_eq!(client.claim("b", since(TODAY), 1).await, granted_claim(1, &[]));
}

/// Objects that an owner stored before the entry arrived do not satisfy it; therefore the owner is not listed.
pub async fn what_was_abandoned_before_the_arrival_is_not_listed(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "abandoned-earlier");
    client.claim("a", on(YESTERDAY), 0).await;
    assert_eq!(client.claim("b", since(YESTERDAY), 100).await, granted_claim(1, &[(YESTERDAY, "a")]));
    let new = Ask { entry: "y", ..since(TODAY) };
    assert_eq!(client.claim("c", new, 200).await, granted_claim(1, &[(TODAY, "b")]));
    let all = [(YESTERDAY, "a"), (TODAY, "b"), (TODAY, "c")];
    assert_eq!(
        client.claim("d", since(YESTERDAY), 300).await,
        granted_claim(1, &all),
        "the older entry still needs it"
    );
}

/// A clock that went back a day must not have anything fetched twice.
pub async fn an_arrival_after_today_hides_nothing(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "clock-back");
    client.claim("a", today("x"), 0).await;
    client.finish_fetched("a", today("x")).await;
    assert_eq!(client.claim("b", since(TODAY + 1), 1).await, done_claim("x"));
}
