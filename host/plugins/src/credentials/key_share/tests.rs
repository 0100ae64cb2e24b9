use std::collections::BTreeMap;

use damper_core::key_usage::{KeyDay, KeyReservation, KeyUsageStore, MemoryKeyUsage};
use futures::FutureExt;
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn day(number: i8) -> Day {
    Day(jiff::civil::date(2026, 11, number))
}

/// The sizes of so many reservations in a row, each of which is granted and sent.
fn reservations(share: &mut KeyShare, count: usize) -> Vec<u64> {
    let now = Instant::now();
    let mut counted = share.counted;
    let reserve = |_| {
        assert!(!share.take(day(1)));
        let wanted = share.next_reservation(now)?;
        counted += wanted;
        share.on_granted(day(1), wanted, counted);
        assert!((0..wanted).all(|_| share.take(day(1))));
        Some(wanted)
    };
    (0..count).map_while(reserve).collect()
}

#[test]
fn reservations_grow_while_more_is_needed_and_shrink_near_the_end() {
    let mut share = KeyShare::new(5_000);
    assert_eq!(reservations(&mut share, 9), [1, 1, 2, 4, 8, 16, 32, 50, 50]);
    let last: Vec<u64> = reservations(&mut share, 1_000).into_iter().rev().take(6).collect();
    assert_eq!(last, [1, 1, 1, 1, 1, 1]);
    assert_eq!((share.counted, share.next_reservation(Instant::now())), (5_000, None));
    let mut small = KeyShare::new(20);
    assert_eq!(reservations(&mut small, 100), [1; 20]);
}

#[test]
fn a_return_sets_the_next_reservation_to_what_was_needed() {
    let mut share = KeyShare::new(5_000);
    reservations(&mut share, 7);
    let now = Instant::now();
    let wanted = share.next_reservation(now).unwrap();
    assert_eq!(wanted, 50);
    share.on_granted(day(1), wanted, 114);
    assert!((0..20).all(|_| share.take(day(1))));
    assert_eq!(share.take_unsent(), Some((day(1), 30)));
    assert_eq!((share.take_unsent(), share.next_reservation(now)), (None, Some(20)));
    // A command that sends one request never reserves two.
    let mut command = KeyShare::new(5_000);
    for counted in 1..5 {
        assert_eq!(reservations(&mut command, 1), [1], "{counted}");
        assert_eq!(command.take_unsent(), None);
    }
}

#[test]
fn a_spent_quota_is_asked_for_again_after_a_minute() {
    let (mut share, now) = (KeyShare::new(2), Instant::now());
    assert!(!share.take(day(1)) && !share.is_spent(day(1), now));
    share.on_refused(day(1), 2, now);
    assert!(share.is_spent(day(1), now) && share.is_spent(day(1), now + 59 * SECOND));
    assert_eq!(share.next_reservation(now), None);
    assert!(!share.is_spent(day(2), now), "another day");
    assert!(!share.is_spent(day(1), now + 60 * SECOND));
    assert_eq!(share.next_reservation(now + 60 * SECOND), Some(1));
    share.put_back(day(1));
    assert!(!share.is_spent(day(1), now), "a request came back");
}

#[test]
fn what_was_reserved_for_a_day_is_of_no_use_on_another() {
    let mut share = KeyShare::new(100);
    assert!(!share.take(day(1)));
    share.on_granted(day(1), 5, 5);
    assert!(share.take(day(1)) && !share.take(day(2)) && !share.take(day(1)));
    share.put_back(day(2));
    share.on_granted(day(2), 5, 5);
    share.on_refused(day(2), 100, Instant::now());
    assert_eq!((share.left, share.counted), (0, 0), "answers for a day that is not counted");
}

/// A step of the processes that share a key.
#[derive(Debug, Clone)]
enum Step {
    /// A process sends a request, if it may. The answers of its reservations are lost, or each is sent twice.
    Send { process: usize, is_lost: bool, is_doubled: bool },
    /// A request is prepared and not sent.
    Prepare { process: usize },
    /// The process ends without returning anything, and another one begins.
    Crash { process: usize },
    /// The process returns its unsent requests; the answer is lost, or the call arrives twice.
    Return { process: usize, is_doubled: bool },
    /// Returns of all processes are read at once, and then written.
    ReturnAll,
    /// The clock jumps to a day.
    Day { number: i8 },
    /// Time passes.
    Pass { seconds: u64 },
}

const PROCESSES: usize = 4;

struct Processes {
    quota: u64,
    store: MemoryKeyUsage,
    shares: Vec<KeyShare>,
    day: Day,
    now: Instant,
    sent: BTreeMap<Day, u64>,
}

impl Processes {
    fn new(quota: u64) -> Self {
        let shares = (0..PROCESSES).map(|_| KeyShare::new(quota)).collect();
        let (store, day) = (MemoryKeyUsage::default(), day(1));
        Self { quota, store, shares, day, now: Instant::now(), sent: BTreeMap::new() }
    }

