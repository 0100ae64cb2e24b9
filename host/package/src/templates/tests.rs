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

const NONE: &BTreeSet<String> = &BTreeSet::new();

fn shared_stack() -> SharedStack<'static> {
    SharedStack { first: "gleif", providers: NONE, isolated: NONE, timeout: timeout() }
}

/// The template of gleif's stack, with these secrets.
fn provider_stack(isolated: bool, read: &[&str], rotated: &[&str]) -> String {
    let (read, rotated) = (names(read), names(rotated));
    let stack = Stack {
        provider: "gleif",
        start_batch: 5,
        retention: &retention(),
        isolated,
        secrets: StackSecrets { read: &read, rotated: &rotated },
        timeout: timeout(),
    };
    provider_template(&stack, &codes())
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn all() -> Vec<String> {
    let provider = |isolated| provider_stack(isolated, &["gleif/key"], &["gleif/key"]);
    vec![shared_template(&shared_stack(), &codes()), provider(false), provider(true)]
}

#[test]
fn no_place_is_left_unfilled() {
    for text in all() {
        assert!(!text.contains("{{") && !text.contains("}}"), "{text}");
    }
}

#[test]
fn only_the_role_of_a_providers_stack_reads_its_secrets() {
    let shared = shared_template(&shared_stack(), &codes());
    assert!(!shared.contains("secretsmanager:") && shared.contains("Action: sts:AssumeRole\n"), "{shared}");
    assert!(shared.contains("role/damper/${StreamPrefix}*-${AWS::Region}\n"), "{shared}");
    assert!(shared.contains("role/damper/${StreamPrefix}{provider}-${AWS::Region}\"\n"), "{shared}");
    let none = provider_stack(false, &[], &[]);
    assert!(!none.contains("secretsmanager") && !none.contains("SecretsRole"), "{none}");
    let one = provider_stack(false, &["gleif/key"], &[]);
    assert_eq!(one.matches(":secret:gleif/key-??????\n").count(), 1, "{one}");
    assert!(one.contains("- ${Prefix}gleif-${AWS::Region}\n") && one.contains("DependsOn: SecretsRole\n"), "{one}");
    assert!(
        one.contains("Principal: { AWS: !ImportValue { \"Fn::Sub\": \"${SharedStack}-FunctionRoleArn\" } }"),
        "{one}"
    );
}

#[test]
fn the_function_of_an_isolated_provider_reads_its_secrets_itself() {
    let alone = provider_stack(true, &["gleif/key"], &[]);
    assert_eq!(alone.matches(":secret:gleif/key-??????\n").count(), 1, "{alone}");
    for word in ["SecretsRole", "DAMPER_SECRETS_ROLE", "SecretsOfProviders"] {
        assert!(!alone.contains(word), "{word}: {alone}");
    }
}

/// AWS takes 10,240 characters in a role's inline policies.
#[test]
fn the_functions_policy_does_not_grow_with_its_providers() {
    let policy = |count: usize| {
        let providers: BTreeSet<String> = (0..count).map(|number| format!("provider-{number}")).collect();
        let text = shared_template(&SharedStack { providers: &providers, ..shared_stack() }, &codes());
        let (_, policy) = text.split_once("PolicyName: damper").unwrap();
        policy.split_once("Type: AWS::Lambda::Function").unwrap().0.to_owned()
    };
    assert_eq!(policy(1), policy(150));
    assert!(policy(1).len() < 10_240, "{}", policy(1).len());
}

/// `aws cloudformation deploy` takes a template of 51,200 bytes without a bucket for it.
#[test]
fn the_shared_template_of_fifty_providers_is_deployed_without_a_bucket_for_it() {
    let providers: BTreeSet<String> = (0..50).map(|number| format!("a-long-provider-name-{number}")).collect();
    let text = shared_template(&SharedStack { providers: &providers, ..shared_stack() }, &codes());
    assert!(text.len() <= 51_200, "{}", text.len());
}

#[test]
fn a_shared_stack_without_a_provider_is_refused_while_its_stack_is_there() {
    let (two, one) = (names(&["sec-edgar", "gleif"]), names(&["demo"]));
    let text = shared_template(&SharedStack { providers: &two, isolated: &one, ..shared_stack() }, &codes());
    for (id, name) in [("Providergleif", "gleif"), ("ProvidersecDedgar", "sec-edgar"), ("Providerdemo", "demo")] {
        let export =
            format!("  {id}: {{ Value: {name}, Export: {{ Name: !Sub \"${{AWS::StackName}}-Provider-{name}\" }} }}\n");
        assert!(text.contains(&export), "{text}");
    }
    for isolated in [false, true] {
        let imported = "Value: !ImportValue { \"Fn::Sub\": \"${SharedStack}-Provider-gleif\" }";
        assert_eq!(provider_stack(isolated, &[], &[]).matches(imported).count(), 1);
    }
}

#[test]
fn only_secrets_with_refresh_tokens_may_be_written() {
    for isolated in [false, true] {
        let none = provider_stack(isolated, &["gleif/key", "gleif/login"], &[]);
        assert!(!none.contains("PutSecretValue"), "{none}");
        let one = provider_stack(isolated, &["gleif/key", "gleif/login"], &["gleif/login"]);
        let (_, written) = one.split_once("secretsmanager:PutSecretValue").unwrap();
        assert!(written.contains(":secret:gleif/login-??????\n") && !written.contains("gleif/key"), "{written}");
    }
}

#[test]
fn each_function_works_for_its_own_providers_alone() {
    let [with_all, _, alone] = all().try_into().unwrap();
    assert!(
        !with_all.contains("DAMPER_PROVIDERS") && !with_all.contains("Effect: Deny\n                Action: dynamodb")
    );
    assert!(alone.contains("DAMPER_PROVIDERS: \"gleif\""), "{alone}");
    let (two, gleif) = (names(&["a", "b"]), names(&["gleif"]));
    let stack = SharedStack { providers: &two, isolated: &gleif, ..shared_stack() };
    let without = shared_template(&stack, &codes());
    assert!(without.contains("DAMPER_PROVIDERS: \"a,b\""), "{without}");
    assert!(without.contains("- \"r#gleif#*\"") && without.contains("${Bucket.Arn}/dead-letters/gleif/*"), "{without}");
    // A version is published only where its description changes, and holds its environment for good.
    assert!(with_all.contains(", for all providers${Network}\n") && alone.contains(", for gleif${Network}\n"));
    let described = |providers: &[&str]| {
        let providers = names(providers);
        let text =
            shared_template(&SharedStack { providers: &providers, isolated: &gleif, ..shared_stack() }, &codes());
        text.lines().find(|line| line.contains("compression ${Compression}, for ")).unwrap().to_owned()
    };
    assert_ne!(described(&["a", "b"]), described(&["a", "c"]));
    assert_eq!(described(&["a", "b"]), described(&["b", "a"]));
    let stack = SharedStack { isolated: &gleif, ..shared_stack() };
    assert!(shared_template(&stack, &codes()).contains("DAMPER_PROVIDERS: \",\""), "none, which is not all");
}

#[test]
fn only_an_isolated_provider_has_a_function_of_its_own() {
    let [_, with_others, alone] = all().try_into().unwrap();
    assert!(!with_others.contains("AWS::Lambda::Function") && with_others.contains("${SharedStack}-Live"));
    assert!(alone.contains("AWS::Lambda::Function\n") && alone.contains("FunctionName: !Ref Live"));
}

#[test]
fn every_role_has_a_place_for_a_permissions_boundary() {
    let with_role = provider_stack(false, &["gleif/key"], &[]);
    for text in [shared_template(&shared_stack(), &codes()), with_role, provider_stack(true, &["gleif/key"], &[])] {
        let bounded = "PermissionsBoundary: !If [HasBoundary, !Ref PermissionsBoundary, !Ref AWS::NoValue]\n";
        assert_eq!(text.matches("Type: AWS::IAM::Role\n").count(), text.matches(bounded).count(), "{text}");
        assert!(text.contains("  PermissionsBoundary:\n") && text.contains("  HasBoundary: !Not"), "{text}");
    }
    let without = provider_stack(false, &[], &[]);
    assert!(!without.contains("Boundary"), "{without}");
}

#[test]
fn every_function_can_be_in_a_vpc_and_its_code_cannot_change_the_network() {
    for text in [shared_template(&shared_stack(), &codes()), provider_stack(true, &[], &[])] {
        assert!(text.contains("SubnetIds: !Split [\",\", !Ref SubnetIds]\n"), "{text}");
        assert!(text.contains("\nRules:\n  VpcNeedsBoth:\n") && text.contains("  InVpc: !Not"), "{text}");
        let (_, denied) = text.split_once("- Sid: NoNetworkInterfacesForTheCode\n").unwrap();
        assert!(denied.trim_start().starts_with("Effect: Deny\n") && denied.contains("lambda:SourceFunctionArn"));
        // A version holds its network for good, so its description says it.
        assert!(text.contains("${Network}\n") && text.contains("Subnets: !Join"), "{text}");
    }
    assert!(!provider_stack(false, &[], &[]).contains("SubnetIds"));
}

/// A version's description: the longest that the parameters allow.
#[test]
fn the_longest_description_of_a_version_is_not_too_long() {
    let ids = |count: usize| vec!["0123456789abcdef0"; count].join(",");
    let name = "damper-x86_64-0123456789abcdef.zip";
    for assigned in ["190 providers (01234567)".to_owned(), "x".repeat(64)] {
        let network = format!(", {}, {}", ids(4), ids(2));
        let longest = format!("{name}, 10240 MB, 900 s, compression zstd, for {assigned}{network}");
        assert!(longest.len() <= 256, "{}", longest.len());
    }
}

/// The data of all providers, and the log: each may be encrypted with the operator's key.
#[test]
fn everything_that_is_stored_can_have_the_operators_key() {
    let shared = shared_template(&shared_stack(), &codes());
    for line in [
        "KmsKeyId: !If [HasKey, !Ref KmsKeyArn, !Ref AWS::NoValue]",
        "KMSMasterKeyId: !If [HasKey, !Ref KmsKeyArn, !Ref AWS::NoValue]",
        "KMSMasterKeyID: !If [HasKey, !Ref KmsKeyArn, !Ref AWS::NoValue]",
        "      KmsKeyArn: !If [HasKey, !Ref KmsKeyArn, !Ref AWS::NoValue]",
    ] {
        assert!(shared.contains(line), "{line}");
    }
    let provider = provider_stack(false, &[], &[]);
    assert!(provider.contains("KeyId: !If [HasKey, !Ref KmsKeyArn, alias/aws/kinesis]"), "{provider}");
}
