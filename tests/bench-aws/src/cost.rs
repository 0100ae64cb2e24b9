//! The cost of a million records: Damper beside the article's design, on the same load, both run as they are.
//!
//! Measured: invocations, their billed time (rounded up to a millisecond, as Lambda does), CPU time, request units,
//! calls. Not measured but taken over: the price of each, and the memory of 256 MB. The API answers after a second on
//! average; both have ten requests in flight at most and batches of ten, and ours besides such batches as it chooses by
//! itself.

mod meter;
mod prices;

use std::collections::BTreeSet;
use std::time::Duration;

use damper_aws_tests::deployment::{DeploymentOptions, TestDeployment};
use damper_demo_api::{Latency, Settings};
use damper_event_source::{Calls, EventSource, Function};

use self::meter::{Meter, Units};
use self::prices::{Bill, Use};
use crate::inputs::Bench;
use crate::process::cpu_seconds;

/// In flight, and in a batch.
const AT_A_TIME: u32 = 10;
/// Records before the measuring begins: a limiter does not press an API that it does not know.
const FIRST: usize = 300;
const INVOCATION: Duration = Duration::from_secs(900);

/// A way to fetch them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Design {
    /// The article's.
    Article,
    /// Ours, with batches of ten.
    Damper,
    /// Ours, with a batch size of its own choice.
    DamperAlone,
}

/// How long the API takes: a second on average.
struct Load {
    name: &'static str,
    sigma: f64,
}

const LOADS: [Load; 2] = [
    Load { name: "always a second", sigma: 0.0 },
    Load { name: "a second on average, log-normal with sigma 0.5", sigma: 0.5 },
];

impl Load {
    fn latency(&self) -> Latency {
        // The mean of a log-normal is its median times e^(sigma^2 / 2).
        let median_ms = 1_000.0 / (self.sigma * self.sigma / 2.0).exp();
        Latency { median_ms, sigma: self.sigma, max_ms: None }
    }
}

/// Print the tables.
pub(crate) async fn run(bench: &Bench, records: usize) -> anyhow::Result<()> {
    println!("A million records, at 256 MB, ten in flight; measured on {records}\n");
    for load in &LOADS {
        // Side by side: they wait for the API nearly all of the time.
        let (article, damper, alone) = tokio::try_join!(
            measure(bench, load, Design::Article, records),
            measure(bench, load, Design::Damper, records),
            measure(bench, load, Design::DamperAlone, records),
        )?;
        println!("The API takes {}.\n", load.name);
        println!(
            "{}",
            Bill::table(&[("the article's", &article), ("Damper", &damper), ("Damper, its own batches", &alone)])
        );
    }
    prices::print_sources();
    Ok(())
}

/// Counters of everything that is paid for, at one moment.
struct Counters {
    table: Units,
    puts: u64,
    calls: Calls,
    invocations: usize,
}

/// A deployment with a meter before its table and its bucket.
struct Metered {
    deployment: TestDeployment,
    table: Meter,
    bucket: Meter,
}

impl Metered {
    fn count(&self) -> Counters {
        Counters {
            table: self.table.units(),
            puts: self.bucket.requests("PUT"),
            calls: self.deployment.plane.calls(),
            invocations: self.deployment.function().invocations().len(),
        }
    }
}

/// Run a design over so many records, and count what they used.
async fn measure(bench: &Bench, load: &Load, design: Design, records: usize) -> anyhow::Result<Use> {
    let metered = build(bench, load, design).await?;
    let deployment = &metered.deployment;
    let source = deployment.create_mapping();
    fetch(deployment, &source, "first", FIRST).await;
    let (before, cpu_before) = (metered.count(), cpu(&deployment.function()));
    fetch(deployment, &source, "item", records).await;
    let (after, cpu_after) = (metered.count(), cpu(&deployment.function()));

    let stats = deployment.api.stats();
    anyhow::ensure!(stats.extra_fetches_ok == 0, "{design:?} fetched twice: {stats:?}");
    anyhow::ensure!(stats.peak_in_flight <= u64::from(AT_A_TIME), "{design:?} had more in flight: {stats:?}");
    let invocations = deployment.function().invocations();
    let measured = invocations.get(before.invocations..).unwrap_or_default();
    let billed = measured.iter().map(|one| one.took.as_secs_f64() * 1_000.0).map(f64::ceil).sum::<f64>() / 1_000.0;
    let control = |calls: &Calls| calls.list + calls.get + calls.enable + calls.disable + calls.resize;
    Ok(Use {
        records: records as f64,
        invocations: measured.len() as f64,
        billed_seconds: billed,
        cpu_seconds: cpu_after - cpu_before,
        write_units: after.table.write - before.table.write,
        read_units: after.table.read - before.table.read,
        puts: (after.puts - before.puts) as f64,
        control_calls: (control(&after.calls) - control(&before.calls)) as f64,
    })
}

async fn build(bench: &Bench, load: &Load, design: Design) -> anyhow::Result<Metered> {
    let Some(stand_in) = damper_stand_ins::ministack() else { anyhow::bail!("the stand-in for AWS cannot be had") };
    let (table, bucket) = (Meter::start(stand_in.endpoint()).await?, Meter::start(stand_in.endpoint()).await?);
    let metered = vec![("AWS_ENDPOINT_URL_DYNAMODB", table.url()), ("AWS_ENDPOINT_URL_S3", bucket.url())];
    let api = Settings { latency: load.latency(), ..Settings::default() };
    let largest = if design == Design::DamperAlone { 2_000 } else { AT_A_TIME };
    let wanted = match design {
        Design::Article => DeploymentOptions {
            bootstrap: Some(bench.function("article")?),
            environment: [metered, vec![("ORIGIN", "ORIGIN".to_owned())]].concat(),
            ..DeploymentOptions::default()
        },
        Design::Damper | Design::DamperAlone => DeploymentOptions {
            bootstrap: Some(bench.bootstrap()),
            environment: metered,
            // One of the slots is kept for fetches on demand.
            settings: format!("limits.max_concurrency = {}", AT_A_TIME + 1),
            manifest: vec![
                ("fetch_timeout = \"2s\"", "fetch_timeout = \"15s\"".to_owned()),
                ("start_batch = 200", format!("start_batch = {}", largest.min(100))),
                ("max_batch = 2000", format!("max_batch = {largest}")),
            ],
            ..DeploymentOptions::default()
        },
    };
    let wanted = DeploymentOptions { api, batch_size: largest.min(100), timeout: INVOCATION, ..wanted };
    let Some(deployment) = TestDeployment::new(wanted).await else {
        anyhow::bail!("the stand-in for AWS cannot be had")
    };
    if design == Design::Article {
        deployment.plane.add_function(&deployment.function());
    }
    Ok(Metered { deployment, table, bucket })
}

async fn fetch(deployment: &TestDeployment, source: &EventSource, name: &str, count: usize) {
    deployment.feed((0..count).map(|number| format!("{name}-{number}"))).await;
    // Three seconds for each record of ten that are fetched at a time would be a bad day.
    let limit = Duration::from_secs(60) + Duration::from_millis(300) * u32::try_from(count).unwrap_or(u32::MAX);
    deployment.wait_until_drained_within(limit, source).await;
}

/// The CPU time of all processes of a function, in seconds.
fn cpu(function: &Function) -> f64 {
    let processes: BTreeSet<u32> = function.invocations().iter().map(|one| one.process).collect();
    // One that has ended tells nothing any more; none ends here.
    processes.into_iter().filter_map(|process| cpu_seconds(process).ok()).sum()
}