    fn key(day: Day) -> KeyDay<'static> {
        KeyDay { provider: "demo", key: "0f3a", day }
    }

    fn reserve(&self, requests: u64) -> KeyReservation {
        let reserving = self.store.reserve_requests(Self::key(self.day), requests, self.quota);
        reserving.now_or_never().unwrap().unwrap()
    }

    fn version(&self, day: Day) -> u64 {
        self.store.read_key_usage(Self::key(day)).now_or_never().unwrap().unwrap().version
    }

    fn give_back(&self, (day, requests): (Day, u64), version: u64) {
        self.store.return_requests(Self::key(day), requests, version).now_or_never().unwrap().unwrap();
    }

    /// As `KeyQuota::take` does.
    fn take(&mut self, process: usize, is_lost: bool, is_doubled: bool) -> bool {
        for _ in 0..8 {
            if self.shares[process].take(self.day) {
                return true;
            }
            let Some(wanted) = self.shares[process].next_reservation(self.now) else { return false };
            let mut reservation = self.reserve(wanted);
            if is_doubled {
                reservation = self.reserve(wanted);
            }
            if is_lost {
                return false;
            }
            let (day, counted) = (self.day, reservation.usage.requests);
            match reservation.is_granted {
                true => self.shares[process].on_granted(day, wanted, counted),
                false => self.shares[process].on_refused(day, counted, self.now),
            }
        }
        false
    }

    fn send(&mut self, process: usize, is_lost: bool, is_doubled: bool) -> bool {
        let is_sent = self.take(process, is_lost, is_doubled);
        *self.sent.entry(self.day).or_default() += u64::from(is_sent);
        is_sent
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Send { process, is_lost, is_doubled } => drop(self.send(process, is_lost, is_doubled)),
            Step::Prepare { process } => {
                if self.take(process, false, false) {
                    self.shares[process].put_back(self.day);
                }
            }
            Step::Crash { process } => self.shares[process] = KeyShare::new(self.quota),
            Step::Return { process, is_doubled } => {
                if let Some(unsent) = self.shares[process].take_unsent() {
                    let version = self.version(unsent.0);
                    (0..1 + u8::from(is_doubled)).for_each(|_| self.give_back(unsent, version));
                }
            }
            Step::ReturnAll => {
                let unsent: Vec<_> = self.shares.iter_mut().filter_map(KeyShare::take_unsent).collect();
                let versions: Vec<_> = unsent.iter().map(|(day, _)| self.version(*day)).collect();
                unsent.into_iter().zip(versions).for_each(|(unsent, version)| self.give_back(unsent, version));
            }
            Step::Day { number } => self.day = day(number),
            Step::Pass { seconds } => self.now += SECOND * u32::try_from(seconds).unwrap(),
        }
    }
}

fn sends() -> impl Strategy<Value = Step> {
    (0..PROCESSES).prop_map(|process| Step::Send { process, is_lost: false, is_doubled: false })
}

fn steps_with_faults() -> impl Strategy<Value = Step> {
    let process = 0..PROCESSES;
    prop_oneof![
        20 => sends(),
        3 => (process.clone(), any::<bool>())
            .prop_map(|(process, is_lost)| Step::Send { process, is_lost, is_doubled: !is_lost }),
        2 => process.clone().prop_map(|process| Step::Prepare { process }),
        1 => process.clone().prop_map(|process| Step::Crash { process }),
        2 => (process, any::<bool>()).prop_map(|(process, is_doubled)| Step::Return { process, is_doubled }),
        1 => Just(Step::ReturnAll),
        1 => (1..4_i8).prop_map(|number| Step::Day { number }),
        1 => (0..90_u64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

fn steps_without_faults() -> impl Strategy<Value = Step> {
    let process = 0..PROCESSES;
    prop_oneof![
        20 => sends(),
        2 => process.clone().prop_map(|process| Step::Prepare { process }),
        2 => process.prop_map(|process| Step::Return { process, is_doubled: false }),
        1 => (0..90_u64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

proptest! {
    #[test]
    fn no_day_gets_more_than_its_quota_whatever_is_lost_or_doubled(
        quota in 1..200_u64, steps in prop::collection::vec(steps_with_faults(), 1..800),
    ) {
        let mut processes = Processes::new(quota);
        for step in &steps {
            processes.run(step);
            prop_assert!(processes.sent.values().all(|sent| *sent <= quota), "{:?}", processes.sent);
        }
        for process in 0..PROCESSES {
            while processes.send(process, false, false) {}
        }
        prop_assert!(processes.sent.values().all(|sent| *sent <= quota), "{:?}", processes.sent);
    }

    #[test]
    fn a_quota_is_used_up_where_nothing_is_lost(
        quota in 1..3_000_u64, steps in prop::collection::vec(steps_without_faults(), 1..800), last in 0..PROCESSES,
    ) {
        let mut processes = Processes::new(quota);
        steps.iter().for_each(|step| processes.run(step));
        processes.now += 90 * SECOND;
        while processes.send(last, false, false) {}
        // The others hold a block each, and are at work.
        let held = (PROCESSES as u64 - 1) * (quota / 50).clamp(1, 50);
        prop_assert!(processes.sent[&day(1)] + held >= quota, "{:?} of {quota}", processes.sent);
        // Their work has ended.
        for process in 0..PROCESSES {
            processes.run(&Step::Return { process, is_doubled: false });
        }
        processes.now += 90 * SECOND;
        while processes.send(last, false, false) {}
        prop_assert_eq!(processes.sent[&day(1)], quota);
    }
}
