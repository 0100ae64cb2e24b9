//! What is no test program is refused. That those of cargo run, and fail where a test fails, is in `tests/e2e/guide`.

use damper_plugins::program::{self, ProgramError};

use crate::common::HOSTILE;

#[tokio::test]
async fn what_is_no_program_is_refused() {
    for bytes in [b"#!/bin/sh".as_slice(), &HOSTILE.bytes] {
        let error = program::run(bytes, &["it".to_owned()], 1 << 20).await.unwrap_err();
        assert!(matches!(error, ProgramError::NotRunnable(_)), "{error:?}");
    }
}
