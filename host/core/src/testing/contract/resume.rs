//! Resume states of items that were not ready.

use super::*;
use crate::resume::{MAX_RESUME_BYTES, ResumeState};

impl LedgerClient<'_> {
    async fn release_not_ready(&self, owner: &str, ask: Ask<'_>, resume: &ResumeState, due: u64) {
        let (claimed, error) = (self.latest_claim(owner, &ask), "not ready".to_owned());
        let resume = Some(resume.clone());
        let release = Release { claimed, counted: false, not_before: at(due), error, resume };
        self.ledger.release(self.provider, &Owner::from(owner), release).await.unwrap();
    }
}

/// The longest one, of any bytes.
fn order(polls: u32) -> ResumeState {
    let bytes: Vec<u8> = (0..MAX_RESUME_BYTES).map(|byte| (byte % 251) as u8).collect();
    ResumeState { polls, bytes: bytes.into() }
}

fn granted_with(attempt: u32, resume: &ResumeState) -> Claim {
    Claim::Granted { attempt, abandoned: Vec::new(), resume: Some(resume.clone()) }
}

/// Through failures, which leave it as it is, and polls, which replace it; a release that arrives twice writes it once.
pub async fn a_resume_state_comes_back_with_each_claim(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "resume");
    assert_eq!(client.claim("a", today("x"), 0).await, granted_claim(1, &[]));
    for _ in 0..2 {
        client.release_not_ready("a", today("x"), &order(1), 5).await;
    }
    assert_eq!(client.claim("b", today("x"), 4).await, Claim::Waiting { until: at(5) });
    assert_eq!(client.claim("b", today("x"), 5).await, granted_with(1, &order(1)));
    client.release("b", today("x"), true, 6).await;
    assert_eq!(client.claim("c", today("x"), 6).await, granted_with(2, &order(1)), "the poll failed");
    let another = ResumeState { polls: 2, bytes: Default::default() };
    client.release_not_ready("c", today("x"), &another, 7).await;
    assert_eq!(client.claim("d", today("x"), 7).await, granted_with(2, &another), "replaced, and empty");
}

/// The order outlives the worker that was to poll it, and midnight.
pub async fn a_resume_state_outlives_a_crash_and_the_day(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "resume-later");
    let yesterday = || Ask { today: TODAY - 1, since: TODAY - 1, ..today("x") };
    let later = || Ask { since: TODAY - 1, ..today("x") };
    client.claim("a", yesterday(), 0).await;
    client.release_not_ready("a", yesterday(), &order(1), 0).await;
    client.claim("crashes", yesterday(), 0).await;
    let abandoned = vec![Abandoned { day: day(TODAY - 1), owner: Owner::from("crashes") }];
    let taken_over = Claim::Granted { attempt: 1, abandoned, resume: Some(order(1)) };
    assert_eq!(client.claim("b", later(), LEASE).await, taken_over);
    client.release_not_ready("b", later(), &order(2), LEASE).await;
    assert_eq!(client.claim("c", later(), LEASE).await, granted_with(1, &order(2)), "the latest");
    assert_eq!(client.finish_fetched("c", later()).await, Finished::Written);
}

/// The next order of the item is another one.
pub async fn a_resume_state_ends_with_its_item(ledger: &dyn Ledger) {
    let client = LedgerClient::new(ledger, "resume-end");
    for (id, is_dead) in [("fetched", false), ("dead", true)] {
        client.claim("a", today(id), 0).await;
        client.release_not_ready("a", today(id), &order(1), 0).await;
        client.claim("a", today(id), 1).await;
        if is_dead {
            assert_eq!(client.finish_dead("a", today(id)).await, Finished::Written);
        } else {
            assert_eq!(client.finish_fetched("a", today(id)).await, Finished::Written);
        }
        let tomorrow = || Ask { today: TODAY + 1, since: TODAY + 1, entry: "next", ..today(id) };
        assert_eq!(client.claim("b", tomorrow(), 2).await, granted_claim(1, &[]));
    }
}
