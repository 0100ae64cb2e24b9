//! A deployment for a test, in moto: a function with its alias, table, bucket, streams and mappings; and a service that
//! refuses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use aws_sdk_kinesis::types::ShardIteratorType;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Environment, EventSourcePosition, FunctionCode, Runtime};
use damper_aws::{AwsClients, LambdaMapping};
use damper_core::mapping::Mapping;
use damper_stand_ins::{REGION, create_ledger_table, sdk_config, unique};

use crate::test_dir::TestDir;

const EMPTY_ZIP: [u8; 22] = *b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// A deployment, and a folder whose damper.toml names its function.
pub(crate) struct Stack {
    pub(crate) dir: TestDir,
    pub(crate) config: aws_config::SdkConfig,
    pub(crate) table: String,
    pub(crate) bucket: String,
    clients: AwsClients,
    endpoint: String,
    function: String,
    prefix: String,
}

impl Stack {
    /// With streams for these providers, of which the former are mapped.
    pub(crate) async fn new(mapped: &[&str], unmapped: &[&str]) -> Option<Self> {
        let endpoint = damper_stand_ins::moto()?.endpoint().to_owned();
        let config = sdk_config(&endpoint);
        let stack = Self {
            dir: TestDir::new(),
            clients: AwsClients::new(config.clone()),
            config,
            table: unique("ledger"),
            bucket: unique("records"),
            function: unique("damper"),
            prefix: format!("{}-", unique("cli")),
            endpoint,
        };
        stack.dir.write("damper.toml", stack.toml().as_bytes());
        create_ledger_table(&stack.clients.dynamodb(), &stack.table).await;
        ask(&stack.endpoint, "s3", &format!("PUT /{}", stack.bucket), "");
        let variables = [
            ("DAMPER_TABLE", &*stack.table),
            ("DAMPER_BUCKET", &stack.bucket),
            ("DAMPER_STREAM_PREFIX", &stack.prefix),
        ];
        stack.make_function(&stack.function, &variables).await;
        for provider in mapped.iter().chain(unmapped) {
            stack.make_stream(provider, mapped.contains(provider)).await;
        }
        Some(stack)
    }

    /// The content of damper.toml for this stack.
    pub(crate) fn toml(&self) -> String {
        format!("[aws]\nfunction = \"{}\"", self.function)
    }

    /// Run `damper` on it; the names of this stack are made alike.
    pub(crate) fn damper(&self, arguments: &[&str]) -> String {
        self.damper_fed(arguments, b"")
    }

