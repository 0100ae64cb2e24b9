//! Lambda's API for mappings, spoken to by AWS's own SDK.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_lambda::error::ProvideErrorMetadata;
use aws_sdk_lambda::{Client, Config};
use damper_event_source::{Calls, Clock, ControlPlane, EventSource, Lags, MappingConfig, MemoryStream, Parts};

use crate::script::{STREAM, Script, parts, wait};

struct Scene {
    plane: ControlPlane,
    client: Client,
    source: EventSource,
    stream: Arc<MemoryStream>,
    function: Arc<Script>,
    clock: Clock,
}

async fn scene(lags: Lags) -> Scene {
    let clock = Clock::default();
    let plane = ControlPlane::start(clock.clone()).await.unwrap();
    let stream = Arc::new(MemoryStream::new(1));
    let function = Script::new(|_| Ok(String::new()));
    let parts =
        parts(&stream, &function, MappingConfig { report_batch_item_failures: true, ..MappingConfig::default() });
    let source = plane.create(Parts { lags, clock: clock.clone(), ..parts }).unwrap();
    let client = client(&plane.url());
    Scene { plane, client, source, stream, function, clock }
}

fn client(url: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .region(Region::new("eu-west-1"))
        .endpoint_url(url)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        // The test has to see a refusal, so it is not retried.
        .retry_config(aws_sdk_lambda::config::retry::RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

impl Scene {
    fn uuid(&self) -> &str {
        &self.source.identity().uuid
    }

    async fn enable(&self, yes: bool) -> Result<String, String> {
        let result = self.client.update_event_source_mapping().uuid(self.uuid()).enabled(yes).send().await;
        match result {
            Ok(mapping) => Ok(mapping.state.unwrap()),
            Err(error) => Err(error.code().unwrap().to_owned()),
        }
    }

    async fn state(&self) -> String {
        self.client.get_event_source_mapping().uuid(self.uuid()).send().await.unwrap().state.unwrap()
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_mapping_is_found_by_its_stream_and_described_as_recorded() {
    let scene = scene(Lags { create: SECOND, ..Lags::default() }).await;
    let found = scene.client.list_event_source_mappings().event_source_arn(STREAM).send().await.unwrap();
    let [mapping] = found.event_source_mappings() else { panic!("not one: {found:?}") };
    // create_event_source_mapping_response of every recording.
    assert_eq!(mapping.uuid(), Some(scene.uuid()));
    assert_eq!(mapping.batch_size(), Some(100));
    assert_eq!(mapping.maximum_batching_window_in_seconds(), Some(0));
    assert_eq!(mapping.maximum_record_age_in_seconds(), Some(-1));
    assert_eq!(mapping.maximum_retry_attempts(), Some(-1));
    assert_eq!(mapping.parallelization_factor(), Some(1));
    assert_eq!(mapping.bisect_batch_on_function_error(), Some(false));
    assert_eq!(mapping.function_response_types()[0].as_str(), "ReportBatchItemFailures");
    assert_eq!(mapping.starting_position().unwrap().as_str(), "TRIM_HORIZON");
    assert_eq!(mapping.state(), Some("Creating"));
    assert_eq!(mapping.state_transition_reason(), Some("User action"));
    assert_eq!(mapping.last_processing_result(), Some("No records processed"));
    let by_function = |name: &str| scene.client.list_event_source_mappings().function_name(name).send();
    assert_eq!(by_function("damper").await.unwrap().event_source_mappings().len(), 1);
    assert_eq!(by_function("another").await.unwrap().event_source_mappings().len(), 0);
    assert_eq!(scene.plane.calls(), Calls { list: 3, ..Calls::default() });
}

#[tokio::test]
async fn disabling_and_enabling_really_stop_and_start_the_driver() {
    let scene = scene(Lags { disable: SECOND, stray: 60 * SECOND, enable: SECOND, ..Lags::default() }).await;
    wait(&scene.source, |view| view.polls).await;
    assert_eq!(scene.enable(false).await.unwrap(), "Disabling");
    assert_eq!(scene.enable(true).await, Err("ResourceInUseException".to_owned()));
    scene.clock.advance(SECOND);
    assert_eq!(scene.state().await, "Disabled");
    // A late invocation: it says Disabled and still delivers.
    scene.stream.put(0, "key", "stray", scene.clock.now());
    wait(&scene.source, |view| view.delivered == 1 && view.in_flight == 0).await;
    scene.clock.advance(60 * SECOND);
    wait(&scene.source, |view| !view.polls).await;
    scene.stream.put(0, "key", "later", scene.clock.now());
    assert_eq!(scene.enable(true).await.unwrap(), "Enabling");
    scene.clock.advance(SECOND);
    wait(&scene.source, |view| view.delivered == 2 && view.in_flight == 0).await;
    assert_eq!(scene.function.data(), [["stray"], ["later"]]);
    let calls = scene.plane.calls();
    assert_eq!((calls.enable, calls.disable, calls.get, calls.refused), (2, 1, 1, 1));
}

#[tokio::test]
async fn a_new_batch_size_resizes_the_drivers_batches() {
    let scene = scene(Lags { update: SECOND, ..Lags::default() }).await;
    wait(&scene.source, |view| view.polls).await;
    let updated = scene.client.update_event_source_mapping().uuid(scene.uuid()).batch_size(2).send().await.unwrap();
    assert_eq!((updated.batch_size(), updated.state()), (Some(2), Some("Updating")));
    scene.clock.advance(SECOND);
    wait(&scene.source, |view| view.config.batch_size == 2).await;
    (0..6).for_each(|index| drop(scene.stream.put(0, "key", format!("{index}"), scene.clock.now())));
    wait(&scene.source, |view| view.delivered == 6 && view.in_flight == 0).await;
    assert!(scene.function.data().iter().all(|batch| batch.len() <= 2), "{:?}", scene.function.data());
    assert_eq!(scene.plane.calls().resize, 1);
}

#[tokio::test]
async fn more_than_fifteen_requests_a_second_are_turned_away() {
    let scene = scene(Lags::default()).await;
    // On a slow machine a second may pass in between: then the sixteenth is one of the next second.
    let results =
        futures::future::join_all((0..20).map(|_| scene.client.get_event_source_mapping().uuid(scene.uuid()).send()))
            .await;
    let refused: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert!(!refused.is_empty(), "all twenty were let in");
    for error in refused {
        assert_eq!(error.code(), Some("TooManyRequestsException"));
    }
    assert_eq!(scene.plane.calls().get + scene.plane.calls().throttled, 20);
    scene.clock.advance(SECOND);
    assert_eq!(scene.state().await, "Enabled");
}

#[tokio::test]
async fn refusals_can_be_asked_for() {
    let scene = scene(Lags { disable: SECOND, ..Lags::default() }).await;
    scene.plane.refuse_next(1);
    assert_eq!(scene.enable(false).await, Err("ResourceConflictException".to_owned()));
    scene.plane.throttle_next(1);
    assert_eq!(scene.enable(false).await, Err("TooManyRequestsException".to_owned()));
    assert_eq!(scene.enable(false).await, Ok("Disabling".to_owned()));
}

/// localstack/localstack, tests/aws/services/lambda_/test_lambda_api.snapshot.json:
/// test_event_source_mapping_exceptions.
#[tokio::test]
async fn an_unknown_uuid_is_not_found() {
    let scene = scene(Lags::default()).await;
    let unknown = "00000000-0000-0000-0000-000000000000";
    let got = scene.client.get_event_source_mapping().uuid(unknown).send().await.unwrap_err();
    assert_eq!(got.code(), Some("ResourceNotFoundException"));
    assert_eq!(got.message(), Some("The resource you requested does not exist."));
    let updated = scene.client.update_event_source_mapping().uuid(unknown).enabled(false).send().await.unwrap_err();
    assert_eq!(updated.code(), Some("ResourceNotFoundException"));
}

#[tokio::test]
async fn a_value_out_of_range_is_refused() {
    let scene = scene(Lags::default()).await;
    let refused =
        scene.client.update_event_source_mapping().uuid(scene.uuid()).batch_size(10_001).send().await.unwrap_err();
    assert_eq!(refused.code(), Some("InvalidParameterValueException"));
    assert!(refused.message().unwrap().contains("BatchSize"), "{refused:?}");
}
