//! The demo provider as an operator deploys it: `damper package`, the zip in a bucket, and stacks of the templates, all
//! in a ministack that runs the functions from that zip and lets them do what their roles say, and no more.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_lambda::primitives::Blob;
use damper_aws::sink::bucket;
use damper_aws::{AwsClients, DynamoLedger};
use damper_demo_api::{DemoApi, Settings};
use damper_event_source::LogLine;
use damper_stand_ins::{ACCESS_KEY, REGION, StandIn, python, sdk_config, unique, with_access_key};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::deployment::{PATIENCE, ids_of};
use crate::package;

/// The deployed stacks, and the clients of their services.
pub(crate) struct Deployed {
    pub(crate) api: DemoApi,
    pub(crate) bucket: Arc<dyn ObjectStore>,
    pub(crate) ledger: DynamoLedger,
    /// The name of the function that the provider's stream is mapped to.
    pub(crate) function: String,
    pub(crate) clients: AwsClients,
    stand_in: &'static StandIn,
    records: String,
    table: String,
    /// The name of the shared stack; the provider's is `-demo` behind it.
    shared: String,
    folder: TempDir,
}

/// The stores, with the rights of a role.
pub(crate) struct Intruder {
    pub(crate) ledger: DynamoLedger,
    pub(crate) bucket: Arc<dyn ObjectStore>,
    pub(crate) clients: AwsClients,
}

impl Deployed {
    /// Package and deploy. `None`: the stand-in cannot be had, which is printed.
    pub(crate) async fn new(is_isolated: bool) -> Option<Self> {
        Self::deploy(is_isolated, Settings::default(), "").await
    }

    /// The same, with an API that wants a key, and the key in the secret of this name.
    pub(crate) async fn with_secret(is_isolated: bool, name: &str, key: &str) -> Option<Self> {
        let stand_in = damper_stand_ins::ministack_with_roles()?;
        let secrets = AwsClients::new(sdk_config(stand_in.endpoint())).secrets();
        secrets.create_secret().name(name).secret_string(key).send().await.unwrap();
        let api = Settings { require_key: Some(key.to_owned()), ..Settings::default() };
        let settings =
            format!("config.use_key = \"true\"\ncredentials.key = {{ secret = {name:?}, hosts = [\"ORIGIN\"] }}\n");
        Self::deploy(is_isolated, api, &settings).await
    }

    async fn deploy(is_isolated: bool, api: Settings, settings: &str) -> Option<Self> {
        let stand_in = damper_stand_ins::ministack_with_roles()?;
        let api = DemoApi::start(api).unwrap();
        let clients = AwsClients::new(sdk_config(stand_in.endpoint()));
        let folder = tempfile::tempdir().unwrap();
        let (shared, code) = (unique("damper"), unique("code"));
        package(folder.path(), &api.url(), &shared, settings, is_isolated);
        upload(&clients, stand_in, folder.path(), &code).await;

        let name = |what: &str, value: &str| json!({ "ParameterKey": what, "ParameterValue": value });
        let function = if is_isolated { format!("{shared}-demo") } else { shared.clone() };
        let parameters =
            [name("CodeBucket", &code), name("FunctionName", &shared), name("StreamPrefix", &format!("{shared}-"))];
        let outputs = deploy(stand_in, &shared, &folder.path().join("dist/damper.yaml"), &parameters).await;
        let mut parameters = vec![name("SharedStack", &shared), name("BatchingWindowSeconds", "0")];
        if is_isolated {
            parameters.extend([name("CodeBucket", &code), name("FunctionName", &function)]);
        }
        let template = folder.path().join("dist/providers/demo.yaml");
        deploy(stand_in, &format!("{shared}-demo"), &template, &parameters).await;

        let records = outputs["BucketName"].as_str().unwrap().to_owned();
        let bucket: Arc<dyn ObjectStore> = Arc::new(bucket(clients.config(), &records).unwrap());
        let table = outputs["TableName"].as_str().unwrap().to_owned();
        let ledger = DynamoLedger::new(clients.dynamodb(), &*table, Arc::clone(&bucket));
        Some(Self { api, bucket, ledger, function, clients, stand_in, records, table, shared, folder })
    }

