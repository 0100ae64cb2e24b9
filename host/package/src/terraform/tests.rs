//! The Terraform modules and the CloudFormation templates say the same. Both texts are read; no list of facts is kept
//! here, so a change of one alone fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use damper_plugins::package::Architecture;
use hcl::{Block, Body, Expression};

use super::*;
use crate::templates::{Code, SharedStack, Stack, provider_template, shared_template};

/// A file of the Terraform modules.
fn module(name: &str) -> Body {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/terraform").join(name);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    hcl::parse(&text).unwrap()
}

fn codes() -> Codes {
    let code = |name: &str| Code { name: format!("damper-{name}-0123.zip"), sha256: "AAAA".to_owned() };
    Architecture::ALL.map(|architecture| (architecture, code(aws_name(architecture)))).into()
}

fn retention() -> StreamRetention {
    StreamRetention {
        closed: Default::default(),
        hours: 168,
        record_age: Some(std::time::Duration::from_secs(601_200)),
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn shared() -> String {
    let (providers, isolated) = (names(&["gleif"]), BTreeSet::new());
    let timeout = LeastTimeout::of(std::iter::empty());
    shared_template(&SharedStack { first: "gleif", providers: &providers, isolated: &isolated, timeout }, &codes())
}

/// The template of gleif's stack, and what the variable `settings` holds for it.
fn provider() -> (String, Value) {
    let (read, rotated) = (names(&["gleif/key", "gleif/login"]), names(&["gleif/login"]));
    let secrets = StackSecrets { read: &read, rotated: &rotated };
    let stack = Stack {
        provider: "gleif",
        start_batch: 5,
        retention: &retention(),
        isolated: false,
        secrets,
        timeout: LeastTimeout::of(std::iter::empty()),
    };
    (provider_template(&stack, &codes()), settings(5, &retention(), secrets, false))
}

/// `BatchSize` as `batch_size`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

// --- Reading CloudFormation: our own templates, whose indentation is always the same ---

/// The lines below a line, which are indented deeper.
fn below<'a>(text: &'a str, line: &str) -> Vec<&'a str> {
    let indentation = line.len() - line.trim_start().len();
    let lines = text.lines().skip_while(|found| *found != line).skip(1);
    let is_deeper = |found: &&str| found.trim().is_empty() || found.len() - found.trim_start().len() > indentation;
    let found: Vec<&str> = lines.take_while(is_deeper).collect();
    assert!(!found.is_empty(), "{line:?} is not there");
    found
}

/// The resources of a type, by their names.
fn resources<'a>(text: &'a str, kind: &str) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut found = BTreeMap::new();
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2) {
        if pair[1] == format!("    Type: {kind}") {
            found.insert(pair[0].trim().trim_end_matches(':'), below(text, pair[0]));
        }
    }
    found
}

/// The properties at one depth, each with what stands behind it.
fn properties<'a>(lines: &[&'a str], depth: usize) -> BTreeMap<&'a str, &'a str> {
    let prefix = " ".repeat(depth);
    let own = lines.iter().filter_map(|line| line.strip_prefix(prefix.as_str()));
    let own = own.filter(|line| !line.starts_with([' ', '#', '-']));
    own.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim())).collect()
}

fn unquoted(text: &str) -> String {
    text.chars().filter(|character| !['"', ' ', '\n'].contains(character)).collect()
}

/// A statement of a policy: its effect, its actions, and its conditions with their values.
#[derive(Debug, PartialEq, Eq, Default)]
struct Statement {
    effect: String,
    actions: BTreeSet<String>,
    conditions: BTreeSet<(String, String, String)>,
}

/// A condition's value; a reference to a resource is none that can be compared.
fn condition_value(text: &str) -> String {
    let value = unquoted(text).replace(['[', ']'], "");
    if ["!", "${", "local."].iter().any(|reference| value.contains(reference)) || value.is_empty() {
        "a reference".to_owned()
    } else {
        value
    }
}

