//! A function that does what its event says, over the Runtime API, with nothing but the standard library: what the
//! Runtime API's server is tested with. An event is `{"print", "sleep_ms", "exit", "error", "answer", "answer_bytes"}`.
//!
//! With FAIL_INIT set it reports an initialisation error instead.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

fn main() -> std::io::Result<()> {
    let api = setting("AWS_LAMBDA_RUNTIME_API");
    if !setting("FAIL_INIT").is_empty() {
        let error = json!({ "errorType": "Init.Told", "errorMessage": "told to fail" }).to_string();
        send(&api, "POST", "init/error", error.as_bytes())?;
        std::process::exit(1);
    }
    loop {
        let (headers, event) = send(&api, "GET", "invocation/next", b"")?;
        let request_id = headers.iter().find_map(|line| line.strip_prefix("lambda-runtime-aws-request-id: "));
        obey(&api, request_id.unwrap_or_default(), &headers, &event)?;
    }
}

fn obey(api: &str, request_id: &str, headers: &[String], event: &[u8]) -> std::io::Result<()> {
    let event: Value = serde_json::from_slice(event).unwrap_or(Value::Null);
    let number = |name: &str| event.get(name).and_then(Value::as_u64);
    let mut out = std::io::stdout();
    if let Some(line) = event.get("print").and_then(Value::as_str) {
        writeln!(out, "{line}")?;
    }
    if let Some(millis) = number("sleep_ms") {
        std::thread::sleep(Duration::from_millis(millis));
    }
    if let Some(code) = number("exit").and_then(|code| i32::try_from(code).ok()) {
        std::process::exit(code);
    }
    if let Some(error) = event.get("error").and_then(Value::as_str) {
        let error = json!({ "errorType": "Told", "errorMessage": error }).to_string();
        send(api, "POST", &format!("invocation/{request_id}/error"), error.as_bytes())?;
        return Ok(());
    }
    let answer = match (number("answer_bytes"), event.get("answer")) {
        (Some(bytes), _) => vec![b'x'; usize::try_from(bytes).unwrap_or(0)],
        (None, Some(answer)) => answer.to_string().into_bytes(),
        // Otherwise it tells what it was given.
        (None, None) => {
            let environment: Vec<_> = std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
            json!({ "process": std::process::id(), "headers": headers, "environment": environment })
                .to_string()
                .into_bytes()
        }
    };
    send(api, "POST", &format!("invocation/{request_id}/response"), &answer)?;
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "the function's whole configuration is its environment, as in Lambda")]
fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// One request on a connection of its own; the answer's header lines, in lower case, and its body.
fn send(api: &str, method: &str, path: &str, body: &[u8]) -> std::io::Result<(Vec<String>, Vec<u8>)> {
    let mut connection = TcpStream::connect(api)?;
    let head = format!(
        "{method} /2018-06-01/runtime/{path} HTTP/1.1\r\nhost: {api}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes())?;
    // A server that has heard enough may stop reading.
    let _ = connection.write_all(body);
    let mut answer = BufReader::new(connection);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        answer.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        match line.split_once(':') {
            Some((name, value)) => headers.push(format!("{}: {}", name.to_lowercase(), value.trim())),
            None => headers.push(line.to_owned()),
        }
    }
    let mut body = Vec::new();
    answer.read_to_end(&mut body)?;
    Ok((headers, body))
}
