//! Runs the work of host functions outside of the guest's stack.
//!
//! A guest runs on a small stack of its own, and its host functions use the same stack. The frames of an HTTP client
//! would make the stack of every waiting guest several times as large as the guest itself needs. A host function
//! therefore hands its future over, and the task that drives the guest polls that future on the thread's own stack.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::Poll;

use futures::future::{BoxFuture, FutureExt};
use tokio::sync::oneshot;

use crate::lock::lock;

/// The future that a guest's host function waits for. A guest waits for one future at a time.
#[derive(Default)]
pub(crate) struct HostCallDriver(Mutex<Option<BoxFuture<'static, ()>>>);

impl HostCallDriver {
    /// Hands work over and waits for its output. None if it is no longer driven, see [`HostCallDriver::drive`].
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        // Sending fails if the guest was dropped. (An async block would hold the work twice.)
        let work = work.map(move |output| drop(sender.send(output)));
        *lock(&self.0) = Some(work.boxed());
        receiver.await.ok()
    }

    /// Drives a guest and the work that it hands over. Dropping this future drops that work.
    pub(crate) async fn drive<T>(&self, mut guest: Pin<&mut impl Future<Output = T>>) -> T {
        let mut work: Option<BoxFuture<'static, ()>> = None;
        poll_fn(|context| {
            loop {
                if let Poll::Ready(output) = guest.as_mut().poll(context) {
                    return Poll::Ready(output);
                }
                if let Some(handed_over) = lock(&self.0).take() {
                    work = Some(handed_over);
                }
                let Some(polled) = &mut work else { return Poll::Pending };
                if polled.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                // The work is done, and the guest continues.
                work = None;
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_is_done_in_turn_while_the_guest_waits() {
        let driver = HostCallDriver::default();
        let guest = async {
            let mut sum = 0;
            for number in 1..=3 {
                let work = async move {
                    tokio::time::sleep(Duration::from_secs(number)).await;
                    number
                };
                sum += driver.run(work).await.unwrap();
                tokio::task::yield_now().await;
            }
            sum
        };
        assert_eq!(driver.drive(pin!(guest)).await, 6);
    }

    #[tokio::test(start_paused = true)]
    async fn work_ends_with_its_guest() {
        let (driver, held) = (HostCallDriver::default(), Arc::new(()));
        let mine = Arc::clone(&held);
        let guest = driver.run(async move {
            std::future::pending::<()>().await;
            drop(mine);
        });
        assert!(tokio::time::timeout(Duration::from_secs(1), driver.drive(pin!(guest))).await.is_err());
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
