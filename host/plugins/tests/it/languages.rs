//! The same provider in three languages has the same outcome for every response of the API, and a language's standard
//! library reaches nothing. A component that was not built, because node or python is missing, is reported and left
//! out.

use damper_core::record::{Failure, FailureKind, Fetched};
use damper_plugins::Plugin;
use damper_plugins::component_file::ComponentFile;
use damper_plugins::grants::Grants;

use crate::common::server::{ReceivedRequest, Reply, Server, reply};
use crate::common::{HOST, components, fetch};

const LEI: &str = "506700GE1G29325QX363";
const MEDIA_TYPE: &str = "application/vnd.api+json";
const RECORD: &str = include_str!("../../../../providers/gleif/cases/fixtures/lei-record.json");
const LANGUAGES: [(&str, &str); 3] = [("gleif", "rust"), ("gleif-js", "js"), ("gleif-python", "python")];

/// A component by its name, if it was built.
fn component(name: &str) -> Option<ComponentFile> {
    let path = components().join(format!("{name}.wasm"));
    if !path.exists() {
        eprintln!("left out: {} is not built", path.display());
        return None;
    }
    Some(ComponentFile::read(&path).unwrap())
}

/// A provider of GLEIF's records whose API is the server. It is compiled first: an interpreter may take longer than a
/// fetch.
async fn gleif(file: &ComponentFile, server: &Server) -> Plugin {
    let origin = server.origin("gleif.test");
    let config = [("base_url".to_owned(), format!("{origin}/api/v1"))].into();
    let grants = Grants { private: vec![origin.parse().unwrap()], config, ..Grants::default() };
    let plugin = HOST.load(file, file.manifest.clone(), grants).unwrap();
    plugin.prepare().await.unwrap();
    plugin
}

/// The outcome for a response, which is the same in all languages, and the number of requests.
async fn run_in_all_languages(
    id: &str,
    answer: impl Fn(&ReceivedRequest) -> Reply + Send + Sync + Clone + 'static,
) -> (Result<Fetched, Failure>, usize) {
    let mut first = None;
    for (name, language) in LANGUAGES {
        let Some(file) = component(name) else { continue };
        assert_eq!(file.stamp.as_ref().map(|stamp| stamp.language.as_str()), Some(language));
        let server = Server::start(answer.clone()).await;
        let mut outcome = fetch(&gleif(&file, &server).await, id, &[]).await;
        if let Err(failure) = &mut outcome {
            // Each has a server of its own.
            failure.message = failure.message.replace(&server.origin("gleif.test"), "");
        }
        let asked = server.requests();
        for asked in &asked {
            assert_eq!((asked.method.as_str(), asked.path.as_str()), ("GET", &*format!("/api/v1/lei-records/{id}")));
            assert_eq!(asked.headers.get("accept").map(String::as_str), Some(MEDIA_TYPE));
        }
        let made = (outcome, asked.len());
        match &first {
            None => first = Some(made),
            Some(rust) => assert_same(language, rust, &made),
        }
    }
    first.expect("the Rust provider is built: run `make components`")
}

