//! An invoker between the mapping and the function. It records every batch with its answer, and a test can replace the
//! function.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use damper_event_source::{Function, Invocation, Invoke};
use serde_json::Value;

/// A batch and its answer.
#[derive(Debug, Clone)]
pub struct BatchAnswer {
    /// The batch's sequence numbers, in order.
    pub batch: Vec<String>,
    /// The answer, or the function's error.
    pub answer: Result<Value, String>,
}

impl BatchAnswer {
    /// The first sequence number that is to be delivered again; none: all is done.
    ///
    /// An answer that Lambda would not understand panics: it names what is not in the batch, names nothing, or is an
    /// error.
    pub fn first_unfinished(&self) -> Option<&str> {
        let answer = self.answer.as_ref().unwrap_or_else(|error| panic!("the function failed: {error}"));
        let failures =
            answer["batchItemFailures"].as_array().unwrap_or_else(|| panic!("no list of failures: {answer}"));
        assert!(failures.len() <= 1, "one sequence number says all: {answer}");
        let first = failures.first()?["itemIdentifier"].as_str().unwrap();
        assert!(self.batch.iter().any(|sequence| sequence == first), "{first} is not in the batch");
        Some(first)
    }
}

/// An invoker that records the batches of a function and their answers.
pub struct RecordingInvoker {
    function: Mutex<Function>,
    answered: Mutex<Vec<BatchAnswer>>,
}

impl RecordingInvoker {
    /// With this function to begin with.
    pub fn new(function: Function) -> Self {
        Self { function: Mutex::new(function), answered: Mutex::default() }
    }

    /// The present function.
    pub fn function(&self) -> Function {
        lock(&self.function).clone()
    }

    /// Replaces the function, from the next invocation on.
    pub fn replace(&self, function: Function) {
        *lock(&self.function) = function;
    }

    /// All batches that were answered so far, in the order of their answers.
    pub fn batch_answers(&self) -> Vec<BatchAnswer> {
        lock(&self.answered).clone()
    }
}

#[async_trait]
impl Invoke for RecordingInvoker {
    async fn invoke(&self, event: Bytes) -> Option<Invocation> {
        let read: Value = serde_json::from_slice(&event).unwrap();
        let sequence = |record: &Value| record["kinesis"]["sequenceNumber"].as_str().unwrap().to_owned();
        let batch = read["Records"].as_array().unwrap().iter().map(sequence).collect();
        let invocation = self.function().call(event).await;
        let answer = invocation.result.clone().map(|body| serde_json::from_slice(&body).unwrap());
        lock(&self.answered).push(BatchAnswer { batch, answer });
        Some(invocation)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
