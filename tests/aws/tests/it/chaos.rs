//! Faults of AWS's services, with the SDK's own retries: answers of writes that were done are lost, requests arrive
//! twice or late. Nothing is lost, nothing doubled, no cap and no quota passed, and every stream drains.

use std::fmt;
use std::time::{Duration, Instant};

use damper_aws_tests::chaos::Write;
use damper_core::control::item::ProviderStop;
use damper_demo_api::{Latency, Settings};
use damper_event_source::{EventSource, State};
use damper_stand_ins::chaos::Fault;
use jiff::SignedDuration;
use serde_json::json;

use crate::days::{noon_zone, now};
use crate::deployment::{DeploymentOptions, PATIENCE, TestDeployment};
use crate::function_log;

/// Most rounds of a campaign for each answer that is to be lost: each round hits at least one write, or the campaign
/// hits none at all.
const ROUNDS_FOR_ONE: u64 = 4;
/// How many answers of each kind of write a campaign loses.
const LOST: u64 = 100;

fn quick_api() -> Settings {
    Settings { latency: Latency { median_ms: 10.0, sigma: 0.3, max_ms: Some(200.0) }, ..Settings::default() }
}

/// Batches stay as small as they were, so that there are many.
fn small_batches() -> Vec<(&'static str, String)> {
    vec![("start_batch = 200", "start_batch = 20".to_owned()), ("max_batch = 2000", "max_batch = 20".to_owned())]
}

/// A deployment, what was fed there, and what has to hold.
struct Campaign {
    deployment: TestDeployment,
    source: EventSource,
    fed: Vec<String>,
}

impl Campaign {
    async fn begin(wanted: DeploymentOptions) -> Option<Self> {
        let deployment = TestDeployment::new(wanted).await?;
        let source = deployment.create_mapping();
        Some(Self { deployment, source, fed: Vec::new() })
    }

    /// The given number of ids that were not fed before.
    fn next(&mut self, count: usize) -> Vec<String> {
        let ids: Vec<_> = (0..count).map(|number| format!("item-{:06}", self.fed.len() + number)).collect();
        self.fed.extend(ids.iter().cloned());
        ids
    }

    /// Ticks come, a minute apart in AWS, until one has enabled the mapping.
    async fn enable(&self) {
        for _ in 0..5 {
            self.deployment.tick().await;
            if self.source.view().state != State::Disabled {
                return;
            }
        }
        panic!("no tick enabled the mapping:\n{}", self.deployment.transcript());
    }

    /// Some items wait longer than their batch: a claim that landed late, or whose outcome nobody knows, holds for its
    /// lease. Their entries are parked, and ticks take them up. A tick meets faults, too, and may fail.
    async fn take_up_parked(&self) {
        for round in 1..=20 {
            if self.deployment.control().await.parked.next_due.is_none() {
                return;
            }
            self.deployment.restart(SignedDuration::from_mins(5 * round));
            if let Err(error) = self.deployment.try_tick().await {
                println!("a tick failed: {error}");
            }
        }
        panic!("parked entries were not taken up:\n{}", self.deployment.transcript());
    }

    /// All that was fed is in the sink, once, and nothing went wrong on the way.
    async fn assert_once(&self) {
        let stored = self.deployment.stored_ids().await;
        let times = |id: &String| stored.iter().filter(|stored| *stored == id).count();
        let lost: Vec<_> = self.fed.iter().filter(|id| times(id) == 0).collect();
        let doubled: Vec<_> = self.fed.iter().filter(|id| times(id) > 1).collect();
        assert!(
            lost.is_empty() && doubled.is_empty(),
            "lost: {lost:?}\ndoubled: {doubled:?}\n{}\n{}",
            self.deployment.objects().await,
            self.deployment.transcript()
        );
        assert_eq!(stored, self.fed);
        assert!(self.deployment.letters().await.is_empty());
        let stats = self.deployment.api.stats();
        assert!(stats.peak_in_flight <= 16, "{stats:?}");
        function_log::assert_well_formed(&self.deployment.lines());
    }
}

