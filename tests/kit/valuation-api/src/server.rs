//! The running server: on loopback, in a thread and a runtime of its own, until it is dropped.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::book::{Book, Polled};
use crate::policies::Kind;

/// The longest body that is read.
const MAX_BODY_BYTES: usize = 64 * 1024;
const TOKEN: &str = "bench-token";

/// How the API behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The share of requests that are answered with 503.
    pub error_share: f64,
    /// The share of requests that are answered with 429.
    pub refusal_share: f64,
    /// The Retry-After of these 429, in whole seconds.
    pub refusal_wait: Duration,
    /// The shortest and the longest time to an answer.
    pub latency: (Duration, Duration),
    /// The Retry-After of an order and of a poll that is not ready, in whole seconds.
    pub poll_wait: Duration,
    /// The same for locked policies.
    pub locked_wait: Duration,
    /// Locked policies are free when so many others have their documents.
    pub unlocked_after: usize,
    /// For the random numbers.
    pub seed: u64,
}

impl Settings {
    /// An API without faults: answers after 100 to 200 ms, polls every 2 s, and every 20 s for a locked policy, until
    /// so many others have their documents.
    #[must_use]
    pub fn calm(seed: u64, unlocked_after: usize) -> Self {
        Self {
            error_share: 0.0,
            refusal_share: 0.0,
            refusal_wait: Duration::from_secs(2),
            latency: (Duration::from_millis(100), Duration::from_millis(200)),
            poll_wait: Duration::from_secs(2),
            locked_wait: Duration::from_secs(20),
            unlocked_after,
            seed,
        }
    }

    /// The same with 3% 503 and 2% 429, which ask for 2 s.
    #[must_use]
    pub fn with_chaos(self) -> Self {
        Self { error_share: 0.03, refusal_share: 0.02, ..self }
    }
}

/// The state that all connections share.
#[derive(Debug)]
struct Shared {
    settings: Settings,
    book: Mutex<Book>,
    random: Mutex<StdRng>,
}

/// A running API. Dropping it closes its connections.
#[derive(Debug)]
pub struct ValuationApi {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The random part of an answer.
struct Chance {
    latency: Duration,
    refusal: Option<StatusCode>,
}

/// An answer without its latency.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl ValuationApi {
    /// Starts it on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If the system has no port or thread left.
    pub fn start(settings: Settings) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let random = Mutex::new(StdRng::seed_from_u64(settings.seed));
        let book = Mutex::new(Book::new(settings.unlocked_after));
        let shared = Arc::new(Shared { settings, book, random });
        let (stop, stopped) = oneshot::channel();
        let for_thread = Arc::clone(&shared);
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = stopped => {}
                    () = accept(listener, &for_thread) => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("valuation-api".to_owned()).spawn(serve)?;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Its origin, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came so far.
    #[must_use]
    pub fn book(&self) -> Book {
        lock(&self.shared.book).clone()
    }
}

impl Drop for ValuationApi {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, shared: &Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Most likely out of file descriptors: some will be freed.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(shared);
        let service = service_fn(move |request| answer(Arc::clone(&shared), request));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move { drop(connection.await) });
    }
}

/// Answer one request: what the API does happens when it comes, and the answer is sent after the latency.
async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    lock(&shared.book).begin(Instant::now());
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let chance = shared.draw();
    let answer = shared.route(&parts.method, parts.uri.path(), &parts.headers, &body, &chance);
    tokio::time::sleep(chance.latency).await;
    lock(&shared.book).end(answer.status.as_u16());
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    Ok(response)
}

impl Shared {
    fn draw(&self) -> Chance {
        let Settings { error_share, refusal_share, latency: (shortest, longest), .. } = &self.settings;
        let mut random = lock(&self.random);
        let (fault, slowness): (f64, f64) = (random.random(), random.random());
        let refusal = if fault < *error_share {
            Some(StatusCode::SERVICE_UNAVAILABLE)
        } else {
            (fault < error_share + refusal_share).then_some(StatusCode::TOO_MANY_REQUESTS)
        };
        Chance { latency: *shortest + (*longest - *shortest).mul_f64(slowness), refusal }
    }

