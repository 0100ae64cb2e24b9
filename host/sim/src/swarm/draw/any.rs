//! A cluster and faults about nothing in particular, and the numbers that all cases draw.

use std::time::Duration;

use damper_core::testing::faults::{Fault, FaultPlan, How, Operation};
use jiff::Timestamp;

use crate::random::Random;
use crate::swarm::case::{ApiSetup, ItemKind, ItemSetup, ProviderSetup, Setup, Theme};

/// Which stream of a seed the setup is drawn from.
pub(super) const SETUP: u64 = 100;

/// A Monday at noon, and shortly before midnight.
const BEGINS: [&str; 2] = ["2026-01-05T12:00:00Z", "2026-01-05T23:55:00Z"];

/// When some providers may be called: it closes or opens soon after a beginning.
const WINDOWS: [&str; 3] = ["12:05-23:58", "20:00-12:04", "00:01-23:59"];

/// The operations that only the ledger of a cloud has.
const PARKING: [Operation; 3] = [Operation::Park, Operation::ReadParked, Operation::Unpark];

pub(super) fn setup(random: &mut Random) -> Setup {
    let is_cloud = random.chance(0.5);
    let begin = BEGINS.get(usize::from(random.chance(0.3))).and_then(|begin| begin.parse().ok());
    let providers = if random.chance(0.2) { 2 } else { 1 };
    let latency = if random.chance(0.15) { Duration::ZERO } else { seconds(random.between_in_proportion(0.004, 0.4)) };
    Setup {
        theme: Theme::Faults,
        processes: whole(random, 1, 3),
        is_cloud,
        latency,
        is_restarted_on_failure: random.chance(0.5),
        begin: begin.unwrap_or(Timestamp::UNIX_EPOCH),
        tick: seconds(random.between_in_proportion(5.0, 120.0)),
        deadline: seconds(random.between_in_proportion(120.0, 900.0)),
        providers: (0..providers).map(|number| provider(random, number, is_cloud)).collect(),
    }
}

pub(super) fn provider(random: &mut Random, number: usize, is_cloud: bool) -> ProviderSetup {
    let most = if random.chance(0.2) { 60 } else { 25 };
    let entries = whole(random, 5, most);
    let spread = if random.chance(0.5) { 0.0 } else { random.between(1.0, 300.0) };
    let (gone, malformed) = (rate(random, 0.3, 0.2), rate(random, 0.15, 0.1));
    let different = whole(random, (entries / 2).max(1), entries);
    let items = (0..entries).map(|_| {
        let number = whole(random, 1, different);
        let at = seconds(random.between(0.0, spread));
        ItemSetup { number: u32::try_from(number).unwrap_or(0), kind: ItemKind::Good, at }
    });
    let mut items: Vec<ItemSetup> = items.collect();
    for item in &mut items {
        // By the number, so that two entries of one identity are of one kind.
        let draw = Random::new(u64::from(item.number), SETUP + 1 + number as u64).unit();
        item.kind = match draw {
            draw if draw < gone => ItemKind::Gone,
            draw if draw < gone + malformed => ItemKind::Malformed,
            draw if draw > 0.9 => ItemKind::Ordered,
            _ => ItemKind::Good,
        };
    }
    items.sort_by_key(|item| item.at);
    let quota = random.chance(0.3).then(|| whole(random, entries * 2 / 3 + 1, entries * 2) as u64);
    let fetch_timeout = Duration::from_secs(whole(random, 2, 20) as u64);
    ProviderSetup {
        name: format!("provider-{number}"),
        shards: if is_cloud && random.chance(0.4) { 2 } else { 1 },
        cap: u32::try_from(whole(random, 1, 6)).unwrap_or(1),
        fetch_timeout,
        quota,
        batch: u32::try_from(whole(random, 3, entries)).unwrap_or(10),
        max_attempts: u32::try_from(whole(random, 2, 4)).unwrap_or(3),
        ad_hoc_every: random.chance(0.3).then(|| seconds(random.between_in_proportion(3.0, 60.0))),
        grant: random
            .chance(0.15)
            .then(|| (seconds(random.between(0.0, 60.0)), u32::try_from(whole(random, 50, 200)).unwrap_or(50))),
        window: WINDOWS.get(whole(random, 0, 11)).copied(),
        moves_west: None,
        api: api(random, fetch_timeout),
        cold_start: if random.chance(0.15) { seconds(random.between_in_proportion(1.0, 60.0)) } else { Duration::ZERO },
        items,
    }
}

