//! From the start of a process to the first request at the API: beside a bare function, and whatever else is in the
//! package.

use std::path::Path;
use std::time::Instant;

use damper_aws_tests::deployment::{DeploymentOptions, PATIENCE, TestDeployment, operators_table};
use damper_aws_tests::package::add_demo;
use damper_event_source::{Function, FunctionConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::inputs::{Bench, quartiles};

const ROUNDS: usize = 31;
/// How many providers are packaged.
const PACKAGED: [usize; 3] = [1, 50, 500];

/// A function that is started again and again.
struct Started {
    name: String,
    function: Function,
    /// Its event, for the record with this number.
    event: fn(&str, usize) -> Value,
    /// Milliseconds to the first request, and to the answer.
    sent: Vec<f64>,
    answered: Vec<f64>,
}

/// Print the table.
pub(crate) async fn run(bench: &Bench) -> anyhow::Result<()> {
    let wanted = DeploymentOptions { bootstrap: Some(bench.bootstrap()), ..DeploymentOptions::default() };
    let Some(deployment) = TestDeployment::new(wanted).await else {
        anyhow::bail!("the stand-in for AWS cannot be had")
    };
    let packages: Vec<TempDir> =
        PACKAGED.iter().map(|count| package(*count, &deployment.api.url())).collect::<anyhow::Result<_>>()?;
    let started = |name: &str, function, event| Started {
        name: name.to_owned(),
        function,
        event,
        sent: Vec::new(),
        answered: Vec::new(),
    };
    let bare = Function::new(FunctionConfig::new("bare", bench.function("bare")?));
    let mut all = vec![started(
        "a bare function",
        bare,
        |origin, number| json!({ "url": format!("{origin}/records/bare-{number}") }),
    )];
    for (count, package) in PACKAGED.iter().zip(&packages) {
        let name = format!("bootstrap, {count} packaged");
        let event = |_: &str, number| json!({ "provider": "demo-0", "id": format!("item-{number}") });
        all.push(started(&name, deployment.function_of(package.path()), event));
    }
    let mut number = 0;
    let count = all.len();
    for round in 0..=ROUNDS {
        // Each begins a round in turn, so that none always follows the same.
        for place in 0..count {
            let Some(one) = all.get_mut((round + place) % count) else { continue };
            number += 1;
            let (sent, answered) = start(&deployment, one, number).await?;
            // The first round brings the files into memory.
            if round > 0 {
                one.sent.push(sent);
                one.answered.push(answered);
            }
        }
    }
    print(&all, ledger_round_trip(&deployment).await?);
    Ok(())
}

/// A package with so many providers: copies of one, each with code of its own.
fn package(count: usize, origin: &str) -> anyhow::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    for copy in 0..count {
        add_copy(folder.path(), copy, origin);
    }
    Ok(folder)
}

/// One more copy of the demo provider, `demo-NUMBER`.
pub(crate) fn add_copy(folder: &Path, number: usize, origin: &str) {
    let name = format!("\"demo-{number}\"");
    add_demo(folder, &operators_table(origin, ""), &[("\"demo\"", &name)]);
}

/// Start a new process; milliseconds to its first request at the API and to its answer.
async fn start(deployment: &TestDeployment, one: &Started, number: usize) -> anyhow::Result<(f64, f64)> {
    one.function.retire_idle();
    let before = deployment.api.stats().requests;
    let event = (one.event)(&deployment.api.url(), number).to_string();
    let begun = Instant::now();
    let since = || begun.elapsed().as_secs_f64() * 1_000.0;
    let ((answer, answered), sent) =
        tokio::join!(async { (one.function.call(event.into()).await.result, since()) }, async {
            let seen = deployment.api.wait_for(PATIENCE, |stats| stats.requests > before).await;
            seen.map(|_| since())
        });
    let answer = answer.map_err(|error| anyhow::anyhow!("{}: {error}", one.name))?;
    let text = String::from_utf8_lossy(&answer);
    anyhow::ensure!(text.contains("fetched") || text.parse::<u64>().is_ok(), "{}: {text}", one.name);
    Ok((sent.map_err(|stats| anyhow::anyhow!("the API saw nothing: {stats:?}"))?, answered))
}

/// The time of one request at the stand-in for DynamoDB, in milliseconds: three of them lie before the first fetch.
async fn ledger_round_trip(deployment: &TestDeployment) -> anyhow::Result<f64> {
    let mut figures = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        deployment.control().await;
        figures.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    let [_, median, _] = quartiles(figures);
    Ok(median)
}

fn print(all: &[Started], round_trip: f64) {
    println!("Cold start, milliseconds from the process's start, {ROUNDS} rounds in turn: median (quartiles)\n");
    println!("| | to the first request | more than bare | wanted | to the answer |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let of = |figures: &[f64]| quartiles(figures.to_vec());
    let bare = all.first().map_or(f64::NAN, |bare| of(&bare.sent)[1]);
    for (place, one) in all.iter().enumerate() {
        let ([low, median, high], [_, answered, _]) = (of(&one.sent), of(&one.answered));
        let (more, wanted) = if place == 0 { (String::new(), "") } else { (format!("{:.1}", median - bare), "30") };
        println!("| {} | {median:.1} ({low:.1} to {high:.1}) | {more} | {wanted} | {answered:.1} |", one.name);
    }
    let medians: Vec<f64> = all.iter().skip(1).map(|one| of(&one.sent)[1]).collect();
    if let (Some(one), Some(most)) = (medians.first(), medians.last()) {
        println!("\n500 packaged beside 1: {:+.1} ms (wanted: 3)", most - one);
    }
    println!("A request at the stand-in for DynamoDB takes {round_trip:.1} ms; three lie before the first fetch.\n");
}
