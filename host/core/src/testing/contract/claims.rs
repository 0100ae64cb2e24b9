//! Claims within one day.

use super::*;

/// The first claim is granted, and a second is not.
pub async fn an_item_is_claimed_once(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "claimed-once");
    assert_eq!(client.claim("a", today("x"), 0).await, granted_claim(1, &[]));
    assert_eq!(client.claim("b", today("x"), 1).await, Claim::Held { until: at(LEASE) });
    assert_eq!(client.claim("b", today("y"), 1).await, granted_claim(1, &[]), "another item is free");
}

/// Held up to the last moment of the lease, and granted at its end.
pub async fn a_claim_is_held_until_its_lease_ends(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "held");
    client.claim("a", today("x"), 0).await;
    assert_eq!(client.claim("b", today("x"), LEASE - 1).await, Claim::Held { until: at(LEASE) });
    assert_eq!(client.claim("b", today("x"), LEASE).await, granted_claim(1, &[(TODAY, "a")]));
}

/// A row that was written before the clock was set back holds an item for no longer than a claim or a wait can last.
pub async fn a_clock_that_was_set_back_holds_no_item(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "set-back");
    client.claim("a", today("x"), 1_000_000).await;
    assert_eq!(client.claim("b", today("x"), 0).await, granted_claim(1, &[(TODAY, "a")]));
    client.release("b", today("x"), false, 1_000_000).await;
    assert_eq!(client.claim("c", today("x"), 1).await, granted_claim(1, &[]));
    client.release("c", today("x"), false, 80_000).await;
    assert_eq!(client.claim("d", today("x"), 1).await, Claim::Waiting { until: at(80_000) }, "as an API may ask for");
}

/// A claim may be repeated where its answer was lost, also after its lease: the caller is not listed as abandoned.
pub async fn the_same_owner_may_claim_again(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "same-owner");
    assert_eq!(client.claim("a", today("x"), 0).await, granted_claim(1, &[]));
    assert_eq!(client.claim("a", today("x"), 30).await, granted_claim(1, &[]));
    let renewed = Claim::Held { until: at(30 + LEASE) };
    assert_eq!(client.claim("b", today("x"), LEASE).await, renewed, "the second claim renewed the lease");
    assert_eq!(client.claim("a", today("x"), 30 + LEASE).await, granted_claim(1, &[]));
}

/// An owner that takes an expired claim over learns the abandoned owner, also when it claims twice.
pub async fn an_expired_claim_is_granted_with_the_abandoned_owner(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "expired");
    client.claim("a", today("x"), 0).await;
    assert_eq!(client.claim("b", today("x"), 100).await, granted_claim(1, &[(TODAY, "a")]));
    assert_eq!(client.claim("b", today("x"), 101).await, granted_claim(1, &[(TODAY, "a")]), "it has not looked yet");
}

/// No owner that may have stored the record is removed before another has finished the item.
pub async fn abandoned_owners_accumulate_through_crashes_until_a_finish(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "accumulate");
    client.claim("a", today("x"), 0).await;
    assert_eq!(client.claim("b", today("x"), 100).await, granted_claim(1, &[(TODAY, "a")]));
    assert_eq!(client.claim("c", today("x"), 200).await, granted_claim(1, &[(TODAY, "a"), (TODAY, "b")]));
    let three = [(TODAY, "a"), (TODAY, "b"), (TODAY, "c")];
    assert_eq!(client.claim("d", today("x"), 300).await, granted_claim(1, &three));
    assert_eq!(client.finish_fetched("d", today("x")).await, Finished::Written);
    assert_eq!(client.claim("e", today("x"), 400).await, done_claim("x"));
}

/// The claimant that gives the item back has looked at what those before it had stored.
pub async fn a_release_forgets_the_abandoned_owners(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "forget");
    client.claim("a", today("x"), 0).await;
    client.claim("b", today("x"), 100).await;
    client.release("b", today("x"), false, 100).await;
    assert_eq!(client.claim("c", today("x"), 101).await, granted_claim(1, &[]));
    assert_eq!(
        client.claim("d", today("x"), 200).await,
        granted_claim(1, &[(TODAY, "c")]),
        "and a new crash is listed"
    );
}

/// An attempt that an outage spoiled does not count.
pub async fn only_counted_releases_raise_the_attempt(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "counted");
    let mut attempts = Vec::new();
    for (second, counted) in [true, false, false, true, true].into_iter().enumerate() {
        let second = second as u64;
        let Claim::Granted { attempt, .. } = client.claim("a", today("x"), second).await else { panic!("not granted") };
        attempts.push(attempt);
        client.release("a", today("x"), counted, second).await;
    }
    assert_eq!(attempts, [1, 2, 2, 2, 3]);
    assert_eq!(client.claim("b", today("x"), 9).await, granted_claim(4, &[]));
}

/// Not due is not granted, to nobody.
pub async fn a_released_item_waits_until_it_is_due(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "waits");
    client.claim("a", today("x"), 0).await;
    client.release("a", today("x"), true, 30).await;
    assert_eq!(client.claim("a", today("x"), 1).await, Claim::Waiting { until: at(30) });
    assert_eq!(client.claim("b", today("x"), 29).await, Claim::Waiting { until: at(30) });
    assert_eq!(client.claim("b", today("x"), 30).await, granted_claim(2, &[]));
}

/// A crash is not counted as an attempt. Crashes can be bounded by the abandoned claims, which add up.
pub async fn a_crash_is_no_counted_attempt(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "crash");
    client.claim("a", today("x"), 0).await;
    client.release("a", today("x"), true, 0).await;
    assert_eq!(client.claim("b", today("x"), 1).await, granted_claim(2, &[]));
    assert_eq!(client.claim("c", today("x"), 100).await, granted_claim(2, &[(TODAY, "b")]));
}

/// Identities with odd characters are kept apart.
pub async fn odd_identities_are_kept_apart(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "odd");
    let (long, longer) = ("x".repeat(1_899), "x".repeat(1_900));
    let names = [
        "it's",
        "it''s",
        "\"it\"",
        "a\nb",
        "a\\nb",
        "a\tb",
        "a\0b",
        "a",
        "A",
        "a ",
        " a",
        "ä",
        "a\u{308}",
        "日本語",
        "слово",
        "🦀",
        "%",
        "_",
        "a%",
        "'; DROP TABLE ledger; --",
        "a/b",
        "a#b",
        "a|b",
        &long,
        &longer,
    ];
    for (position, name) in names.iter().enumerate() {
        let ask = Ask { entry: &position.to_string(), ..today(name) };
        assert_eq!(client.claim("a", ask, 0).await, granted_claim(1, &[]), "{name:?}");
    }
    for name in names {
        assert_eq!(client.finish_fetched("a", today(name)).await, Finished::Written, "{name:?}");
        assert_eq!(client.claim("b", today(name), 1).await, done_claim(name), "{name:?}");
    }
}

/// The same identity, owner and entry at another provider is another item.
pub async fn providers_do_not_see_each_others_rows(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "apart");
    let other = LedgerClient::new(ledger, "apart-too");
    client.claim("a", today("x"), 0).await;
    assert_eq!(other.finish_fetched("a", today("x")).await, Finished::Fenced);
    assert_eq!(other.claim("b", today("x"), 0).await, granted_claim(1, &[]));
    client.finish_fetched("a", today("x")).await;
    assert_eq!(other.claim("c", today("x"), 1).await, Claim::Held { until: at(LEASE) });
}