fn api(random: &mut Random, fetch_timeout: Duration) -> ApiSetup {
    let slowest = random.between_in_proportion(0.05, fetch_timeout.as_secs_f64() * 0.7);
    let outage = random
        .chance(0.15)
        .then(|| (seconds(random.between(0.0, 120.0)), seconds(random.between_in_proportion(5.0, 1_500.0))));
    ApiSetup {
        quickest: seconds(slowest * random.unit()),
        slowest: seconds(slowest),
        unavailable: rate(random, 0.3, 0.5),
        throttled: rate(random, 0.3, 0.2),
        retry_after: random.chance(0.5).then(|| Duration::from_secs(whole(random, 1, 5) as u64)),
        silent: rate(random, 0.2, 0.1),
        outage,
    }
}

/// In so many cases a rate up to `most`, else none.
fn rate(random: &mut Random, cases: f64, most: f64) -> f64 {
    if random.chance(cases) { random.between_in_proportion(0.01, most) } else { 0.0 }
}

pub(super) fn plan(random: &mut Random, setup: &Setup) -> FaultPlan {
    let ends = seconds(random.between_in_proportion(30.0, 600.0));
    let mut faults = Vec::new();
    for operation in Operation::ALL.into_iter().filter(|operation| !PARKING.contains(operation)) {
        faults_of_calls(random, operation, ends, &mut faults);
    }
    for process in 0..setup.processes {
        for _ in 0..some(random, 0.3, 3) {
            faults.push(Fault::Death { process, at: within(random, ends) });
        }
        for _ in 0..some(random, 0.3, 3) {
            let length = seconds(random.between_in_proportion(1.0, 180.0));
            faults.push(Fault::Freeze { process, at: within(random, ends), length });
        }
    }
    for _ in 0..some(random, 0.2, 2) {
        faults.push(Fault::ObjectGone { at: within(random, ends) });
    }
    // The machines of a cloud keep the time; a single one may not.
    for _ in 0..if setup.is_cloud { 0 } else { some(random, 0.3, 3) } {
        faults.push(Fault::ClockStep { at: within(random, ends), by_seconds: step(random) });
    }
    for operation in PARKING.into_iter().filter(|_| setup.is_cloud) {
        faults_of_calls(random, operation, ends, &mut faults);
    }
    FaultPlan { faults, ends }
}

/// The faults of one operation's calls.
fn faults_of_calls(random: &mut Random, operation: Operation, ends: Duration, faults: &mut Vec<Fault>) {
    for kind in 0..10 {
        if !random.chance(0.08) {
            continue;
        }
        let rate = random.between_in_proportion(0.005, 0.3);
        for nth in 1..=calls_of(operation) {
            if random.chance(rate) {
                faults.push(Fault::Call { operation, nth, how: how(random, kind) });
            }
        }
    }
    if random.chance(0.02) {
        let length = seconds(random.between_in_proportion(1.0, 120.0));
        faults.push(Fault::Outage { operation, from: within(random, ends), length });
    }
}

/// For how many calls faults are drawn.
fn calls_of(operation: Operation) -> u32 {
    match operation {
        Operation::Claim | Operation::ReadControl | Operation::Slots => 200,
        Operation::Put | Operation::Get | Operation::List | Operation::Finish => 40,
        _ => 80,
    }
}

fn how(random: &mut Random, kind: u32) -> How {
    match kind {
        0 => How::FailBefore,
        1 => How::FailAfter,
        2 => How::Twice,
        3 => How::Late(seconds(random.between_in_proportion(0.1, 120.0))),
        4 => How::Slow(seconds(random.between_in_proportion(0.1, 8.0))),
        5 => How::Refused,
        6 => How::FreezeBefore(seconds(random.between_in_proportion(1.0, 180.0))),
        7 => How::FreezeAfter(seconds(random.between_in_proportion(1.0, 180.0))),
        8 => How::DieBefore,
        _ => How::DieAfter,
    }
}

/// A step of the clock, from a second to two hours, forward or back, or forward by more than a week.
fn step(random: &mut Random) -> i64 {
    if random.chance(0.1) {
        return 8 * 86_400;
    }
    let size = i64::try_from(seconds(random.between_in_proportion(1.0, 7_200.0)).as_secs()).unwrap_or_default().max(1);
    if random.chance(0.5) { size } else { -size }
}

pub(super) fn within(random: &mut Random, ends: Duration) -> Duration {
    // To the millisecond, so that a plan reads well.
    Duration::from_millis(u64::try_from(ends.mul_f64(random.unit()).as_millis()).unwrap_or_default())
}

/// In so many cases 1 to `most`, else none.
pub(super) fn some(random: &mut Random, cases: f64, most: usize) -> usize {
    if random.chance(cases) { whole(random, 1, most) } else { 0 }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "small numbers"
)]
pub(super) fn whole(random: &mut Random, low: usize, high: usize) -> usize {
    (random.between(low as f64, high as f64 + 1.0) as usize).min(high.max(low))
}

/// To the millisecond.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and small")]
pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::from_millis((seconds * 1e3) as u64)
}
