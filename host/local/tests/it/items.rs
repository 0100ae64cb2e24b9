//! Files of items that are fed to a stream.

use std::io::{self, BufReader, Read};
use std::time::Duration;

use damper_core::admin::Backend;
use damper_core::clock::WallClock;
use damper_core::control::window::Window;
use damper_local::items::{ItemFeeder, ItemFormat, ItemRows, ItemsError, RowsError};
use damper_local::{Database, LocalBackend};

/// A file on a disk that fails behind its first lines.
struct FailingDisk;

impl Read for FailingDisk {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the disk failed"))
    }
}

#[tokio::test]
async fn rows_before_an_unreadable_one_are_enqueued_as_they_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let clock = WallClock::from_epoch("2026-11-22T10:00:00Z".parse().unwrap());
    let database = Database::open(folder.path().join("damper.db")).unwrap();
    let backend = LocalBackend::new(database, clock.clone(), Duration::ZERO);
    let mut feeder = ItemFeeder::new(&backend, &clock, "demo", Vec::new(), false);

    let file = BufReader::new("one\ntwo\n".as_bytes().chain(FailingDisk));
    let fed = feeder.feed(ItemRows::new(file, ItemFormat::Ids).unwrap()).await;

    assert!(matches!(fed, Err(ItemsError::Rows(RowsError::Unreadable(_)))), "{fed:?}");
    assert_eq!(feeder.counts().accepted, 2);
    let day = Window::always_utc().day(clock.now());
    let counts = backend.count_provider("demo", day, clock.now()).await.unwrap();
    assert_eq!(counts.stream.unwrap().pending, 2);
}
