//! The CloudFormation templates: texts in `templates/`, with few places to fill. Pure.
//!
//! A place in a line is `{{NAME}}`; one that takes lines is a line `# {{NAME}}`, whose indentation they get.

use std::collections::{BTreeMap, BTreeSet};

use damper_plugins::package::Architecture;

use super::dashboard;
use super::keeping::Keeping;
use super::timeout::LeastTimeout;

const SHARED: &str = include_str!("templates/shared.yaml");
const PROVIDER: &str = include_str!("templates/provider.yaml");
const FUNCTION: &str = include_str!("templates/function.yaml");
const PARAMETERS: &str = include_str!("templates/parameters.yaml");

/// What a function's template says of its code: for each architecture the zip's name in the bucket, and its SHA-256 in Base64.
pub(super) type Codes = BTreeMap<Architecture, Code>;

/// A zip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Code {
    /// Its name in the bucket, with a part of its digest.
    pub(super) name: String,
    /// Its SHA-256 in Base64, as Lambda tells it.
    pub(super) sha256: String,
}

/// What a provider's stack is made of.
#[derive(Debug)]
pub(super) struct Stack<'a> {
    pub(super) provider: &'a str,
    pub(super) start_batch: u32,
    pub(super) keeping: &'a Keeping,
    /// Whether it has a function of its own.
    pub(super) isolated: bool,
    /// The names of its secrets.
    pub(super) secrets: &'a BTreeSet<String>,
    /// The least timeout of its own function.
    pub(super) timeout: LeastTimeout,
}

/// How AWS calls an architecture.
pub(super) fn aws_name(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "x86_64",
        Architecture::Aarch64 => "arm64",
    }
}

/// The shared stack: `secrets` are those that its function may read, `provider` is the one that the dashboard shows first.
pub(super) fn shared(codes: &Codes, secrets: &BTreeSet<String>, timeout: &LeastTimeout, provider: &str) -> String {
    let function = function(&Function {
        table_arn: "!GetAtt Table.Arn",
        table_name: "!Ref Table",
        bucket_arn: "!GetAtt Bucket.Arn",
        bucket_name: "!Ref Bucket",
        stream_prefix: "!Ref StreamPrefix",
        streams: "!Sub \"${StreamPrefix}*\"".to_owned(),
        description: "\"Damper: fetches records for all providers\"".to_owned(),
        codes,
        secrets,
    });
    let blocks = [
        ("PARAMETERS", parameters(codes, "damper", timeout)),
        ("CONDITIONS", conditions(codes)),
        ("FUNCTION", function),
        ("DASHBOARD", dashboard::body(provider)),
    ];
    fill(SHARED, &[], &blocks)
}

/// A provider's stack.
pub(super) fn provider(stack: &Stack<'_>, codes: &Codes) -> String {
    let keeping = stack.keeping;
    let live = if stack.isolated { "!Ref Live" } else { r#"!ImportValue { "Fn::Sub": "${SharedStack}-Live" }"# };
    let alarm_ms = keeping.alarm_age().as_millis();
    let inline = [
        ("PROVIDER", stack.provider.to_owned()),
        ("INVOKED", if stack.isolated { "a function of its own" } else { "the shared function" }.to_owned()),
        ("LIVE", live.to_owned()),
        ("RETENTION_HOURS", keeping.hours.to_string()),
        ("BATCH_SIZE", stack.start_batch.to_string()),
        ("OLDEST_ALARM_MS", alarm_ms.to_string()),
        ("CLOSED", closed(keeping)),
    ];
    let mut blocks: BTreeMap<&str, String> = BTreeMap::from([("RECORD_AGE", record_age(keeping))]);
    if stack.isolated {
        blocks.extend([
            ("PARAMETERS", parameters(codes, &format!("damper-{}", stack.provider), &stack.timeout)),
            ("CONDITIONS", conditions(codes)),
            ("FUNCTION", own_function(stack, codes)),
            ("OUTPUTS", ROLLBACK.to_owned()),
        ]);
    } else {
        blocks.insert("ALARM_TOPIC", last_parameter().to_owned());
    }
    let blocks: Vec<(&str, String)> = blocks.into_iter().collect();
    fill(PROVIDER, &inline, &blocks)
}

const ROLLBACK: &str = "\
Rollback:
  Description: Takes a bad zip back, at once. VERSION is the one before; list them with `aws lambda list-versions-by-function`.
  Value: !Sub aws lambda update-alias --function-name ${FunctionName} --name live --function-version VERSION
";

/// Why the stream keeps its items for so long.
fn closed(keeping: &Keeping) -> String {
    match keeping.closed.as_secs() / 60 {
        0 => "The provider's window never closes.".to_owned(),
        minutes => format!("The provider's window is closed for {} h {:02} min at most.", minutes / 60, minutes % 60),
    }
}

fn record_age(keeping: &Keeping) -> String {
    match keeping.record_age {
        Some(age) => format!(
            "# The last resort, before the stream trims an item without a trace: the batch goes to the bucket.\nMaximumRecordAgeInSeconds: {}\n",
            age.as_secs()
        ),
        None => "# Lambda counts seven days at most, which the closed window and two days to spare do not fit into.\nMaximumRecordAgeInSeconds: -1\n".to_owned(),
    }
}

/// What the function's part of a template is filled with: CloudFormation's own expressions.
struct Function<'a> {
    table_arn: &'a str,
    table_name: &'a str,
    bucket_arn: &'a str,
    bucket_name: &'a str,
    stream_prefix: &'a str,
    streams: String,
    description: String,
    codes: &'a Codes,
    secrets: &'a BTreeSet<String>,
}