    /// Somebody who may do what the role of a stack's function may, and no more: as a hostile component would that
    /// broke out of its sandbox. A user, since the role itself is Lambda's alone.
    pub(crate) fn intruder(&self, is_isolated: bool) -> Intruder {
        let stack = if is_isolated { format!("{}-demo", self.shared) } else { self.shared.clone() };
        self.with_rights_of(&stack, "FunctionRole", "damper")
    }

    /// Somebody who may do what the role for the provider's secrets may.
    pub(crate) fn secrets_reader(&self) -> Intruder {
        self.with_rights_of(&format!("{}-demo", self.shared), "SecretsRole", "secrets")
    }

    /// The ARN of the role for the provider's secrets, as the function makes it from its environment.
    pub(crate) fn secrets_role(&self) -> String {
        let function = json!({ "FunctionName": self.shared });
        let function = call(self.stand_in, "lambda", "get_function_configuration", &function);
        let pattern = function["Environment"]["Variables"]["DAMPER_SECRETS_ROLE"].as_str().unwrap();
        pattern.replace("{provider}", "demo")
    }

    fn with_rights_of(&self, stack: &str, role: &str, policy: &str) -> Intruder {
        let resource = json!({ "StackName": stack, "LogicalResourceId": role });
        let role = call(self.stand_in, "cloudformation", "describe_stack_resource", &resource);
        let role = role["StackResourceDetail"]["PhysicalResourceId"].as_str().unwrap();
        let policy = json!({ "RoleName": role, "PolicyName": policy });
        let policy = call(self.stand_in, "iam", "get_role_policy", &policy)["PolicyDocument"].to_string();
        let user = unique("intruder");
        call(self.stand_in, "iam", "create_user", &json!({ "UserName": user }));
        let granted = json!({ "UserName": user, "PolicyName": "as-the-role", "PolicyDocument": policy });
        call(self.stand_in, "iam", "put_user_policy", &granted);
        let key = call(self.stand_in, "iam", "create_access_key", &json!({ "UserName": user }))["AccessKey"].clone();
        let text = |name: &str| key[name].as_str().unwrap();
        let config = with_access_key(self.clients.config(), text("AccessKeyId"), text("SecretAccessKey"));
        let bucket: Arc<dyn ObjectStore> = Arc::new(bucket(&config, &self.records).unwrap());
        let clients = AwsClients::new(config);
        let ledger = DynamoLedger::new(clients.dynamodb(), &*self.table, Arc::clone(&bucket));
        Intruder { ledger, bucket, clients }
    }

    /// Invoke the function's alias.
    pub(crate) async fn invoke(&self, event: &Value) -> Value {
        let request = self.clients.lambda().invoke().function_name(&self.function).qualifier("live");
        let answer = request.payload(Blob::new(event.to_string())).send().await.unwrap();
        let body: Value = serde_json::from_slice(answer.payload().unwrap().as_ref()).unwrap();
        assert_eq!(answer.function_error(), None, "{body}");
        body
    }

    /// Run `damper` as the operator does, in the folder with the damper.toml that was packaged.
    pub(crate) fn damper(&self, arguments: &[&str], input: &str) -> String {
        let mut command = Command::new(package::damper());
        command.current_dir(self.folder.path()).args(arguments);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
            command.env_remove(name);
        }
        command.env("AWS_ENDPOINT_URL", self.stand_in.endpoint()).env("AWS_REGION", REGION);
        command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", ACCESS_KEY);
        command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        run_to_end(&mut command, input)
    }

    /// The ids in the sink, sorted; one with two lines is there twice.
    pub(crate) async fn stored_ids(&self) -> Vec<String> {
        ids_of(&*self.bucket).await
    }

    /// The function's log lines, without those that Lambda itself adds to its log group.
    pub(crate) fn lines(&self) -> Vec<LogLine> {
        let group = format!("/aws/lambda/{}", self.function);
        let events = call(self.stand_in, "logs", "filter_log_events", &json!({ "logGroupName": group }));
        let messages = events["events"].as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap());
        messages.filter(|message| message.starts_with('{')).map(line).collect()
    }

    /// Lets requests to the bucket through that are not encrypted, as all are on loopback: its policy refuses them.
    pub(crate) fn without_tls(&self) {
        call(self.stand_in, "s3", "delete_bucket_policy", &json!({ "Bucket": self.records }));
    }

    /// Wait for a state that sends no event, by polling.
    pub(crate) async fn wait_until(&self, wanted: impl AsyncFn() -> bool) {
        let asking = async {
            while !wanted().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let asked = tokio::time::timeout(PATIENCE, asking).await;
        asked.unwrap_or_else(|_| panic!("it never came to it:\n{:#?}", self.lines()));
    }
}

