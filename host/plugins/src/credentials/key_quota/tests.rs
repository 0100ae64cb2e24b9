use std::num::NonZeroU64;

use damper_core::clock::SteppedClock;
use damper_core::testing::key_usage::{FaultyKeyUsage, KeyUsageFault};
use futures::FutureExt;
use futures::future::join_all;
use jiff::SignedDuration;

use super::*;

/// Processes that share a store, each with a clock that tests can set.
struct House {
    store: Arc<FaultyKeyUsage>,
    machine: SteppedClock,
}

impl House {
    fn new() -> Self {
        let machine = SteppedClock::new("2026-11-22T23:00:00Z".parse().unwrap());
        Self { store: Arc::default(), machine }
    }

    /// A process's view of one key.
    fn quota(&self, daily_quota: u64) -> Arc<KeyQuota> {
        let counting = KeyCounting::new(self.store.clone(), WallClock::from(&self.machine));
        let daily_quota = NonZeroU64::new(daily_quota).unwrap();
        let limit = KeyLimit { daily_quota, counted_as: "0f3a".to_owned() };
        Arc::new(KeyQuota::new(&counting, "demo", &limit, &Window::always_utc()))
    }
}

/// Sends as many requests as it may.
async fn send_all(quota: &Arc<KeyQuota>) -> u64 {
    let mut sent = 0;
    while let Ok(permit) = quota.take().await {
        permit.mark_sent();
        sent += 1;
    }
    sent
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_is_not_sent_is_taken_again() {
    let quota = House::new().quota(3);
    let permits = [quota.take().await.unwrap(), quota.take().await.unwrap()];
    drop(permits);
    assert_eq!(send_all(&quota).await, 3);
    let wait = quota.wait(Instant::now());
    assert!(wait > Duration::from_mins(59) && wait <= Duration::from_hours(1), "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn unsent_requests_are_returned_and_sent_by_another_process() {
    let house = House::new();
    let [one, other] = [house.quota(200), house.quota(200)];
    for _ in 0..9 {
        one.take().await.unwrap().mark_sent();
    }
    one.return_unsent().await;
    one.return_unsent().await;
    assert_eq!(send_all(&other).await, 191);
    assert_eq!(send_all(&one).await, 0);
    tokio::time::advance(Duration::from_mins(2)).await;
    assert_eq!(send_all(&other).await, 0);
}

#[tokio::test(start_paused = true)]
async fn many_fetches_of_many_processes_send_no_more_than_the_quota() {
    let house = House::new();
    let processes: Vec<_> = (0..5).map(|_| house.quota(120)).collect();
    let send = |number: usize| {
        let quota = Arc::clone(&processes[number % 5]);
        async move { quota.take().await.map(|permit| permit.mark_sent()).is_ok() }
    };
    let sent = join_all((0..500).map(send)).await.into_iter().filter(|is_sent| *is_sent).count();
    assert_eq!(sent, 120);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_or_hangs_lets_nothing_through() {
    let house = House::new();
    let quota = house.quota(10);
    for fault in [KeyUsageFault::Fails, KeyUsageFault::Hangs, KeyUsageFault::LosesAnswers] {
        house.store.set_fault(fault);
        let refused = quota.take().await.unwrap_err();
        assert!(matches!(refused, QuotaRefusal::Uncounted(_)), "{fault:?}: {refused:?}");
        assert_eq!(quota.wait(Instant::now()), Duration::ZERO, "nobody knows that it is spent");
    }
    house.store.set_fault(KeyUsageFault::None);
    assert_eq!(send_all(&quota).await, 9, "the lost answer counts");
}

#[tokio::test(start_paused = true)]
async fn calls_that_arrive_twice_waste_requests_and_send_none_too_many() {
    let house = House::new();
    house.store.set_fault(KeyUsageFault::Repeats);
    let [one, other] = [house.quota(100), house.quota(100)];
    for _ in 0..9 {
        one.take().await.unwrap().mark_sent();
    }
    one.return_unsent().await;
    house.store.set_fault(KeyUsageFault::None);
    let sent = 9 + send_all(&other).await;
    assert!((80..100).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_is_given_up_while_requests_are_reserved_loses_none() {
    let house = House::new();
    let quota = house.quota(2);
    {
        let mut taking = std::pin::pin!(quota.take());
        assert!(taking.as_mut().now_or_never().is_none());
    }
    assert_eq!(send_all(&quota).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_day_has_its_own_count_however_the_clock_is_set() {
    let house = House::new();
    let quota = house.quota(5);
    let early = quota.take().await.unwrap();
    assert!(early.is_of_today());
    quota.take().await.unwrap().mark_sent();
    house.machine.step(SignedDuration::from_hours(1));
    assert!(!early.is_of_today(), "its day is over");
    drop(early);
    assert_eq!(send_all(&quota).await, 5, "a new day");
    house.machine.step(SignedDuration::from_hours(-1));
    let left = send_all(&quota).await;
    assert!((2..=4).contains(&left), "{left} of the day that came again");
    for hours in [1, -1, 1, -1] {
        house.machine.step(SignedDuration::from_hours(hours));
        assert_eq!(send_all(&quota).await, 0);
    }
}
