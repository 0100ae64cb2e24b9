//! The CloudFormation templates: texts in `templates/`, with few places to fill. Pure.
//!
//! A place in a line is `{{NAME}}`; one that takes lines is a line `# {{NAME}}`, whose indentation they get.

mod fill;
mod isolation;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};

use damper_plugins::package::Architecture;

use crate::dashboard;
use crate::retention::StreamRetention;
use crate::timeout::LeastTimeout;

use fill::{dedent, fill, indent};
use isolation::{assigned_text, assignment_variable, denial_of};
use secrets::{ASSUME_ROLES, ROLES_VARIABLE, secrets_role, secrets_statements};
pub(crate) use secrets::{MAX_PROVIDER_NAME, StackSecrets};

const SHARED: &str = include_str!("templates/shared.yaml");
const PROVIDER: &str = include_str!("templates/provider.yaml");
const FUNCTION: &str = include_str!("templates/function.yaml");
const PARAMETERS: &str = include_str!("templates/parameters.yaml");
const BUCKET: &str = include_str!("templates/bucket.yaml");
const ACCESS_SHARED: &str = include_str!("templates/access-shared.yaml");
const ACCESS_ISOLATED: &str = include_str!("templates/access-isolated.yaml");

/// The code of a function as its template names it: for each architecture the zip's name in the bucket, and its SHA-256
/// in Base64.
pub type Codes = BTreeMap<Architecture, Code>;

/// A zip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// Its name in the bucket, with a part of its digest.
    pub name: String,
    /// Its SHA-256 in Base64, as Lambda tells it.
    pub sha256: String,
}

/// The inputs of the shared stack's template.
#[derive(Debug)]
pub(crate) struct SharedStack<'a> {
    /// The provider that the dashboard shows first.
    pub(crate) first: &'a str,
    /// The providers that its function works for.
    pub(crate) providers: &'a BTreeSet<String>,
    /// Those that have functions of their own.
    pub(crate) isolated: &'a BTreeSet<String>,
    /// The least timeout of its function.
    pub(crate) timeout: LeastTimeout,
}

/// The inputs of a provider's template.
#[derive(Debug)]
pub(crate) struct Stack<'a> {
    pub(crate) provider: &'a str,
    pub(crate) start_batch: u32,
    pub(crate) retention: &'a StreamRetention,
    /// Whether it has a function of its own.
    pub(crate) isolated: bool,
    /// The names of its secrets.
    pub(crate) secrets: StackSecrets<'a>,
    /// The least timeout of its own function.
    pub(crate) timeout: LeastTimeout,
}

/// How AWS calls an architecture.
pub(crate) fn aws_name(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "x86_64",
        Architecture::Aarch64 => "arm64",
    }
}

/// The shared stack.
pub(crate) fn shared_template(stack: &SharedStack<'_>, codes: &Codes) -> String {
    let function = function(&Function {
        table_name: "!Ref Table",
        bucket_name: "!Ref Bucket",
        stream_prefix: "!Ref StreamPrefix",
        streams: "!Sub \"${StreamPrefix}*\"".to_owned(),
        description: "\"Damper: fetches records for all providers\"".to_owned(),
        access: fill(ACCESS_SHARED, &[], &[("ISOLATED", denial_of(stack.isolated))]),
        // All of the zip where none is isolated.
        providers: (!stack.isolated.is_empty()).then_some(stack.providers),
        codes,
        secrets: ASSUME_ROLES.to_owned(),
        secrets_variable: ROLES_VARIABLE,
    });
    let blocks = [
        ("PARAMETERS", parameters(codes, "damper", &stack.timeout)),
        ("CONDITIONS", conditions(codes)),
        ("RULES", RULES.to_owned()),
        ("LINT", LINT.to_owned()),
        ("FUNCTION", function),
        ("BUCKET", bucket("Bucket", "!Ref OldVersionDays", EXPIRY)),
        ("DASHBOARD", dashboard::body(stack.first)),
        ("PROVIDERS", exports(stack.providers.union(stack.isolated))),
    ];
    fill(SHARED, &[], &blocks)
}

