//! An answer on its way out: the body, whole or in drips, and the request's place in the book.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::answer::Answer;
use crate::book::{End, Entry, Outcome};
use crate::control::Shared;

/// Big bodies go out in pieces of this size.
const PIECE_BYTES: usize = 64 * 1024;
static FILLING: [u8; PIECE_BYTES] = [b'x'; PIECE_BYTES];

/// A record request's place in the book, from its head to its end. Dropped before its end, it was left by
/// its client (or the server stops).
pub(crate) struct Flight {
    shared: Arc<Shared>,
    entry: Option<Entry>,
    /// Until then it counts as in flight even when its client is gone.
    works_until: Option<Instant>,
}

impl Flight {
    pub(crate) fn begin(shared: &Arc<Shared>, id: String) -> Self {
        let entry = Some(shared.begin(id));
        Self { shared: Arc::clone(shared), entry, works_until: None }
    }

    /// How many were in flight when it began, itself included.
    pub(crate) fn in_flight_at_start(&self) -> u64 {
        self.entry.as_ref().map_or(0, |entry| entry.in_flight_at_start)
    }

    pub(crate) fn keep_working_until(&mut self, until: Instant) {
        self.works_until = Some(until);
    }

    pub(crate) fn finish(&mut self, end: End) {
        if let Some(entry) = self.entry.take() {
            self.shared.finish(entry, end);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        if self.shared.is_stopping() {
            self.shared.finish(entry, End { status: None, outcome: Outcome::Stopped });
            return;
        }
        let left = End { status: None, outcome: Outcome::ClientLeft };
        let works_until = self.works_until.filter(|until| *until > Instant::now());
        match (works_until, tokio::runtime::Handle::try_current()) {
            (Some(until), Ok(runtime)) => {
                let shared = Arc::clone(&self.shared);
                runtime.spawn(async move {
                    tokio::time::sleep_until(until).await;
                    shared.finish(entry, left);
                });
            }
            _ => self.shared.finish(entry, left),
        }
    }
}

/// How a body drips.
pub(crate) struct Dripping {
    piece_bytes: u64,
    pause: Duration,
    next: Pin<Box<Sleep>>,
}

impl Dripping {
    /// Cuts `bytes` into at most `pieces` pieces, the first at once and the last after `over`.
    pub(crate) fn new(bytes: u64, pieces: u32, over: Duration) -> Self {
        let piece_bytes = bytes.div_ceil(u64::from(pieces.max(1))).max(1);
        let pauses = bytes.div_ceil(piece_bytes).saturating_sub(1);
        let pause = over / u32::try_from(pauses).unwrap_or(u32::MAX).max(1);
        Self { piece_bytes, pause, next: Box::pin(tokio::time::sleep(Duration::ZERO)) }
    }
}

/// The body of a record request's answer. The request is no longer in flight once the connection has
/// taken the last piece, which is before the client can see it.
pub(crate) struct ReplyBody {
    before: Bytes,
    filling: u64,
    after: Bytes,
    dripping: Option<Dripping>,
    flight: Flight,
    end: End,
}

impl ReplyBody {
    pub(crate) fn new(answer: &Answer, flight: Flight, drips: Option<(u32, Duration)>) -> Self {
        let outcome = if answer.is_record { Outcome::Record } else { Outcome::Answer };
        let mut body = Self {
            before: answer.before.clone(),
            filling: answer.filling,
            after: answer.after.clone(),
            dripping: None,
            flight,
            end: End { status: Some(answer.status), outcome },
        };
        let left = body.bytes_left();
        body.dripping = drips.map(|(pieces, over)| Dripping::new(left, pieces, over));
        if left == 0 {
            body.flight.finish(body.end);
        }
        body
    }

    fn bytes_left(&self) -> u64 {
        let ends = self.before.len().saturating_add(self.after.len());
        self.filling.saturating_add(ends as u64)
    }

