//! Cases that are about something: see [`Theme`].

use std::time::Duration;

use damper_core::testing::faults::{Fault, FaultPlan, How, Operation};
use jiff::Timestamp;

use super::any::{self, provider, seconds, setup, some, whole, within};
use crate::random::Random;
use crate::swarm::case::{ApiSetup, ItemKind, ItemSetup, ProviderSetup, Setup, Theme};

/// How long locked items are locked, and the longest time that faults last where none are drawn.
const CALM: Duration = Duration::from_secs(600);

/// The faults of a case.
pub(super) fn plan(random: &mut Random, setup: &Setup) -> FaultPlan {
    match setup.theme {
        Theme::Faults => any::plan(random, setup),
        Theme::Midnight => {
            // Slow or frozen processes over midnight, and no fault that loses a part of the quota: the next day would
            // have too few requests left to show one above the quota.
            let mut plan = any::plan(random, setup);
            plan.faults.retain(|fault| match fault {
                Fault::Call { how, .. } => matches!(how, How::Slow(_) | How::FreezeBefore(_) | How::FreezeAfter(_)),
                Fault::Freeze { .. } => true,
                _ => false,
            });
            plan
        }
        Theme::SetBack => steps_back(random, setup),
        Theme::WeekAhead => week_ahead_faults(random),
        Theme::Gaps => gaps_faults(random, setup),
        Theme::Sealed => sealed_faults(random, setup),
        Theme::LostAnswers => lost_answers_faults(random),
        Theme::Leaps => leaps_faults(random, setup),
        Theme::Pace | Theme::Sharing | Theme::MovedWest | Theme::Waiting => {
            FaultPlan { faults: Vec::new(), ends: CALM }
        }
    }
}

/// One process, one provider, many items, and an API that refuses or fails a few requests at random.
pub(super) fn pace_setup(random: &mut Random) -> Setup {
    let mut setup = calm(random, Theme::Pace, 300);
    setup.is_cloud = random.chance(0.5);
    for provider in &mut setup.providers {
        provider.cap = 8;
        provider.batch = 100;
        provider.api.throttled = random.between(0.005, 0.03);
        provider.api.unavailable = random.between(0.0, 0.03);
        provider.api.retry_after = Some(Duration::from_secs(whole(random, 1, 2) as u64));
    }
    setup
}

/// Two shards whose batches have to share one slot.
pub(super) fn sharing_setup(random: &mut Random) -> Setup {
    let mut setup = calm(random, Theme::Sharing, 1_200);
    setup.is_cloud = true;
    setup.processes = whole(random, 1, 2);
    for provider in &mut setup.providers {
        (provider.shards, provider.cap, provider.batch) = (2, 1, 4);
    }
    setup
}

/// A day ends while requests of its quota are set aside and unspent, and the next day has not enough of its own.
pub(super) fn midnight_setup(random: &mut Random) -> Setup {
    let quota = whole(random, 20, 60);
    let mut setup = calm(random, Theme::Midnight, u32::try_from(2 * quota + 10).unwrap_or(60));
    setup.begin = begin("2026-01-05T23:59:59Z") - seconds(random.between_in_proportion(1.0, 8.0));
    setup.is_cloud = random.chance(0.5);
    setup.processes = whole(random, 1, 3);
    setup.latency = seconds(random.between_in_proportion(0.01, 0.8));
    let is_asked_beside = random.chance(0.4);
    for provider in &mut setup.providers {
        provider.quota = Some(quota as u64);
        (provider.cap, provider.batch) = (u32::try_from(whole(random, 2, 6)).unwrap_or(2), 100);
        provider.shards = if setup.is_cloud && random.chance(0.5) { 2 } else { 1 };
        provider.ad_hoc_every = is_asked_beside.then(|| seconds(random.between_in_proportion(1.0, 10.0)));
        provider.api.slowest = seconds(random.between_in_proportion(0.2, 4.0));
    }
    setup
}

/// Soon after a day has begun, the time zone is moved west.
pub(super) fn moved_west_setup(random: &mut Random) -> Setup {
    let mut setup = calm(random, Theme::MovedWest, 60);
    setup.begin = begin("2026-01-06T00:10:00Z");
    setup.is_cloud = random.chance(0.5);
    setup.processes = whole(random, 1, 2);
    for provider in &mut setup.providers {
        provider.quota = Some(whole(random, 20, 40) as u64);
        provider.moves_west = Some(seconds(random.between(11.0, 60.0)));
        spread(random, provider, 90.0);
    }
    setup
}

/// Items come for some minutes, while the clock is set back and processes die.
pub(super) fn set_back_setup(random: &mut Random) -> Setup {
    let mut setup = calm(random, Theme::SetBack, 40);
    setup.is_cloud = false;
    setup.processes = whole(random, 1, 2);
    setup.is_restarted_on_failure = true;
    setup.tick = seconds(random.between(5.0, 60.0));
    for provider in &mut setup.providers {
        spread(random, provider, 240.0);
    }
    setup
}

