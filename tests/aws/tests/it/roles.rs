//! Which rows and objects the functions' roles reach: everything that the host does for a provider is tried with the
//! rights of a role. The keys and names are the host's own, from its ledger and its sink.

use std::fmt::Display;

use bytes::Bytes;
use damper_core::day::Day;
use damper_core::item::{Entry, Identity, Params, SequenceNumber};
use damper_core::ledger::{Claim, ClaimRequest, Claimed, Ledger, Owner, Parked, Release, SlotRequest};
use damper_core::sink::{create, object_path, owner_folder};
use futures::TryStreamExt;
use jiff::{Timestamp, ToSpan};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::deployed::{Deployed, Intruder};

/// The attempts, each with its refusal.
type Tried = Vec<(&'static str, Result<(), String>)>;

fn outcome<T, E: Display>(result: Result<T, E>) -> Result<(), String> {
    result.map(drop).map_err(|error| error.to_string())
}

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn today() -> Day {
    "2026-11-22".parse().unwrap()
}

/// Everything that a function does for a provider with the table.
async fn use_ledger(ledger: &dyn Ledger, provider: &str) -> Tried {
    let identity = Identity::of("a#b", &Params::new(), &[]).unwrap();
    let (owner, sequence, lease) = (Owner::unique(now()), SequenceNumber::from("1"), now() + 1.minute());
    let claim = ClaimRequest {
        provider,
        identity: &identity,
        sequence: &sequence,
        today: today(),
        since: today(),
        owner: &owner,
        now: now(),
        lease,
    };
    let mut tried: Tried = vec![("claim", outcome(ledger.claim(claim.clone()).await))];
    // A day later, after the claim has run out: the rows of both days are read, and written in one transaction.
    let later = now() + 24.hours();
    let tomorrow: Day = "2026-11-23".parse().unwrap();
    let claim =
        ClaimRequest { today: tomorrow, owner: &Owner::unique(later), now: later, lease: later + 1.minute(), ..claim };
    let claimed = ledger.claim(claim).await;
    if let Ok(claimed) = &claimed {
        assert!(matches!(claimed, Claim::Granted { abandoned, .. } if abandoned.len() == 1), "{claimed:?}");
    }
    tried.push(("claim what was abandoned", outcome(claimed)));
    let held = Claimed { identity: identity.clone(), day: today(), sequence, lease };
    let release = Release { claimed: held, counted: true, not_before: now(), error: "down".to_owned(), resume: None };
    tried.push(("release", outcome(ledger.release(provider, &owner, release).await)));
    let slots = SlotRequest { owner: &owner, want: 1, in_use: 0, cap: 4, now: now(), until: lease };
    tried.push(("slots", outcome(ledger.slots(provider, slots).await)));
    let control = ledger.control(provider).await;
    tried.push(("control", outcome(control.as_ref())));
    tried.push(("write control", outcome(ledger.update_control(provider, &control.unwrap_or_default()).await)));
    tried.push(("read what is done", outcome(ledger.find_done(provider, today(), &[identity]).await)));
    let entry = Entry { sequence: SequenceNumber::from("2"), arrived: now(), payload: Bytes::from_static(b"{}") };
    let parked = [Parked { entry, due: now() }];
    tried.push(("park", outcome(ledger.park(provider, &parked).await)));
    tried.push(("read what is parked", outcome(ledger.read_parked(provider, now(), 10).await)));
    tried.push(("forget what is parked", outcome(ledger.unpark(provider, &parked).await)));
    tried
}

/// Everything that a function does for a provider with the bucket.
async fn use_bucket(bucket: &dyn ObjectStore, provider: &str) -> Tried {
    let owner = Owner::unique(now());
    let chunk = object_path(provider, today(), &owner, 0);
    let folder = owner_folder(provider, today(), &owner);
    let letter = Path::from(format!("dead-letters/{provider}/{owner}.json"));
    vec![
        ("store a chunk", outcome(create(bucket, &chunk, Bytes::from_static(b"{}")).await)),
        ("list chunks", outcome(bucket.list(Some(&folder)).try_collect::<Vec<_>>().await)),
        ("read a chunk", outcome(bucket.get(&chunk).await)),
        ("write a letter", outcome(bucket.put(&letter, "{}".into()).await)),
        ("write it anew", outcome(bucket.put(&letter, "{}".into()).await)),
    ]
}

async fn use_all(who: &Intruder, provider: &str) -> Tried {
    let mut tried = use_ledger(&who.ledger, provider).await;
    tried.extend(use_bucket(&*who.bucket, provider).await);
    tried
}

fn assert_allowed(tried: &Tried) {
    for (what, outcome) in tried {
        assert!(outcome.is_ok(), "{what}: {outcome:?}");
    }
}

fn assert_denied(tried: &Tried) {
    for (what, outcome) in tried {
        // The store's message, or damper-core's own words for it.
        let is_denied = |error: &String| {
            ["AccessDenied", "have no permission to use the table", "lacked", "403"]
                .iter()
                .any(|word| error.contains(word))
        };
        assert!(outcome.as_ref().is_err_and(is_denied), "{what}: {outcome:?}");
    }
}

/// Nobody overwrites what is stored, and nobody deletes it.
async fn assert_records_stay(deployed: &Deployed, who: &Intruder, provider: &str) {
    let chunk = object_path(provider, today(), &Owner::unique(now()), 0);
    deployed.bucket.put(&chunk, "stored".into()).await.unwrap();
    let overwritten = who.bucket.put(&chunk, "overwritten".into()).await;
    assert_denied(&vec![
        ("overwrite a chunk", outcome(overwritten)),
        ("delete a chunk", outcome(who.bucket.delete(&chunk).await)),
    ]);
    let upload = outcome(who.bucket.put_multipart(&chunk).await);
    assert_denied(&vec![("overwrite a chunk in parts", upload)]);
    assert_eq!(deployed.bucket.get(&chunk).await.unwrap().bytes().await.unwrap(), "stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_an_isolated_function_reaches_what_is_its_providers_and_nothing_else() {
    let Some(deployed) = Deployed::new(true).await else { return };
    deployed.without_tls();
    let isolated = deployed.intruder(true);
    assert_allowed(&use_all(&isolated, "demo").await);
    for other in ["gleif", "demo-2", "dem"] {
        assert_denied(&use_all(&isolated, other).await);
    }
    assert_records_stay(&deployed, &isolated, "demo").await;
    let everything = outcome(isolated.bucket.list(None).try_collect::<Vec<_>>().await);
    assert_denied(&vec![("list the whole bucket", everything)]);

    let shared = deployed.intruder(false);
    assert_allowed(&use_all(&shared, "gleif").await);
    assert_allowed(&use_all(&shared, "demo-2").await);
    let mut tried = use_all(&shared, "demo").await;
    // It may know which objects there are, but not what is in them.
    tried.retain(|(what, _)| *what != "list chunks");
    assert_denied(&tried);
    assert_records_stay(&deployed, &shared, "gleif").await;
}
