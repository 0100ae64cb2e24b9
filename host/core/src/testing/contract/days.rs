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
    let desk = Desk::new(ledger, "done-earlier");
    desk.claim("a", on(BEFORE), 0).await;
    desk.fetched("a", on(BEFORE)).await;
    assert_eq!(desk.claim("b", since(BEFORE), 1).await, done("x"));
    assert_eq!(desk.claim("b", Ask { entry: "y", ..since(BEFORE) }, 1).await, done("x"));
}

/// Nor is an item that was given up on tried again.
pub async fn a_dead_of_any_day_since_arrival_satisfies(ledger: &dyn Ledger) {
    let desk = Desk::new(ledger, "dead-earlier");
    desk.claim("a", on(BEFORE), 0).await;
    desk.dead("a", on(BEFORE)).await;
    assert_eq!(desk.claim("b", Ask { entry: "y", ..since(BEFORE) }, 1).await, given_up("x"));
    // Given up on for one entry, fetched for another a day later: the record satisfies.
    let later = Ask { entry: "z", ..since(YESTERDAY) };
    assert_eq!(desk.claim("b", later, 1).await, granted(1, &[]));
    desk.fetched("b", Ask { entry: "z", ..since(YESTERDAY) }).await;
    assert_eq!(desk.claim("c", Ask { entry: "y", ..since(BEFORE) }, 2).await, done("z"));
}

/// A redelivered entry hears what became of itself, not of a later entry: its end is not counted for another.
pub async fn an_entry_is_told_its_own_end_first(ledger: &dyn Ledger) {
    let desk = Desk::new(ledger, "own-end");
    desk.claim("a", on(BEFORE), 0).await;
    desk.dead("a", on(BEFORE)).await;
    for (day, entry) in [(YESTERDAY, "y"), (TODAY, "z")] {
        let ask = || Ask { id: "x", entry, since: day, today: day };
        assert_eq!(desk.claim("b", ask(), 1).await, granted(1, &[]));
        desk.fetched("b", ask()).await;
    }
    assert_eq!(desk.claim("c", since(BEFORE), 2).await, given_up("x"));
    assert_eq!(desk.claim("c", Ask { entry: "z", ..since(BEFORE) }, 2).await, done("z"));
    assert_eq!(desk.claim("c", Ask { entry: "other", ..since(BEFORE) }, 2).await, done("y"), "else the earliest");
}

/// A fetch that began before midnight is not begun again after it.
pub async fn a_live_claim_of_an_earlier_day_holds(ledger: &dyn Ledger) {
    let desk = Desk::new(ledger, "held-earlier");
    desk.claim("a", on(YESTERDAY), 0).await;
    assert_eq!(desk.claim("b", since(YESTERDAY), 1).await, Claim::Held { until: at(LEASE) });
    assert_eq!(desk.claim("b", since(TODAY), 1).await, granted(1, &[]), "it does not hold what arrived today");
}

/// The sink's folder of an abandoned owner is named by the day of its claim. Once listed, it is no claim any more.
pub async fn an_expired_claim_of_an_earlier_day_is_listed_with_its_day(ledger: &dyn Ledger) {
    let desk = Desk::new(ledger, "expired-earlier");
    desk.claim("a", on(BEFORE), 0).await;
    let yesterday = Ask { since: BEFORE, ..on(YESTERDAY) };
    assert_eq!(desk.claim("b", yesterday, 100).await, granted(1, &[(BEFORE, "a")]));
    assert_eq!(desk.fetched("a", on(BEFORE)).await, Finished::Fenced, "the earlier claim is over");
    let both = [(BEFORE, "a"), (YESTERDAY, "b")];
    assert_eq!(desk.claim("c", since(BEFORE), 200).await, granted(1, &both));
    assert_eq!(desk.claim("d", since(BEFORE), 300).await, granted(1, &[both[0], both[1], (TODAY, "c")]));
    desk.release("d", since(BEFORE), false, 300).await;
    assert_eq!(desk.claim("e", since(BEFORE), 301).await, granted(1, &[]), "somebody has looked");
}

/// An item cannot be tried for ever by trying it every day.
pub async fn attempts_add_up_over_the_days(ledger: &dyn Ledger) {
    let desk = Desk::new(ledger, "attempts-earlier");
    for (second, day) in [BEFORE, BEFORE, YESTERDAY].into_iter().enumerate() {
        let ask = || Ask { since: BEFORE, ..on(day) };
        desk.claim("a", ask(), second as u64).await;
        desk.release("a", ask(), true, second as u64).await;
    }
    assert_eq!(desk.claim("b", since(BEFORE), 9).await, granted(4, &[]));
    desk.release("b", since(BEFORE), true, 9).await;
    assert_eq!(desk.claim("b", since(BEFORE), 10).await, granted(5, &[]));
}

/// Midnight shortens no time to wait.
pub async fn an_earlier_day_keeps_the_item_waiting(ledger: &dyn Ledger) {
    let desk = Desk::new(ledger, "waits-earlier");
    desk.claim("a", on(YESTERDAY), 0).await;
    desk.release("a", on(YESTERDAY), true, 30).await;
    assert_eq!(desk.claim("b", since(YESTERDAY), 1).await, Claim::Waiting { until: at(30) });
    assert_eq!(desk.claim("b", since(YESTERDAY), 30).await, granted(2, &[]));
}

/// A record that was fetched yesterday does not satisfy an entry that arrived today.
pub async fn rows_before_the_arrival_do_not_matter(ledger: &dyn Ledger) {
    let desk = Desk::new(ledger, "before-arrival");
    desk.claim("a", on(BEFORE), 0).await;
    desk.fetched("a", on(BEFORE)).await;
    desk.claim("a", on(YESTERDAY), 0).await;
    desk.release("a", on(YESTERDAY), true, 1_000).await;
    assert_eq!(desk.claim("b", since(TODAY), 1).await, granted(1, &[]));
}

/// What an owner stored before the entry arrived does not satisfy it, and so it is not named.
pub async fn what_was_abandoned_before_the_arrival_is_not_listed(ledger: &dyn Ledger) {
    let desk = Desk::new(ledger, "abandoned-earlier");
    desk.claim("a", on(YESTERDAY), 0).await;
    assert_eq!(desk.claim("b", since(YESTERDAY), 100).await, granted(1, &[(YESTERDAY, "a")]));
    let new = Ask { entry: "y", ..since(TODAY) };
    assert_eq!(desk.claim("c", new, 200).await, granted(1, &[(TODAY, "b")]));
    let all = [(YESTERDAY, "a"), (TODAY, "b"), (TODAY, "c")];
    assert_eq!(desk.claim("d", since(YESTERDAY), 300).await, granted(1, &all), "the older entry still needs it");
}

/// A clock that went back a day must not have anything fetched twice.
pub async fn an_arrival_after_today_hides_nothing(ledger: &dyn Ledger) {
    let desk = Desk::new(ledger, "clock-back");
    desk.claim("a", today("x"), 0).await;
    desk.fetched("a", today("x")).await;
    assert_eq!(desk.claim("b", since(TODAY + 1), 1).await, done("x"));
}
