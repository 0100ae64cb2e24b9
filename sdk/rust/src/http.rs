//! HTTP, through the host's egress policy.
//!
//! The host follows redirects, decompresses, keeps connections alive, counts requests and keeps to the provider's
//! limits. Which hosts may be reached stands in provider.toml; a credential is named here and applied by the host.
//!
//! ```
//! use damper_sdk::prelude::*;
//!
//! fn details(request: &FetchRequest) -> Result<json::Value, Failure> {
//!     http::post("https://api.example.org/v2/{kind}/search")
//!         .path("kind", request.param("kind").unwrap_or("things"))
//!         .credential("key")
//!         .json(&json::json!({"id": request.id}))
//!         .send()?
//!         .ok()?
//!         .json()
//! }
//! ```

use std::fmt::Display;
use std::time::Duration;

use serde::Serialize;

use crate::backend::{self, Prepared};

mod date;
mod error;
mod response;
mod retry_after;
mod url;

pub use error::Error;
pub use response::Response;

/// The most requests that the host takes at once.
const SEND_ALL_MAX: usize = 64;

/// A GET of a URL; see [`Request::path`] for what may stand in it.
pub fn get(url: impl Into<String>) -> Request {
    request("GET", url)
}

/// A HEAD of a URL.
pub fn head(url: impl Into<String>) -> Request {
    request("HEAD", url)
}

/// A POST to a URL.
pub fn post(url: impl Into<String>) -> Request {
    request("POST", url)
}

/// A PUT to a URL.
pub fn put(url: impl Into<String>) -> Request {
    request("PUT", url)
}

/// A request of any method, in capitals.
pub fn request(method: impl Into<String>, url: impl Into<String>) -> Request {
    Request {
        method: method.into(),
        template: url::Template::new(url.into()),
        headers: Vec::new(),
        body: None,
        credentials: Vec::new(),
        timeout: None,
        problem: None,
    }
}

/// Sends several requests and waits for all; the answers come in the order of the requests.
///
/// They run side by side as far as the provider's concurrency has room, else one after another. A request that
/// cannot be built has its error in its place, and the others are sent.
///
/// ```
/// # use damper_sdk::prelude::*;
/// # fn f() -> Result<(), Failure> {
/// let pages = (1..=3).map(|page| http::get("https://api.example.org/list").query("page", page));
/// for answer in http::send_all(pages) {
///     let page: json::Value = answer?.ok()?.json()?;
/// }
/// # Ok(()) }
/// ```
pub fn send_all(requests: impl IntoIterator<Item = Request>) -> Vec<Result<Response, Error>> {
    let mut answers: Vec<Option<Result<Response, Error>>> = Vec::new();
    let mut ready = Vec::new();
    for request in requests {
        match request.prepare() {
            Ok(prepared) => {
                ready.push(prepared);
                answers.push(None);
            }
            Err(error) => answers.push(Some(Err(error))),
        }
    }
    let mut received = Vec::with_capacity(ready.len());
    while !ready.is_empty() {
        let rest = ready.split_off(ready.len().min(SEND_ALL_MAX));
        received.extend(backend::send_all(std::mem::replace(&mut ready, rest)));
    }
    let mut received = received.into_iter();
    answers
        .into_iter()
        .map(|known| {
            known
                .or_else(|| received.next())
                .unwrap_or_else(|| Err(Error::Other("the host gave fewer answers than requests".to_owned())))
        })
        .collect()
}

/// A request being built. Nothing is sent before [`send`](Request::send); a mistake on the way is its error.
#[derive(Debug, Clone)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    method: String,
    template: url::Template,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    credentials: Vec<String>,
    timeout: Option<Duration>,
    problem: Option<Error>,
}

impl Request {
    /// Fills `{name}` in the URL's path or query.
    ///
    /// The value is percent-encoded whole (RFC 3986, all but unreserved characters), so that an id with slashes,
    /// quotes, newlines or another script's letters stays inside its segment. A value that no segment can carry, empty
    /// or of dots alone, is [`Error::BadValue`], which `?` makes `rejected`. A placeholder in the host is refused.
    ///
    /// ```
    /// # use damper_sdk::prelude::*;
    /// # let mut api = damper_sdk::testing::Api::new();
    /// # api.get("https://api.example.org/CIK..%2Fa%3Fb.json").answers(200, "");
    /// # api.run(|| {
    /// let answer = http::get("https://api.example.org/CIK{cik}.json").path("cik", "../a?b").send().unwrap();
    /// assert_eq!(answer.url(), "https://api.example.org/CIK..%2Fa%3Fb.json");
    /// # });
    /// ```
    pub fn path(mut self, name: &str, value: impl Display) -> Self {
        self.template.fill(name, value.to_string());
        self
    }

