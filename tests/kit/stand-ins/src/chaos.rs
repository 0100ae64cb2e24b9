//! A proxy on loopback before a stand-in. It injects the faults of networks and services into chosen requests: it loses
//! answers, cuts connections, refuses, delays, and repeats requests or passes them on late.
//!
//! ```ignore
//! let lost = Rule::new("lost puts", |asked| asked.operation() == "s3 PUT", Fault::LoseAnswer).nth(1);
//! let proxy = ChaosProxy::start(moto.endpoint(), 42, vec![lost]).await?;
//! // The program under test talks to `proxy.url()`; then:
//! assert_eq!(proxy.hits("lost puts"), 1);
//! ```
//!
//! Which of the requests that fit a rule it hits depends on the seed and on their order alone. It counts what it has
//! hit, so that a test can tell whether the fault was met at all. Not supported: a check of signatures, or a proxy for
//! bodies that have no end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::serve::{Cut, Request, Response, Server, serve_or_cut};

/// The largest body, of a request or an answer: more than any of AWS's that a test sends.
const BODY_BYTES: usize = 64 * 1024 * 1024;

/// A fault of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection is cut, and the request is not passed on.
    CutBefore,
    /// The request is passed on and done; then the connection is cut instead of the answer.
    LoseAnswer,
    /// This status is answered, and the request is not passed on.
    Refuse(u16),
    /// The request is passed on and done; then this status is answered.
    FailAfter(u16),
    /// This status is answered at once, and the request is passed on so much later.
    Late(u16, Duration),
    /// The request is passed on twice, one after the other; the second answer is given.
    Twice,
    /// The request is passed on so much later.
    Slow(Duration),
}

/// A request at the proxy.
#[derive(Debug, Clone)]
pub struct ProxiedRequest {
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub path: String,
    /// `X-Amz-Target`: service, version and operation, of the services that say it so.
    pub target: Option<String>,
    /// Which try of the SDK's it is, from 1 (`amz-sdk-request`); 1 for what says nothing of it.
    pub attempt: u32,
    /// Its body.
    pub body: Bytes,
}

impl ProxiedRequest {
    /// Service and operation: `dynamodb UpdateItem`, `kinesis PutRecords`, `lambda PUT`, `s3 PUT`.
    #[must_use]
    pub fn operation(&self) -> String {
        let by_target = self.target.as_deref().and_then(|target| target.split_once('.')).map(|(service, operation)| {
            let service = service.split('_').next().unwrap_or(service).to_lowercase();
            format!("{service} {operation}")
        });
        by_target.unwrap_or_else(|| {
            let service = if self.path.starts_with("/2015-03-31/") { "lambda" } else { "s3" };
            format!("{service} {}", self.method)
        })
    }

    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

type Fits = Arc<dyn Fn(&ProxiedRequest) -> bool + Send + Sync>;

/// Which requests meet which fault.
#[derive(Clone)]
pub struct Rule {
    name: String,
    fits: Fits,
    fault: Fault,
    when: When,
    most: u64,
}

#[derive(Debug, Clone, Copy)]
enum When {
    /// This one of those that fit, from 1.
    Nth(u64),
    /// Each with this probability.
    Share(f64),
}

impl fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, fault, when, most, .. } = self;
        write!(formatter, "{name:?}: {fault:?}, {when:?}, at most {most}")
    }
}

impl Rule {
    /// Every request that fits, to begin with.
    pub fn new(
        name: impl Into<String>,
        fits: impl Fn(&ProxiedRequest) -> bool + Send + Sync + 'static,
        fault: Fault,
    ) -> Self {
        Self { name: name.into(), fits: Arc::new(fits), fault, when: When::Share(1.0), most: u64::MAX }
    }

    /// Only this one of the requests that fit, from 1.
    #[must_use]
    pub fn nth(self, number: u64) -> Self {
        Self { when: When::Nth(number), ..self }
    }

    /// Each of the requests that fit with this probability.
    #[must_use]
    pub fn share(self, share: f64) -> Self {
        Self { when: When::Share(share), ..self }
    }

    /// The most hits of the rule.
    #[must_use]
    pub fn most(self, hits: u64) -> Self {
        Self { most: hits, ..self }
    }
}

