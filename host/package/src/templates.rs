//! The CloudFormation templates: texts in `templates/`, with few places to fill. Pure.
//!
//! A place in a line is `{{NAME}}`; one that takes lines is a line `# {{NAME}}`, whose indentation they get.

use std::collections::{BTreeMap, BTreeSet};

use damper_plugins::package::Architecture;
use sha2::{Digest, Sha256};

use crate::dashboard;
use crate::retention::StreamRetention;
use crate::timeout::LeastTimeout;

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
    /// The names of the secrets of its providers.
    pub(crate) secrets: &'a BTreeSet<String>,
    /// Those of them that the function writes.
    pub(crate) rotated_secrets: &'a BTreeSet<String>,
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
    pub(crate) secrets: &'a BTreeSet<String>,
    /// Those of them that the function writes.
    pub(crate) rotated_secrets: &'a BTreeSet<String>,
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
        secrets: stack.secrets,
        rotated_secrets: stack.rotated_secrets,
    });
    let blocks = [
        ("PARAMETERS", parameters(codes, "damper", &stack.timeout)),
        ("CONDITIONS", conditions(codes)),
        ("FUNCTION", function),
        ("BUCKET", bucket("Bucket", "!Ref OldVersionDays", EXPIRY)),
        ("DASHBOARD", dashboard::body(stack.first)),
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
            (
                "FUNCTION",
                format!("{}{FAILED_BATCHES}{}", own_function(stack, codes), bucket("FailedBatches", "30", "")),
            ),
            ("OUTPUTS", ROLLBACK.to_owned()),
        ]);
    } else {
        blocks.insert("LAST_PARAMETERS", last_parameters());
    }
    let blocks: Vec<(&str, String)> = blocks.into_iter().collect();
    fill(PROVIDER, &inline, &blocks)
}

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
    secrets: &'a BTreeSet<String>,
    rotated_secrets: &'a BTreeSet<String>,
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
        secrets: stack.secrets,
        rotated_secrets: stack.rotated_secrets,
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
        ("SECRETS", secrets_statements(with.secrets, with.rotated_secrets)),
        ("PROVIDERS", with.providers.map(assignment_variable).unwrap_or_default()),
    ];
    dedent(&fill(FUNCTION, &inline, &blocks))
}

/// The variable that says which of the zip's providers a function works for. A comma alone: for none.
fn assignment_variable(providers: &BTreeSet<String>) -> String {
    let names: Vec<&str> = providers.iter().map(String::as_str).collect();
    let names = if names.is_empty() { ",".to_owned() } else { names.join(",") };
    format!("DAMPER_PROVIDERS: \"{names}\"\n")
}

/// Which providers a function works for, in few words that are others for other providers: a version's description, of
/// which no more than 256 characters are taken.
fn assigned_text(providers: &BTreeSet<String>) -> String {
    let names: Vec<&str> = providers.iter().map(String::as_str).collect();
    match *names {
        [] => "no provider".to_owned(),
        [one] => one.to_owned(),
        _ => {
            let digest = Sha256::digest(names.join(","));
            let short: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            format!("{} providers ({short})", names.len())
        }
    }
}

/// Statements that keep the shared function from what belongs to isolated providers.
fn denial_of(isolated: &BTreeSet<String>) -> String {
    if isolated.is_empty() {
        return String::new();
    }
    let keys: String = isolated
        .iter()
        .flat_map(|name| [format!("r#{name}#*"), format!("c#{name}"), format!("p#{name}")])
        .map(|key| format!("        - \"{key}\"\n"))
        .collect();
    let objects: String = isolated
        .iter()
        .flat_map(|name| [name.clone(), format!("dead-letters/{name}")])
        .map(|folder| format!("    - !Sub ${{Bucket.Arn}}/{folder}/*\n"))
        .collect();
    format!(
        "# These providers have functions of their own; this function has no access to their data.\n\
         - Sid: NoRowsOfIsolatedProviders\n  Effect: Deny\n  Action: dynamodb:*\n  Resource: !GetAtt Table.Arn\n  \
         Condition:\n    ForAnyValue:StringLike:\n      dynamodb:LeadingKeys:\n{keys}\
         - Sid: NoObjectsOfIsolatedProviders\n  Effect: Deny\n  Action: s3:*\n  Resource:\n{objects}"
    )
}

