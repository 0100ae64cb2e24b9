//! `bootstrap` under a Runtime API that is not ours: AWS's own Runtime Interface Emulator.

use std::path::Path;
use std::time::Duration;

use damper_stand_ins::{ACCESS_KEY, REGION, TiedProcess, free_port, rie};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::deployment::{DeploymentOptions, PATIENCE, TestDeployment};
use crate::package::bootstrap;
use crate::troubles::batch_of;

/// A running emulator around `bootstrap`.
struct Emulator {
    port: u16,
    running: TiedProcess,
}

impl Emulator {
    /// In a deployment's surroundings.
    fn start(program: &Path, deployment: &TestDeployment) -> Self {
        let (port, runtime) = (free_port().unwrap(), free_port().unwrap());
        let mut running = TiedProcess::start(program, |command| {
            command.args(["--runtime-interface-emulator-address", &format!("127.0.0.1:{port}")]);
            command.args(["--runtime-api-address", &format!("127.0.0.1:{runtime}")]);
            command.arg(bootstrap()).env_clear();
            command.envs(deployment.environment());
            command.env("AWS_LAMBDA_FUNCTION_NAME", "damper").env("AWS_LAMBDA_FUNCTION_TIMEOUT", "30");
            command.env("LAMBDA_TASK_ROOT", deployment.package.path()).env("AWS_REGION", REGION);
            command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", ACCESS_KEY);
        })
        .unwrap();
        running.wait_for_port(port, PATIENCE).unwrap();
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
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}\n{}", self.running.output_tail());
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}\n{}", self.running.output_tail()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_under_awss_own_emulator() {
    let Some(program) = rie() else { return };
    let Some(deployment) =
        TestDeployment::new(DeploymentOptions { timeout: Duration::from_secs(30), ..DeploymentOptions::default() })
            .await
    else {
        return;
    };
    let emulator = Emulator::start(program, &deployment);

    let fetched = emulator.invoke(&json!({ "provider": "demo", "id": "item-1" })).await;
    assert_eq!(fetched["record"]["body"]["id"], "item-1", "{fetched}\n{}", emulator.running.output_tail());
    assert_eq!(deployment.sink().await, [fetched["record"].clone()], "the answer is the sink's line");

    let all_done = emulator.invoke(&batch_of(&deployment.stream_of("demo"))).await;
    assert_eq!(all_done, json!({ "batchItemFailures": [] }));
    assert_eq!(deployment.stored_ids().await, ["a", "item-1"]);

    let none_done = emulator.invoke(&batch_of(&deployment.stream_of("nobody"))).await;
    assert_eq!(none_done, json!({ "batchItemFailures": [{ "itemIdentifier": "4711" }] }));
}
