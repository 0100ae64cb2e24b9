//! Midnight in the provider's time zone.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};

use crate::deployment::{DeploymentOptions, TestDeployment};

/// A time zone in which it is about noon: a midnight is half a day away, before and after.
pub(crate) fn noon_zone(now: Timestamp) -> String {
    // POSIX's sign: Etc/GMT-5 is five hours ahead of UTC.
    let behind = i64::from(now.to_zoned(TimeZone::UTC).hour()) - 12;
    format!("Etc/GMT{behind:+}")
}

/// The machine's time.
pub(crate) fn now() -> Timestamp {
    #[allow(clippy::disallowed_methods, reason = "the function's clock is the machine's, put forward or back")]
    let now = Timestamp::now();
    now
}

fn from(now: &Zoned, to: &Zoned) -> SignedDuration {
    to.timestamp().duration_since(now.timestamp())
}

#[tokio::test(flavor = "multi_thread")]
async fn once_a_day_by_the_providers_own_midnight() {
    let machine = now();
    let zone = noon_zone(machine);
    let now = machine.in_tz(&zone).unwrap();
    let this_midnight = now.start_of_day().unwrap();
    let next_midnight = now.tomorrow().unwrap().start_of_day().unwrap();
    let yesterday = from(&now, &this_midnight.saturating_sub(10.minutes()));
    let tomorrow = from(&now, &next_midnight.saturating_add(10.minutes()));

    let manifest = vec![("timezone = \"UTC\"", format!("timezone = {zone:?}"))];
    let Some(deployment) =
        TestDeployment::new(DeploymentOptions { manifest, clock_offset: yesterday, ..DeploymentOptions::default() })
            .await
    else {
        return;
    };
    let source = deployment.create_mapping();
    let days = async || -> Vec<String> {
        let mut days: Vec<_> =
            deployment.sink().await.iter().map(|line| line["day"].as_str().unwrap().to_owned()).collect();
        days.sort();
        days
    };
    let (first, second) = (&*now.yesterday().unwrap().date().to_string(), &*now.date().to_string());

    // Ten minutes before midnight.
    deployment.feed(["a"]).await;
    deployment.wait_until_drained(&source).await;
    assert_eq!(days().await, [first]);
    // After it the same item is another day's.
    deployment.restart(SignedDuration::ZERO);
    deployment.feed(["a", "b"]).await;
    deployment.wait_until_drained(&source).await;
    assert_eq!(days().await, [first, second, second]);
    // An entry that came before a midnight and is delivered after it was satisfied by the day it came on.
    deployment.restart(tomorrow);
    deployment.feed(["a", "b"]).await;
    deployment.wait_until_drained(&source).await;
    assert_eq!(days().await, [first, second, second]);
    assert_eq!(deployment.api.stats().requests, 3);
}
