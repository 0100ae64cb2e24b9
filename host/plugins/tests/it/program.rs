//! Files that are no test programs are refused. `tests/e2e/guide` checks that cargo's test programs run, and fail if a
//! test fails.

use damper_plugins::program::{self, ProgramError};

use crate::common::HOSTILE;

#[tokio::test]
async fn what_is_no_program_is_refused() {
    for bytes in [b"#!/bin/sh".as_slice(), &HOSTILE.bytes] {
        let error = program::run(bytes, &["it".to_owned()], 1 << 20).await.unwrap_err();
        assert!(matches!(error, ProgramError::NotRunnable(_)), "{error:?}");
    }
}
