//! The contract of key usage, with two databases on one file as two processes have them, and files that are not as they
//! should be.

use std::sync::Arc;

use damper_core::day::Day;
use damper_core::key_usage::{KeyDay, KeyUsage, KeyUsageStore};
use damper_core::testing::key_usage_contract::KeyUsageStores;
use damper_local::{Database, SqliteKeyUsage};
use jiff::ToSpan;
use jiff::civil::date;
use rusqlite::Connection;

async fn fresh() -> KeyUsageStores {
    let folder = tempfile::tempdir().unwrap();
    let open = || SqliteKeyUsage::new(Database::open(folder.path().join("damper.db")).unwrap());
    KeyUsageStores { one: Arc::new(open()), other: Arc::new(open()), keep: Box::new(folder) }
}

damper_core::key_usage_contract!(fresh);

/// A key on the day so many days after the first of November.
fn key(days: i64) -> KeyDay<'static> {
    KeyDay { provider: "demo", key: "0f3a", day: Day(date(2026, 11, 1) + days.days()) }
}

#[tokio::test]
async fn a_database_of_an_earlier_release_gets_the_table_of_key_usage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damper.db");
    drop(Database::open(&path).unwrap());
    Connection::open(&path).unwrap().execute_batch("DROP TABLE key_usage").unwrap();
    let opened = [Database::open(&path).unwrap(), Database::open(&path).unwrap()];
    let [one, other] = opened.map(SqliteKeyUsage::new);
    assert!(one.reserve_requests(key(0), 7, 10).await.unwrap().is_granted);
    assert_eq!(other.read_key_usage(key(0)).await.unwrap(), KeyUsage { requests: 7, version: 0 });
}

#[tokio::test]
async fn the_latest_days_are_kept_and_today_whatever_the_clock_says() {
    let folder = tempfile::tempdir().unwrap();
    let usage = SqliteKeyUsage::new(Database::open(folder.path().join("damper.db")).unwrap());
    let count = async |days| usage.read_key_usage(key(days)).await.unwrap().requests;
    for days in 0..40 {
        usage.reserve_requests(key(days), 5, 10).await.unwrap();
    }
    let other = KeyDay { key: "77", ..key(39) };
    usage.reserve_requests(other, 5, 10).await.unwrap();
    assert_eq!([count(7).await, count(8).await, count(39).await], [0, 5, 5], "32 days, by day and not by row");
    // The clock is a year ahead for a moment, and then years behind.
    for days in [39 + 365, -2_000] {
        usage.reserve_requests(key(days), 5, 10).await.unwrap();
        assert_eq!([count(39).await, count(days).await], [5, 5]);
    }
}

#[tokio::test]
async fn a_count_that_nobody_can_have_written_leaves_nothing_of_its_day() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damper.db");
    let usage = SqliteKeyUsage::new(Database::open(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    for (requests, counted) in [("-7", u64::MAX), ("9223372036854775807", i64::MAX as u64)] {
        let row = format!("INSERT OR REPLACE INTO key_usage VALUES ('demo', '0f3a', '2026-11-01', {requests}, -1)");
        connection.execute_batch(&row).unwrap();
        for quota in [10, u64::MAX] {
            let refused = usage.reserve_requests(key(0), 1, quota).await.unwrap();
            assert_eq!((refused.is_granted, refused.usage.requests), (false, counted));
        }
        assert!(!usage.return_requests(key(0), 1, 0).await.unwrap());
    }
}