/// The message of JSON that does not parse is the parser's own; everything else is the same to the letter.
fn assert_same(language: &str, rust: &(Result<Fetched, Failure>, usize), made: &(Result<Fetched, Failure>, usize)) {
    assert_eq!(made.1, rust.1, "{language}: requests");
    match (&rust.0, &made.0) {
        (Ok(rust), Ok(made)) => {
            assert_eq!((&made.content_type, &made.body), (&rust.content_type, &rust.body), "{language}");
            assert_eq!(made.attributes, rust.attributes, "{language}");
        }
        (Err(rust), Err(made)) => {
            assert_eq!(
                (&made.kind, made.retry_after, made.status),
                (&rust.kind, rust.retry_after, rust.status),
                "{language}: {made}"
            );
            let parser = "not the expected JSON";
            let (ours, theirs) = (made.message.split(parser).next(), rust.message.split(parser).next());
            assert_eq!(ours, theirs, "{language}");
        }
        (rust, made) => panic!("{language} makes {made:?} of what Rust makes {rust:?} of"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_comes_out_the_same_byte_for_byte() {
    let (outcome, requests) = run_in_all_languages(LEI, |_| reply(200, &[("content-type", MEDIA_TYPE)], RECORD)).await;
    let fetched = outcome.unwrap();
    assert_eq!((fetched.body.as_ref(), fetched.content_type.as_str()), (RECORD.as_bytes(), MEDIA_TYPE));
    assert_eq!((fetched.attributes.len(), requests), (3, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_becomes_the_same_failure() {
    let date = ("date", "Thu, 01 Jan 2026 12:00:00 GMT");
    let until = ("retry-after", "Thu, 01 Jan 2026 12:01:00 GMT");
    type Answer = (u16, Vec<(&'static str, &'static str)>, &'static str, FailureKind);
    let answers: Vec<Answer> = vec![
        (400, vec![], "{\"error\": \"no\u{202e}\nsuch\"}", FailureKind::Rejected),
        (401, vec![], "", FailureKind::Unauthorized),
        (403, vec![], "<html>no</html>", FailureKind::Unauthorized),
        (404, vec![], "", FailureKind::NotFound),
        (408, vec![], "", FailureKind::TimedOut),
        (410, vec![], "", FailureKind::NotFound),
        (429, vec![("retry-after", "30")], "slow down", FailureKind::Throttled),
        (429, vec![date, until], "", FailureKind::Throttled),
        (429, vec![("ratelimit-reset", "42")], "", FailureKind::Throttled),
        (500, vec![], "", FailureKind::Unavailable),
        (503, vec![("retry-after", "1.5")], "", FailureKind::Unavailable),
        (304, vec![], "", FailureKind::Malformed),
        (200, vec![], "", FailureKind::Malformed),
        (200, vec![], "<html>maintenance</html>", FailureKind::Malformed),
        (200, vec![], "{\"data\": ", FailureKind::Malformed),
        (200, vec![], "{\"data\": []}", FailureKind::Malformed),
        (200, vec![], "{\"data\": {\"id\": 5}}", FailureKind::Malformed),
        (200, vec![], "{\"data\": {\"id\": \"5493001KJTIIGC8Y1R12\"}}", FailureKind::Malformed),
        (200, vec![], "NaN", FailureKind::Malformed),
        (200, vec![], "null", FailureKind::Malformed),
    ];
    for (status, headers, body, kind) in answers {
        let (outcome, requests) = run_in_all_languages(LEI, move |_| reply(status, &headers, body)).await;
        assert_eq!(outcome.unwrap_err().kind, kind, "{status} {body}");
        assert_eq!(requests, 1, "{status} {body}");
    }
    let (outcome, _) = run_in_all_languages(LEI, |_| reply(200, &[], [0xff, 0x22])).await;
    assert_eq!(outcome.unwrap_err().kind, FailureKind::Malformed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_an_lei_costs_no_request_in_any_language() {
    for id in ["506700GE1G29325QX364", "../../admin?x=1", "\u{202e}\u{1f600}\"\n", "506700ge1g29325qx363"] {
        let (outcome, requests) = run_in_all_languages(id, |_| reply(200, &[], RECORD)).await;
        assert_eq!((outcome.unwrap_err().kind, requests), (FailureKind::Rejected, 0), "{id:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_s_standard_library_reaches_nothing() {
    let Some(file) = component("hostile-python") else { return };
    let plugin = HOST.load(&file, file.manifest.clone(), Grants::default()).unwrap();
    plugin.prepare().await.unwrap();
    for attempt in ["resolve", "connect", "connect-plainly", "datagram", "listen"] {
        let failure = fetch(&plugin, attempt, &[]).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Trapped, "{attempt}: {failure}");
        assert!(failure.message.contains("providers have no sockets"), "{attempt}: {failure}");
        assert!(failure.message.contains("wasi:sockets/"), "{attempt}: {failure}");
    }
    for attempt in ["read", "write", "list", "run"] {
        let failure = fetch(&plugin, attempt, &[]).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Rejected, "{attempt}: {failure}");
        assert!(failure.message.contains("refused"), "{attempt}: {failure}");
    }
    for (attempt, nothing) in [("environment", "{}"), ("arguments", "[]")] {
        let fetched = fetch(&plugin, attempt, &[]).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&fetched.body), nothing, "{attempt}");
    }
    // More than its memory, whatever Python makes of that.
    assert!(fetch(&plugin, "memory", &[]).await.is_err());
}

/// An exception that a provider does not handle is a trap's failure, with its type, message and the author's lines.
async fn defect(component_name: &str, id: &str) -> Option<String> {
    let file = component(component_name)?;
    let plugin = HOST.load(&file, file.manifest.clone(), Grants::default()).unwrap();
    plugin.prepare().await.unwrap();
    let failure = fetch(&plugin, id, &[]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Trapped, "{failure}");
    Some(failure.message)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exception_in_javascript_is_told_with_the_lines_of_the_source() {
    let name = "defects-js";
    let Some(missing) = defect(name, "missing").await else { return };
    let lines = "at src/document.ts:7 in idOf, called at src/provider.ts:15 in missing, called at src/provider.ts:31";
    assert_eq!(missing, format!("TypeError: cannot read property 'id' of undefined {lines} in fetchRecord"));
    let late = defect(name, "late-import").await.unwrap();
    assert!(
        late.contains("src/provider.ts:16") && late.ends_with("a component has none of node's modules, such as fs"),
        "{late}"
    );
    let wait = defect(name, "retry-after").await.unwrap();
    let wanted =
        "TypeError: retryAfterMs is a number of milliseconds, such as 30_000, and not \"30s\" at src/provider.ts:18";
    assert!(wait.starts_with(wanted), "{wait}");
    assert_eq!(defect(name, "no-error").await.unwrap(), "the provider threw something that is no Error: text");
    let fetching = defect(name, "no-global").await.unwrap();
    assert!(fetching.ends_with("a component has no fetch: use get, post or request of damper-sdk"), "{fetching}");
    let locale = defect(name, "locale").await.unwrap();
    assert!(locale.starts_with("TypeError: a component has no locales"), "{locale}");
    let encoding = defect(name, "no-encoding").await.unwrap();
    assert!(encoding.starts_with("RangeError: the encoding \"shift_jis\" is not read in a component"), "{encoding}");
}

/// What a scripted test hides under node is what the engine does not have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn javascript_has_the_globals_that_the_sdk_names_and_decodes_text_as_the_standard_says() {
    let Some(file) = component("defects-js") else { return };
    let plugin = HOST.load(&file, file.manifest.clone(), Grants::default()).unwrap();
    plugin.prepare().await.unwrap();
    for (id, wanted) in [("globals", "more: __cqjs damperSourceMap wit; fewer: "), ("texts", "")] {
        let fetched = fetch(&plugin, id, &[]).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&fetched.body), wanted, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exception_in_python_is_told_with_the_lines_of_the_source() {
    let name = "hostile-python";
    let Some(missing) = defect(name, "missing").await else { return };
    assert_eq!(
        missing,
        "KeyError: 'missing' at src/provider.py:81 in <lambda>, called at src/provider.py:100 in fetch_record"
    );
    let late = defect(name, "late-import").await.unwrap();
    assert!(late.starts_with("ModuleNotFoundError: No module named 'wave' at src/provider.py:47"), "{late}");
    assert!(late.ends_with("import wave at the top of the file"), "{late}");
    let encoding = defect(name, "rare-encoding").await.unwrap();
    assert!(encoding.contains("import encodings.shift_jis at the top of the file"), "{encoding}");
    let wait = defect(name, "retry-after").await.unwrap();
    assert!(wait.starts_with("TypeError: retry_after is a number of seconds, such as retry_after=30"), "{wait}");
    for (attempt, message, hint) in [
        ("sleep", "RuntimeError: a provider never sleeps: raise Throttled or Unavailable", ""),
        ("hash", "ValueError: unsupported hash type ripemd160", "a component has hashlib's sha1, sha2, sha3"),
        ("thread", "RuntimeError: can't start new thread", "side by side with http.send_all"),
        ("zone", "ImportError: cannot import name 'resources' from 'importlib'", "a component has no time zones"),
    ] {
        let failure = defect(name, attempt).await.unwrap();
        assert!(failure.starts_with(message) && failure.contains(hint), "{failure}");
    }
    let file = component(name).unwrap();
    let plugin = HOST.load(&file, file.manifest.clone(), Grants::default()).unwrap();
    assert_eq!(fetch(&plugin, "preloaded", &[]).await.unwrap().body.as_ref(), "02 €".as_bytes());
}