/// A rule, how often a request fitted it, and how often it was applied.
struct Counted {
    rule: Rule,
    fitted: u64,
    hits: u64,
    chance: StdRng,
}

impl Counted {
    /// Decides whether a request that fits the rule is hit, and counts it.
    fn draw_hit(&mut self) -> bool {
        self.fitted = self.fitted.saturating_add(1);
        // Drawn for each that fits, so that what was hit before changes nothing for those to come.
        let drawn = self.chance.random::<f64>();
        let is_hit = self.hits < self.rule.most
            && match self.rule.when {
                When::Nth(number) => self.fitted == number,
                When::Share(share) => drawn < share,
            };
        self.hits = self.hits.saturating_add(u64::from(is_hit));
        is_hit
    }
}

#[derive(Default)]
struct Book {
    rules: Vec<Counted>,
    operations: BTreeMap<String, u64>,
}

struct Shared {
    upstream: String,
    client: Client<HttpConnector, Full<Bytes>>,
    book: Mutex<Book>,
}

/// The running proxy. Dropping it closes its connections and frees its port.
pub struct ChaosProxy {
    shared: Arc<Shared>,
    server: Server,
}

impl fmt::Debug for ChaosProxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} before {}", self.url(), self.shared.upstream)
    }
}

impl ChaosProxy {
    /// Starts before `upstream`, for example `http://127.0.0.1:4566`. Of the rules that fit a request the first that hits it counts.
    ///
    /// # Errors
    /// The system has no port left.
    pub async fn start(upstream: &str, seed: u64, rules: Vec<Rule>) -> std::io::Result<Self> {
        let counted = |(number, rule)| Counted {
            rule,
            fitted: 0,
            hits: 0,
            chance: StdRng::seed_from_u64(seed.wrapping_add(number)),
        };
        let book = Book { rules: (0..).zip(rules).map(counted).collect(), operations: BTreeMap::new() };
        let client = Client::builder(TokioExecutor::new()).build_http();
        let shared =
            Arc::new(Shared { upstream: upstream.trim_end_matches('/').to_owned(), client, book: Mutex::new(book) });
        let for_server = Arc::clone(&shared);
        let server = serve_or_cut(move |request| answer(Arc::clone(&for_server), request)).await?;
        Ok(Self { shared, server })
    }

    /// Its base URL, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.addr)
    }

    /// How many requests a rule has hit so far.
    ///
    /// # Panics
    /// If there is no such rule.
    #[must_use]
    pub fn hits(&self, rule: &str) -> u64 {
        let book = self.shared.book();
        let found = book.rules.iter().find(|counted| counted.rule.name == rule);
        found.unwrap_or_else(|| panic!("there is no rule {rule:?}")).hits
    }

    /// Every rule with its hits, in the order in which they were given.
    #[must_use]
    pub fn all_hits(&self) -> Vec<(String, u64)> {
        self.shared.book().rules.iter().map(|counted| (counted.rule.name.clone(), counted.hits)).collect()
    }

    /// All requests so far, by [operation](ProxiedRequest::operation).
    #[must_use]
    pub fn operations(&self) -> BTreeMap<String, u64> {
        self.shared.book().operations.clone()
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault for this request, if it meets one.
    fn judge(&self, asked: &ProxiedRequest) -> Option<Fault> {
        let mut book = self.book();
        let count = book.operations.entry(asked.operation()).or_default();
        *count = count.saturating_add(1);
        let mut fitting = book.rules.iter_mut().filter(|counted| (counted.rule.fits)(asked));
        fitting.find_map(|counted| counted.draw_hit().then_some(counted.rule.fault))
    }

    /// Pass a request on, to its end, also where nobody waits for its answer any more.
    async fn pass_on(self: &Arc<Self>, asked: &ProxiedRequest, headers: &HeaderMap) -> Response {
        let request = self.request(asked, headers);
        let client = self.client.clone();
        let passed = tokio::spawn(async move {
            let (parts, body) = client.request(request?).await.map_err(|error| error.to_string())?.into_parts();
            let body = Limited::new(body, BODY_BYTES).collect().await.map_err(|error| error.to_string())?;
            let mut answer = Response::new(Full::new(body.to_bytes()));
            (*answer.status_mut(), *answer.headers_mut()) = (parts.status, end_to_end(&parts.headers));
            Ok::<_, String>(answer)
        });
        let answer = passed.await.unwrap_or_else(|error| Err(error.to_string()));
        answer.unwrap_or_else(|error| text_response(502, &format!("the stand-in behind the proxy: {error}")))
    }

    fn request(&self, asked: &ProxiedRequest, headers: &HeaderMap) -> Result<http::Request<Full<Bytes>>, String> {
        let uri: Uri = format!("{}{}", self.upstream, asked.path).parse().map_err(|error| format!("{error}"))?;
        let mut request = http::Request::new(Full::new(asked.body.clone()));
        (*request.method_mut(), *request.uri_mut()) = (asked.method.clone(), uri);
        *request.headers_mut() = end_to_end(headers);
        Ok(request)
    }
}

