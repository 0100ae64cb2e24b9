//! Pull: only the content that was asked for, from a registry that may send anything.

use std::time::Duration;

use damper_registry::pull::{pull, resolve};
use damper_registry::{Access, Digest, Reference, Registry, RegistryError};
use hyper::Response;
use hyper::body::Bytes;

use crate::fake_registry::{
    Body, FakeRegistry, MAX_BYTES, REPOSITORY, Step, endless, options, respond, silent, truncated, with_header,
};

const CONTENT: &[u8] = b"\0asm a component";

async fn pull_from(fake: &FakeRegistry, reference: &Reference) -> Result<Bytes, RegistryError> {
    let registry = fake.open(Access::Pull);
    let resolved = resolve(&registry, reference, MAX_BYTES).await?;
    pull(&registry, reference, &resolved).await
}

/// Answer requests whose path has `part` with `make`.
fn answer_with(fake: &FakeRegistry, part: &'static str, make: impl Fn() -> Response<Body> + Send + 'static) {
    fake.intercept(move |seen| if seen.path.contains(part) { Step::Answer(make()) } else { Step::Pass });
}

async fn refusal(fake: &FakeRegistry) -> RegistryError {
    pull_from(fake, &fake.reference("1.0.0")).await.unwrap_err()
}

#[tokio::test]
async fn a_component_is_pulled_by_tag_and_by_digest() {
    let fake = FakeRegistry::start().await;
    let artifact = fake.put("1.0.0", CONTENT);
    assert_eq!(pull_from(&fake, &fake.reference("1.0.0")).await.unwrap(), CONTENT);
    fake.put("1.0.0", b"moved on");
    fake.put("old", CONTENT);
    let pinned = fake.reference("1.0.0").with_digest(artifact.digest);
    assert_eq!(pull_from(&fake, &pinned).await.unwrap(), CONTENT, "the digest decides, not the tag");
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let fake = FakeRegistry::start().await;
    let error = refusal(&fake).await;
    assert!(error.to_string().ends_with("providers/gleif:1.0.0 does not exist"), "{error}");
    fake.put("1.0.0", CONTENT);
    fake.state.lock().unwrap().blobs.clear();
    assert!(matches!(refusal(&fake).await, RegistryError::NotFound(what) if what.starts_with("the component of ")));
}

#[tokio::test]
async fn other_content_than_was_asked_for_is_refused() {
    let fake = FakeRegistry::start().await;
    let artifact = fake.put("1.0.0", CONTENT);
    answer_with(&fake, "/blobs/", || respond(200, vec![b'x'; CONTENT.len()]));
    let error = refusal(&fake).await;
    assert!(
        matches!(error, RegistryError::DigestMismatch { expected, .. } if expected == artifact.component),
        "{error}"
    );
    answer_with(&fake, "/blobs/", || respond(200, ""));
    assert!(matches!(refusal(&fake).await, RegistryError::DigestMismatch { .. }));
    let manifest = Bytes::from(artifact.manifest);
    let other = Digest::of(b"other").to_string();
    answer_with(&fake, "/manifests/", move || {
        with_header(respond(200, manifest.clone()), "docker-content-digest", &other)
    });
    assert!(matches!(refusal(&fake).await, RegistryError::DigestMismatch { .. }), "the registry contradicts itself");
    // A pinned artifact, of which the registry sends another.
    let moved = Bytes::from(crate::fake_registry::artifact(b"moved on").manifest);
    answer_with(&fake, "/manifests/", move || respond(200, moved.clone()));
    let pinned = fake.reference("1.0.0").with_digest(artifact.digest);
    let error = pull_from(&fake, &pinned).await.unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { expected, .. } if expected == artifact.digest), "{error}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_asked_for_again_three_times() {
    let fake = FakeRegistry::start().await;
    fake.put("1.0.0", CONTENT);
    for (failures, part) in [(2, "/blobs/"), (2, "/manifests/")] {
        let mut left = failures;
        fake.intercept(move |seen| {
            if !seen.path.contains(part) || left == 0 {
                return Step::Pass;
            }
            left -= 1;
            Step::Answer(truncated(CONTENT))
        });
        assert_eq!(pull_from(&fake, &fake.reference("1.0.0")).await.unwrap(), CONTENT);
    }
    answer_with(&fake, "/blobs/", || truncated(CONTENT));
    fake.take_seen();
    assert!(matches!(refusal(&fake).await, RegistryError::Failed { .. }));
    assert_eq!(fake.take_seen().iter().filter(|seen| seen.path.contains("/blobs/")).count(), 3);
}

