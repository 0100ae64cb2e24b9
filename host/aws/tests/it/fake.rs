//! A service that says what a test wants: for throttling, conflicts and states that no stand-in has.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_config::SdkConfig;
use damper_stand_ins::sdk_config;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: u16,
    kind: String,
    body: String,
}

impl Answer {
    pub(crate) fn ok(body: &str) -> Self {
        Self { status: 200, kind: String::new(), body: body.to_owned() }
    }

    /// An error of AWS's JSON protocols.
    pub(crate) fn error(status: u16, kind: &str, message: &str) -> Self {
        let body = format!(r#"{{"__type":"{kind}","message":"{message}"}}"#);
        Self { status, kind: kind.to_owned(), body }
    }
}

/// The scripted answers and the received requests.
#[derive(Debug, Default)]
struct Script {
    answers: VecDeque<Answer>,
    last: Option<Answer>,
    requests: Vec<String>,
}

/// A running fake; it ends with the test's runtime.
#[derive(Debug, Clone)]
pub(crate) struct FakeService {
    endpoint: String,
    script: Arc<Mutex<Script>>,
}

impl FakeService {
    /// Answers these, one after the other, and then no more.
    pub(crate) async fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::start(Script { answers: answers.into_iter().collect(), ..Script::default() }).await
    }

    /// Answers this to everything.
    pub(crate) async fn always(answer: Answer) -> Self {
        Self::start(Script { last: Some(answer), ..Script::default() }).await
    }

    /// Every request: its method, path and body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.script.lock().unwrap().requests.clone()
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(crate) fn config(&self) -> SdkConfig {
        // Paused time runs ahead while a real socket is waited for.
        sdk_config(&self.endpoint)
            .into_builder()
            .timeout_config(aws_config::timeout::TimeoutConfig::disabled())
            .stalled_stream_protection(aws_config::stalled_stream_protection::StalledStreamProtectionConfig::disabled())
            .build()
    }

    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.config())
    }

    async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(script));
        let shared = Arc::clone(&script);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&shared)));
            }
        });
        Self { endpoint, script }
    }
}

async fn serve(socket: TcpStream, script: Arc<Mutex<Script>>) {
    let mut socket = BufReader::new(socket);
    while let Some(request) = read_request(&mut socket).await {
        let answer = {
            let mut script = script.lock().unwrap();
            script.requests.push(request);
            script.answers.pop_front().or_else(|| script.last.clone())
        };
        let answer = answer.unwrap_or_else(|| Answer::error(500, "NotScripted", "the test wants no more requests"));
        let Answer { status, kind, body } = answer;
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nx-amzn-errortype: {kind}\r\ncontent-length: {length}\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(body.as_bytes()).await.unwrap();
    }
}

async fn read_request(socket: &mut BufReader<TcpStream>) -> Option<String> {
    let mut first = String::new();
    socket.read_line(&mut first).await.ok().filter(|read| *read > 0)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        socket.read_line(&mut line).await.ok()?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.ok()?;
    let first = first.trim().trim_end_matches(" HTTP/1.1");
    Some(format!("{first} {}", String::from_utf8_lossy(&body)))
}

/// Send a form to a service of a stand-in that no client of ours speaks to.
pub(crate) async fn post(endpoint: &str, service: &str, form: &str) {
    let host = endpoint.trim_start_matches("http://");
    let credential = format!("AWS4-HMAC-SHA256 Credential=stand-in/20261122/us-east-1/{service}/aws4_request");
    let request = format!(
        "POST / HTTP/1.1\r\nhost: {host}\r\nauthorization: {credential}, SignedHeaders=host, Signature=0\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{form}",
        form.len()
    );
    let mut socket = TcpStream::connect(host).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Make a bucket in a stand-in.
pub(crate) async fn create_bucket(endpoint: &str, path: &str) {
    let host = endpoint.trim_start_matches("http://");
    let credential = "AWS4-HMAC-SHA256 Credential=stand-in/20261122/us-east-1/s3/aws4_request";
    let request = format!(
        "PUT {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: {credential}, SignedHeaders=host, Signature=0\r\n\
         content-length: 0\r\nconnection: close\r\n\r\n"
    );
    let mut socket = TcpStream::connect(host).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