/// Feed and drain, each time with another process, until so many answers of this kind of write were lost.
async fn lose_answers(write: Write, times: u64) -> Option<u64> {
    let failing = Settings { error_rate: 0.2, ..quick_api() };
    let mut wanted =
        DeploymentOptions { faults: vec![write.lose_answers(times)], batch_size: 20, ..DeploymentOptions::default() };
    wanted.api = if write == Write::Release { failing } else { quick_api() };
    if write == Write::Control {
        // Each process sets requests aside of a quota, which is never spent. Without one a calm process has nothing to
        // note.
        "limits.daily_quota = 100000".clone_into(&mut wanted.settings);
    }
    wanted.manifest = small_batches();
    wanted.manifest.push(("max_attempts = 5", "max_attempts = 50".to_owned()));
    let mut campaign = Campaign::begin(wanted).await?;
    for round in 0..times * ROUNDS_FOR_ONE {
        let ids = campaign.next(40);
        if write == Write::Feed {
            campaign.deployment.feed_through_faults(ids).await;
        } else {
            campaign.deployment.feed(ids).await;
        }
        campaign.deployment.wait_until_drained(&campaign.source).await;
        if campaign.deployment.proxies.hits(write) >= times {
            break;
        }
        // Another process, which reads everything anew; a little later, so that nothing of the one before is in its
        // way.
        let seconds = 30 * (i64::try_from(round).unwrap() + 1);
        campaign.deployment.restart(SignedDuration::from_secs(seconds));
    }
    campaign.assert_once().await;
    let hits = campaign.deployment.proxies.hits(write);
    assert!(hits >= times, "{write}: only {hits} answers were lost");
    Some(hits)
}

/// The API is down for a quarter of an hour and comes back: the mapping is disabled and enabled, once a round.
async fn lose_answers_of_the_mapping(times: u64) -> Option<u64> {
    let wanted = DeploymentOptions {
        faults: vec![Write::Mapping.lose_answers(times)],
        api: quick_api(),
        timeout: Duration::from_secs(12),
        ..DeploymentOptions::default()
    };
    let mut campaign = Campaign::begin(wanted).await?;
    let mut minutes = 0;
    while campaign.deployment.proxies.hits(Write::Mapping) < times {
        let ids = campaign.next(20);
        let deployment = &campaign.deployment;
        deployment.api.control(&json!({ "outage": { "mode": "error" } })).unwrap();
        deployment.feed(ids).await;
        deployment
            .wait_until(async |deployment| matches!(deployment.control().await.breaker, ProviderStop::Open { .. }))
            .await;
        minutes += 16;
        deployment.restart(SignedDuration::from_mins(minutes));
        let off = campaign.source.wait_for(PATIENCE, |view| view.state == State::Disabled && view.in_flight == 0).await;
        off.unwrap_or_else(|view| panic!("it was never disabled: {view:?}\n{}", deployment.transcript()));
        deployment.api.control(&json!({ "outage": null })).unwrap();
        minutes += 11;
        deployment.restart(SignedDuration::from_mins(minutes));
        campaign.enable().await;
        deployment.wait_until_drained(&campaign.source).await;
    }
    campaign.assert_once().await;
    Some(campaign.deployment.proxies.hits(Write::Mapping))
}