fn steps_back(random: &mut Random, setup: &Setup) -> FaultPlan {
    let ends = Duration::from_secs(300);
    let mut faults = Vec::new();
    for _ in 0..whole(random, 1, 2) {
        let by_seconds = -i64::try_from(seconds(random.between_in_proportion(60.0, 40_000.0)).as_secs()).unwrap_or(60);
        faults.push(Fault::ClockStep { at: within(random, ends), by_seconds });
    }
    for process in 0..setup.processes {
        for _ in 0..some(random, 0.8, 3) {
            faults.push(Fault::Death { process, at: within(random, ends) });
        }
    }
    FaultPlan { faults, ends }
}

/// One of the first items is locked.
pub(super) fn waiting_setup(random: &mut Random) -> Setup {
    let mut setup = calm(random, Theme::Waiting, 100);
    setup.is_cloud = random.chance(0.5);
    setup.tick = seconds(random.between(5.0, 60.0));
    for provider in &mut setup.providers {
        (provider.cap, provider.batch) = (8, u32::try_from(whole(random, 10, 30)).unwrap_or(10));
        // One: several that fail in a row look like an outage once nothing else is left of their batch.
        provider.items.iter_mut().skip(whole(random, 0, 5)).take(1).for_each(|item| item.kind = ItemKind::Locked);
    }
    setup
}

/// Many items wait when the wall clock is set a week ahead.
pub(super) fn week_ahead_setup(random: &mut Random) -> Setup {
    let entries = u32::try_from(whole(random, 120, 240)).unwrap_or(120);
    let mut setup = calm(random, Theme::WeekAhead, entries);
    setup.is_cloud = false;
    for provider in &mut setup.providers {
        (provider.shards, provider.cap) = (1, u32::try_from(whole(random, 1, 6)).unwrap_or(1));
        provider.batch = u32::try_from(whole(random, 10, 60)).unwrap_or(10);
    }
    setup
}

fn week_ahead_faults(random: &mut Random) -> FaultPlan {
    // Early, so that most items wait still.
    let at = seconds(random.between(0.5, 5.0));
    FaultPlan { faults: vec![Fault::ClockStep { at, by_seconds: 8 * 86_400 }], ends: CALM }
}

/// One long batch of an API that takes its time, so that its owner has many objects.
pub(super) fn gaps_setup(random: &mut Random) -> Setup {
    let mut setup = long_batch(random, Theme::Gaps);
    setup.is_cloud = random.chance(0.5);
    setup
}

fn gaps_faults(random: &mut Random, setup: &Setup) -> FaultPlan {
    let ends = Duration::from_secs(300);
    let mut faults = Vec::new();
    for _ in 0..whole(random, 2, 6) {
        faults.push(Fault::ObjectGone { at: within(random, Duration::from_secs(120)) });
    }
    for _ in 0..whole(random, 1, 3) {
        let nth = u32::try_from(whole(random, 4, 24)).unwrap_or(4);
        faults.push(Fault::Call { operation: Operation::Finish, nth, how: How::DieBefore });
    }
    for process in 0..setup.processes {
        for _ in 0..some(random, 0.3, 2) {
            faults.push(Fault::Death { process, at: within(random, ends) });
        }
    }
    FaultPlan { faults, ends }
}

/// One long batch, which several processes take over from each other while they freeze.
pub(super) fn sealed_setup(random: &mut Random) -> Setup {
    let mut setup = long_batch(random, Theme::Sealed);
    setup.is_cloud = false;
    setup.processes = whole(random, 2, 3);
    setup
}

fn sealed_faults(random: &mut Random, setup: &Setup) -> FaultPlan {
    let ends = CALM;
    let mut faults = Vec::new();
    let rate = random.between(0.1, 0.5);
    for nth in 1..=40 {
        if random.chance(rate) {
            let how = How::FreezeBefore(seconds(random.between(30.0, 120.0)));
            faults.push(Fault::Call { operation: Operation::Finish, nth, how });
        }
    }
    for process in 0..setup.processes {
        for _ in 0..whole(random, 0, 3) {
            let length = seconds(random.between(30.0, 120.0));
            faults.push(Fault::Freeze { process, at: within(random, ends), length });
        }
    }
    FaultPlan { faults, ends }
}

fn long_batch(random: &mut Random, theme: Theme) -> Setup {
    let entries = u32::try_from(whole(random, 60, 150)).unwrap_or(60);
    let mut setup = calm(random, theme, entries);
    setup.is_restarted_on_failure = false;
    setup.processes = whole(random, 1, 2);
    setup.deadline = Duration::from_secs(900);
    for provider in &mut setup.providers {
        (provider.shards, provider.cap, provider.batch) = (1, u32::try_from(whole(random, 2, 5)).unwrap_or(2), entries);
        (provider.api.quickest, provider.api.slowest) = (Duration::from_secs(1), Duration::from_secs(4));
    }
    setup
}

