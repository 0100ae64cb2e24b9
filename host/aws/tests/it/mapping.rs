//! The mapping over Lambda's API: moto for what it has, a fake for pending states, conflicts and throttling.

use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{EventSourcePosition, FunctionCode, Runtime};
use damper_aws::LambdaMapping;
use damper_core::mapping::{Mapping, MappingChange, MappingError, MappingState};
use damper_stand_ins::{sdk_config, unique};

use crate::fake::{Answer, FakeService};

const UUID: &str = "11111111-2222-3333-4444-555555555555";

fn set_size(batch_size: u32) -> MappingChange {
    MappingChange { batch_size: Some(batch_size), enabled: None }
}

fn set_enabled(enabled: bool) -> MappingChange {
    MappingChange { batch_size: None, enabled: Some(enabled) }
}

fn state(batch_size: u32, enabled: bool, pending: bool) -> MappingState {
    MappingState { batch_size, enabled, pending }
}

fn mapping_json(uuid: &str, provider: &str, state: &str, batch_size: u32) -> String {
    format!(
        r#"{{"UUID":"{uuid}","EventSourceArn":"arn:aws:kinesis:us-east-1:123456789012:stream/damper-{provider}",
            "State":"{state}","BatchSize":{batch_size}}}"#
    )
}

fn page(mappings: &[String], next: Option<&str>) -> Answer {
    let next = next.map_or_else(String::new, |marker| format!(r#","NextMarker":"{marker}""#));
    Answer::ok(&format!(r#"{{"EventSourceMappings":[{}]{next}}}"#, mappings.join(",")))
}

fn one(state: &str, batch_size: u32) -> Answer {
    page(&[mapping_json(UUID, "demo", state, batch_size)], None)
}

fn mapping(fake: &FakeService) -> LambdaMapping {
    LambdaMapping::new(Client::new(&fake.config()), "damper", "damper-")
}

async fn create_moto_mapping(lambda: &Client, endpoint: &str, provider: &str, function: &str) {
    let kinesis = aws_sdk_kinesis::Client::new(&sdk_config(endpoint));
    let stream = format!("damper-{provider}");
    kinesis.create_stream().stream_name(&stream).shard_count(1).send().await.unwrap();
    let described = kinesis.describe_stream_summary().stream_name(&stream).send().await.unwrap();
    let arn = described.stream_description_summary().unwrap().stream_arn().to_owned();
    let create = lambda.create_event_source_mapping().function_name(function).event_source_arn(arn);
    create.starting_position(EventSourcePosition::TrimHorizon).batch_size(100).send().await.unwrap();
}

async fn create_role(endpoint: &str) -> String {
    // moto checks that the role exists; its query API is enough for that.
    let name = unique("role");
    let body = format!(
        "Action=CreateRole&Version=2010-05-08&RoleName={name}&AssumeRolePolicyDocument=%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D"
    );
    crate::fake::post(endpoint, "iam", &body).await;
    format!("arn:aws:iam::123456789012:role/{name}")
}

#[tokio::test]
async fn moto_s_mapping_is_read_and_changed() {
    let Some(moto) = damper_stand_ins::moto() else { return };
    let lambda = Client::new(&sdk_config(moto.endpoint()));
    let function = unique("damper");
    lambda
        .create_function()
        .function_name(&function)
        .runtime(Runtime::Providedal2023)
        .handler("bootstrap")
        .role(create_role(moto.endpoint()).await)
        .code(FunctionCode::builder().zip_file(Blob::new(EMPTY_ZIP)).build())
        .send()
        .await
        .unwrap();
    let provider = unique("demo");
    create_moto_mapping(&lambda, moto.endpoint(), &provider, &function).await;
    create_moto_mapping(&lambda, moto.endpoint(), &unique("other"), &function).await;
    let mapping = LambdaMapping::new(lambda.clone(), &function, "damper-");
    assert_eq!(mapping.read(&provider).await.unwrap(), state(100, true, false));
    mapping.apply(&provider, set_size(500)).await.unwrap();
    mapping.apply(&provider, set_enabled(false)).await.unwrap();
    let fresh = LambdaMapping::new(lambda, &function, "damper-");
    assert_eq!(fresh.read(&provider).await.unwrap(), state(500, false, false));
    assert!(matches!(fresh.read("nobody").await, Err(MappingError::Unknown(_))));
}

#[tokio::test]
async fn one_list_tells_of_all_providers_and_is_believed_for_a_while() {
    let mappings: Vec<_> = ["a", "b"].iter().map(|name| mapping_json(UUID, name, "Enabled", 50)).collect();
    let more = [mapping_json("other", "c", "Disabled", 7)];
    let fake = FakeService::answering([page(&mappings, Some("page 2")), page(&more, None)]).await;
    let mapping = mapping(&fake);
    for _ in 0..100 {
        assert_eq!(mapping.read("a").await.unwrap(), state(50, true, false));
        assert_eq!(mapping.read("b").await.unwrap(), state(50, true, false));
        assert_eq!(mapping.read("c").await.unwrap(), state(7, false, false));
    }
    assert_eq!((mapping.calls().lists, mapping.calls().updates), (2, 0));
    assert!(fake.requests()[1].contains("Marker=page"), "{:?}", fake.requests());
}

#[tokio::test(start_paused = true)]
async fn what_a_list_said_is_believed_for_seconds() {
    let fake = FakeService::answering([one("Enabled", 10), one("Disabling", 10), one("Disabled", 10)]).await;
    let mapping = mapping(&fake);
    let states = [state(10, true, false), state(10, false, true), state(10, false, false)];
    for expected in states {
        assert_eq!(mapping.read("demo").await.unwrap(), expected);
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(mapping.read("demo").await.unwrap(), expected, "asked four seconds ago");
        tokio::time::advance(Duration::from_secs(2)).await;
    }
    assert_eq!(mapping.calls().lists, 3);
}

#[tokio::test]
async fn a_change_is_pending_until_it_applies() {
    let updating = Answer::ok(&mapping_json(UUID, "demo", "Updating", 500));
    let fake = FakeService::answering([one("Enabled", 10), updating]).await;
    let mapping = mapping(&fake);
    mapping.apply("demo", set_size(500)).await.unwrap();
    assert_eq!(mapping.read("demo").await.unwrap(), state(500, true, true));
    let requests = fake.requests();
    assert!(requests[1].starts_with("PUT /2015-03-31/event-source-mappings/1111"), "{requests:?}");
    assert!(requests[1].contains(r#""BatchSize":500"#) && !requests[1].contains("Enabled"), "{requests:?}");
}

#[tokio::test]
async fn a_mapping_that_still_changes_refuses_and_is_pending() {
    for (status, kind) in [(400, "ResourceInUseException"), (409, "ResourceConflictException")] {
        let fake =
            FakeService::answering([one("Enabled", 10), Answer::error(status, kind, "it is being updated")]).await;
        let mapping = mapping(&fake);
        let error = mapping.apply("demo", set_enabled(false)).await.unwrap_err();
        assert!(matches!(error, MappingError::Pending(_)), "{kind}: {error}");
        assert!(mapping.read("demo").await.unwrap().pending, "{kind}");
        assert_eq!(fake.requests().len(), 2, "{kind}: it is not pressed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_control_plane_is_left_alone_for_a_while_and_then_given_up_on() {
    let throttled = || Answer::error(429, "TooManyRequestsException", "Rate exceeded");
    let fine = Answer::ok(&mapping_json(UUID, "demo", "Updating", 20));
    let fake = FakeService::answering([throttled(), one("Enabled", 10), throttled(), throttled(), fine]).await;
    let mapping = mapping(&fake);
    mapping.apply("demo", set_size(20)).await.unwrap();
    assert_eq!((mapping.calls().lists, mapping.calls().updates), (2, 3));

    let fake = FakeService::always(throttled()).await;
    let error = self::mapping(&fake).read("demo").await.unwrap_err().to_string();
    assert!(error.contains("throttles"), "{error}");
    assert_eq!(fake.requests().len(), 6);
}

#[tokio::test]
async fn a_mapping_that_was_made_anew_is_found_again_once() {
    let gone = || Answer::error(404, "ResourceNotFoundException", "The resource you requested does not exist.");
    let anew = page(&[mapping_json("new", "demo", "Enabled", 10)], None);
    let fine = Answer::ok(&mapping_json("new", "demo", "Updating", 20));
    let fake = FakeService::answering([one("Enabled", 10), gone(), anew, fine]).await;
    let mapping = mapping(&fake);
    mapping.read("demo").await.unwrap();
    mapping.apply("demo", set_size(20)).await.unwrap();
    assert!(fake.requests()[3].contains("event-source-mappings/new"), "{:?}", fake.requests());

    let fake = FakeService::answering([one("Enabled", 10), gone(), page(&[], None)]).await;
    let mapping = self::mapping(&fake);
    mapping.read("demo").await.unwrap();
    let error = mapping.apply("demo", set_size(20)).await.unwrap_err();
    assert!(matches!(error, MappingError::Unknown(_)), "{error}");
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_it_is_asked_for() {
    let fake = FakeService::answering([]).await;
    for impossible in [0, 10_001] {
        let error = mapping(&fake).apply("demo", set_size(impossible)).await.unwrap_err().to_string();
        assert!(error.contains("1 to 10000"), "{error}");
    }
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn a_missing_function_is_named_with_what_to_do() {
    let fake = FakeService::always(Answer::error(404, "ResourceNotFoundException", "Function not found")).await;
    let error = mapping(&fake).read("demo").await.unwrap_err().to_string();
    assert!(error.contains("no function \"damper\"") && error.contains("deploy"), "{error}");
}

/// A zip archive of nothing: its end-of-directory record alone.
const EMPTY_ZIP: [u8; 22] = *b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
