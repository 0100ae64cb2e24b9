//! An API that fails for some of the requests all the time: good items outlast it, and an item that always fails does
//! not.

use std::time::Duration;

use tokio::time::Instant;

use crate::dead_letter::Reason;
use crate::item::{Identity, Params, SequenceNumber};
use crate::ledger::{Claim, ClaimRequest, Claimed, Ledger, Owner, Release};
use crate::pipeline::report::End;
use crate::pipeline::tests::{Fixture, MANIFEST, fails, fixture_of, many};
use crate::record::FailureKind;
use crate::testing::scripted::Answer;

const SPREAD: Duration = Duration::from_secs(3_600);

/// Whether chance fails the n-th request for an id: as often as `share` says, and the same each time (SplitMix).
fn chance_fails(seed: u64, id: &str, before: u32, share: f64) -> bool {
    let mut bits = id.bytes().fold(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), |bits, byte| {
        (bits ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    bits = bits.wrapping_add(u64::from(before).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (((bits ^ (bits >> 31)) >> 11) as f64) < share * (1_u64 << 53) as f64
}

fn fixture(spread: &str, share: f64, seed: u64) -> Fixture {
    let manifest = MANIFEST
        .replace("spread = \"0s\"", &format!("spread = \"{spread}\""))
        .replace("max_concurrency = 4", "max_concurrency = 16");
    fixture_of(&manifest, move |request, before| match request.id.as_str() {
        "poison" => fails(FailureKind::Unavailable),
        id if chance_fails(seed, id, before, share) => fails(FailureKind::Unavailable).after(Duration::from_millis(20)),
        id => Answer::record(id).after(Duration::from_millis(100)),
    })
}

#[tokio::test(start_paused = true)]
async fn no_good_item_dies_while_half_of_all_requests_fail() {
    for seed in 1..=6 {
        for (spread, share) in [("1h", 0.5), ("2s", 0.5), ("1h", 0.2), ("2s", 0.2)] {
            let fixture = fixture(spread, share, seed);
            let ids = many("i", 500);
            let dead = fixture.deliver((0..).zip(&ids).map(|(number, id)| fixture.entry(number, id)).collect()).await;
            assert_eq!(dead, 0, "seed {seed}, spread {spread}, {share} fail");
            assert_eq!(fixture.stored_ids().await, ids);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_always_fails_dies_after_the_spread_and_a_bounded_number_of_requests() {
    for (share, least, most) in [(0.0, 18, 20), (0.3, 18, 18 + 60)] {
        let fixture = fixture("1h", share, 1);
        let begin = Instant::now();
        let mut number = 1;
        while fixture.ledger.letters("demo").is_empty() {
            assert!(begin.elapsed() < 3 * SPREAD, "it never dies");
            let mut entries = vec![fixture.entry(0, "poison")];
            entries.extend((number..number + 40).map(|number| fixture.entry(number, &format!("good-{number}"))));
            number += 40;
            fixture.process_entries(entries).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        let letter = fixture.ledger.letters("demo").pop().unwrap();
        assert_eq!((letter.reason, letter.attempts), (Reason::AttemptsSpent, 3));
        assert!(begin.elapsed() >= SPREAD, "{:?}", begin.elapsed());
        let asked = fixture.api.call_log().asked["poison"];
        // Six tries an attempt, and some that count for nothing: before anything has succeeded, and where others fail
        // so often that it looks like an outage.
        assert!((least..=most).contains(&asked), "{asked} requests with {share} of the others failing");
    }
}

/// Somebody else who asks for the same record on the next day has spent the last attempt: it was not the entry's own.
#[tokio::test(start_paused = true)]
async fn attempts_that_others_have_spent_do_not_end_an_item_untried() {
    let fixture = fixture("1h", 0.0, 1);
    let entry = fixture.entry(0, "good");
    for second in 0..3 {
        let owner = Owner::unique(fixture.clock.now());
        let (identity, now) = (Identity::of("good", &Params::new(), &[]).unwrap(), fixture.clock.now());
        let claim = ClaimRequest {
            provider: "demo",
            identity: &identity,
            sequence: &SequenceNumber::from("ad-hoc"),
            today: fixture.pipeline.today(),
            since: fixture.pipeline.today(),
            owner: &owner,
            now,
            lease: now + SPREAD,
        };
        let granted = fixture.ledger.claim(claim).await.unwrap();
        assert!(matches!(granted, Claim::Granted { attempt, .. } if attempt == second + 1));
        let claimed = Claimed {
            identity,
            day: fixture.pipeline.today(),
            sequence: SequenceNumber::from("ad-hoc"),
            lease: now + SPREAD,
        };
        let release =
            Release { claimed, counted: true, not_before: now, error: "unavailable".to_owned(), resume: None };
        fixture.ledger.release("demo", &owner, release).await.unwrap();
    }
    assert_eq!(fixture.process_entries(vec![entry]).await.ended, [(0.into(), End::Fetched)]);
    assert_eq!(fixture.stored_ids().await, ["good"]);
}
