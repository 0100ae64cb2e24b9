//! The cost of the limiter in nanoseconds and allocations per fetch (admit, on_started, on_completed), for APIs of
//! several kinds.
//!
//! `cargo run --release -p damper-core --example limiter_cost`. Fails if a fetch costs more than 1 us or allocates.

#![allow(unsafe_code, reason = "an allocator that counts can only be written so")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use damper_core::control::limiter::{Admission, Limiter, LimiterConfig, Outcome, Permit};

/// Counts how often memory is asked for.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Fetches before the measurement, and in it.
const WARM_UP: u32 = 200_000;
const MEASURED: u32 = 2_000_000;
/// In flight at a time, and one more than that is asked for each time.
const IN_FLIGHT: usize = 16;
/// The dearest that one fetch may be.
const MOST_NS: f64 = 1_000.0;

/// How the n-th fetch ends.
type Api = fn(u32) -> Outcome;

fn answer_always_ok(_: u32) -> Outcome {
    Outcome::Ok
}

fn answer_with_some_failures(number: u32) -> Outcome {
    match number % 100 {
        0..3 => Outcome::Failed,
        3 => Outcome::Throttled { retry_after: None },
        _ => Outcome::Ok,
    }
}

fn answer_with_some_retry_after(number: u32) -> Outcome {
    let retry_after = Some(Duration::from_millis(20));
    if number.is_multiple_of(5_000) { Outcome::Throttled { retry_after } } else { Outcome::Ok }
}

/// Work in a ring: the oldest fetch ends, and another starts where it may. Returns when it is, in simulated time.
fn work(limiter: &mut Limiter, api: Api, fetches: u32, mut now: Duration) -> Duration {
    let mut in_flight = [None::<Permit>; IN_FLIGHT];
    let mut count = 0;
    for number in 0..fetches {
        now += Duration::from_millis(5);
        let Some(place) = in_flight.get_mut(number as usize % IN_FLIGHT) else { continue };
        if let Some(permit) = place.take() {
            count -= 1;
            limiter.on_completed(now, permit, api(number));
        }
        if limiter.admit(now, count) == Admission::Now {
            count += 1;
            *place = Some(limiter.on_started(now));
        }
    }
    now
}

fn main() -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    println!("{:<28}{:>14}{:>16}", "API", "ns per fetch", "allocations");
    for (name, api) in [
        ("good", answer_always_ok as Api),
        ("3% failures, 1% 429", answer_with_some_failures),
        ("Retry-After now and then", answer_with_some_retry_after),
    ] {
        let config = LimiterConfig { max_in_flight: 64, requests_per_second: None };
        let mut limiter = Limiter::new(config);
        let now = work(&mut limiter, api, WARM_UP, Duration::ZERO);
        let (before, start) = (ALLOCATIONS.load(Ordering::Relaxed), Instant::now());
        work(&mut limiter, api, MEASURED, now);
        let ns = start.elapsed().as_secs_f64() * 1e9 / f64::from(MEASURED);
        let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
        println!("{name:<28}{ns:>14.0}{allocations:>16}");
        if ns > MOST_NS || allocations > 0 {
            code = ExitCode::FAILURE;
        }
    }
    code
}