/// Of three records one cannot be read, and waits a minute: its entry is parked, taken up by a tick, and perhaps parked
/// again.
async fn lose_answers_of_parking(times: u64) -> Option<u64> {
    let mut wanted = DeploymentOptions {
        faults: vec![Write::Park.lose_answers(times), Write::Unpark.lose_answers(times)],
        api: Settings { malformed_rate: 0.3, ..quick_api() },
        manifest: small_batches(),
        batch_size: 20,
        ..DeploymentOptions::default()
    };
    wanted.manifest.push(("max_attempts = 5", "max_attempts = 50".to_owned()));
    wanted.manifest.push(("backoff = \"200ms\"", "backoff = \"1m\"".to_owned()));
    wanted.manifest.push(("max_item_age = \"1d\"", "max_item_age = \"90d\"".to_owned()));
    let mut campaign = Campaign::begin(wanted).await?;
    let is_hit = |deployment: &TestDeployment| {
        [Write::Park, Write::Unpark].iter().all(|write| deployment.proxies.hits(write) >= times)
    };
    for round in 1.. {
        let is_enough = is_hit(&campaign.deployment);
        if is_enough && campaign.deployment.stored_ids().await.len() == campaign.fed.len() {
            break;
        }
        assert!(round < 20 + times, "round {round}:\n{}", campaign.deployment.transcript());
        if is_enough {
            campaign.deployment.api.control(&json!({ "malformed_rate": 0.0 })).unwrap();
        } else {
            let ids = campaign.next(40);
            campaign.deployment.feed(ids).await;
            campaign.deployment.wait_until_drained(&campaign.source).await;
        }
        // The waiting entry is due, and only a tick delivers it.
        campaign.deployment.restart(SignedDuration::from_hours(2 * i64::try_from(round).unwrap()));
        campaign.deployment.tick().await;
    }
    campaign.assert_once().await;
    let control = campaign.deployment.control().await;
    assert_eq!(control.parked.next_due, None, "nothing is parked any more: {control:?}");
    Some(campaign.deployment.proxies.hits(Write::Park) + campaign.deployment.proxies.hits(Write::Unpark))
}

/// A worker dies before midnight, with what it had fetched not stored; after it another claims that, in transactions
/// over both days.
async fn lose_answers_of_claims_over_two_days(times: u64) -> Option<u64> {
    let now = now();
    let zone = noon_zone(now);
    let noon = now.in_tz(&zone).unwrap();
    let midnight = noon.tomorrow().unwrap().start_of_day().unwrap().timestamp();
    let before = midnight.duration_since(now) - SignedDuration::from_mins(5);
    let wanted = DeploymentOptions {
        faults: vec![Write::TakeOver.lose_answers(times)],
        api: Settings { latency: Latency { median_ms: 60.0, sigma: 0.2, max_ms: None }, ..Settings::default() },
        manifest: vec![("timezone = \"UTC\"", format!("timezone = {zone:?}"))],
        clock_offset: before,
        batch_size: 500,
        ..DeploymentOptions::default()
    };
    let mut campaign = Campaign::begin(wanted).await?;
    let ids = campaign.next(usize::try_from(2 * times + 100).unwrap());
    campaign.deployment.feed(ids).await;
    campaign.deployment.wait_for_api(|stats| stats.requests >= times + 20).await;
    let killed = campaign.deployment.function();
    campaign.deployment.restart(before + SignedDuration::from_mins(10));
    killed.kill_running();
    campaign.deployment.wait_until_drained(&campaign.source).await;
    campaign.assert_once().await;
    let hits = campaign.deployment.proxies.hits(Write::TakeOver);
    assert!(hits >= times, "only {hits} answers were lost");
    Some(hits)
}

/// A quota that is spent in the middle, while the answers of what is written of it are lost.
async fn lose_answers_under_a_quota(times: u64, quota: u64) -> Option<u64> {
    let mut wanted = DeploymentOptions {
        faults: vec![Write::Control.lose_answers(times)],
        api: quick_api(),
        settings: format!("limits.daily_quota = {quota}"),
        manifest: small_batches(),
        batch_size: 20,
        ..DeploymentOptions::default()
    };
    wanted.manifest.push(("max_item_age = \"1d\"", "max_item_age = \"7d\"".to_owned()));
    let mut campaign = Campaign::begin(wanted).await?;
    let ids = campaign.next(usize::try_from(quota + quota / 2).unwrap());
    campaign.deployment.feed(ids).await;
    let off = campaign.source.wait_for(PATIENCE, |view| view.state == State::Disabled && view.in_flight == 0).await;
    off.unwrap_or_else(|view| panic!("the quota was never spent: {view:?}\n{}", campaign.deployment.transcript()));
    let requests = campaign.deployment.api.stats().requests;
    assert!(requests <= quota, "{requests} requests of {quota} a day");
    campaign.deployment.restart(SignedDuration::from_hours(25));
    campaign.enable().await;
    campaign.deployment.wait_until_drained(&campaign.source).await;
    let requests = campaign.deployment.api.stats().requests;
    assert!(requests <= 2 * quota, "{requests} requests in two days of {quota}");
    campaign.assert_once().await;
    Some(campaign.deployment.proxies.hits(Write::Control))
}

