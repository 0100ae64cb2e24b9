//! Push: what is written, what is left where it breaks off, and what is not overwritten.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use damper_registry::push::{PushOutcome, push};
use damper_registry::{Access, Cause, Registry, RegistryError};

use crate::fake_registry::{FakeRegistry, Step, artifact, options, respond, with_header};

const CONTENT: &[u8] = b"\0asm a component";

async fn push_to(fake: &FakeRegistry, content: &'static [u8], overwrite: bool) -> Result<PushOutcome, RegistryError> {
    let registry = fake.open(Access::Push);
    push(&registry, &fake.reference("1.0.0"), &artifact(content), &Bytes::from_static(content), overwrite).await
}

fn steps(fake: &FakeRegistry) -> Vec<String> {
    fake.take_seen().iter().map(|seen| format!("{} {}", seen.method, seen.path.rsplit('/').nth(1).unwrap())).collect()
}

#[tokio::test]
async fn contents_come_first_and_the_tag_last() {
    let fake = FakeRegistry::start().await;
    assert_eq!(push_to(&fake, CONTENT, false).await.unwrap(), PushOutcome::New);
    let blob = ["HEAD blobs", "POST uploads", "PUT uploads"];
    let expected = [&["GET manifests"], blob.as_slice(), &blob, &["PUT manifests"]].concat();
    assert_eq!(steps(&fake), expected);
    assert_eq!(fake.tag("1.0.0"), Some(artifact(CONTENT).digest));
}

#[tokio::test]
async fn the_same_component_again_changes_nothing() {
    let fake = FakeRegistry::start().await;
    push_to(&fake, CONTENT, false).await.unwrap();
    fake.take_seen();
    assert_eq!(push_to(&fake, CONTENT, false).await.unwrap(), PushOutcome::Unchanged);
    assert_eq!(steps(&fake), ["GET manifests"]);
}

#[tokio::test]
async fn another_component_under_the_same_tag_is_refused_unless_it_may_overwrite() {
    let fake = FakeRegistry::start().await;
    let old = fake.put("1.0.0", b"the old one").digest;
    let error = push_to(&fake, CONTENT, false).await.unwrap_err();
    assert!(matches!(error, RegistryError::Exists { existing, .. } if existing == old), "{error}");
    assert!(error.hint().unwrap().contains("--overwrite"));
    assert_eq!((fake.tag("1.0.0"), steps(&fake).len()), (Some(old), 1));
    assert_eq!(push_to(&fake, CONTENT, true).await.unwrap(), PushOutcome::Replaced(old));
    assert_eq!(fake.tag("1.0.0"), Some(artifact(CONTENT).digest));
}

/// A process that dies after any number of requests, and the one that follows it.
#[tokio::test]
async fn a_push_that_breaks_off_leaves_the_tag_and_the_same_push_completes_it() {
    for requests in 0..8 {
        let fake = FakeRegistry::start().await;
        let old = fake.put("1.0.0", b"the old one").digest;
        let mut left = requests;
        fake.intercept(move |_| {
            if left == 0 {
                return Step::Cut;
            }
            left -= 1;
            Step::Pass
        });
        let error = push_to(&fake, CONTENT, true).await.unwrap_err();
        assert_eq!(error.cause(), Cause::Service, "{error}");
        assert_eq!(fake.tag("1.0.0"), Some(old), "after {requests} requests");
        fake.behave();
        assert_eq!(push_to(&fake, CONTENT, true).await.unwrap(), PushOutcome::Replaced(old));
    }
}

#[tokio::test]
async fn a_lost_answer_is_found_out() {
    for lost in ["uploads", "manifests"] {
        let fake = FakeRegistry::start().await;
        let mut is_first = true;
        fake.intercept(move |seen| {
            let loses = seen.method == "PUT" && seen.path.contains(lost) && std::mem::take(&mut is_first);
            if loses { Step::LoseAnswer } else { Step::Pass }
        });
        assert_eq!(push_to(&fake, CONTENT, false).await.unwrap(), PushOutcome::New);
        let puts = fake.take_seen().iter().filter(|seen| seen.method == "PUT" && seen.path.contains(lost)).count();
        // The component and the configuration; the tag. Nothing is sent twice.
        assert_eq!(puts, if lost == "uploads" { 2 } else { 1 });
        assert_eq!(fake.tag("1.0.0"), Some(artifact(CONTENT).digest));
    }
}

