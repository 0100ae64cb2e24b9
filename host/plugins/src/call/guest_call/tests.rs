use damper_core::budget::Budget;

use super::*;
use crate::memory::MemoryBudget;

const LONGEST: Duration = Duration::from_secs(30);
const TIMES: Times = Times { timeout: LONGEST, longest_response: LONGEST };

fn call(free: u32) -> (Arc<GuestCall>, Permits) {
    let permits = Permits::new(free);
    (call_with(permits.clone(), CaptureLevel::Bundle), permits)
}

fn call_with(permits: Permits, capture_level: CaptureLevel) -> Arc<GuestCall> {
    let memory = HostMemory::new(MemoryBudget::new(1 << 30, 1).share(), 1 << 20);
    GuestCall::new(Output::new("x", "id", false), permits, TIMES, capture_level, memory)
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_keeps_its_permit() {
    let (call, permits) = call(1);
    let mut own = call.start_request().unwrap();
    let mut extra = call.start_request().unwrap();
    assert!(call.start_request().is_none());
    assert!(own.begin_send().is_ok() && extra.begin_send().is_ok());
    let sent = Instant::now();
    own.on_request_done();
    drop(own);
    drop(extra);
    assert_eq!(permits.available(), 0);
    assert_eq!(call.take_summary().unanswered_since, Some(sent));
    assert!(call.start_request().is_some(), "the fetch's own permit is free again");
    tokio::time::sleep(LONGEST + Duration::from_millis(1)).await;
    assert_eq!(permits.available(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_request_that_was_given_up_the_next_needs_another_permit() {
    let (call, permits) = call(1);
    let mut slot = call.start_request().unwrap();
    assert!(slot.replace_permit(), "nothing was sent yet");
    assert_eq!(permits.available(), 1);
    assert!(slot.begin_send().is_ok());
    let given_up = Instant::now();
    assert!(slot.replace_permit());
    assert_eq!(permits.available(), 0);
    assert!(slot.begin_send().is_ok());
    assert!(!slot.replace_permit(), "no other is free");
    slot.on_request_done();
    drop(slot);
    assert_eq!((permits.available(), call.take_summary().unanswered_since), (1, Some(given_up)));
    let other = call.start_request();
    assert!(other.is_some() && call.start_request().is_none(), "the fetch's own permit is kept by the caller");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_ended_gives_its_permit_back() {
    let (call, permits) = call(1);
    let requests: Vec<RequestSlot> = (0..2).filter_map(|_| call.start_request()).collect();
    for mut request in requests {
        assert!(request.begin_send().is_ok());
        request.on_request_done();
    }
    assert_eq!((permits.available(), call.take_summary().unanswered_since, call.take_summary().requests), (1, None, 2));
}

#[tokio::test]
async fn no_request_is_sent_beyond_the_quota() {
    let permits = Permits::within(0, Budget::of(1));
    let call = call_with(permits, CaptureLevel::Bundle);
    let mut hops = call.start_request().unwrap();
    assert!(hops.begin_send().is_ok());
    hops.on_request_done();
    assert_eq!(hops.begin_send(), Err(SendRefusal::OutOfQuota), "a redirect's next hop is a request too");
    drop(hops);
    let summary = call.take_summary();
    assert_eq!((summary.requests, summary.is_out_of_quota, summary.unanswered_since), (1, true, None));
}

#[tokio::test(start_paused = true)]
async fn no_request_is_sent_once_the_calls_time_is_over() {
    let permits = Permits::within(0, Budget::of(2));
    let call = call_with(permits.clone(), CaptureLevel::Bundle);
    let mut hops = call.start_request().unwrap();
    tokio::time::advance(LONGEST - Duration::from_millis(1)).await;
    assert!(hops.begin_send().is_ok());
    hops.on_request_done();
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(hops.begin_send(), Err(SendRefusal::TimeOver));
    assert_eq!(permits.budget().remaining(), Some(1), "what is not sent is not spent");
}

#[test]
fn only_so_many_requests_are_noted_for_a_person() {
    let call = call_with(Permits::new(0), CaptureLevel::Trace);
    let url = url::Url::parse("https://api.test/").unwrap();
    let request = reqwest::Request::new(http::Method::GET, url);
    let most = CaptureLevel::Trace.max_requests();
    for _ in 0..most + 5 {
        drop(call.start_secret_log_entry(&request));
    }
    let summary = call.take_summary();
    assert_eq!((summary.log_entries.len(), summary.left_out), (most, 5));
}

#[tokio::test(start_paused = true)]
async fn only_a_guest_that_computes_runs_away() {
    let (call, _) = call(0);
    tokio::time::advance(LONGEST).await;
    assert!(!call.is_runaway(LONGEST), "it was never interrupted");
    (0..RUNAWAY_TICKS).for_each(|_| call.on_epoch_tick());
    assert!(call.is_runaway(LONGEST));
    let host_wait = call.start_waiting();
    assert!(!call.is_runaway(LONGEST), "it waits for the host");
    drop(host_wait);
    (0..RUNAWAY_TICKS).for_each(|_| call.on_epoch_tick());
    assert!(!call.is_runaway(LONGEST), "it has only come back");
}
