//! Finishes, releases and their fences.

use super::*;

/// And says for which entry.
pub async fn a_fetched_item_is_done(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "done");
    let ask = || Ask { entry: "17", ..today("x") };
    client.claim("a", ask(), 0).await;
    assert_eq!(client.finish_fetched("a", ask()).await, Finished::Written);
    assert_eq!(client.claim("b", today("x"), 1).await, done_claim("17"));
    assert_eq!(client.claim("a", today("x"), 1_000).await, done_claim("17"), "for its owner too, and for good");
}

/// And says for which entry.
pub async fn a_dead_item_is_dead(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "dead");
    let ask = || Ask { entry: "17", ..today("x") };
    client.claim("a", ask(), 0).await;
    assert_eq!(client.finish_dead("a", ask()).await, Finished::Written);
    assert_eq!(client.claim("b", today("x"), 1_000).await, dead_claim("17"));
}

/// A fenced owner writes nothing any more, neither an end nor a letter.
pub async fn a_finish_after_a_takeover_is_fenced(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "fenced");
    assert_eq!(client.finish_fetched("a", today("x")).await, Finished::Fenced, "it never had it");
    client.claim("a", today("x"), 0).await;
    client.claim("b", today("x"), 100).await;
    assert_eq!(client.finish_fetched("a", today("x")).await, Finished::Fenced);
    assert_eq!(client.finish_dead("a", today("x")).await, Finished::Fenced);
    assert_eq!(client.claim("c", today("x"), 101).await, Claim::Held { until: at(100 + LEASE) });
    assert_eq!(client.finish_fetched("b", today("x")).await, Finished::Written);
    assert_eq!(client.finish_dead("a", today("x")).await, Finished::Fenced);
    assert_eq!(client.claim("c", today("x"), 200).await, done_claim("x"));
}

/// Nor does it give back what is another's.
pub async fn a_release_after_a_takeover_does_nothing(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "fenced-release");
    client.release("a", today("x"), true, 0).await;
    assert_eq!(client.claim("a", today("x"), 0).await, granted_claim(1, &[]), "nothing was written for nobody's item");
    client.claim("b", today("x"), 100).await;
    client.release("a", today("x"), true, 0).await;
    assert_eq!(client.claim("c", today("x"), 101).await, Claim::Held { until: at(100 + LEASE) });
    assert_eq!(client.claim("c", today("x"), 200).await, granted_claim(1, &[(TODAY, "a"), (TODAY, "b")]));
}

/// A release may be reported as failed and arrive all the same, when its owner has claimed the item again.
pub async fn a_late_release_of_an_earlier_claim_does_nothing(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "late-release");
    client.claim("a", today("x"), 0).await;
    let first = client.latest_claim("a", &today("x"));
    client.claim("a", today("x"), 5).await;
    client.release_claim("a", first, true, 0).await;
    assert_eq!(client.claim("b", today("x"), 6).await, Claim::Held { until: at(5 + LEASE) });
    client.release("a", today("x"), true, 7).await;
    assert_eq!(client.claim("b", today("x"), 7).await, granted_claim(2, &[]), "it counts once");
}

/// A lease that ran out ends nothing by itself; only another's claim does.
pub async fn a_late_finish_without_a_takeover_holds(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "late");
    client.claim("a", today("x"), 0).await;
    client.claim("a", today("y"), 0).await;
    // The ledger does not get the time of a finish: it could only be later than the lease's end.
    assert_eq!(client.claim("b", today("z"), 1_000).await, granted_claim(1, &[]));
    assert_eq!(client.finish_fetched("a", today("x")).await, Finished::Written);
    client.release("a", today("y"), false, 1_000).await;
    assert_eq!(client.claim("b", today("y"), 1_000).await, granted_claim(1, &[]), "it was given back, not abandoned");
}

