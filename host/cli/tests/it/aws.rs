//! Commands with `--aws`, against moto: the real program, told by AWS's standard variables where to go.
//!
//! moto runs a function for every record of a mapped stream, which nothing here wants: what is fed is not mapped.

use std::collections::BTreeSet;

use damper_aws::{AwsClients, DynamoLedger, sink};
use damper_core::clock::WallClock;
use damper_core::day::Day;
use damper_core::dead_letter::{DeadLetter, Reason};
use damper_core::item::{Identity, Params, SequenceNumber};
use damper_core::ledger::{Claim, ClaimRequest, Claimed, Finish, Ledger, OpenedBy, Owner, ProviderStop};
use jiff::Timestamp;
use serde_json::Value;

use crate::aws_stack::{Stack, answering, on_aws, refusal};
use crate::test_dir::TestDir;

const DEMO: &str = "demo";

fn json(text: &str) -> Value {
    let line = text.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{text}"));
    serde_json::from_str(line).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

/// An item dies, as the function lets it.
async fn record_death(ledger: &DynamoLedger, provider: &str, id: &str, reason: Reason) {
    let identity = Identity::of(id, &Params::new(), &[]).unwrap();
    let (day, owner, sequence): (Day, _, _) =
        ("2026-11-22".parse().unwrap(), Owner::from("a"), SequenceNumber::from(format!("4956{id}").as_str()));
    let request = ClaimRequest {
        provider,
        identity: &identity,
        sequence: &sequence,
        today: day,
        since: day,
        owner: &owner,
        now: at(0),
        lease: at(60),
    };
    assert!(matches!(ledger.claim(request).await.unwrap(), Claim::Granted { .. }));
    let letter = DeadLetter {
        provider: provider.to_owned(),
        sequence: sequence.clone(),
        arrived: at(0),
        died: at(10),
        payload: format!(r#"{{"id":"{id}"}}"#).into(),
        reason,
        message: format!("no record \u{1b}[2J{id}"),
        status: Some(404),
        attempts: 1,
        component: String::new(),
        bundle: None,
    };
    let finish = Finish::Dead { claimed: Some(Claimed { identity, day, sequence, lease: at(60) }), letter };
    ledger.finish(provider, &owner, vec![finish]).await.unwrap();
}

fn ledger(stack: &Stack) -> DynamoLedger {
    let clients = AwsClients::new(stack.config.clone());
    let letters = sink::bucket(clients.config(), &stack.bucket).unwrap();
    DynamoLedger::new(clients.dynamodb(), &*stack.table, std::sync::Arc::new(letters))
}

#[tokio::test]
async fn ids_are_fed_in_batches_and_are_in_the_stream() {
    let Some(stack) = Stack::new(&[], &[DEMO]).await else { return };
    let mut ids: String = (0..1_200).map(|number| format!("id-{number}\n")).collect();
    ids.push_str(&"x".repeat(10_240));
    stack.dir.write("ids.txt", ids.as_bytes());
    let said = stack.damper(&["feed", "--aws", DEMO, "ids.txt"]);
    insta::assert_snapshot!(said);
    let payloads: BTreeSet<String> = stack.payloads(DEMO).await.into_iter().collect();
    let expected: BTreeSet<String> = (0..1_200).map(|number| format!(r#"{{"id":"id-{number}"}}"#)).collect();
    assert_eq!(payloads, expected);
    let told = json(&stack.damper(&["feed", "--aws", DEMO, "ids.txt", "--json"]));
    assert_eq!((&told["accepted"], &told["malformed"], &told["whole"]), (&1_200.into(), &1.into(), &true.into()));
    assert!(!stack.dir.path().join("damper.db").exists(), "nothing is made on this machine");
}

#[tokio::test]
async fn a_stream_that_is_not_there_takes_nothing() {
    let Some(stack) = Stack::new(&[], &[]).await else { return };
    let said = stack.damper_fed(&["feed", "--aws", DEMO, "-"], b"1\n2\n");
    insta::assert_snapshot!(said);
}

#[tokio::test]
async fn a_pause_holds_in_the_control_item_and_in_the_mapping_until_it_is_resumed() {
    let Some(stack) = Stack::new(&[DEMO], &[]).await else { return };
    let ledger = ledger(&stack);
    assert!(stack.is_enabled(DEMO).await);
    let paused = stack.damper(&["pause", DEMO, "--aws", "--reason", "they asked us"]);
    assert!(paused.starts_with("exit code 0\n"), "{paused}");
    assert!(paused.contains("demo is paused; `damper resume demo --aws` ends the pause"), "{paused}");
    let breaker = ledger.control(DEMO).await.unwrap().breaker;
    assert!(
        matches!(&breaker, ProviderStop::Open { by: OpenedBy::Operator, reason, .. } if reason == "they asked us"),
        "{breaker:?}"
    );
    assert!(!stack.is_enabled(DEMO).await);

    let status = stack.damper(&["status", "--aws"]);
    assert!(status.contains("paused since ") && status.contains("they asked us"), "{status}");
    let state = json(&stack.damper(&["status", "--aws", DEMO, "--json"]));
    assert_eq!(state["breaker"]["by"], "operator");
    assert_eq!(state["mapping"]["enabled"], false);
    assert_eq!((&state["counts"]["fed"], &state["counts"]["dead_letters"]), (&Value::Null, &0.into()));

    let nobody = stack.damper(&["pause", "nobody", "--aws"]);
    assert!(nobody.starts_with("exit code 4\n") && nobody.contains("no stream that is mapped"), "{nobody}");
    let again = stack.damper(&["pause", DEMO, "--aws"]);
    assert!(again.contains("demo is already stopped") && again.contains("they asked us"), "{again}");

    let resumed = stack.damper(&["resume", DEMO, "--aws", "--allow-dead-letters", "7"]);
    assert!(resumed.contains("demo is resumed; it was stopped since "), "{resumed}");
    let control = ledger.control(DEMO).await.unwrap();
    assert_eq!((control.breaker, control.dead_letters_allowed), (ProviderStop::Closed, 7));
    assert!(stack.is_enabled(DEMO).await);
}

#[tokio::test]
async fn status_tells_what_is_known_and_says_what_is_not() {
    let Some(stack) = Stack::new(&[DEMO, "other"], &[]).await else { return };
    stack.dir.write("damper.toml", format!("{}\n[providers.alone]\n", stack.toml()).as_bytes());
    record_death(&ledger(&stack), DEMO, "7", Reason::NotFound).await;
    let mut said = stack.damper(&["status", "--aws"]);
    said.push_str(&stack.damper(&["status", "--aws", DEMO]));
    let day = WallClock::System.now().strftime("%Y-%m-%d").to_string();
    insta::assert_snapshot!(said.replace(&day, "[today]"));
}

#[tokio::test]
async fn dead_letters_are_listed_shown_and_fed_again() {
    let Some(stack) = Stack::new(&[], &[DEMO, "other"]).await else { return };
    let ledger = ledger(&stack);
    for (provider, id, reason) in
        [(DEMO, "1", Reason::NotFound), (DEMO, "2", Reason::Rejected), ("other", "3", Reason::NotFound)]
    {
        record_death(&ledger, provider, id, reason).await;
    }
    let mut said = stack.damper(&["dead-letters", "list", "--aws"]);
    said.push_str(&stack.damper(&[
        "dead-letters",
        "list",
        "--aws",
        "--provider",
        DEMO,
        "--reason",
        "not-found",
        "--json",
    ]));
    said.push_str(&stack.damper(&["dead-letters", "show", "--aws", "demo/49562"]));
    said.push_str(&stack.damper(&["dead-letters", "show", "--aws", "demo/999"]));
    said.push_str(&stack.damper(&["dead-letters", "show", "--aws", "17"]));
    said.push_str(&stack.damper(&["dead-letters", "redrive", "--aws", "demo/49562"]));
    said.push_str(&stack.damper(&["dead-letters", "redrive", "--aws", "--provider", DEMO, "--json"]));
    said.push_str(&stack.damper(&["dead-letters", "redrive", "--aws", "--provider", DEMO]));
    said.push_str(&stack.damper(&["dead-letters", "list", "--aws"]));
    assert!(!said.contains('\u{1b}'), "{said:?}");
    insta::assert_snapshot!(said);
    let fed: BTreeSet<String> = stack.payloads(DEMO).await.into_iter().collect();
    assert_eq!(fed, BTreeSet::from([r#"{"id":"1"}"#.to_owned(), r#"{"id":"2"}"#.to_owned()]));
    assert_eq!(stack.payloads("other").await.len(), 0);
}

#[tokio::test]
async fn what_is_not_deployed_is_named_with_what_to_do() {
    let Some(stack) = Stack::new(&[DEMO], &[]).await else { return };
    let mut said = stack.damper(&["status", "--aws", "--function", "no-such-function"]);
    stack.dir.write("damper.toml", format!("{}\ntable = \"no-such-table\"\n", stack.toml()).as_bytes());
    said.push_str(&stack.damper(&["status", "--aws", DEMO]));
    said.push_str(&stack.damper(&["resume", "--aws", DEMO]));
    stack.dir.write("damper.toml", format!("{}\nbucket = \"no-such-bucket\"\n", stack.toml()).as_bytes());
    said.push_str(&stack.damper(&["dead-letters", "list", "--aws"]));
    let foreign = stack.foreign_function().await;
    stack.dir.write("damper.toml", format!("[aws]\nfunction = \"{foreign}\"\n").as_bytes());
    said.push_str(&stack.damper(&["pause", "--aws", DEMO]));
    insta::assert_snapshot!(said.replace(&foreign, "[foreign]"));
}

#[test]
fn who_is_asking_and_where_is_found_out_first() {
    let dir = TestDir::new();
    let run = |variables: &[(&str, &str)]| {
        let mut command = dir.command(&["status", "--aws"]);
        on_aws(&mut command, "http://127.0.0.1:9");
        command.env_remove("AWS_REGION").env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        command.envs(variables.iter().copied());
        dir.text(&command.output().unwrap())
    };
    let mut said = run(&[("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "y")]);
    said.push_str(&run(&[("AWS_REGION", "eu-west-1")]));
    dir.write("damper.toml", b"[aws]\nregion = \"eu-central-1\"\n");
    said.push_str(&run(&[]));
    dir.write("damper.toml", b"[aws]\nstack = \"damper\"\n");
    said.push_str(&run(&[]));
    insta::assert_snapshot!(said);
}

#[test]
fn credentials_that_may_not_look_are_told_what_they_need() {
    let dir = TestDir::new();
    let run = |arguments: &[&str], endpoint: &str| {
        let mut command = dir.command(arguments);
        on_aws(&mut command, endpoint);
        dir.text(&command.output().unwrap())
    };
    let user = "User: arn:aws:iam::123456789012:user/x is not authorized to perform: ";
    let denied = |action: &str| answering(&refusal("AccessDeniedException", &format!("{user}{action}")));
    let expired = answering(&refusal("ExpiredTokenException", "The security token has expired"));
    let mut said = run(&["status", "--aws"], &denied("lambda:GetFunctionConfiguration"));
    said.push_str(&run(&["status", "--aws"], &expired));
    // If all names are configured, the function is not asked.
    dir.write("damper.toml", b"[aws]\ntable = \"ledger\"\nbucket = \"records\"\nstream_prefix = \"damper-\"\n");
    dir.write("ids.txt", b"1\n");
    said.push_str(&run(&["feed", "--aws", DEMO, "ids.txt"], &denied("kinesis:PutRecords")));
    said.push_str(&run(&["status", "--aws"], &denied("lambda:ListEventSourceMappings")));
    let bucket = r#"<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"#;
    said.push_str(&run(
        &["dead-letters", "list", "--aws"],
        &answering(&("AccessDenied".to_owned(), bucket.to_owned())),
    ));
    insta::assert_snapshot!(said);
}

#[test]
fn a_program_may_be_asked_for_credentials() {
    let answering = answering(&refusal("ResourceNotFoundException", "Function not found"));
    let dir = TestDir::new();
    let keys = r#"{"Version":1,"AccessKeyId":"x","SecretAccessKey":"y"}"#;
    dir.write("keys.json", keys.as_bytes());
    let config =
        format!("[profile people]\nregion = eu-west-1\ncredential_process = cat {}/keys.json\n", dir.path().display());
    dir.write("config", config.as_bytes());
    let mut command = dir.command(&["status", "--aws"]);
    on_aws(&mut command, &answering);
    command.env_remove("AWS_REGION").env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    command.env("AWS_CONFIG_FILE", dir.path().join("config")).env("AWS_PROFILE", "people");
    let said = dir.text(&command.output().unwrap());
    assert!(said.contains("there is no function \"damper:live\" in eu-west-1"), "{said}");
}
