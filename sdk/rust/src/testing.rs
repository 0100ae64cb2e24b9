//! A scripted API, for an author's own tests: the provider function runs natively, under plain `cargo test`.
//!
//! The script says which requests are expected, in order, and how each is answered. A request that the script does not
//! expect fails the test and says how it differs; so does one that was expected and not sent.
//!
//! ```
//! use damper_sdk::prelude::*;
//! use damper_sdk::testing::Api;
//!
//! #[damper_sdk::provider]
//! fn fetch(request: &FetchRequest) -> Result<Record, Failure> {
//!     let base_url = config::required("base_url")?;
//!     let answer = http::get(base_url).join("things/{id}").path("id", &request.id).credential("key").send()?.ok()?;
//!     Record::json(answer)
//! }
//!
//! let mut api = Api::new();
//! api.config("base_url", "https://api.example.org");
//!
//! api.get("https://api.example.org/things/42").credential("key").answers(200, r#"{"id": 42}"#);
//! let record = api.run(|| fetch(&FetchRequest::new("42"))).unwrap();
//! assert_eq!(record.body(), br#"{"id": 42}"#);
//!
//! api.get("https://api.example.org/things/43").credential("key").fails(http::Error::TimedOut);
//! let failure = api.run(|| fetch(&FetchRequest::new("43"))).unwrap_err();
//! assert_eq!(failure.kind, FailureKind::TimedOut);
//! ```
//!
//! The script is the thread's own: tests run side by side. Like the host it refuses the headers that are the host's,
//! and keeps its cache from one [`Api::run`] to the next. In wasm this module is there with the feature `testing`
//! alone, which a provider names in its `[dev-dependencies]`: `damper test --wasm` then runs the same tests in the
//! engine of production.

use std::collections::{BTreeMap, VecDeque};

use crate::http;
use crate::log::Level;

pub(crate) mod backend;

/// A scripted API, and the host around it.
#[derive(Debug, Default)]
pub struct Api {
    script: Script,
}

/// The state that the functions of the backend read and write while [`Api::run`] runs.
#[derive(Debug, Default)]
struct Script {
    expected: VecDeque<Expected>,
    config: BTreeMap<String, String>,
    cache: BTreeMap<String, Vec<u8>>,
    signatures: BTreeMap<String, Vec<u8>>,
    logged: Vec<(Level, String)>,
    sent: usize,
}

/// One expected request, and its answer.
#[derive(Debug)]
struct Expected {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    credentials: Vec<String>,
    body: Option<Vec<u8>>,
    answer: Result<Answer, http::Error>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    url: Option<String>,
}

impl Api {
    /// An API that expects nothing yet.
    pub fn new() -> Self {
        Api::default()
    }

    /// Sets a key of provider.toml's `[config]`; a key that is not set is not listed.
    pub fn config(&mut self, key: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.script.config.insert(key.into(), value.into());
        self
    }

    /// Sets what [`sign`](crate::sign) gives for a credential, whatever is signed.
    pub fn signature(&mut self, credential: impl Into<String>, bytes: impl Into<Vec<u8>>) -> &mut Self {
        self.script.signatures.insert(credential.into(), bytes.into());
        self
    }

    /// Expects a GET of exactly this URL, after what is expected already.
    pub fn get(&mut self, url: impl Into<String>) -> Expectation<'_> {
        self.expect("GET", url)
    }

    /// Expects a POST to exactly this URL, after what is expected already.
    pub fn post(&mut self, url: impl Into<String>) -> Expectation<'_> {
        self.expect("POST", url)
    }

    /// Expects a request of any method to exactly this URL, after what is expected already.
    pub fn expect(&mut self, method: impl Into<String>, url: impl Into<String>) -> Expectation<'_> {
        Expectation {
            api: self,
            expected: Expected {
                method: method.into(),
                url: url.into(),
                headers: Vec::new(),
                credentials: Vec::new(),
                body: None,
                answer: Err(http::Error::Other("no answer given".to_owned())),
            },
            answer_headers: Vec::new(),
            answer_url: None,
        }
    }

    /// Runs a provider function, or anything else of the SDK, against the script.
    ///
    /// # Panics
    ///
    /// If a request is sent that is not the next one expected, or an expected one is not sent.
    pub fn run<T>(&mut self, test: impl FnOnce() -> T) -> T {
        let guard = backend::install(&mut self.script);
        let result = test();
        drop(guard);
        backend::check_all_sent(&self.script);
        result
    }

    /// The messages logged so far.
    pub fn logged(&self) -> &[(Level, String)] {
        &self.script.logged
    }

    /// How many requests were sent so far.
    pub fn requests_sent(&self) -> usize {
        self.script.sent
    }

    /// Forgets what was cached, as the host does when a call failed as `unauthorized`.
    pub fn clear_cache(&mut self) -> &mut Self {
        self.script.cache.clear();
        self
    }
}