async fn answer(shared: Arc<Shared>, request: Request) -> Result<Response, Cut> {
    let headers = request.headers().clone();
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let method = request.method().clone();
    // A client that breaks off in the middle of a request gets no answer.
    let body = crate::serve::body(request, BODY_BYTES).await.ok_or(Cut)?;
    let asked = ProxiedRequest { method, path, target, attempt: attempt(&headers), body };
    let Some(fault) = shared.judge(&asked) else { return Ok(shared.pass_on(&asked, &headers).await) };
    match fault {
        Fault::CutBefore => Err(Cut),
        Fault::LoseAnswer => {
            shared.pass_on(&asked, &headers).await;
            Err(Cut)
        }
        Fault::Refuse(status) => Ok(text_response(status, "refused by the proxy")),
        Fault::FailAfter(status) => {
            shared.pass_on(&asked, &headers).await;
            Ok(text_response(status, "done, and its answer replaced by the proxy"))
        }
        Fault::Late(status, after) => {
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                shared.pass_on(&asked, &headers).await;
            });
            Ok(text_response(status, "passed on later by the proxy"))
        }
        Fault::Twice => {
            shared.pass_on(&asked, &headers).await;
            Ok(shared.pass_on(&asked, &headers).await)
        }
        Fault::Slow(after) => {
            tokio::time::sleep(after).await;
            Ok(shared.pass_on(&asked, &headers).await)
        }
    }
}

/// `amz-sdk-request: attempt=2; max=3`.
fn attempt(headers: &HeaderMap) -> u32 {
    let said = headers.get("amz-sdk-request").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let attempt = said.split(';').find_map(|part| part.trim().strip_prefix("attempt="));
    attempt.and_then(|number| number.parse().ok()).unwrap_or(1)
}

/// Headers without those of one connection. The body was read whole, so that its length is known.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::EXPECT] {
        kept.remove(name);
    }
    kept.remove("keep-alive");
    kept
}

