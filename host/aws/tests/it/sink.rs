//! The bucket as the sink, against both stand-ins.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use damper_aws::sink::{BucketError, bucket};
use damper_core::day::Day;
use damper_core::ledger::{Abandoned, Owner};
use damper_core::sink::{SinkError, create, object_path, recover};
use damper_stand_ins::{StandIn, sdk_config, unique};
use object_store::ObjectStore;
use object_store::path::Path;
use tokio::time::Instant;

use crate::fake::{self, Answer, FakeService};

async fn new_bucket(stand_in: &StandIn) -> Arc<dyn ObjectStore> {
    let name = unique("records");
    fake::create_bucket(stand_in.endpoint(), &format!("/{name}")).await;
    Arc::new(bucket(&sdk_config(stand_in.endpoint()), &name).unwrap())
}

#[tokio::test]
async fn an_object_is_created_once_and_a_sealed_owner_stores_nothing_more() {
    for stand_in in [damper_stand_ins::moto(), damper_stand_ins::ministack()].into_iter().flatten() {
        let store = new_bucket(stand_in).await;
        let (day, owner): (Day, _) = ("2026-11-22".parse().unwrap(), Owner::from("dead"));
        let path = |chunk| object_path("demo", day, &owner, chunk);
        create(&*store, &path(0), Bytes::from_static(b"{\"id\":\"a\"}\n")).await.unwrap();
        let again = create(&*store, &path(0), Bytes::from_static(b"{\"id\":\"b\"}\n")).await;
        assert!(matches!(again, Err(SinkError::Sealed(_))), "{again:?}");
        let abandoned = Abandoned { day, owner: owner.clone() };
        let found = recover(&*store, "demo", &[], &abandoned).await.unwrap();
        assert_eq!(found.iter().map(|identity| identity.as_str()).collect::<Vec<_>>(), ["a"]);
        let late = create(&*store, &path(1), Bytes::from_static(b"{\"id\":\"late\"}\n")).await;
        assert!(matches!(late, Err(SinkError::Sealed(_))), "{late:?}");
    }
}

/// A put is decided within a flush's share of a lease, whatever S3 answers.
#[tokio::test]
async fn a_bucket_that_fails_is_not_tried_for_long() {
    let failing = FakeService::always(Answer::error(503, "SlowDown", "Please reduce your request rate.")).await;
    let store = bucket(&failing.config(), "records").unwrap();
    let began = Instant::now();
    create(&store, &Path::from("demo/000000.ndjson"), Bytes::from_static(b"{}\n")).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let tries = failing.requests().len();
    assert!((2..=6).contains(&tries), "{tries}");
}

#[tokio::test]
async fn what_the_configuration_lacks_is_named() {
    let none = aws_config::SdkConfig::builder().build();
    assert!(matches!(bucket(&none, "b"), Err(BucketError::NoRegion(_))));
    let no_credentials = aws_config::SdkConfig::builder().region(aws_config::Region::new("eu-west-1")).build();
    assert!(matches!(bucket(&no_credentials, "b"), Err(BucketError::NoCredentials(_))));
}
