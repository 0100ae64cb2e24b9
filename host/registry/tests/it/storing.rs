//! The store: pinned components without the network, and none that is not what is pinned.

use std::fs;
use std::time::Duration;

use damper_registry::store::{ComponentStore, Pin};
use damper_registry::{Digest, RegistryError};
use tempfile::TempDir;

use crate::fake_registry::{FakeRegistry, MAX_BYTES, Step, options};
use crate::signing::Signer;

const CONTENT: &[u8] = b"\0asm a component";

fn new_store() -> (TempDir, ComponentStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = ComponentStore::new(folder.path().join("components"), MAX_BYTES);
    (folder, store)
}

#[tokio::test]
async fn a_pinned_component_is_had_without_the_network_after_its_first_use() {
    let (fake, (_folder, store)) = (FakeRegistry::start().await, new_store());
    let artifact = fake.put("1.0.0", CONTENT);
    let reference = fake.reference("1.0.0");
    let first = store.resolve_newest(&reference, None, &options()).await.unwrap();
    assert_eq!(first.pin, Pin { manifest: artifact.digest, component: Digest::of(CONTENT) });
    assert!(first.is_new && first.path.ends_with(format!("{}.wasm", Digest::of(CONTENT).file_stem())));
    assert_eq!((&*first.content, fs::read(&first.path).unwrap()), (CONTENT, CONTENT.to_vec()));
    // The tag moves on and the registry goes away; the pin stays.
    fake.put("1.0.0", b"moved on");
    fake.intercept(|_| Step::Cut);
    fake.take_seen();
    let again = store.resolve_pinned(&reference, &first.pin, None, &options()).await.unwrap();
    assert!(!again.is_new && again.content == CONTENT && fake.take_seen().is_empty());
    // An update sees what the tag names now.
    fake.behave();
    let newest = store.resolve_newest(&reference, None, &options()).await.unwrap();
    assert_eq!((&*newest.content, newest.is_new), (b"moved on".as_slice(), true));
}

#[tokio::test]
async fn a_file_that_was_changed_is_not_used() {
    let (fake, (_folder, store)) = (FakeRegistry::start().await, new_store());
    fake.put("1.0.0", CONTENT);
    let reference = fake.reference("1.0.0");
    let first = store.resolve_newest(&reference, None, &options()).await.unwrap();
    for damage in [b"evil".as_slice(), b"", &vec![0; usize::try_from(MAX_BYTES).unwrap() + 1]] {
        fs::write(&first.path, damage).unwrap();
        assert_eq!(store.find(&first.pin, None).unwrap(), None);
        let again = store.resolve_pinned(&reference, &first.pin, None, &options()).await.unwrap();
        assert!(again.is_new && fs::read(&first.path).unwrap() == CONTENT);
    }
}

#[tokio::test]
async fn another_component_than_the_pinned_one_is_refused() {
    let (fake, (_folder, store)) = (FakeRegistry::start().await, new_store());
    let artifact = fake.put("1.0.0", CONTENT);
    let reference = fake.reference("1.0.0");
    let pin = Pin { manifest: artifact.digest, component: Digest::of(b"another") };
    let error = store.resolve_pinned(&reference, &pin, None, &options()).await.unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { expected, .. } if expected == pin.component), "{error}");
    let gone = Pin { manifest: Digest::of(b"gone"), component: Digest::of(CONTENT) };
    let error = store.resolve_pinned(&reference, &gone, None, &options()).await.unwrap_err();
    assert!(matches!(error, RegistryError::NotFound(_)), "{error}");
}

#[tokio::test]
async fn a_signature_is_checked_with_each_use_and_without_the_network() {
    let (fake, (_folder, store)) = (FakeRegistry::start().await, new_store());
    let (ours, theirs) = (Signer::new(), Signer::new());
    let (our_key, their_key) = ([ours.public_key()], [theirs.public_key()]);
    let artifact = fake.put("1.0.0", CONTENT);
    let reference = fake.reference("1.0.0");
    let unsigned = store.resolve_newest(&reference, Some(&our_key), &options()).await.unwrap_err();
    assert!(unsigned.to_string().ends_with("there is no signature"), "{unsigned}");
    // A component that is in the store already, without a signature.
    let pin = store.resolve_newest(&reference, None, &options()).await.unwrap().pin;
    assert_eq!(store.find(&pin, Some(&our_key)).unwrap(), None);
    ours.sign_in(&fake, artifact.digest);
    let signed = store.resolve_pinned(&reference, &pin, Some(&our_key), &options()).await.unwrap();
    assert_eq!(signed.signer, Some(our_key[0].fingerprint()));
    fake.intercept(|_| Step::Cut);
    let offline = store.resolve_pinned(&reference, &pin, Some(&our_key), &options()).await.unwrap();
    assert_eq!((offline.signer, offline.is_new), (signed.signer, false));
    // The key is replaced in damper.toml: the old signature does not hold any more.
    assert_eq!(store.find(&pin, Some(&their_key)).unwrap(), None);
    fake.behave();
    let error = store.resolve_pinned(&reference, &pin, Some(&their_key), &options()).await.unwrap_err();
    assert!(error.to_string().contains("not made with the key"), "{error}");
    assert!(store.find(&pin, Some(&[])).is_err(), "a signature is demanded, and there is no key");
}

#[tokio::test]
async fn a_stored_signature_for_another_component_does_not_count() {
    let (fake, (_folder, store)) = (FakeRegistry::start().await, new_store());
    let signer = Signer::new();
    let keys = [signer.public_key()];
    let artifact = fake.put("1.0.0", CONTENT);
    signer.sign_in(&fake, artifact.digest);
    let reference = fake.reference("1.0.0");
    store.resolve_newest(&reference, Some(&keys), &options()).await.unwrap();
    fake.put("2.0.0", b"unsigned");
    let other = store.resolve_newest(&fake.reference("2.0.0"), None, &options()).await.unwrap();
    let mixed = Pin { manifest: artifact.digest, component: other.pin.component };
    assert_eq!(store.find(&mixed, Some(&keys)).unwrap(), None);
}

#[tokio::test]
async fn what_was_unused_for_longest_is_removed() {
    let (fake, (_folder, store)) = (FakeRegistry::start().await, new_store());
    let store = store.with_max_bytes(2 * CONTENT.len() as u64);
    let mut stored = Vec::new();
    for (age_s, tag) in [(300, "1.0.0"), (200, "2.0.0"), (100, "3.0.0")] {
        let content = [CONTENT, tag.as_bytes()].concat()[5..].to_vec();
        fake.put(tag, &content[..CONTENT.len()]);
        let new = store.resolve_newest(&fake.reference(tag), None, &options()).await.unwrap();
        let used = fs::metadata(&new.path).unwrap().modified().unwrap() - Duration::from_secs(age_s);
        fs::File::open(&new.path).unwrap().set_modified(used).unwrap();
        stored.push(new);
        if tag == "2.0.0" {
            // Used again, so that the second one is the oldest.
            store.find(&stored[0].pin, None).unwrap().unwrap();
        }
    }
    let there: Vec<bool> = stored.iter().map(|it| it.path.exists()).collect();
    assert_eq!(there, [true, false, true]);
}