/// Everything at once, on two shards.
async fn bad_weather(items: usize, share: f64) -> Option<u64> {
    let faults = [
        ("cut before", Fault::CutBefore),
        ("lost answer", Fault::LoseAnswer),
        ("500 before", Fault::Refuse(500)),
        ("500 after", Fault::FailAfter(500)),
        ("503", Fault::Refuse(503)),
        ("late", Fault::Late(500, Duration::from_secs(2))),
        ("twice", Fault::Twice),
        ("slow", Fault::Slow(Duration::from_millis(400))),
    ];
    let rules = faults.map(|(name, fault)| Write::any(name, fault, share)).to_vec();
    let wanted = DeploymentOptions {
        faults: rules,
        api: quick_api(),
        shards: 2,
        batch_size: 50,
        ..DeploymentOptions::default()
    };
    let mut campaign = Campaign::begin(wanted).await?;
    let ids = campaign.next(items);
    campaign.deployment.feed(ids).await;
    // A batch ends where a store fails for good, which one in some hundred calls does.
    campaign
        .deployment
        .wait_until_drained_within(PATIENCE.max(Duration::from_secs(items as u64 / 2)), &campaign.source)
        .await;
    campaign.take_up_parked().await;
    campaign.assert_once().await;
    let hits = faults.map(|(name, _)| campaign.deployment.proxies.hits(name));
    assert!(hits.iter().all(|hits| *hits > 0), "not every fault was met: {hits:?}");
    Some(hits.iter().sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_of_chunks_double_nothing() {
    lose_answers(Write::Chunk, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_of_claims_and_finishes_double_nothing() {
    tokio::join!(lose_answers(Write::Claim, 20), lose_answers(Write::Finish, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_of_releases_and_feeds_double_nothing() {
    tokio::join!(lose_answers(Write::Release, 5), lose_answers(Write::Feed, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_of_slots_and_of_the_control_item_pass_no_cap() {
    tokio::join!(lose_answers(Write::Slots, 4), lose_answers(Write::Control, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_of_the_mapping_stop_no_stream() {
    lose_answers_of_the_mapping(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_of_parked_entries_lose_nothing() {
    lose_answers_of_parking(5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_of_claims_over_two_days_double_nothing() {
    lose_answers_of_claims_over_two_days(10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_under_a_quota_never_pass_it() {
    lose_answers_under_a_quota(20, 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_at_once_loses_and_doubles_nothing() {
    bad_weather(200, 0.02).await;
}

/// Prints a line of the table.
fn tell(write: impl fmt::Display, hits: Option<u64>, begun: Instant) {
    let Some(hits) = hits else { return };
    println!("| {write} | {hits} lost | 0 lost, 0 doubled | {:.0} s |", begun.elapsed().as_secs_f64());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign: `make chaos`"]
async fn chaos_a_hundred_lost_answers_of_each_kind_of_write() {
    for write in [Write::Chunk, Write::Claim, Write::Finish, Write::Release, Write::Slots, Write::Control, Write::Feed]
    {
        let begun = Instant::now();
        tell(write, lose_answers(write, LOST).await, begun);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign: `make chaos`"]
async fn chaos_a_hundred_lost_answers_of_claims_over_two_days_and_of_parked_entries() {
    let begun = Instant::now();
    tell(Write::TakeOver, lose_answers_of_claims_over_two_days(LOST).await, begun);
    let begun = Instant::now();
    tell(Write::Park, lose_answers_of_parking(LOST).await, begun);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign: `make chaos`"]
async fn chaos_a_hundred_lost_answers_of_the_mapping() {
    let begun = Instant::now();
    tell(Write::Mapping, lose_answers_of_the_mapping(LOST).await, begun);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign: `make chaos`"]
async fn chaos_a_quota_under_a_hundred_lost_answers() {
    let begun = Instant::now();
    tell("the control item, under a quota that is never passed", lose_answers_under_a_quota(LOST, 600).await, begun);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign: `make chaos`"]
async fn chaos_every_fault_at_once() {
    let begun = Instant::now();
    tell("faults of all kinds at once", bad_weather(2_000, 0.02).await, begun);
}
