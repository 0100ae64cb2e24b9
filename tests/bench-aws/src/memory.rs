//! Resident memory of a warm function: one provider loaded, and fifty.

use damper_aws_tests::deployment::{DeploymentOptions, TestDeployment};
use serde_json::json;

use crate::cold_start::add_copy;
use crate::inputs::Bench;
use crate::process::{Resident, resident_memory};

const PROVIDERS: usize = 50;
/// Fetches with each provider: connections, pools and limiters are there.
const FETCHES: usize = 3;
const WANTED_MIB: f64 = 64.0;

/// Print the table.
pub(crate) async fn run(bench: &Bench) -> anyhow::Result<()> {
    let wanted = DeploymentOptions { bootstrap: Some(bench.bootstrap()), ..DeploymentOptions::default() };
    let Some(deployment) = TestDeployment::new(wanted).await else {
        anyhow::bail!("the stand-in for AWS cannot be had")
    };
    for number in 0..PROVIDERS {
        add_copy(deployment.package.path(), number, &deployment.api.url());
    }
    let one = fetch_with(&deployment, 0..1).await?;
    let fifty = fetch_with(&deployment, 1..PROVIDERS).await?;
    println!("Resident memory of a warm function, MiB\n");
    println!("| providers loaded | all | of that its own | more than one | wanted |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let mib = |kib: f64| kib / 1_024.0;
    println!("| 1 | {:.1} | {:.1} | | |", mib(one.all), mib(one.own));
    let more = mib(fifty.all - one.all);
    println!("| {PROVIDERS} | {:.1} | {:.1} | {more:.1} | {WANTED_MIB} |\n", mib(fifty.all), mib(fifty.own));
    Ok(())
}

/// Fetch with these providers, all in one process; its memory then.
async fn fetch_with(deployment: &TestDeployment, providers: std::ops::Range<usize>) -> anyhow::Result<Resident> {
    for number in providers {
        for fetch in 0..FETCHES {
            let event = json!({ "provider": format!("demo-{number}"), "id": format!("item-{fetch}") });
            let answer = deployment.invoke(&event).await.map_err(anyhow::Error::msg)?;
            anyhow::ensure!(answer.get("outcome").is_some_and(|outcome| outcome == "fetched"), "{answer}");
        }
    }
    let function = deployment.function();
    anyhow::ensure!(function.cold_starts() == 1, "more than one process: {}", function.cold_starts());
    let invocations = function.invocations();
    let last = invocations.last().ok_or_else(|| anyhow::anyhow!("nothing was invoked"))?;
    resident_memory(last.process)
}