fn text_response(status: u16, text: &str) -> Response {
    let mut answer = Response::new(Full::new(Bytes::from(text.to_owned())));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::{body, serve};

    /// A server that notes every request and answers with its body.
    async fn echo() -> (Server, Arc<Mutex<Vec<String>>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let server = serve(move |request: Request| {
            let noted = Arc::clone(&noted);
            async move {
                let line = format!("{} {}", request.method(), request.uri());
                let content = body(request, 1_000).await.unwrap();
                noted.lock().unwrap().push(format!("{line} {}", String::from_utf8_lossy(&content)));
                Response::new(Full::new(content))
            }
        });
        (server.await.unwrap(), seen)
    }

    async fn put(proxy: &ChaosProxy, path: &str) -> Result<(u16, Bytes), String> {
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let request = http::Request::put(format!("{}{path}", proxy.url())).body(Full::new(Bytes::from("x"))).unwrap();
        let answer = client.request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        Ok((status, answer.into_body().collect().await.unwrap().to_bytes()))
    }

    /// Sends a put that meets a fault; returns its status and how often it arrives behind the proxy.
    async fn send_put(fault: Fault) -> (Option<u16>, usize) {
        let (server, seen) = echo().await;
        let rule = Rule::new("it", |asked| asked.operation() == "s3 PUT", fault).nth(1);
        let proxy = ChaosProxy::start(&format!("http://{}", server.addr), 1, vec![rule]).await.unwrap();
        let status = put(&proxy, "/a?b=c").await.ok().map(|(status, _)| status);
        let arrived = seen.lock().unwrap().len();
        assert_eq!(proxy.hits("it"), 1);
        // Only the first one is hit.
        assert_eq!(put(&proxy, "/a?b=c").await.unwrap(), (200, Bytes::from("x")));
        assert!(seen.lock().unwrap().iter().all(|line| line == "PUT /a?b=c x"), "{seen:?}");
        (status, arrived)
    }

    #[tokio::test]
    async fn each_fault_does_what_its_name_says() {
        assert_eq!(send_put(Fault::CutBefore).await, (None, 0));
        assert_eq!(send_put(Fault::LoseAnswer).await, (None, 1));
        assert_eq!(send_put(Fault::Refuse(503)).await, (Some(503), 0));
        assert_eq!(send_put(Fault::FailAfter(500)).await, (Some(500), 1));
        assert_eq!(send_put(Fault::Twice).await, (Some(200), 2));
        assert_eq!(send_put(Fault::Slow(Duration::from_millis(1))).await, (Some(200), 1));
        assert_eq!(send_put(Fault::Late(500, Duration::from_secs(3_600))).await, (Some(500), 0));
    }

    #[tokio::test]
    async fn what_is_late_arrives_later() {
        let (server, seen) = echo().await;
        let rule = Rule::new("it", |_| true, Fault::Late(500, Duration::from_millis(20))).nth(1);
        let proxy = ChaosProxy::start(&format!("http://{}", server.addr), 1, vec![rule]).await.unwrap();
        assert_eq!(put(&proxy, "/late").await.unwrap().0, 500);
        put(&proxy, "/next").await.unwrap();
        let arrived = async {
            while seen.lock().unwrap().len() < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), arrived).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), ["PUT /next x", "PUT /late x"]);
    }

    #[tokio::test]
    async fn the_same_seed_hits_the_same_requests_and_no_more_than_it_may() {
        async fn hit(seed: u64) -> Vec<bool> {
            let (server, _) = echo().await;
            let rule = Rule::new("it", |_| true, Fault::Refuse(500)).share(0.5).most(20);
            let proxy = ChaosProxy::start(&format!("http://{}", server.addr), seed, vec![rule]).await.unwrap();
            let mut hit = Vec::new();
            for _ in 0..100 {
                hit.push(put(&proxy, "/").await.unwrap().0 == 500);
            }
            assert_eq!(proxy.operations(), BTreeMap::from([("s3 PUT".to_owned(), 100)]));
            hit
        }
        let first = hit(1).await;
        assert_eq!(first.iter().filter(|hit| **hit).count(), 20);
        assert_eq!(first, hit(1).await);
        assert_ne!(first, hit(2).await);
    }

    #[test]
    fn a_try_of_the_sdks_is_read() {
        let read = |said: &'static str| {
            let value = http::HeaderValue::from_static(said);
            attempt(&HeaderMap::from_iter([(http::HeaderName::from_static("amz-sdk-request"), value)]))
        };
        assert_eq!((read("attempt=2; max=3"), read("ttl=20261128T130000Z; attempt=3; max=3"), read("")), (2, 3, 1));
        assert_eq!(attempt(&HeaderMap::new()), 1);
    }

    #[test]
    fn operations_are_named_by_service() {
        let asked = |method, path: &str, target: Option<&str>| ProxiedRequest {
            method,
            path: path.to_owned(),
            target: target.map(str::to_owned),
            attempt: 1,
            body: Bytes::new(),
        };
        let dynamodb = asked(Method::POST, "/", Some("DynamoDB_20120810.UpdateItem"));
        assert_eq!(dynamodb.operation(), "dynamodb UpdateItem");
        let kinesis = asked(Method::POST, "/", Some("Kinesis_20131202.PutRecords"));
        assert_eq!(kinesis.operation(), "kinesis PutRecords");
        let lambda = asked(Method::PUT, "/2015-03-31/event-source-mappings/x", None);
        assert_eq!(lambda.operation(), "lambda PUT");
        assert_eq!(asked(Method::PUT, "/bucket/key", None).operation(), "s3 PUT");
    }
}