/// The statements below a line with `Statement:`.
fn statements(lines: &[&str]) -> BTreeMap<String, Statement> {
    let mut found: BTreeMap<String, Statement> = BTreeMap::new();
    let (mut sid, mut in_actions, mut condition, mut operator) = (None, false, None, String::new());
    for line in lines {
        let (text, depth) = (line.trim(), line.len() - line.trim_start().len());
        if let Some(name) = text.strip_prefix("- Sid: ").or_else(|| text.strip_prefix("Sid: ")) {
            (sid, in_actions, condition) = (Some(name.to_owned()), false, None);
            found.insert(name.to_owned(), Statement::default());
            continue;
        }
        let Some(statement) = sid.as_ref().and_then(|sid| found.get_mut(sid)) else { continue };
        if let Some(effect) = text.strip_prefix("Effect: ") {
            statement.effect = effect.to_owned();
        } else if let Some(actions) = text.strip_prefix("Action:") {
            in_actions = true;
            let actions = unquoted(actions).replace(['[', ']'], "");
            statement.actions.extend(actions.split(',').filter(|action| !action.is_empty()).map(str::to_owned));
        } else if let Some(action) = text.strip_prefix("- ").filter(|_| in_actions) {
            statement.actions.insert(action.to_owned());
        } else if let Some(condition) = text.strip_prefix("Condition: ") {
            // { Bool: { "aws:SecureTransport": "false" } }
            let condition = unquoted(condition).replace(['{', '}'], "");
            let (operator, condition) = condition.split_once(':').unwrap();
            let (variable, value) = condition.rsplit_once(':').unwrap();
            statement.conditions.insert((operator.to_owned(), variable.to_owned(), value.to_owned()));
        } else if text == "Condition:" {
            (in_actions, condition) = (false, Some(depth));
        } else if let Some(at) = condition {
            if depth == at + 2 && !text.starts_with('-') {
                operator = unquoted(text.trim_end_matches(':'));
            } else if depth == at + 4 && !text.starts_with('-') {
                let (variable, value) = text.split_once(": ").unwrap_or((text.trim_end_matches(':'), ""));
                let condition = (operator.clone(), variable.to_owned(), condition_value(value));
                statement.conditions.insert(condition);
            }
        } else {
            in_actions = false;
        }
    }
    found
}

// --- Reading Terraform ---

fn blocks<'a>(body: &'a Body, labels: &[&str]) -> Vec<&'a Block> {
    let is_it = |block: &&Block| {
        let own: Vec<&str> = block.labels().iter().map(|label| label.as_str()).collect();
        std::iter::once(block.identifier()).chain(own).take(labels.len()).eq(labels.iter().copied())
    };
    body.blocks().filter(is_it).collect()
}

fn block<'a>(body: &'a Body, labels: &[&str]) -> &'a Body {
    let found = blocks(body, labels);
    assert_eq!(found.len(), 1, "{labels:?}");
    found[0].body()
}

fn attribute<'a>(body: &'a Body, name: &str) -> Option<&'a Expression> {
    body.attributes().find(|attribute| attribute.key() == name).map(hcl::Attribute::expr)
}

fn text(expression: &Expression) -> String {
    let text = unquoted(&hcl::format::to_string(expression).unwrap());
    text.replace(",]", "]")
}

