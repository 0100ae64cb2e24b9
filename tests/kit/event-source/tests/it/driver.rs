//! The driver with real processes behind it, and troubles of the stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use damper_event_source::{
    Clock, EventSource, Function, FunctionConfig, Identity, MappingConfig, MemoryStream, Parts, Position, Record,
    Stream, StreamError,
};

use crate::script::{LIMIT, STREAM, Script, parts, quick, wait};

#[tokio::test]
async fn batches_of_two_shards_reach_a_real_process() {
    let (stream, clock) = (Arc::new(MemoryStream::new(2)), Clock::default());
    for index in 0..40 {
        stream.put(index % 2, &format!("key {index}"), format!("{index}"), clock.now());
    }
    let function = Function::new(FunctionConfig::new("obedient", env!("CARGO_BIN_EXE_obedient-function")));
    let config = MappingConfig { batch_size: 5, ..MappingConfig::default() };
    let identity = Identity::new(STREAM, "obedient");
    let parts = Parts { config, pace: quick(), ..Parts::new(identity, stream, Arc::new(function.clone())) };
    let source = EventSource::start(parts).unwrap();
    let view = wait(&source, |view| view.delivered == 40 && view.in_flight == 0).await;
    assert_eq!((view.invocations, view.function_errors, view.checkpoints.len()), (8, 0, 2));
    // One batch per shard at a time: no more processes than shards.
    assert!(function.cold_starts() <= 2, "{} processes", function.cold_starts());
}

#[tokio::test]
async fn a_killed_invocation_is_delivered_again() {
    let stream = Arc::new(MemoryStream::new(1));
    stream.put(0, "key", "one", Clock::default().now());
    let executable = env!("CARGO_BIN_EXE_obedient-function");
    let function = Function::new(FunctionConfig::new("obedient", executable).env("FAIL_INIT", ""));
    let slow = Arc::new(KilledOnce { function: function.clone(), was_killed: AtomicBool::new(false) });
    let parts = Parts { pace: quick(), ..Parts::new(Identity::new(STREAM, "obedient"), stream, slow) };
    let source = EventSource::start(parts).unwrap();
    let view = wait(&source, |view| view.invocations == 2 && view.in_flight == 0).await;
    assert_eq!((view.delivered, view.function_errors, function.cold_starts()), (2, 1, 2));
}

/// Invokes with an event that takes for ever, and kills it; after that, with the real event.
struct KilledOnce {
    function: Function,
    was_killed: AtomicBool,
}

#[async_trait]
impl damper_event_source::Invoke for KilledOnce {
    async fn invoke(&self, event: bytes::Bytes) -> Option<damper_event_source::Invocation> {
        if self.was_killed.swap(true, Ordering::SeqCst) {
            return Some(self.function.call(event).await);
        }
        let killing = async {
            self.function.wait_for(LIMIT, |function| !function.logs().is_empty()).await.unwrap();
            self.function.kill_running();
        };
        let for_ever = bytes::Bytes::from_static(br#"{"print": "at work", "sleep_ms": 600000}"#);
        Some(tokio::join!(self.function.call(for_ever), killing).0)
    }
}

/// Fails until it is told to be well.
struct Unwell {
    inner: MemoryStream,
    is_well: AtomicBool,
}

#[async_trait]
impl Stream for Unwell {
    async fn shards(&self) -> Result<Vec<String>, StreamError> {
        self.inner.shards().await
    }

    async fn read(&self, shard: &str, from: &Position) -> Result<Vec<Record>, StreamError> {
        if self.is_well.load(Ordering::SeqCst) {
            return self.inner.read(shard, from).await;
        }
        Err(StreamError::new("get the records", STREAM, "told to fail"))
    }
}

#[tokio::test]
async fn a_stream_that_fails_is_polled_again() {
    let stream = Arc::new(Unwell { inner: MemoryStream::new(1), is_well: AtomicBool::new(false) });
    stream.inner.put(0, "key", "one", Clock::default().now());
    let function = Script::new(|_| Ok(String::new()));
    let memory = Arc::new(MemoryStream::new(1));
    let dyn_stream: Arc<dyn Stream> = Arc::clone(&stream) as _;
    let parts = Parts { stream: dyn_stream, ..parts(&memory, &function, MappingConfig::default()) };
    let source = EventSource::start(parts).unwrap();
    let view = wait(&source, |view| !view.troubles.is_empty()).await;
    assert_eq!(view.troubles, [format!("cannot get the records of {STREAM}: told to fail")]);
    stream.is_well.store(true, Ordering::SeqCst);
    wait(&source, |view| view.delivered == 1 && view.in_flight == 0).await;
}