/// A quota that the items need more than, in many small batches.
pub(super) fn lost_answers_setup(random: &mut Random) -> Setup {
    let quota = whole(random, 20, 40);
    let entries = u32::try_from(quota + whole(random, 10, 30)).unwrap_or(60);
    let mut setup = calm(random, Theme::LostAnswers, entries);
    setup.is_cloud = random.chance(0.5);
    setup.processes = whole(random, 1, 3);
    setup.tick = seconds(random.between(5.0, 60.0));
    for provider in &mut setup.providers {
        provider.quota = Some(quota as u64);
        provider.batch = u32::try_from(whole(random, 3, 10)).unwrap_or(3);
        provider.api.unavailable = random.between(0.0, 0.3);
        spread(random, provider, 240.0);
    }
    setup
}

fn lost_answers_faults(random: &mut Random) -> FaultPlan {
    let rate = random.between(0.1, 0.6);
    let calls = (1..=120).filter(|_| random.chance(rate));
    let lost = |nth| Fault::Call { operation: Operation::WriteControl, nth, how: How::FailAfter };
    FaultPlan { faults: calls.map(lost).collect(), ends: CALM }
}

/// Few slots, which several processes want, and an API that takes long.
pub(super) fn leaps_setup(random: &mut Random) -> Setup {
    let entries = u32::try_from(whole(random, 60, 150)).unwrap_or(60);
    let mut setup = calm(random, Theme::Leaps, entries);
    setup.is_cloud = false;
    setup.processes = whole(random, 2, 3);
    for provider in &mut setup.providers {
        provider.shards = whole(random, 1, 2);
        provider.cap = if random.chance(0.5) { 1 } else { u32::try_from(whole(random, 2, 3)).unwrap_or(2) };
        provider.batch = 30;
        provider.fetch_timeout = Duration::from_secs(whole(random, 10, 20) as u64);
        provider.ad_hoc_every = Some(seconds(random.between(1.0, 6.0)));
        provider.cold_start = if random.chance(0.5) { seconds(random.between(5.0, 60.0)) } else { Duration::ZERO };
        (provider.api.quickest, provider.api.slowest) = (Duration::from_secs(2), Duration::from_secs(9));
    }
    setup
}

fn leaps_faults(random: &mut Random, setup: &Setup) -> FaultPlan {
    let ends = Duration::from_secs(300);
    let mut faults = Vec::new();
    for _ in 0..whole(random, 1, 4) {
        let by_seconds = i64::try_from(seconds(random.between_in_proportion(20.0, 4_000.0)).as_secs()).unwrap_or(60);
        let at = within(random, ends);
        faults.push(Fault::ClockStep { at, by_seconds });
        // The process restarts right after the leap, and does not know of it then.
        if random.chance(0.6) {
            let process = whole(random, 0, setup.processes - 1);
            faults.push(Fault::Death { process, at: at.saturating_sub(seconds(random.between(0.0, 3.0))) });
        }
    }
    for process in 0..setup.processes {
        for _ in 0..some(random, 0.4, 3) {
            faults.push(Fault::Death { process, at: within(random, ends) });
        }
    }
    FaultPlan { faults, ends }
}

/// The provider's items come over so many seconds.
fn spread(random: &mut Random, provider: &mut ProviderSetup, most_seconds: f64) {
    provider.items.iter_mut().for_each(|item| item.at = seconds(random.between(0.0, most_seconds)));
    provider.items.sort_by_key(|item| item.at);
}

fn begin(text: &str) -> Timestamp {
    text.parse().unwrap_or(Timestamp::UNIX_EPOCH)
}

fn calm(random: &mut Random, theme: Theme, entries: u32) -> Setup {
    let mut setup = setup(random);
    let mut provider = provider(random, 0, false);
    provider.items =
        (1..=entries).map(|number| ItemSetup { number, kind: ItemKind::Good, at: Duration::ZERO }).collect();
    (provider.quota, provider.window, provider.ad_hoc_every, provider.grant) = (None, None, None, None);
    provider.fetch_timeout = Duration::from_secs(10);
    provider.cold_start = Duration::ZERO;
    let (quickest, slowest) = (Duration::from_millis(100), Duration::from_millis(400));
    provider.api =
        ApiSetup { quickest, slowest, unavailable: 0.0, throttled: 0.0, retry_after: None, silent: 0.0, outage: None };
    (setup.theme, setup.processes, setup.latency) = (theme, 1, Duration::from_millis(10));
    setup.providers = vec![provider];
    setup
}
