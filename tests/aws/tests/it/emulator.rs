//! `bootstrap` under a Runtime API that is not ours: AWS's own Runtime Interface Emulator.

use std::path::Path;
use std::time::Duration;

use damper_stand_ins::{ACCESS_KEY, REGION, Tied, free_port, rie};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::house::{House, PATIENCE, Wanted};
use crate::package::bootstrap;
use crate::troubles::batch_of;

/// A running emulator around `bootstrap`.
struct Emulator {
    port: u16,
    running: Tied,
}

impl Emulator {
    /// In a house's surroundings.
    fn start(program: &Path, house: &House) -> Self {
        let (port, runtime) = (free_port().unwrap(), free_port().unwrap());
        let mut running = Tied::start(program, |command| {
            command.args(["--runtime-interface-emulator-address", &format!("127.0.0.1:{port}")]);
            command.args(["--runtime-api-address", &format!("127.0.0.1:{runtime}")]);
            command.arg(bootstrap()).env_clear();
            command.envs(house.environment());
            command.env("AWS_LAMBDA_FUNCTION_NAME", "damper").env("AWS_LAMBDA_FUNCTION_TIMEOUT", "30");
            command.env("LAMBDA_TASK_ROOT", house.package.path()).env("AWS_REGION", REGION);
            command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", ACCESS_KEY);
        })
        .unwrap();
        running.listening(port, PATIENCE).unwrap();
        Self { port, running }
    }

    /// Its one path, as its documentation has it.
    async fn invoke(&self, event: &Value) -> Value {
        let body = event.to_string();
        let request = format!(
            "POST /2015-03-31/functions/function/invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, socket.read_to_string(&mut answer)).await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}\n{}", self.running.said());
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}\n{}", self.running.said()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_under_awss_own_emulator() {
    let Some(program) = rie() else { return };
    let Some(house) = House::new(Wanted { timeout: Duration::from_secs(30), ..Wanted::default() }).await else {
        return;
    };
    let emulator = Emulator::start(program, &house);

    let fetched = emulator.invoke(&json!({ "provider": "demo", "id": "item-1" })).await;
    assert_eq!(fetched["record"]["body"]["id"], "item-1", "{fetched}\n{}", emulator.running.said());
    assert_eq!(house.sink().await, [fetched["record"].clone()], "the answer is the sink's line");

    let all_done = emulator.invoke(&batch_of(&house.stream_of("demo"))).await;
    assert_eq!(all_done, json!({ "batchItemFailures": [] }));
    assert_eq!(house.stored().await, ["a", "item-1"]);

    let none_done = emulator.invoke(&batch_of(&house.stream_of("nobody"))).await;
    assert_eq!(none_done, json!({ "batchItemFailures": [{ "itemIdentifier": "4711" }] }));
}
