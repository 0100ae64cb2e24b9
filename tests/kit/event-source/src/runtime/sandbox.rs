//! One process and its end of the Runtime API, on a port of its own (which names the process).

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method};
use http_body_util::Full;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc, oneshot};

use super::config::{FunctionConfig, LogLine, PAYLOAD_BYTES};
use damper_stand_ins::serve::{Request, Response, Server, body, json as answer_json, serve};

const API: &str = "/2018-06-01/runtime/";

/// Why there is no process.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The executable does not start.
    #[error("Runtime.InvalidEntrypoint: cannot start {executable}: {source}; is it built?")]
    Entrypoint {
        /// The executable.
        executable: String,
        /// Why.
        source: std::io::Error,
    },
    /// No port.
    #[error("ServiceException: cannot serve the Runtime API: {0}")]
    Port(std::io::Error),
    /// It reported that its initialisation failed, or ended, or took too long.
    #[error("{0}")]
    Init(String),
}

/// One event on its way to a process.
pub(super) struct Work {
    request_id: String,
    event: Bytes,
    deadline_ms: i64,
    arn: String,
}

impl Work {
    pub(super) fn new(request_id: &str, event: Bytes, config: &FunctionConfig) -> Self {
        // The process compares it with the machine's clock, whatever a test's clock shows.
        let deadline_ms = crate::clock::later(crate::clock::machine_time(), config.timeout).as_millisecond();
        Self { request_id: request_id.to_owned(), event, deadline_ms, arn: config.arn() }
    }
}

/// How an invocation ended.
pub(super) enum End {
    Answered(Bytes),
    Failed(String),
    TimedOut,
    Exited(String),
}

/// The invocation that a process has, and who waits for its end.
type Current = Option<(String, oneshot::Sender<End>)>;

/// The handler of the process's HTTP requests.
struct Api {
    pid: Mutex<Option<Pid>>,
    freeze: bool,
    work: tokio::sync::Mutex<mpsc::Receiver<(Work, oneshot::Sender<End>)>>,
    current: Mutex<Current>,
    asked: Notify,
    init_error: Mutex<Option<oneshot::Sender<String>>>,
}

/// A process; dropping it kills it.
pub(super) struct Sandbox {
    pub(super) process: u32,
    child: Child,
    work: mpsc::Sender<(Work, oneshot::Sender<End>)>,
    _server: Server,
}

impl Sandbox {
    /// Starts a process and waits until it asks for an event.
    pub(super) async fn start(
        config: &FunctionConfig,
        log: impl Fn(LogLine) + Clone + Send + 'static,
    ) -> Result<Self, StartError> {
        let (work, incoming) = mpsc::channel(1);
        let (report, reported) = oneshot::channel();
        let api = Arc::new(Api {
            pid: Mutex::new(None),
            freeze: config.freeze,
            work: tokio::sync::Mutex::new(incoming),
            current: Mutex::new(None),
            asked: Notify::new(),
            init_error: Mutex::new(Some(report)),
        });
        let for_server = Arc::clone(&api);
        let server = serve(move |request| route(Arc::clone(&for_server), request)).await.map_err(StartError::Port)?;
        let mut child = command(config, &server.addr.to_string())
            .spawn()
            .map_err(|source| StartError::Entrypoint { executable: config.executable.display().to_string(), source })?;
        let process = child.id().unwrap_or(0);
        *api.pid.lock().unwrap_or_else(PoisonError::into_inner) = i32::try_from(process).ok().and_then(Pid::from_raw);
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(copy_lines(stdout, process, false, log.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(copy_lines(stderr, process, true, log));
        }
        tokio::select! {
            biased;
            () = api.asked.notified() => Ok(Self { process, child, work, _server: server }),
            Ok(error) = reported => Err(StartError::Init(error)),
            status = child.wait() => Err(StartError::Init(format!(
                "Runtime.ExitError: the runtime exited before its first event with {}", exit_text(status))
            )),
            () = tokio::time::sleep(config.init_timeout) => Err(StartError::Init(format!(
                "Sandbox.Timedout: the initialisation took more than {} s", config.init_timeout.as_secs())
            )),
        }
    }

    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Serves one event. The sandbox comes back if it can serve another.
    pub(super) async fn serve(
        mut self,
        work: Work,
        timeout: Duration,
        killed: impl Future<Output = ()>,
    ) -> (End, Option<Self>) {
        let (ended, end) = oneshot::channel();
        if self.work.send((work, ended)).await.is_err() {
            return (End::Exited("error: the Runtime API is gone".to_owned()), None);
        }
        tokio::select! {
            biased;
            Ok(end) = end => (end, Some(self)),
            status = self.child.wait() => (End::Exited(exit_text(status)), None),
            () = tokio::time::sleep(timeout) => {
                self.kill().await;
                (End::TimedOut, None)
            }
            () = killed => {
                self.kill().await;
                (End::Exited("error: signal: killed".to_owned()), None)
            }
        }
    }

    async fn kill(&mut self) {
        // SIGKILL; it fails only for a process that is gone.
        let _ = self.child.kill().await;
    }
}

fn exit_text(status: std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("error: {status}"),
        Err(error) => format!("an unknown end: {error}"),
    }
}