#[tokio::test]
async fn a_registry_that_fails_now_and_then_is_asked_again_and_one_that_fails_always_is_named() {
    let fake = FakeRegistry::start().await;
    let mut failed = BTreeSet::new();
    fake.intercept(move |seen| {
        let is_first = failed.insert((seen.method.clone(), seen.path.clone()));
        if is_first { Step::Answer(with_header(respond(503, ""), "retry-after", "0")) } else { Step::Pass }
    });
    assert_eq!(push_to(&fake, CONTENT, false).await.unwrap(), PushOutcome::New);
    fake.intercept(|_| Step::Answer(with_header(respond(503, ""), "retry-after", "0")));
    fake.take_seen();
    let error = push_to(&fake, CONTENT, false).await.unwrap_err();
    assert!(error.to_string().ends_with("failed: status 503"), "{error}");
    assert_eq!(fake.take_seen().len(), 3);
}

#[tokio::test]
async fn an_upload_on_another_host_gets_no_credentials() {
    let (fake, storage) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let folder = tempfile::tempdir().unwrap();
    let config = crate::authorizing::docker_config(folder.path(), fake.address, "me:hunter2");
    let elsewhere =
        format!("http://{}/v2/{}/blobs/uploads/1?state=x", storage.address, crate::fake_registry::REPOSITORY);
    fake.intercept(move |seen| {
        if seen.authorization.is_none() {
            return Step::Answer(with_header(respond(401, ""), "www-authenticate", "Basic realm=\"x\""));
        }
        if seen.method == "POST" {
            Step::Answer(with_header(respond(202, ""), "location", &elsewhere))
        } else {
            Step::Pass
        }
    });
    let registry = crate::authorizing::open(&fake, Access::Push, config);
    let pushed =
        push(&registry, &fake.reference("1.0.0"), &artifact(CONTENT), &Bytes::from_static(CONTENT), false).await;
    pushed.unwrap();
    let stored = storage.take_seen();
    assert_eq!(stored.len(), 2);
    assert!(stored.iter().all(|seen| seen.authorization.is_none()));
    assert!(fake.take_seen().iter().skip(1).all(|seen| seen.authorization.is_some()));
}

/// A registry that stores a large component for longer than other responses may take.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_may_be_silent_for_longer_than_a_download() {
    let fake = FakeRegistry::start().await;
    fake.intercept(|seen| {
        if seen.method == "PUT" {
            std::thread::sleep(Duration::from_millis(300));
        }
        Step::Pass
    });
    let mut options = options();
    options.timeouts.idle = Duration::from_millis(100);
    let registry = Registry::open(&fake.reference("1.0.0"), Access::Push, &options).unwrap();
    let pushed =
        push(&registry, &fake.reference("1.0.0"), &artifact(CONTENT), &Bytes::from_static(CONTENT), false).await;
    assert_eq!(pushed.unwrap(), PushOutcome::New);
}

#[tokio::test]
async fn an_upload_without_a_place_is_refused() {
    for location in ["file:///etc/passwd", "http://user:pw@127.0.0.1/x", "http://[", ""] {
        let fake = FakeRegistry::start().await;
        fake.intercept(move |seen| {
            if seen.method != "POST" {
                return Step::Pass;
            }
            let accepted = respond(202, "");
            Step::Answer(if location.is_empty() { accepted } else { with_header(accepted, "location", location) })
        });
        let error = push_to(&fake, CONTENT, false).await.unwrap_err();
        assert!(matches!(error, RegistryError::Protocol { .. }), "{location}: {error}");
        assert_eq!(fake.tag("1.0.0"), None);
    }
}