/// A provider's stack.
pub(crate) fn provider_template(stack: &Stack<'_>, codes: &Codes) -> String {
    let retention = stack.retention;
    let live = if stack.isolated { "!Ref Live" } else { r#"!ImportValue { "Fn::Sub": "${SharedStack}-Live" }"# };
    let failed_batches = match stack.isolated {
        true => "!GetAtt FailedBatches.Arn",
        false => r#"!ImportValue { "Fn::Sub": "${SharedStack}-BucketArn" }"#,
    };
    let alarm_ms = retention.alarm_age().as_millis();
    let inline = [
        ("PROVIDER", stack.provider.to_owned()),
        ("INVOKED", if stack.isolated { "a function of its own" } else { "the shared function" }.to_owned()),
        ("LIVE", live.to_owned()),
        ("FAILED_BATCHES", failed_batches.to_owned()),
        ("RETENTION_HOURS", retention.hours.to_string()),
        ("BATCH_SIZE", stack.start_batch.to_string()),
        ("OLDEST_ALARM_MS", alarm_ms.to_string()),
        ("CLOSED", closed_text(retention)),
    ];
    let mut blocks: BTreeMap<&str, String> = BTreeMap::from([("RECORD_AGE", record_age(retention))]);
    if stack.isolated {
        blocks.extend([
            ("PARAMETERS", parameters(codes, &format!("damper-{}", stack.provider), &stack.timeout)),
            ("CONDITIONS", conditions(codes)),
            ("RULES", RULES.to_owned()),
            ("METADATA", format!("Metadata:\n{}\n", indent(LINT, 2))),
            (
                "FUNCTION",
                format!("{}{FAILED_BATCHES}{}", own_function(stack, codes), bucket("FailedBatches", "30", "")),
            ),
            ("OUTPUTS", ROLLBACK.to_owned()),
        ]);
    } else {
        let has_role = !stack.secrets.read.is_empty();
        blocks.insert("LAST_PARAMETERS", last_parameters(has_role));
        if has_role {
            blocks.insert("CONDITIONS", HAS_BOUNDARY.to_owned());
            // A new role takes seconds until it can be assumed; a mapping takes longer, and begins after it.
            blocks.insert("NEEDED_BY_MAPPING", "DependsOn: SecretsRole\n".to_owned());
            blocks.insert("SECRETS_ROLE", secrets_role(stack.provider, &stack.secrets));
        }
    }
    let blocks: Vec<(&str, String)> = blocks.into_iter().collect();
    fill(PROVIDER, &inline, &blocks)
}

const HAS_BOUNDARY: &str = "HasBoundary: !Not [!Equals [!Ref PermissionsBoundary, \"\"]]\n";

/// The exception for cfn-lint that a template with a function needs.
const LINT: &str = "\
cfn-lint:
  config:
    ignore_checks:
      - W1033 # it reads the empty default of SecurityGroupIds as an id; empty means no VPC
";

/// The checks of several parameters together, which AWS makes before a deployment.
const RULES: &str = "\
Rules:
  VpcNeedsBoth:
    RuleCondition: !Not [!Equals [!Ref SubnetIds, \"\"]]
    Assertions:
      - Assert: !Not [!Equals [!Ref SecurityGroupIds, \"\"]]
        AssertDescription: SubnetIds needs SecurityGroupIds, too.

";

/// Records and dead letters are deleted after some days, where the operator wants that.
const EXPIRY: &str = "\
- !If
  - RecordsExpire
  - { Id: records, Status: Enabled, ExpirationInDays: !Ref RecordExpiryDays }
  - !Ref AWS::NoValue
";

const FAILED_BATCHES: &str = "
# --- The bucket of batches that AWS gave up on; this provider has its own, because the function's role must list it \
-------------

";

const ROLLBACK: &str = "\
Rollback:
  Description: Rolls back a bad zip at once. VERSION is the version before it; list them with `aws lambda \
list-versions-by-function`.
  Value: !Sub aws lambda update-alias --function-name ${FunctionName} --name live --function-version VERSION
";

/// Why the stream keeps its items for so long.
fn closed_text(retention: &StreamRetention) -> String {
    match retention.closed.as_secs() / 60 {
        0 => "The provider's window never closes.".to_owned(),
        minutes => format!("The provider's window is closed for {} h {:02} min at most.", minutes / 60, minutes % 60),
    }
}

fn record_age(retention: &StreamRetention) -> String {
    match retention.record_age {
        Some(age) => format!(
            "# Before the stream trims an item without a trace, the mapping gives up on its batch and writes it to \
                the bucket.\nMaximumRecordAgeInSeconds: {}\n",
            age.as_secs()
        ),
        None => "# Lambda's limit is seven days, which is shorter than the closed window and two days in reserve: no \
            limit is set.\nMaximumRecordAgeInSeconds: -1\n"
            .to_owned(),
    }
}

/// The values of the function's part of a template: CloudFormation's own expressions.
struct Function<'a> {
    table_name: &'a str,
    bucket_name: &'a str,
    stream_prefix: &'a str,
    streams: String,
    description: String,
    /// Statements of its role: what it may do with the table and the bucket.
    access: String,
    /// The providers that it works for; none: all that are in the zip.
    providers: Option<&'a BTreeSet<String>>,
    codes: &'a Codes,
    /// Statements of its role: how it gets at secrets.
    secrets: String,
    /// The variable that names the roles which may read them; none: its own may.
    secrets_variable: &'a str,
}

fn own_function(stack: &Stack<'_>, codes: &Codes) -> String {
    let itself = BTreeSet::from([stack.provider.to_owned()]);
    function(&Function {
        table_name: r#"!ImportValue { "Fn::Sub": "${SharedStack}-TableName" }"#,
        bucket_name: r#"!ImportValue { "Fn::Sub": "${SharedStack}-BucketName" }"#,
        stream_prefix: r#"!ImportValue { "Fn::Sub": "${SharedStack}-StreamPrefix" }"#,
        streams: "!Ref Stream".to_owned(),
        description: format!("\"Damper: fetches records of {} alone\"", stack.provider),
        access: fill(ACCESS_ISOLATED, &[("PROVIDER", stack.provider.to_owned())], &[]),
        providers: Some(&itself),
        codes,
        secrets: secrets_statements(&stack.secrets),
        secrets_variable: "",
    })
}

fn function(with: &Function<'_>) -> String {
    let inline = [
        ("TABLE_NAME", with.table_name.to_owned()),
        ("BUCKET_NAME", with.bucket_name.to_owned()),
        ("STREAM_PREFIX", with.stream_prefix.to_owned()),
        ("STREAMS", with.streams.clone()),
        ("DESCRIPTION", with.description.clone()),
        ("ASSIGNED", with.providers.map_or_else(|| "all providers".to_owned(), assigned_text)),
        ("CODE_NAME", of_architecture(with.codes, |code| code.name.clone())),
        ("CODE_SHA256", of_architecture(with.codes, |code| format!("\"{}\"", code.sha256))),
    ];
    let blocks = [
        ("ACCESS", with.access.clone()),
        ("SECRETS", with.secrets.clone()),
        ("SECRETS_ROLES", with.secrets_variable.to_owned()),
        ("PROVIDERS", with.providers.map(assignment_variable).unwrap_or_default()),
    ];
    dedent(&fill(FUNCTION, &inline, &blocks))
}

/// An output for each provider, whose name the provider's stack imports: AWS refuses a shared stack without a provider
/// for as long as that provider's stack is there. A name's `-` is a `D` in the output's name, which takes none.
fn exports<'a>(providers: impl Iterator<Item = &'a String>) -> String {
    let export = |name: &String| {
        let id = name.replace('-', "D");
        format!("Provider{id}: {{ Value: {name}, Export: {{ Name: !Sub \"${{AWS::StackName}}-Provider-{name}\" }} }}\n")
    };
    providers.map(export).collect()
}

/// A bucket with its policy, as lines of `Resources`. Deleted objects can be restored for some days; `expiry` are
/// further rules of its lifecycle.
fn bucket(name: &str, old_version_days: &str, expiry: &str) -> String {
    let inline = [("BUCKET", name.to_owned()), ("OLD_VERSION_DAYS", old_version_days.to_owned())];
    dedent(&fill(BUCKET, &inline, &[("EXPIRY", expiry.to_owned())]))
}

fn parameters(codes: &Codes, function_name: &str, timeout: &LeastTimeout) -> String {
    let names: Vec<&str> = codes.keys().map(|architecture| aws_name(*architecture)).collect();
    let inline = [
        // The cheaper one where there is a choice.
        ("ARCHITECTURE", names.last().copied().unwrap_or_default().to_owned()),
        ("ARCHITECTURES", names.join(", ")),
        ("FUNCTION_NAME", function_name.to_owned()),
        ("LEAST_SECONDS", timeout.seconds.to_string()),
        ("LEAST_REASON", timeout.reason()),
    ];
    dedent(&fill(PARAMETERS, &inline, &[]))
}

/// The parameters that every stack has, which stand last: `KmsKeyArn` and `AlarmTopic`; before them that of a role.
fn last_parameters(has_role: bool) -> String {
    let first = if has_role { "  PermissionsBoundary:" } else { "  KmsKeyArn:" };
    let start = PARAMETERS.find(first).unwrap_or_default();
    dedent(PARAMETERS.get(start..).unwrap_or_default())
}

/// A zip's name or digest, whichever architecture is chosen. (CloudFormation's mappings have no key with a `_`.)
fn of_architecture(codes: &Codes, what: impl Fn(&Code) -> String) -> String {
    match (codes.get(&Architecture::Aarch64), codes.get(&Architecture::X86_64)) {
        (Some(arm), Some(x86)) => format!("!If [OnArm64, {}, {}]", what(arm), what(x86)),
        (one, other) => one.or(other).map(what).unwrap_or_default(),
    }
}

fn conditions(codes: &Codes) -> String {
    let reserved = "HasReservedConcurrency: !Not [!Equals [!Ref ReservedConcurrency, 0]]\n";
    let choice = if codes.len() > 1 { "OnArm64: !Equals [!Ref Architecture, arm64]\n" } else { "" };
    let signed = "HasCodeSigning: !Not [!Equals [!Ref CodeSigningConfigArn, \"\"]]\n";
    let network = "InVpc: !Not [!Equals [!Ref SubnetIds, \"\"]]\n";
    format!("{choice}{reserved}{signed}{network}{HAS_BOUNDARY}")
}

#[cfg(test)]
mod tests;