#[tokio::test]
async fn bodies_without_an_end_are_given_up() {
    let fake = FakeRegistry::start().await;
    fake.put("1.0.0", CONTENT);
    answer_with(&fake, "/manifests/", || endless(200));
    assert!(refusal(&fake).await.to_string().contains("more than 1048576 bytes"));
    answer_with(&fake, "/blobs/", || endless(200));
    let error = refusal(&fake).await.to_string();
    assert!(error.contains(&format!("more than the {} bytes that the manifest names", CONTENT.len())), "{error}");
    for status in [403, 500] {
        answer_with(&fake, "/manifests/", move || endless(status));
        let error = refusal(&fake).await.to_string();
        assert!(error.contains(&format!("status {status}")), "{error}");
    }
}

#[tokio::test]
async fn a_registry_that_falls_silent_is_given_up() {
    let fake = FakeRegistry::start().await;
    fake.put("1.0.0", CONTENT);
    let mut options = options();
    options.timeouts.idle = Duration::from_millis(50);
    let registry = Registry::open(&fake.reference("1.0.0"), Access::Pull, &options).unwrap();
    for part in ["/manifests/", "/blobs/"] {
        answer_with(&fake, part, || silent(CONTENT));
        let reference = fake.reference("1.0.0");
        let error = match resolve(&registry, &reference, MAX_BYTES).await {
            Ok(resolved) => pull(&registry, &reference, &resolved).await.unwrap_err(),
            Err(error) => error,
        };
        assert!(error.to_string().ends_with("failed: it did not answer in time"), "{part}: {error}");
    }
}

#[tokio::test]
async fn a_component_beyond_the_limit_is_not_downloaded() {
    let fake = FakeRegistry::start().await;
    fake.put("1.0.0", &vec![0; usize::try_from(MAX_BYTES).unwrap() + 1]);
    let error = refusal(&fake).await.to_string();
    assert!(error.contains("1048577 bytes, and at most 1048576"), "{error}");
    assert!(fake.take_seen().iter().all(|seen| !seen.path.contains("/blobs/")));
}

#[tokio::test]
async fn a_container_image_is_told_apart() {
    let fake = FakeRegistry::start().await;
    answer_with(&fake, "/manifests/", || {
        respond(
            200,
            r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"x","size":1},"layers":[]}"#,
        )
    });
    let error = refusal(&fake).await.to_string();
    assert!(error.contains(":1.0.0: this is a container image, not a component"), "{error}");
}

#[tokio::test]
async fn redirects_are_followed_to_where_there_is_an_end() {
    let (fake, storage) = (FakeRegistry::start().await, FakeRegistry::start().await);
    fake.put("1.0.0", CONTENT);
    storage.put("1.0.0", CONTENT);
    let target = format!("http://{}/v2/{REPOSITORY}/blobs/{}?signed=hunter2", storage.address, Digest::of(CONTENT));
    let redirect = move || with_header(respond(307, ""), "location", &target);
    answer_with(&fake, "/blobs/", redirect);
    assert_eq!(pull_from(&fake, &fake.reference("1.0.0")).await.unwrap(), CONTENT);
    // The storage fails: it is named, and its signed address is not.
    storage.intercept(|_| Step::Cut);
    let error = refusal(&fake).await.to_string();
    assert!(!error.contains("hunter2") && error.contains("127.0.0.1"), "{error}");
    for location in ["/v2/elsewhere", "file:///etc/passwd", "ftp://127.0.0.1/", "http://me:pw@127.0.0.1/", "http://["] {
        fake.intercept(move |seen| {
            let redirects = seen.path.contains("/blobs/") || seen.path == "/v2/elsewhere";
            if redirects { Step::Answer(with_header(respond(302, ""), "location", location)) } else { Step::Pass }
        });
        let error = refusal(&fake).await;
        assert!(matches!(error, RegistryError::Protocol { .. }), "{location}: {error}");
    }
}

#[tokio::test]
async fn words_of_a_registry_are_harmless() {
    let fake = FakeRegistry::start().await;
    let said = r#"{"errors":[{"code":"X","message":"\u001b[2J\u202egone"}]}"#;
    answer_with(&fake, "/manifests/", move || respond(403, said));
    let error = refusal(&fake).await.to_string();
    assert!(error.contains("\\u{1b}[2J\\u{202e}gone"), "{error}");
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_named() {
    let address = format!("127.0.0.1:{}", damper_stand_ins::free_port().unwrap());
    let reference = Reference::parse(&format!("oci://{address}/{REPOSITORY}:1.0.0")).unwrap();
    let registry = Registry::open(&reference, Access::Pull, &options()).unwrap();
    let error = resolve(&registry, &reference, MAX_BYTES).await.unwrap_err();
    assert!(matches!(&error, RegistryError::Unreachable { host, .. } if *host == address), "{error}");
    // A host that cannot exist (RFC 6761), by HTTPS.
    let reference = Reference::parse("oci://registry.invalid/x:1").unwrap();
    let registry = Registry::open(&reference, Access::Pull, &options()).unwrap();
    let error = resolve(&registry, &reference, MAX_BYTES).await.unwrap_err();
    assert!(error.to_string().starts_with("the registry registry.invalid was not reached: "), "{error}");
}
