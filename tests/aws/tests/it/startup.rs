//! How long a cold start takes, whatever else is in the package.

use std::time::{Duration, Instant};

use damper_demo_api::Settings;
use serde_json::json;

use crate::deployment::{DeploymentOptions, TestDeployment};
use crate::package::add_demo;

/// From the process's start to the first request at the API, the best of some starts: the others tell of the machine's
/// load.
async fn best_start(deployment: &TestDeployment, day: &mut u32) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        deployment.function().retire_idle();
        *day += 1;
        let (before, begun) = (deployment.api.stats().requests, Instant::now());
        let event = json!({ "provider": "demo", "id": format!("item-{day}") });
        let (answer, sent) = tokio::join!(deployment.invoke(&event), async {
            deployment.wait_for_api(|stats| stats.requests > before).await;
            begun.elapsed()
        });
        assert_eq!(answer.unwrap()["outcome"], "fetched");
        best = best.min(sent);
    }
    best
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_packaged_providers_start_like_one() {
    let Some(deployment) =
        TestDeployment::new(DeploymentOptions { api: Settings::default(), ..DeploymentOptions::default() }).await
    else {
        return;
    };
    let mut number = 0;
    let one = best_start(&deployment, &mut number).await;
    for copy in 1..50 {
        let name = format!("\"demo-{copy}\"");
        add_demo(deployment.package.path(), "hosts = \"manifest\"", &[("\"demo\"", &name)]);
    }
    let fifty = best_start(&deployment, &mut number).await;
    println!("from the process's start to the first request: {one:?} with one provider, {fifty:?} with fifty");
    assert!(fifty < one + Duration::from_millis(150), "{one:?} with one provider, {fifty:?} with fifty");
}