    fn route(&self, method: &Method, path: &str, headers: &HeaderMap, body: &[u8], chance: &Chance) -> Answer {
        match (method, path) {
            (&Method::POST, "/token") => self.hand_out_token(chance),
            _ if headers.get(AUTHORIZATION).is_none_or(|token| token != &format!("Bearer {TOKEN}")) => {
                Answer::plain(StatusCode::UNAUTHORIZED)
            }
            (&Method::POST, "/valuations") => self.take_order(headers, body, chance),
            (&Method::GET, path) => match path.strip_prefix("/valuations/j-").and_then(|job| job.parse().ok()) {
                Some(job) => self.poll(job, chance),
                None => Answer::plain(StatusCode::NOT_FOUND),
            },
            _ => Answer::plain(StatusCode::NOT_FOUND),
        }
    }

    fn hand_out_token(&self, chance: &Chance) -> Answer {
        let mut book = lock(&self.book);
        book.tokens += 1;
        if let Some(status) = chance.refusal {
            book.tokens_refused += 1;
            return self.refuse(status);
        }
        let body = json!({ "access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600 }).to_string();
        Answer::plain(StatusCode::OK).with(CONTENT_TYPE, "application/json").with_body(body)
    }

    fn take_order(&self, headers: &HeaderMap, body: &[u8], chance: &Chance) -> Answer {
        let order: Value = serde_json::from_slice(body).unwrap_or_default();
        let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
        let (Some(policy), Some(key)) = (order.get("policy").and_then(Value::as_str), key) else {
            return Answer::plain(StatusCode::BAD_REQUEST);
        };
        let now = Instant::now();
        let mut book = lock(&self.book);
        book.note_request(policy, chance.refusal.is_some(), now);
        if let Some(status) = chance.refusal {
            self.note_refusal(&mut book, policy, status, now + chance.latency);
            return self.refuse(status);
        }
        let job = book.take_order(policy, key);
        let wait = self.wait_of(policy);
        book.tell_to_wait(policy, now + chance.latency + wait);
        let location = format!("/valuations/j-{job}");
        Answer::plain(StatusCode::ACCEPTED).with(LOCATION, &location).with_retry_after(wait)
    }

    fn poll(&self, job: usize, chance: &Chance) -> Answer {
        let now = Instant::now();
        let mut book = lock(&self.book);
        let Some(policy) = book.policy_of(job) else { return Answer::plain(StatusCode::NOT_FOUND) };
        let is_in_time = book.note_request(&policy, chance.refusal.is_some(), now);
        if let Some(status) = chance.refusal {
            self.note_refusal(&mut book, &policy, status, now + chance.latency);
            return self.refuse(status);
        }
        match book.poll(job, is_in_time, now) {
            Polled::Forgotten => Answer::plain(StatusCode::NOT_FOUND),
            Polled::Pending => {
                let wait = self.wait_of(&policy);
                book.tell_to_wait(&policy, now + chance.latency + wait);
                Answer::plain(StatusCode::ACCEPTED).with_retry_after(wait)
            }
            Polled::Ready => {
                let document = document(&policy);
                Answer::plain(StatusCode::OK).with(CONTENT_TYPE, "application/xml").with_body(document)
            }
        }
    }

    /// A 429 tells its policy to wait; after a 503 the client decides.
    fn note_refusal(&self, book: &mut Book, policy: &str, status: StatusCode, answered: Instant) {
        if status == StatusCode::TOO_MANY_REQUESTS {
            book.tell_to_wait(policy, answered + self.settings.refusal_wait);
        }
    }

    fn refuse(&self, status: StatusCode) -> Answer {
        let answer = Answer::plain(status);
        if status == StatusCode::TOO_MANY_REQUESTS {
            answer.with_retry_after(self.settings.refusal_wait)
        } else {
            answer
        }
    }

    fn wait_of(&self, policy: &str) -> Duration {
        if Kind::of(policy) == Kind::Locked { self.settings.locked_wait } else { self.settings.poll_wait }
    }
}

fn document(policy: &str) -> String {
    if Kind::of(policy) == Kind::Unknown {
        return format!("<valuation policy=\"{policy}\"><status>UNKNOWN_POLICY</status></valuation>");
    }
    format!("<valuation policy=\"{policy}\"><status>OK</status><amount currency=\"EUR\">123.45</amount></valuation>")
}

impl Answer {
    fn plain(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: String::new() }
    }

    fn with(mut self, name: http::HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    fn with_retry_after(self, wait: Duration) -> Self {
        self.with(RETRY_AFTER, &wait.as_secs().to_string())
    }

    fn with_body(self, body: String) -> Self {
        Self { body, ..self }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