/// The texts in an expression.
fn strings(expression: &Expression) -> BTreeSet<String> {
    let text = hcl::format::to_string(expression).unwrap();
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

fn keys(expression: &Expression) -> BTreeSet<String> {
    let Expression::Object(object) = expression else { panic!("{expression:?}") };
    object.keys().map(ToString::to_string).collect()
}

/// The statements of a policy document, those that depend on a condition too.
fn document(body: &Body, name: &str) -> BTreeMap<String, Statement> {
    let document = block(body, &["data", "aws_iam_policy_document", name]);
    let fixed = blocks(document, &["statement"]).into_iter().map(Block::body);
    let dynamic =
        blocks(document, &["dynamic", "statement"]).into_iter().map(|found| block(found.body(), &["content"]));
    let read = |found: &Body| {
        let condition = |found: &Block| {
            let part = |name| attribute(found.body(), name).unwrap();
            let values = hcl::format::to_string(part("values")).unwrap();
            (text(part("test")), text(part("variable")), condition_value(&values))
        };
        let statement = Statement {
            effect: attribute(found, "effect").map_or("Allow".to_owned(), text),
            actions: strings(attribute(found, "actions").unwrap()),
            conditions: blocks(found, &["condition"]).into_iter().map(condition).collect(),
        };
        (text(attribute(found, "sid").unwrap()), statement)
    };
    fixed.chain(dynamic).map(read).collect()
}

// --- The comparison ---

/// Whether a property and an attribute have the same value, as far as both are no references to resources.
fn assert_same(what: &str, property: &str, expression: &Expression, settings: &Value) {
    let property = unquoted(property);
    let expression = text(expression);
    if let Some(parameter) = property.strip_prefix("!Ref") {
        assert_eq!(expression, format!("var.{}", snake_case(parameter)), "{what}");
    } else if let Some(setting) = expression.strip_prefix("var.settings.") {
        assert_eq!(unquoted(&settings[setting].to_string()), property, "{what}");
    } else if !property.contains('!') && !property.is_empty() {
        assert_eq!(expression, property, "{what}");
    }
}

/// Each property of a resource is an attribute or a block of the other, with the same value.
fn assert_resource(name: &str, lines: &[&str], body: &Body, settings: &Value, other_names: &[(&str, &str)]) {
    let lines: Vec<&str> = lines.iter().copied().skip_while(|line| *line != "    Properties:").collect();
    for (property, value) in properties(&lines, 6) {
        let other = other_names.iter().find(|(name, _)| *name == property);
        let attribute_name = other.map_or_else(|| snake_case(property), |(_, name)| (*name).to_owned());
        let what = format!("{name}: {property}, {attribute_name}");
        match attribute(body, &attribute_name) {
            Some(expression) => assert_same(&what, value, expression, settings),
            None => {
                let has_block = body.blocks().any(|block| {
                    block.identifier() == attribute_name
                        || block.labels().first().is_some_and(|label| label.as_str() == attribute_name)
                });
                assert!(has_block, "{what}: the module has none");
            }
        }
    }
}

#[test]
fn the_roles_of_both_may_do_the_same() {
    let (template, module_shared) = (shared(), module("shared"));
    let roles = resources(&template, "AWS::IAM::Role");
    assert_eq!(document(&module_shared, "function"), statements(&roles["FunctionRole"]));
    let policies = resources(&template, "AWS::S3::BucketPolicy");
    let policy = statements(&policies["BucketPolicy"]);
    assert_eq!(document(&module_shared, "records"), policy);
    let (template, _) = provider();
    let roles = resources(&template, "AWS::IAM::Role");
    assert_eq!(document(&module("provider"), "secrets"), statements(&roles["SecretsRole"]));
}

#[test]
fn the_statements_are_found_in_both() {
    let (template, module) = (shared(), module("shared"));
    let found = statements(&resources(&template, "AWS::IAM::Role")["FunctionRole"]);
    assert_eq!(found.len(), 14, "{:?}", found.keys());
    assert_eq!(found["Ledger"].actions.len(), 4);
    assert_eq!(found["Ledger"].conditions.len(), 2);
    assert_eq!(found["SecretsOfProviders"].actions, names(&["sts:AssumeRole"]));
    assert_eq!(document(&module, "function")["NoNetworkInterfacesForTheCode"].effect, "Deny");
}

#[test]
fn the_function_has_the_same_environment_in_both() {
    let (template, module) = (shared(), module("shared"));
    let function = &resources(&template, "AWS::Lambda::Function")["Function"];
    let variables: BTreeSet<String> = properties(function, 10).keys().map(|name| (*name).to_owned()).collect();
    let body = block(&module, &["resource", "aws_lambda_function", "this"]);
    let other = attribute(block(body, &["environment"]), "variables").unwrap();
    assert!(variables.contains("DAMPER_TABLE"), "{variables:?}");
    assert_eq!(keys(other), variables.into_iter().filter(|name| name.starts_with("DAMPER_")).collect());
}

#[test]
fn function_stream_and_mapping_are_the_same_in_both() {
    let (template, module_shared, none) = (shared(), module("shared"), Value::Null);
    let function = &resources(&template, "AWS::Lambda::Function")["Function"];
    let body = block(&module_shared, &["resource", "aws_lambda_function", "this"]);
    assert_resource("Function", function, body, &none, &[("Code", "s3_key")]);

    let ((template, settings), module) = (provider(), module("provider"));
    let stream = &resources(&template, "AWS::Kinesis::Stream")["Stream"];
    let body = block(&module, &["resource", "aws_kinesis_stream", "this"]);
    let other = [("RetentionPeriodHours", "retention_period"), ("StreamEncryption", "encryption_type")];
    // The block `{ EncryptionType: KMS, ... }` has its own attributes there.
    let lines: Vec<&str> = stream.iter().copied().filter(|line| !line.contains("StreamEncryption")).collect();
    assert!(stream.len() > lines.len() && stream.iter().any(|line| line.contains("EncryptionType: KMS,")));
    assert_eq!(text(attribute(body, "encryption_type").unwrap()), "KMS");
    assert_resource("Stream", &lines, body, &settings, &other);

    let mapping = &resources(&template, "AWS::Lambda::EventSourceMapping")["Mapping"];
    let body = block(&module, &["resource", "aws_lambda_event_source_mapping", "this"]);
    assert!(properties(mapping, 6).len() >= 11, "{mapping:?}");
    assert_resource("Mapping", mapping, body, &settings, &[]);
}

#[test]
fn the_alarms_are_the_same_in_both() {
    let (provider, settings) = provider();
    for (template, module) in [(shared(), module("shared")), (provider, module("provider"))] {
        let alarms = resources(&template, "AWS::CloudWatch::Alarm");
        let others = blocks(&module, &["resource", "aws_cloudwatch_metric_alarm"]);
        let own: BTreeSet<String> = alarms.keys().map(|name| snake_case(name.strip_suffix("Alarm").unwrap())).collect();
        assert_eq!(others.iter().map(|alarm| alarm.labels()[1].as_str().to_owned()).collect::<BTreeSet<_>>(), own);
        for (name, lines) in alarms {
            let label = snake_case(name.strip_suffix("Alarm").unwrap());
            let body = block(&module, &["resource", "aws_cloudwatch_metric_alarm", &label]);
            let without: Vec<&str> = lines.iter().copied().filter(|line| !line.contains("AlarmDescription")).collect();
            assert_resource(name, &without, body, &settings, &[("OKActions", "ok_actions")]);
            let dimensions = lines.iter().filter_map(|line| line.split_once("- { Name: ")?.1.split(',').next());
            let dimensions: BTreeSet<String> = dimensions.map(str::to_owned).collect();
            assert_eq!(keys(attribute(body, "dimensions").unwrap()), dimensions, "{name}");
        }
    }
}

#[test]
fn parameters_and_variables_are_the_same_but_for_those_that_one_alone_needs() {
    let (provider, _) = provider();
    let only_terraform = [names(&["dist", "package", "tags"]), names(&["name", "settings", "shared", "tags"])];
    let only_templates = [BTreeSet::new(), names(&["shared_stack"])];
    let both = [(shared(), module("shared")), (provider, module("provider"))];
    for (index, (template, module)) in both.into_iter().enumerate() {
        let lines = below(&template, "Parameters:");
        let parameters: BTreeSet<String> = properties(&lines, 2)
            .keys()
            .map(|name| snake_case(name))
            .filter(|name| !only_templates[index].contains(name))
            .collect();
        let variables: BTreeSet<String> = blocks(&module, &["variable"])
            .iter()
            .map(|block| block.labels()[0].as_str().to_owned())
            .filter(|name| !only_terraform[index].contains(name))
            .collect();
        assert_eq!(parameters, variables);
        for parameter in properties(&lines, 2).keys() {
            let own = below(&template, &format!("  {parameter}:"));
            let Some(default) = properties(&own, 4).get("Default").map(|default| unquoted(default)) else { continue };
            let Some(variable) = blocks(&module, &["variable", &snake_case(parameter)]).pop() else { continue };
            let other = text(attribute(variable.body(), "default").unwrap()).replace("[]", "");
            assert_eq!(other, default, "{parameter}");
        }
    }
}

#[test]
fn the_settings_of_a_provider_are_those_that_the_modules_take() {
    let (_, settings) = provider();
    let own: BTreeSet<String> = settings.as_object().unwrap().keys().cloned().collect();
    for (module, variable) in [(module("provider"), "settings"), (module("shared"), "package")] {
        let kind = text(attribute(block(&module, &["variable", variable]), "type").unwrap());
        for name in &own {
            assert!(kind.contains(&format!("{name}=")), "{name}: {kind}");
        }
    }
    let package: Value = serde_json::from_str(&variables(&[], &BTreeSet::new(), &codes())).unwrap();
    assert_eq!(package["package"]["code"]["arm64"]["file"], "damper-arm64.zip");
    assert_eq!(package["package"]["code"]["arm64"]["key"], "damper-arm64-0123.zip");
    let kind = text(attribute(block(&module("shared"), &["variable", "package"]), "type").unwrap());
    for name in package["package"].as_object().unwrap().keys() {
        assert!(kind.contains(&format!("{name}=")), "{name}: {kind}");
    }
}