    /// The same, with something on standard input.
    pub(crate) fn damper_fed(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut command = self.dir.command(arguments);
        on_aws(&mut command, &self.endpoint);
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input);
        let text = self.dir.text(&child.wait_with_output().unwrap());
        [
            (&self.function, "[function]"),
            (&self.table, "[table]"),
            (&self.bucket, "[bucket]"),
            (&self.prefix, "[prefix]"),
        ]
        .iter()
        .fold(text, |text, (name, word)| text.replace(*name, word))
    }

    /// Everything in a provider's stream.
    pub(crate) async fn payloads(&self, provider: &str) -> Vec<String> {
        let (client, stream) = (self.clients.kinesis(), format!("{}{provider}", self.prefix));
        let shards = client.list_shards().stream_name(&stream).send().await.unwrap();
        let mut payloads = Vec::new();
        for shard in shards.shards() {
            let iterator = client.get_shard_iterator().stream_name(&stream).shard_id(shard.shard_id());
            let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap();
            let mut next = iterator.shard_iterator;
            while let Some(iterator) = next {
                let page = client.get_records().shard_iterator(iterator).limit(10_000).send().await.unwrap();
                payloads.extend(page.records().iter().map(|record| text(record.data().as_ref())));
                next = page.next_shard_iterator.filter(|_| !page.records.is_empty());
            }
        }
        payloads
    }

    /// Whether a provider's mapping is enabled.
    pub(crate) async fn is_enabled(&self, provider: &str) -> bool {
        let mapping = LambdaMapping::new(self.clients.lambda(), format!("{}:live", self.function), &*self.prefix);
        mapping.read(provider).await.unwrap().enabled
    }

    /// A function that is none of Damper's.
    pub(crate) async fn foreign_function(&self) -> String {
        let name = unique("foreign");
        self.make_function(&name, &[("OTHER", "1")]).await;
        name
    }

    async fn make_function(&self, name: &str, variables: &[(&str, &str)]) {
        // moto wants a role that is there.
        let role = unique("role");
        let policy = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D";
        let form = format!("Action=CreateRole&Version=2010-05-08&RoleName={role}&AssumeRolePolicyDocument={policy}");
        ask(&self.endpoint, "iam", "POST /", &form);
        let environment =
            variables.iter().fold(Environment::builder(), |it, (name, value)| it.variables(*name, *value));
        let lambda = self.clients.lambda();
        let create = lambda.create_function().function_name(name).runtime(Runtime::Providedal2023).handler("bootstrap");
        let create = create.role(format!("arn:aws:iam::123456789012:role/{role}")).environment(environment.build());
        let code = FunctionCode::builder().zip_file(Blob::new(EMPTY_ZIP)).build();
        create.code(code).publish(true).send().await.unwrap();
        lambda.create_alias().function_name(name).name("live").function_version("1").send().await.unwrap();
    }

    async fn make_stream(&self, provider: &str, is_mapped: bool) {
        let (kinesis, stream) = (self.clients.kinesis(), format!("{}{provider}", self.prefix));
        kinesis.create_stream().stream_name(&stream).shard_count(2).send().await.unwrap();
        if is_mapped {
            let described = kinesis.describe_stream_summary().stream_name(&stream).send().await.unwrap();
            let arn = described.stream_description_summary().unwrap().stream_arn().to_owned();
            let create = self.clients.lambda().create_event_source_mapping().event_source_arn(arn).batch_size(100);
            let create = create.function_name(format!("{}:live", self.function));
            create.starting_position(EventSourcePosition::TrimHorizon).send().await.unwrap();
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// AWS's standard variables for a process that uses a stand-in, and nothing of this machine's own.
pub(crate) fn on_aws(command: &mut Command, endpoint: &str) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command.env("AWS_ENDPOINT_URL", endpoint).env("AWS_REGION", REGION).env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_ACCESS_KEY_ID", "stand-in").env("AWS_SECRET_ACCESS_KEY", "stand-in");
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
}

/// Ask a service of a stand-in that no client of ours speaks to.
fn ask(endpoint: &str, service: &str, what: &str, form: &str) {
    let host = endpoint.trim_start_matches("http://");
    let credential = format!("AWS4-HMAC-SHA256 Credential=stand-in/20261122/{REGION}/{service}/aws4_request");
    let request = format!(
        "{what} HTTP/1.1\r\nhost: {host}\r\nauthorization: {credential}, SignedHeaders=host, Signature=0\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{form}",
        form.len()
    );
    let mut socket = TcpStream::connect(host).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// An error of AWS's JSON protocols: its kind, and the body.
pub(crate) fn refusal(kind: &str, message: &str) -> (String, String) {
    (kind.to_owned(), format!(r#"{{"__type":"{kind}","Message":"{message}"}}"#))
}

/// The endpoint of a service that answers this error to everything. It ends with the process.
pub(crate) fn answering((kind, body): &(String, String)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let status = if kind.contains("NotFound") { 404 } else { 403 };
    let answer = format!(
        "HTTP/1.1 {status} X\r\nx-amzn-errortype: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            answer_one(&socket, &answer);
        }
    });
    endpoint
}

/// A client that goes away before its answer is no fault of this side.
fn answer_one(socket: &TcpStream, answer: &str) {
    let mut request = BufReader::new(socket);
    let (mut line, mut length) = (String::new(), 0);
    while request.read_line(&mut line).is_ok_and(|read| read > 2) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let _ = request.read_exact(&mut vec![0; length]);
    let mut socket = socket;
    let _ = socket.write_all(answer.as_bytes());
}