/// An expected request being described; [`answers`](Expectation::answers) or [`fails`](Expectation::fails) ends it.
#[derive(Debug)]
#[must_use = "an expectation counts once it is answered: end it with `answers` or `fails`"]
pub struct Expectation<'a> {
    api: &'a mut Api,
    expected: Expected,
    answer_headers: Vec<(String, String)>,
    answer_url: Option<String>,
}

impl Expectation<'_> {
    /// Expects a header of this value; headers that are not mentioned are not looked at.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.expected.headers.push((name.into(), value.into()));
        self
    }

    /// Expects the host to be asked for a credential, and after it for each further one of these. Without this, none
    /// may be asked for.
    pub fn credential(mut self, name: impl Into<String>) -> Self {
        self.expected.credentials.push(name.into());
        self
    }

    /// Expects exactly this body. Without this, the body is not looked at.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.expected.body = Some(body.into());
        self
    }

    /// Gives the answer a header.
    pub fn answer_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        // As the contract has it: names in lower case.
        self.answer_headers.push((name.into().to_ascii_lowercase(), value.into()));
        self
    }

    /// Lets the answer come from another URL, as after redirects.
    pub fn answer_url(mut self, url: impl Into<String>) -> Self {
        self.answer_url = Some(url.into());
        self
    }

    /// Answers with a status and a body.
    pub fn answers(mut self, status: u16, body: impl Into<Vec<u8>>) {
        self.expected.answer =
            Ok(Answer { status, headers: self.answer_headers, body: body.into(), url: self.answer_url });
        self.api.script.expected.push_back(self.expected);
    }

    /// Gives no answer, but an error.
    pub fn fails(mut self, error: http::Error) {
        self.expected.answer = Err(error);
        self.api.script.expected.push_back(self.expected);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cache, log, sign};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    const URL: &str = "https://api.example.org/things";

    fn panic_message(test: impl FnOnce()) -> String {
        let panic = catch_unwind(AssertUnwindSafe(test)).expect_err("the test should have failed");
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        text.or_else(|| panic.downcast_ref::<String>().cloned()).expect("a message")
    }

    #[test]
    fn a_request_that_differs_says_how() {
        let message = panic_message(|| {
            let mut api = Api::new();
            api.post(URL).header("Accept", "text/plain").credential("key").body("a").answers(200, "");
            api.run(|| http::get(format!("{URL}/1")).header("accept", "*/*").send()).unwrap();
        });
        for part in ["POST", "GET", "/things/1", "text/plain", "*/*", "credential", "body"] {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
    }

    #[test]
    fn a_request_beyond_the_script_fails_the_test() {
        let message = panic_message(|| {
            let _ = Api::new().run(|| http::get(URL).send());
        });
        assert!(message.contains("expects no further request"), "{message}");
    }

    #[test]
    fn an_expected_request_that_is_not_sent_fails_the_test() {
        let message = panic_message(|| {
            let mut api = Api::new();
            api.get(URL).answers(200, "");
            api.run(|| ());
        });
        assert!(message.contains("was not sent"), "{message}");
        assert!(message.contains(URL));
    }

    #[test]
    fn a_request_outside_of_run_says_what_to_do() {
        let message = panic_message(|| {
            let _ = http::get(URL).send();
        });
        assert!(message.contains("Api::run"), "{message}");
    }

    #[test]
    fn a_failed_run_leaves_the_thread_ready_for_the_next() {
        panic_message(|| {
            Api::new().run(|| http::get(URL).send()).unwrap();
        });
        Api::new().run(|| log::info("still here"));
    }

    #[test]
    fn refuses_what_the_host_refuses() {
        let mut api = Api::new();
        api.run(|| {
            for (name, value) in [
                ("Authorization", "x"),
                ("host", "x"),
                ("proxy-thing", "x"),
                ("X-Ok", "a\r\nb: c"),
                ("bad name", "x"),
                ("", "x"),
            ] {
                let error = http::get(URL).header(name, value).send().unwrap_err();
                assert!(matches!(error, http::Error::Invalid(_)), "{name}");
            }
        });
        assert_eq!(api.requests_sent(), 0);
    }

    #[test]
    fn logs_signs_and_caches_like_a_host() {
        let mut api = Api::new();
        api.signature("key", [1, 2]);
        api.run(|| {
            log::warn("odd");
            assert_eq!(sign::hmac_sha256("key", "x").unwrap().bytes(), [1, 2]);
            assert!(sign::hmac_sha512("other", "x").is_err());
            cache::put("token", "t", Duration::from_secs(1));
            cache::put("large", vec![0; 65 * 1024], Duration::from_secs(1));
        });
        assert_eq!(api.logged(), [(Level::Warn, "odd".to_owned())]);
        api.run(|| {
            assert_eq!(cache::get("token").as_deref(), Some(b"t".as_slice()));
            assert_eq!(cache::get("large"), None);
        });
        api.run(|| {
            cache::put("session", "s", Duration::from_secs(1));
            cache::remove("session");
            assert_eq!(cache::get("session"), None);
        });
        api.clear_cache();
        api.run(|| assert_eq!(cache::get("token"), None));
    }
}