/// A bucket with its policy, as lines of `Resources`. Deleted objects can be restored for some days; `expiry` are
/// further rules of its lifecycle.
fn bucket(name: &str, old_version_days: &str, expiry: &str) -> String {
    let inline = [("BUCKET", name.to_owned()), ("OLD_VERSION_DAYS", old_version_days.to_owned())];
    dedent(&fill(BUCKET, &inline, &[("EXPIRY", expiry.to_owned())]))
}

/// The right to read these secrets and no other, and to write those that are rotated. Secrets Manager ends each ARN
/// with six characters of its own.
fn secrets_statements(secrets: &BTreeSet<String>, rotated: &BTreeSet<String>) -> String {
    let statement = |id: &str, action: &str, secrets: &BTreeSet<String>| {
        let arn = |name: &String| match name.starts_with("arn:") {
            true => format!("    - {name}\n"),
            false => format!(
                "    - !Sub arn:${{AWS::Partition}}:secretsmanager:${{AWS::Region}}:${{AWS::AccountId}}\
                 :secret:{name}-??????\n"
            ),
        };
        let arns: String = secrets.iter().map(arn).collect();
        match secrets.is_empty() {
            true => String::new(),
            false => {
                format!("- Sid: {id}\n  Effect: Allow\n  Action: secretsmanager:{action}\n  Resource:\n{arns}")
            }
        }
    };
    let read = statement("Secrets", "GetSecretValue", secrets);
    read + &statement("RotatedSecrets", "PutSecretValue", rotated)
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

/// The parameters that every stack has, which stand last: `KmsKeyArn` and `AlarmTopic`.
fn last_parameters() -> String {
    let start = PARAMETERS.find("  KmsKeyArn:").unwrap_or_default();
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
    format!("{choice}{reserved}{signed}")
}

/// The template with its places filled; a place for lines that gets none goes.
fn fill(template: &str, inline: &[(&str, String)], blocks: &[(&str, String)]) -> String {
    let mut filled = String::with_capacity(template.len().saturating_mul(2));
    for line in template.lines() {
        let content = line.trim_start();
        let indentation = line.len().saturating_sub(content.len());
        let place = content.strip_prefix("# {{").and_then(|rest| rest.strip_suffix("}}"));
        if let Some(name) = place {
            let block = blocks.iter().find(|(known, _)| *known == name);
            filled.push_str(&block.map(|(_, lines)| indent(lines, indentation)).unwrap_or_default());
            continue;
        }
        let mut line = line.to_owned();
        for (name, value) in inline {
            line = line.replace(&format!("{{{{{name}}}}}"), value);
        }
        filled.push_str(&line);
        filled.push('\n');
    }
    filled
}

fn indent(lines: &str, spaces: usize) -> String {
    let indent = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("{:spaces$}{line}\n", "") };
    lines.lines().map(indent).collect()
}

