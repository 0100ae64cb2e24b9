//! The contract of every store of key usage. One suite runs against the store in memory, SQLite and DynamoDB.
//!
//! Each behaviour uses a provider name of its own, so that all may share one store.

use std::any::Any;
use std::sync::Arc;

use futures::future::join_all;

use crate::day::Day;
use crate::key_usage::{KeyDay, KeyReservation, KeyUsage, KeyUsageStore};

/// Two ways into one store, as two processes have them, and what keeps the store alive.
pub struct KeyUsageStores {
    /// The one.
    pub one: Arc<dyn KeyUsageStore>,
    /// The other; where there is only one way in, the same again.
    pub other: Arc<dyn KeyUsageStore>,
    /// For example the folder that the store lies in.
    pub keep: Box<dyn Any + Send>,
}

/// One test for each behaviour. `$fresh` is as in `ledger_contract`.
#[macro_export]
macro_rules! key_usage_contract {
    ($fresh:ident $(, ignore = $reason:literal)?) => {
        $crate::key_usage_contract! { @each $fresh [$(#[ignore = $reason])?]:
            a_count_begins_at_zero
            reservations_add_up_to_the_quota_and_no_further
            a_quota_that_is_changed_holds_from_then_on
            returned_requests_can_be_reserved_again
            requests_are_returned_once_for_each_version
            no_more_is_returned_than_is_counted
            counts_of_providers_keys_and_days_are_apart
            many_at_once_never_reserve_more_than_the_quota
        }
    };
    (@each $fresh:ident $ignore:tt: $($behaviour:ident)*) => {
        $($crate::key_usage_contract! { @test $fresh $ignore $behaviour })*
    };
    (@test $fresh:ident [$(#[$ignore:meta])?] $behaviour:ident) => {
        $(#[$ignore])?
        #[tokio::test]
        async fn $behaviour() {
            let stores: Option<$crate::testing::key_usage_contract::KeyUsageStores> = $fresh().await.into();
            let Some(stores) = stores else { return };
            $crate::testing::key_usage_contract::$behaviour(&*stores.one, &*stores.other).await;
        }
    };
}

fn day(number: i8) -> Day {
    Day(jiff::civil::date(2026, 11, number))
}

fn key(provider: &str) -> KeyDay<'_> {
    KeyDay { provider, key: "0f3a", day: day(22) }
}

fn grant_of(requests: u64, version: u64) -> KeyReservation {
    KeyReservation { is_granted: true, usage: KeyUsage { requests, version } }
}

fn refusal_of(requests: u64, version: u64) -> KeyReservation {
    KeyReservation { is_granted: false, usage: KeyUsage { requests, version } }
}

/// Also where the first reservation is refused.
pub async fn a_count_begins_at_zero(one: &dyn KeyUsageStore, other: &dyn KeyUsageStore) {
    let key = key("usage-zero");
    assert_eq!(one.read_key_usage(key).await.unwrap(), KeyUsage::default());
    assert_eq!(one.reserve_requests(key, 6, 5).await.unwrap(), refusal_of(0, 0));
    assert!(!one.return_requests(key, 1, 0).await.unwrap());
    assert_eq!(other.read_key_usage(key).await.unwrap(), KeyUsage::default());
}

/// All or nothing, however large the numbers are.
pub async fn reservations_add_up_to_the_quota_and_no_further(one: &dyn KeyUsageStore, other: &dyn KeyUsageStore) {
    let key = key("usage-sum");
    assert_eq!(one.reserve_requests(key, 60, 100).await.unwrap(), grant_of(60, 0));
    assert_eq!(other.reserve_requests(key, 41, 100).await.unwrap(), refusal_of(60, 0));
    assert_eq!(other.reserve_requests(key, 40, 100).await.unwrap(), grant_of(100, 0));
    assert_eq!(one.reserve_requests(key, 1, 100).await.unwrap(), refusal_of(100, 0));
    assert_eq!(one.reserve_requests(key, u64::MAX, u64::MAX).await.unwrap(), refusal_of(100, 0));
    assert_eq!(other.read_key_usage(key).await.unwrap(), KeyUsage { requests: 100, version: 0 });
}

/// A lower one leaves nothing, a higher one leaves the rest.
pub async fn a_quota_that_is_changed_holds_from_then_on(one: &dyn KeyUsageStore, other: &dyn KeyUsageStore) {
    let key = key("usage-changed");
    assert_eq!(one.reserve_requests(key, 50, 100).await.unwrap(), grant_of(50, 0));
    assert_eq!(other.reserve_requests(key, 1, 20).await.unwrap(), refusal_of(50, 0));
    assert_eq!(other.reserve_requests(key, 100, 150).await.unwrap(), grant_of(150, 0));
}

/// By the process that comes first.
pub async fn returned_requests_can_be_reserved_again(one: &dyn KeyUsageStore, other: &dyn KeyUsageStore) {
    let key = key("usage-returned");
    assert_eq!(one.reserve_requests(key, 100, 100).await.unwrap(), grant_of(100, 0));
    assert!(one.return_requests(key, 30, 0).await.unwrap());
    assert_eq!(one.read_key_usage(key).await.unwrap(), KeyUsage { requests: 70, version: 1 });
    assert_eq!(other.reserve_requests(key, 31, 100).await.unwrap(), refusal_of(70, 1));
    assert_eq!(other.reserve_requests(key, 30, 100).await.unwrap(), grant_of(100, 1));
}

/// A reservation in between does not matter.
pub async fn requests_are_returned_once_for_each_version(one: &dyn KeyUsageStore, other: &dyn KeyUsageStore) {
    let key = key("usage-versions");
    one.reserve_requests(key, 90, 100).await.unwrap();
    for version in 0..3 {
        assert!(one.return_requests(key, 10, version).await.unwrap());
        assert_eq!(other.reserve_requests(key, 10, 100).await.unwrap(), grant_of(90, version + 1));
        for late in 0..=version {
            assert!(!other.return_requests(key, 10, late).await.unwrap(), "version {late} is gone");
        }
        assert!(!other.return_requests(key, 10, version + 2).await.unwrap());
    }
    assert_eq!(one.read_key_usage(key).await.unwrap(), KeyUsage { requests: 90, version: 3 });
}

/// It would grant a day more than its quota.
pub async fn no_more_is_returned_than_is_counted(one: &dyn KeyUsageStore, _other: &dyn KeyUsageStore) {
    let key = key("usage-too-many");
    one.reserve_requests(key, 5, 10).await.unwrap();
    for requests in [6, u64::MAX] {
        assert!(!one.return_requests(key, requests, 0).await.unwrap());
    }
    assert_eq!(one.read_key_usage(key).await.unwrap(), KeyUsage { requests: 5, version: 0 });
}

/// A day that comes again after others goes on from its own count.
pub async fn counts_of_providers_keys_and_days_are_apart(one: &dyn KeyUsageStore, other: &dyn KeyUsageStore) {
    let names =
        [("usage-apart", "a", 1), ("usage-apart", "b", 1), ("usage-apart-too", "a", 1), ("usage-apart", "a", 9)];
    let keys = names.map(|(provider, key, number)| KeyDay { provider, key, day: day(number) });
    for (requests, key) in (1..).zip(keys) {
        assert_eq!(one.reserve_requests(key, requests, 10).await.unwrap(), grant_of(requests, 0));
    }
    for (requests, key) in (1..).zip(keys) {
        assert_eq!(other.reserve_requests(key, 10, 10).await.unwrap(), refusal_of(requests, 0), "{key:?}");
    }
}

/// Each reservation that was granted is counted.
pub async fn many_at_once_never_reserve_more_than_the_quota(one: &dyn KeyUsageStore, other: &dyn KeyUsageStore) {
    let key = key("usage-race");
    let reservations = (0..24_u64).map(|number| async move {
        let store = if number % 2 == 0 { one } else { other };
        let requests = 1 + number % 7;
        let reservation = store.reserve_requests(key, requests, 50).await.unwrap();
        if reservation.is_granted { requests } else { 0 }
    });
    let sum: u64 = join_all(reservations).await.into_iter().sum();
    let counted = one.read_key_usage(key).await.unwrap().requests;
    assert!(sum == counted && (44..=50).contains(&counted), "{sum} granted, {counted} counted");
}
