//! Components that released SDKs have built, which must go on running: every file of `tests/fixtures/components`.

use std::fs;
use std::path::{Path, PathBuf};

use damper_core::record::FailureKind;
use damper_plugins::Plugin;
use damper_plugins::component_file::ComponentFile;
use damper_plugins::grants::Grants;

use crate::common::server::{Server, reply};
use crate::common::{HOST, fetch};

const RECORD: &str = r#"{"id": "item-0042", "name": "a thing"}"#;
/// The limit lets a provider's users keep many components.
const MAX_FIXTURE_BYTES: usize = 200 << 10;

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/components");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "wasm")).collect()
}

/// The demo provider of an SDK, asking this API.
fn demo(path: &Path, origin: &str) -> Plugin {
    let file = ComponentFile::read(path).unwrap();
    let manifest = file.manifest.clone();
    let mut grants = Grants { private: vec![origin.parse().unwrap()], ..Grants::default() };
    grants.config = manifest.config.clone();
    grants.config.insert("base_url".to_owned(), origin.to_owned());
    HOST.load(&file, manifest, grants).unwrap()
}

#[tokio::test]
async fn components_of_released_sdks_run() {
    let server = Server::start(|request| match request.path.as_str() {
        "/records/item-0042" => reply(200, &[("content-type", "application/json")], RECORD),
        "/records/busy" => reply(429, &[("retry-after", "7")], ""),
        _ => reply(404, &[], ""),
    })
    .await;
    let origin = server.origin("api.test");
    let fixtures = fixtures();
    assert!(!fixtures.is_empty(), "there is no component of any SDK: run `make fixture`");
    for path in fixtures {
        let plugin = demo(&path, &origin);
        let found =
            fetch(&plugin, "item-0042", &[]).await.unwrap_or_else(|failure| panic!("{}: {failure:?}", path.display()));
        assert_eq!(
            (found.content_type.as_str(), &found.body[..]),
            ("application/json", RECORD.as_bytes()),
            "{}",
            path.display()
        );
        let gone = fetch(&plugin, "../item-0042?", &[]).await.unwrap_err();
        assert_eq!(gone.kind, FailureKind::NotFound, "{}", path.display());
        let busy = fetch(&plugin, "busy", &[]).await.unwrap_err();
        assert_eq!(busy.kind, FailureKind::Throttled, "{}", path.display());
        assert_eq!(busy.retry_after.map(|wait| wait.as_secs()), Some(7), "{}", path.display());
    }
}

#[test]
fn a_fixture_is_small_and_names_the_sdk_that_made_it() {
    for path in fixtures() {
        let file = ComponentFile::read(&path).unwrap();
        let stamp = file.stamp.unwrap();
        let expected = format!("sdk-{}-{}.wasm", stamp.sdk, stamp.language);
        assert_eq!(path.file_name().unwrap().to_str(), Some(expected.as_str()));
        assert_eq!(stamp.wit, file.contract.to_string(), "{expected}");
        assert!(file.bytes.len() <= MAX_FIXTURE_BYTES, "{expected} has {} bytes", file.bytes.len());
    }
}