    /// Appends a path to the URL, with one slash between; it may hold placeholders. For a base URL that comes from
    /// [`config`](crate::config).
    ///
    /// ```
    /// # use damper_sdk::prelude::*;
    /// # let mut api = damper_sdk::testing::Api::new();
    /// # api.get("https://api.example.org/v1/things/42").answers(200, "");
    /// # api.run(|| {
    /// http::get("https://api.example.org/v1/").join("things/{id}").path("id", 42).send().unwrap();
    /// # });
    /// ```
    pub fn join(mut self, path: &str) -> Self {
        self.template.join(path);
        self
    }

    /// Adds `name=value` to the query, both percent-encoded.
    pub fn query(mut self, name: &str, value: impl Display) -> Self {
        self.template.query(name, value.to_string());
        self
    }

    /// Adds a header. Host, Authorization, Cookie, Proxy-*, Connection, Content-Length and
    /// Transfer-Encoding are the host's: authorization goes through a [`credential`](Request::credential).
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Lets the host apply a credential of provider.toml. The secret itself never enters the provider. An API that
    /// wants more than one, such as a client certificate and a key, is given them one after another.
    ///
    /// ```
    /// # use damper_sdk::prelude::*;
    /// # let mut api = damper_sdk::testing::Api::new();
    /// # api.get("https://api.example.org/thing").credential("email").credential("key").answers(200, "");
    /// # api.run(|| {
    /// http::get("https://api.example.org/thing").credential("email").credential("key").send().unwrap();
    /// # });
    /// ```
    pub fn credential(mut self, name: impl Into<String>) -> Self {
        self.credentials.push(name.into());
        self
    }

    /// Gives this request less time than the whole call has.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the body and its media type.
    pub fn body(mut self, content_type: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        self.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
        self.body = Some(body.into());
        self.header("content-type", content_type)
    }

    /// Sets the body to a value as JSON.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.body("application/json", body),
            Err(error) => {
                self.problem.get_or_insert(Error::Invalid(format!("the body has no form in JSON: {error}")));
                self
            }
        }
    }

    /// Sets the body to a form (`application/x-www-form-urlencoded`).
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let body = url::encode_pairs(fields.iter().copied());
        self.body("application/x-www-form-urlencoded", body)
    }

    /// Sends the request and waits for its whole answer, of whatever status; see [`Response::ok`].
    ///
    /// # Errors
    ///
    /// [`Error`], where there is no whole answer; `?` makes the right failure of it.
    pub fn send(self) -> Result<Response, Error> {
        backend::send(self.prepare()?)
    }

    fn prepare(self) -> Result<Prepared, Error> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        Ok(Prepared {
            method: self.method,
            url: self.template.build()?,
            headers: self.headers,
            body: self.body,
            credentials: self.credentials,
            timeout_ms: self.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Api;
    use crate::{Failure, FailureKind};

    #[test]
    fn a_body_brings_its_content_type_once() {
        let prepared =
            post("https://api.example.org/").header("Content-Type", "text/plain").json(&["a"]).prepare().unwrap();
        assert_eq!(prepared.headers, [("content-type".to_owned(), "application/json".to_owned())]);
        assert_eq!(prepared.body.as_deref(), Some(br#"["a"]"#.as_slice()));
    }

    #[test]
    fn a_form_is_encoded() {
        let prepared = post("https://api.example.org/").form(&[("a b", "1&2"), ("c", "")]).prepare().unwrap();
        assert_eq!(prepared.body.as_deref(), Some(b"a%20b=1%262&c=".as_slice()));
    }

    #[test]
    fn a_body_without_a_form_in_json_is_an_error_of_send() {
        let odd = std::collections::BTreeMap::from([(vec![1], 2)]);
        let error = post("https://api.example.org/").json(&odd).send().unwrap_err();
        assert!(matches!(error, Error::Invalid(_)));
    }

    #[test]
    fn send_all_keeps_the_order_around_a_request_that_cannot_be_built() {
        let mut api = Api::new();
        api.get("https://api.example.org/a").answers(200, "a");
        api.get("https://api.example.org/b").fails(Error::TimedOut);
        let answers = api.run(|| {
            send_all([
                get("https://api.example.org/{x}").path("x", "a"),
                get("https://api.example.org/{x}").path("x", ""),
                get("https://api.example.org/b"),
            ])
        });
        assert_eq!(answers.len(), 3);
        assert_eq!(answers[0].as_ref().unwrap().text().unwrap(), "a");
        let refused = answers[1].as_ref().unwrap_err().clone();
        assert_eq!(Failure::from(refused).kind, FailureKind::Rejected);
        assert_eq!(answers[2].as_ref().unwrap_err(), &Error::TimedOut);
    }
}