/// The lines of a part of `Parameters` or `Resources`, without the two spaces that they have in their file.
fn dedent(lines: &str) -> String {
    lines.lines().map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes() -> Codes {
        let code = |name: &str| Code { name: format!("damper-{name}-0123.zip"), sha256: "AAAA".to_owned() };
        Architecture::ALL.map(|architecture| (architecture, code(aws_name(architecture)))).into()
    }

    fn retention() -> StreamRetention {
        StreamRetention { closed: Default::default(), hours: 168, record_age: None }
    }

    fn timeout() -> LeastTimeout {
        LeastTimeout::of(std::iter::empty())
    }

    fn shared_stack(secrets: &BTreeSet<String>) -> SharedStack<'_> {
        const NONE: &BTreeSet<String> = &BTreeSet::new();
        SharedStack {
            first: "gleif",
            providers: NONE,
            isolated: NONE,
            secrets,
            rotated_secrets: NONE,
            timeout: timeout(),
        }
    }

    fn all() -> Vec<String> {
        let secrets = BTreeSet::from(["gleif/key".to_owned()]);
        let retention = retention();
        let stack = |isolated| Stack {
            provider: "gleif",
            start_batch: 5,
            retention: &retention,
            isolated,
            secrets: &secrets,
            rotated_secrets: &secrets,
            timeout: timeout(),
        };
        let shared = shared_template(&shared_stack(&secrets), &codes());
        vec![shared, provider_template(&stack(false), &codes()), provider_template(&stack(true), &codes())]
    }

    #[test]
    fn no_place_is_left_unfilled() {
        for text in all() {
            assert!(!text.contains("{{") && !text.contains("}}"), "{text}");
        }
    }

    #[test]
    fn only_bound_secrets_may_be_read() {
        let none = shared_template(&shared_stack(&BTreeSet::new()), &codes());
        assert!(!none.contains("secretsmanager"));
        let one = shared_template(&shared_stack(&BTreeSet::from(["gleif/key".to_owned()])), &codes());
        assert!(one.contains(":secret:gleif/key-??????\n"), "{one}");
    }

    #[test]
    fn only_secrets_with_refresh_tokens_may_be_written() {
        let secrets = BTreeSet::from(["gleif/key".to_owned(), "gleif/login".to_owned()]);
        let rotated = BTreeSet::from(["gleif/login".to_owned()]);
        assert!(!shared_template(&shared_stack(&secrets), &codes()).contains("PutSecretValue"));
        let stack = SharedStack { rotated_secrets: &rotated, ..shared_stack(&secrets) };
        let text = shared_template(&stack, &codes());
        let (_, written) = text.split_once("secretsmanager:PutSecretValue").unwrap();
        assert!(written.contains(":secret:gleif/login-??????\n") && !written.contains("gleif/key"), "{written}");
    }

    #[test]
    fn each_function_works_for_its_own_providers_alone() {
        let names = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        let none = BTreeSet::new();
        let [with_all, _, alone] = all().try_into().unwrap();
        assert!(
            !with_all.contains("DAMPER_PROVIDERS")
                && !with_all.contains("Effect: Deny\n                Action: dynamodb")
        );
        assert!(alone.contains("DAMPER_PROVIDERS: \"gleif\""), "{alone}");
        let (two, gleif) = (names(&["a", "b"]), names(&["gleif"]));
        let stack = SharedStack { providers: &two, isolated: &gleif, ..shared_stack(&none) };
        let without = shared_template(&stack, &codes());
        assert!(without.contains("DAMPER_PROVIDERS: \"a,b\""), "{without}");
        assert!(
            without.contains("- \"r#gleif#*\"") && without.contains("${Bucket.Arn}/dead-letters/gleif/*"),
            "{without}"
        );
        // A version is published only where its description changes, and holds its environment for good.
        assert!(with_all.contains(", for all providers\n") && alone.contains(", for gleif\n"));
        let described = |providers: &[&str]| {
            let providers = names(providers);
            let text = shared_template(
                &SharedStack { providers: &providers, isolated: &gleif, ..shared_stack(&none) },
                &codes(),
            );
            text.lines().find(|line| line.contains("compression ${Compression}, for ")).unwrap().to_owned()
        };
        assert_ne!(described(&["a", "b"]), described(&["a", "c"]));
        assert_eq!(described(&["a", "b"]), described(&["b", "a"]));
        let stack = SharedStack { isolated: &gleif, ..shared_stack(&none) };
        assert!(shared_template(&stack, &codes()).contains("DAMPER_PROVIDERS: \",\""), "none, which is not all");
    }

    #[test]
    fn only_an_isolated_provider_has_a_function_of_its_own() {
        let [_, with_others, alone] = all().try_into().unwrap();
        assert!(!with_others.contains("AWS::Lambda::Function") && with_others.contains("${SharedStack}-Live"));
        assert!(alone.contains("AWS::Lambda::Function\n") && alone.contains("FunctionName: !Ref Live"));
    }
}