fn line(text: &str) -> LogLine {
    LogLine { process: 0, is_stderr: false, text: text.to_owned() }
}

/// Write a damper.toml and package what it names.
fn package(folder: &Path, api: &str, function: &str, settings: &str, is_isolated: bool) {
    let toml = format!(
        "[aws]\nfunction = {function:?}\n[providers.demo]\ncomponent = {:?}\nhosts = \"manifest\"\nprivate = [{api:?}]\n\
         config.base_url = {api:?}\n{}",
        package::demo(),
        settings.replace("ORIGIN", api)
    );
    std::fs::write(folder.join("damper.toml"), toml).unwrap();
    std::fs::write(folder.join("bootstrap"), package::bootstrap_for_packaging()).unwrap();
    let mut command = Command::new(package::damper());
    command.current_dir(folder).args(["package", "--bootstrap", "bootstrap", "--arch", package::ARCHITECTURE]);
    if is_isolated {
        command.args(["--isolated", "demo"]);
    }
    run_to_end(&mut command, "");
}

/// Copy the zip to where the templates look for it.
async fn upload(clients: &AwsClients, stand_in: &StandIn, folder: &Path, code: &str) {
    call(stand_in, "s3", "create_bucket", &json!({ "Bucket": code }));
    let template = std::fs::read_to_string(folder.join("dist/damper.yaml")).unwrap();
    let name = template.split_whitespace().find(|word| word.starts_with("damper-") && word.ends_with(".zip")).unwrap();
    let zip = std::fs::read(folder.join(format!("dist/damper-{}.zip", package::ARCHITECTURE))).unwrap();
    let bucket = bucket(clients.config(), code).unwrap();
    bucket.put(&Key::from(format!("damper/{name}")), zip.into()).await.unwrap();
}

/// Does the same as `aws cloudformation deploy`. Answers the stack's outputs.
async fn deploy(stand_in: &StandIn, stack: &str, template: &Path, parameters: &[Value]) -> Value {
    let template = std::fs::read_to_string(template).unwrap();
    let capabilities = json!(["CAPABILITY_NAMED_IAM"]);
    let created = json!({
        "StackName": stack, "TemplateBody": template, "Parameters": parameters, "Capabilities": capabilities
    });
    call(stand_in, "cloudformation", "create_stack", &created);
    let described = loop {
        let described = call(stand_in, "cloudformation", "describe_stacks", &json!({ "StackName": stack }));
        let described = described["Stacks"][0].clone();
        if described["StackStatus"] != "CREATE_IN_PROGRESS" {
            break described;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(described["StackStatus"], "CREATE_COMPLETE", "{described}");
    let outputs = described["Outputs"].as_array().unwrap().iter();
    outputs.map(|output| (output["OutputKey"].as_str().unwrap().to_owned(), output["OutputValue"].clone())).collect()
}

/// One call of a service; see `aws.py`.
fn call(stand_in: &StandIn, service: &str, operation: &str, parameters: &Value) -> Value {
    let mut command = Command::new(python().unwrap());
    command.args(["-B", "-c", include_str!("aws.py"), stand_in.endpoint(), REGION, service, operation]);
    serde_json::from_str(&run_to_end(&mut command, &parameters.to_string())).unwrap()
}

/// Run a program to its end with something on its standard input. Answers its standard output.
fn run_to_end(command: &mut Command, input: &str) -> String {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