    /// The next bytes, at most `most`: never across the seams between the three parts.
    fn piece(&mut self, most: u64) -> Bytes {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(PIECE_BYTES);
        if !self.before.is_empty() {
            return self.before.split_to(most.min(self.before.len()));
        }
        if self.filling > 0 {
            let length = usize::try_from(self.filling).unwrap_or(usize::MAX).min(most);
            self.filling = self.filling.saturating_sub(length as u64);
            return Bytes::from_static(&FILLING).slice(..length);
        }
        self.after.split_to(most.min(self.after.len()))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        if this.bytes_left() == 0 {
            return Poll::Ready(None);
        }
        let mut most = PIECE_BYTES as u64;
        if let Some(dripping) = &mut this.dripping {
            std::task::ready!(dripping.next.as_mut().poll(context));
            let next = dripping.next.deadline() + dripping.pause;
            dripping.next.as_mut().reset(next);
            most = dripping.piece_bytes;
        }
        let piece = this.piece(most);
        if this.bytes_left() == 0 {
            this.flight.finish(this.end);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes_left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes_left())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::settings::Settings;

    fn body(answer: &Answer, drips: Option<(u32, Duration)>) -> (Arc<Shared>, ReplyBody) {
        let shared = Arc::new(Shared::new(Settings::default(), None));
        let flight = Flight::begin(&shared, "a".to_owned());
        (Arc::clone(&shared), ReplyBody::new(answer, flight, drips))
    }

    fn ten_bytes() -> Answer {
        Answer { status: 200, before: "0123456789".into(), is_record: true, ..Answer::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dripping_body_takes_its_time_and_counts_until_its_last_piece() {
        let (shared, mut body) = body(&ten_bytes(), Some((5, Duration::from_millis(400))));
        let start = Instant::now();
        let mut arrivals = Vec::new();
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            arrivals.push((start.elapsed().as_millis(), piece.len(), shared.book.stats().in_flight));
        }
        assert_eq!(arrivals, [(0, 2, 1), (100, 2, 1), (200, 2, 1), (300, 2, 1), (400, 2, 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_dropped_before_its_end_was_left_by_its_client() {
        let (shared, mut body) = body(&ten_bytes(), Some((2, Duration::from_millis(5))));
        body.frame().await.unwrap().unwrap();
        drop(body);
        let stats = shared.book.stats();
        assert_eq!((stats.in_flight, stats.client_left, stats.ids_fetched_ok), (0, 1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn work_goes_on_without_its_client_until_its_latency_has_passed() {
        let shared = Arc::new(Shared::new(Settings::default(), None));
        let mut flight = Flight::begin(&shared, "a".to_owned());
        flight.keep_working_until(Instant::now() + Duration::from_millis(50));
        drop(flight);
        tokio::time::sleep(Duration::from_millis(49)).await;
        assert_eq!(shared.book.stats().in_flight, 1);
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(shared.book.stats().in_flight, 0);
    }

    #[tokio::test]
    async fn a_big_body_is_whole_and_needs_no_memory_of_its_size() {
        let answer = Answer { filling: 1_000_000, before: "<".into(), after: ">".into(), ..ten_bytes() };
        let (shared, body) = body(&answer, None);
        assert_eq!(body.size_hint().exact(), Some(1_000_002));
        let bytes = body.collect().await.unwrap().to_bytes();
        assert_eq!(bytes.len(), 1_000_002);
        assert!(bytes.starts_with(b"<x") && bytes.ends_with(b"x>"));
        assert_eq!(shared.book.stats().ids_fetched_ok, 1);
    }

    #[test]
    fn an_empty_body_has_ended_before_it_begins() {
        let answer = Answer { before: Bytes::new(), ..ten_bytes() };
        let (shared, body) = body(&answer, None);
        assert!(body.is_end_stream());
        assert_eq!(shared.book.stats().in_flight, 0);
    }
}