fn own_function(stack: &Stack<'_>, codes: &Codes) -> String {
    function(&Function {
        table_arn: r#"!ImportValue { "Fn::Sub": "${SharedStack}-TableArn" }"#,
        table_name: r#"!ImportValue { "Fn::Sub": "${SharedStack}-TableName" }"#,
        bucket_arn: r#"!ImportValue { "Fn::Sub": "${SharedStack}-BucketArn" }"#,
        bucket_name: r#"!ImportValue { "Fn::Sub": "${SharedStack}-BucketName" }"#,
        stream_prefix: r#"!ImportValue { "Fn::Sub": "${SharedStack}-StreamPrefix" }"#,
        streams: "!Ref Stream".to_owned(),
        description: format!("\"Damper: fetches records of {} alone\"", stack.provider),
        codes,
        secrets: stack.secrets,
    })
}

fn function(with: &Function<'_>) -> String {
    let inline = [
        ("TABLE_ARN", with.table_arn.to_owned()),
        ("TABLE_NAME", with.table_name.to_owned()),
        ("BUCKET_ARN", with.bucket_arn.to_owned()),
        ("BUCKET_NAME", with.bucket_name.to_owned()),
        ("STREAM_PREFIX", with.stream_prefix.to_owned()),
        ("STREAMS", with.streams.clone()),
        ("DESCRIPTION", with.description.clone()),
        ("CODE_NAME", of_architecture(with.codes, |code| code.name.clone())),
        ("CODE_SHA256", of_architecture(with.codes, |code| format!("\"{}\"", code.sha256))),
    ];
    dedented(&fill(FUNCTION, &inline, &[("SECRETS", secrets_statement(with.secrets))]))
}

/// The right to read these secrets and no other. Secrets Manager ends each ARN with six characters of its own.
fn secrets_statement(secrets: &BTreeSet<String>) -> String {
    if secrets.is_empty() {
        return String::new();
    }
    let arn = |name: &String| match name.starts_with("arn:") {
        true => format!("    - {name}\n"),
        false => format!(
            "    - !Sub arn:${{AWS::Partition}}:secretsmanager:${{AWS::Region}}:${{AWS::AccountId}}:secret:{name}-??????\n"
        ),
    };
    let arns: String = secrets.iter().map(arn).collect();
    format!("- Sid: Secrets\n  Effect: Allow\n  Action: secretsmanager:GetSecretValue\n  Resource:\n{arns}")
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
    dedented(&fill(PARAMETERS, &inline, &[]))
}

/// The parameter `AlarmTopic`, which stands last.
fn last_parameter() -> String {
    let start = PARAMETERS.find("  AlarmTopic:").unwrap_or_default();
    dedented(PARAMETERS.get(start..).unwrap_or_default())
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
    format!("{choice}{reserved}")
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
            filled.push_str(&block.map(|(_, lines)| indented(lines, indentation)).unwrap_or_default());
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

fn indented(lines: &str, spaces: usize) -> String {
    let indent = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("{:spaces$}{line}\n", "") };
    lines.lines().map(indent).collect()
}

/// The lines of a part of `Parameters` or `Resources`, without the two spaces that they have in their file.
fn dedented(lines: &str) -> String {
    lines.lines().map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes() -> Codes {
        let code = |name: &str| Code { name: format!("damper-{name}-0123.zip"), sha256: "AAAA".to_owned() };
        Architecture::ALL.map(|architecture| (architecture, code(aws_name(architecture)))).into()
    }

    fn keeping() -> Keeping {
        Keeping { closed: Default::default(), hours: 168, record_age: None }
    }

    fn timeout() -> LeastTimeout {
        LeastTimeout::of(std::iter::empty())
    }

    fn all() -> Vec<String> {
        let secrets = BTreeSet::from(["gleif/key".to_owned()]);
        let keeping = keeping();
        let stack = |isolated| Stack {
            provider: "gleif",
            start_batch: 5,
            keeping: &keeping,
            isolated,
            secrets: &secrets,
            timeout: timeout(),
        };
        let shared = shared(&codes(), &secrets, &timeout(), "gleif");
        vec![shared, provider(&stack(false), &codes()), provider(&stack(true), &codes())]
    }

    #[test]
    fn no_place_is_left_unfilled() {
        for text in all() {
            assert!(!text.contains("{{") && !text.contains("}}"), "{text}");
        }
    }

    #[test]
    fn only_bound_secrets_may_be_read() {
        let none = shared(&codes(), &BTreeSet::new(), &timeout(), "gleif");
        assert!(!none.contains("secretsmanager"));
        let one = shared(&codes(), &BTreeSet::from(["gleif/key".to_owned()]), &timeout(), "gleif");
        assert!(one.contains(":secret:gleif/key-??????\n"), "{one}");
    }

    #[test]
    fn only_an_isolated_provider_has_a_function_of_its_own() {
        let [_, with_others, alone] = all().try_into().unwrap();
        assert!(!with_others.contains("AWS::Lambda::Function") && with_others.contains("${SharedStack}-Live"));
        assert!(alone.contains("AWS::Lambda::Function\n") && alone.contains("FunctionName: !Ref Live"));
    }
}