/// The process with Lambda's environment: what its documentation lists for an OS-only runtime.
fn command(config: &FunctionConfig, runtime_api: &str) -> Command {
    let task_root = config.task_root.display().to_string();
    let memory = config.memory_mb.to_string();
    let log_group = format!("/aws/lambda/{}", config.name);
    let mut command = Command::new(&config.executable);
    command
        .env_clear()
        .envs([
            ("AWS_LAMBDA_RUNTIME_API", runtime_api),
            ("AWS_LAMBDA_FUNCTION_NAME", &config.name),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", &log_group),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/01/01/[$LATEST]0123456789abcdef"),
            ("AWS_REGION", &config.region),
            ("AWS_DEFAULT_REGION", &config.region),
            ("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "example"),
            ("AWS_SESSION_TOKEN", "example"),
            ("LAMBDA_TASK_ROOT", &task_root),
            ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
            ("LANG", "en_US.UTF-8"),
            ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin"),
            ("TZ", ":UTC"),
            ("_HANDLER", "bootstrap"),
        ])
        .envs(&config.environment)
        .current_dir(&config.task_root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn copy_lines(from: impl AsyncRead + Unpin, process: u32, is_stderr: bool, log: impl Fn(LogLine)) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(text)) = lines.next_line().await {
        log(LogLine { process, is_stderr, text });
    }
}

async fn route(api: Arc<Api>, request: Request) -> Response {
    let path = request.uri().path().strip_prefix(API).unwrap_or_default().to_owned();
    let parts: Vec<_> = path.split('/').collect();
    match (request.method(), parts.as_slice()) {
        (&Method::GET, ["invocation", "next"]) => api.next().await,
        (&Method::POST, ["invocation", request_id, "response"]) => api.response(request_id, request).await,
        (&Method::POST, ["invocation", request_id, "error"]) => api.error(request_id, request).await,
        (&Method::POST, ["init", "error"]) => api.init_error(request).await,
        _ => answer_json(404, &json!({ "errorType": "NotFound", "errorMessage": format!("no such path: {path}") })),
    }
}

impl Api {
    async fn next(&self) -> Response {
        self.asked.notify_one();
        let mut incoming = self.work.lock().await;
        let ready = match incoming.try_recv() {
            Ok(work) => Some(work),
            Err(_) => {
                self.signal(Signal::STOP);
                let work = incoming.recv().await;
                self.signal(Signal::CONT);
                work
            }
        };
        let Some((work, ended)) = ready else {
            return answer_json(500, &json!({ "errorType": "Gone", "errorMessage": "the function is gone" }));
        };
        *self.lock_current() = Some((work.request_id.clone(), ended));
        let mut response = Response::new(Full::new(work.event));
        let headers = [
            ("lambda-runtime-aws-request-id", work.request_id),
            ("lambda-runtime-deadline-ms", work.deadline_ms.to_string()),
            ("lambda-runtime-invoked-function-arn", work.arn),
            (
                "lambda-runtime-trace-id",
                "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0".to_owned(),
            ),
            ("content-type", "application/json".to_owned()),
        ];
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    async fn response(&self, request_id: &str, request: Request) -> Response {
        let Some(ended) = self.take_current(request_id) else { return unknown_request(request_id) };
        let (end, status) = match body(request, PAYLOAD_BYTES).await {
            Some(body) => (End::Answered(body), 202),
            None => {
                let message = format!("Function.ResponseSizeTooLarge: the answer exceeds {PAYLOAD_BYTES} bytes");
                (End::Failed(message), 413)
            }
        };
        let _ = ended.send(end);
        answer_json(status, &json!({ "status": if status == 202 { "OK" } else { "too large" } }))
    }

    async fn error(&self, request_id: &str, request: Request) -> Response {
        let Some(ended) = self.take_current(request_id) else { return unknown_request(request_id) };
        let _ = ended.send(End::Failed(error_text(request).await));
        answer_json(202, &json!({ "status": "OK" }))
    }

    async fn init_error(&self, request: Request) -> Response {
        let text = error_text(request).await;
        if let Some(report) = self.init_error.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = report.send(text);
        }
        answer_json(202, &json!({ "status": "OK" }))
    }

    fn signal(&self, signal: Signal) {
        let pid = *self.pid.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = pid.filter(|_| self.freeze) {
            // It fails only for a process that is gone.
            let _ = kill_process(pid, signal);
        }
    }

    fn lock_current(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_current(&self, request_id: &str) -> Option<oneshot::Sender<End>> {
        self.lock_current().take_if(|(current, _)| current == request_id).map(|(_, ended)| ended)
    }
}

fn unknown_request(request_id: &str) -> Response {
    let message = format!("no such invocation is running: {request_id}");
    answer_json(400, &json!({ "errorType": "InvalidRequestID", "errorMessage": message }))
}

async fn error_text(request: Request) -> String {
    let body = body(request, PAYLOAD_BYTES).await.unwrap_or_default();
    let error: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or("unknown").to_owned();
    format!("{}: {}", part("errorType"), part("errorMessage"))
}