/// A finish whose answer was lost is sent again, and its answer is the same.
pub async fn a_finish_may_be_repeated(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "repeated");
    client.claim("a", today("x"), 0).await;
    client.claim("a", today("y"), 0).await;
    for _ in 0..2 {
        assert_eq!(client.finish_fetched("a", today("x")).await, Finished::Written);
        assert_eq!(client.finish_dead("a", today("y")).await, Finished::Written);
    }
    assert_eq!(client.finish_dead("a", today("x")).await, Finished::Fenced, "but not another end");
    assert_eq!(client.finish_fetched("a", today("y")).await, Finished::Fenced, "but not another end");
    assert_eq!(client.claim("b", today("x"), 1).await, done_claim("x"));
    assert_eq!(client.claim("b", today("y"), 1).await, dead_claim("y"));
}

/// Ended is ended, for its owner too.
pub async fn a_release_opens_no_ended_item(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "ended");
    client.claim("a", today("x"), 0).await;
    client.finish_fetched("a", today("x")).await;
    client.release("a", today("x"), true, 0).await;
    assert_eq!(client.claim("b", today("x"), 1).await, done_claim("x"));
    client.claim("a", today("y"), 0).await;
    client.release("a", today("y"), false, 0).await;
    assert_eq!(
        client.finish_fetched("a", today("y")).await,
        Finished::Fenced,
        "what was given back is not its any more"
    );
}

/// Answers come in the order of the items, one for each, and a fenced one spoils no other.
pub async fn some_of_a_finish_may_be_fenced(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "some-fenced");
    for id in ["x", "y", "z"] {
        client.claim("a", today(id), 0).await;
    }
    client.claim("b", today("y"), 100).await;
    let items = vec![
        Finish::Fetched(client.latest_claim("a", &today("x"))),
        Finish::Fetched(client.latest_claim("a", &today("y"))),
        Finish::Dead { claimed: None, letter: letter("some-fenced", "99") },
        Finish::Dead { claimed: Some(client.latest_claim("a", &today("z"))), letter: letter("some-fenced", "z") },
    ];
    let finished = ledger.finish("some-fenced", &Owner::from("a"), items).await.unwrap();
    assert_eq!(finished, [Finished::Written, Finished::Fenced, Finished::Written, Finished::Written]);
    assert_eq!(ledger.finish("some-fenced", &Owner::from("a"), Vec::new()).await.unwrap(), []);
    assert_eq!(client.claim("c", today("z"), 101).await, dead_claim("z"));
}

/// An entry that is no item is redelivered until its batch is through; its letter is one letter.
pub async fn a_dead_letter_without_a_claim_is_taken_again_and_again(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "no-item");
    for owner in ["a", "a", "b"] {
        let finish = Finish::Dead { claimed: None, letter: letter("no-item", "5") };
        assert_eq!(client.finish(owner, finish).await, Finished::Written);
    }
    assert_eq!(client.claim("c", today("5"), 1).await, granted_claim(1, &[]), "it concerns no item of that name");
}

/// A ledger may know less than a claim would tell, but nothing else.
pub async fn what_is_known_to_be_done_was_fetched_that_day(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "known");
    let asks = || ["fetched", "dead", "claimed", "released"].map(|id| Ask { entry: "17", ..today(id) });
    for ask in asks() {
        client.claim("a", ask, 0).await;
    }
    let [fetched, dead, _, released] = asks();
    client.finish_fetched("a", fetched).await;
    client.finish_dead("a", dead).await;
    client.release("a", released, true, 0).await;
    let asked: Vec<_> = asks().iter().chain(&[today("unknown")]).map(|ask| identity(ask.id)).collect();
    for (known, by) in ledger.find_done("known", day(TODAY), &asked).await.unwrap() {
        assert_eq!((known.as_str(), &*by.0), ("fetched", "17"));
    }
    assert!(ledger.find_done("known", day(TODAY - 1), &asked).await.unwrap().is_empty());
    assert!(ledger.find_done("known", day(TODAY), &[]).await.unwrap().is_empty());
}
