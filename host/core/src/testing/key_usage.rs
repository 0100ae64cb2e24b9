//! A store of key usage in memory, which can fail and can lose the answers of its writes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::key_usage::{KeyDay, KeyReservation, KeyUsage, KeyUsageStore, MemoryKeyUsage};
use crate::ledger::LedgerError;

/// The fault of a [`FaultyKeyUsage`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyUsageFault {
    /// It works.
    #[default]
    None,
    /// Every call fails, and nothing is written.
    Fails,
    /// Every write is done, and fails as far as its caller can see.
    LosesAnswers,
    /// Every write is done twice, as if its first answer was lost and it was sent again.
    Repeats,
    /// No call ever answers.
    Hangs,
}

/// A store in memory with faults.
#[derive(Debug, Default)]
pub struct FaultyKeyUsage {
    usage: MemoryKeyUsage,
    state: Mutex<(KeyUsageFault, u64)>,
}

impl FaultyKeyUsage {
    /// From now on it has this fault.
    pub fn set_fault(&self, fault: KeyUsageFault) {
        self.lock().0 = fault;
    }

    /// How often it was called.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.lock().1
    }

    async fn begin_call(&self) -> Result<KeyUsageFault, LedgerError> {
        let fault = {
            let mut state = self.lock();
            state.1 += 1;
            state.0
        };
        match fault {
            KeyUsageFault::Fails => Err(failure()),
            KeyUsageFault::Hangs => std::future::pending().await,
            fault => Ok(fault),
        }
    }

    fn lock(&self) -> MutexGuard<'_, (KeyUsageFault, u64)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl KeyUsageStore for FaultyKeyUsage {
    async fn reserve_requests(
        &self,
        key: KeyDay<'_>,
        requests: u64,
        quota: u64,
    ) -> Result<KeyReservation, LedgerError> {
        let fault = self.begin_call().await?;
        let reservation = self.usage.reserve_requests(key, requests, quota).await?;
        match fault {
            KeyUsageFault::LosesAnswers => Err(failure()),
            KeyUsageFault::Repeats => self.usage.reserve_requests(key, requests, quota).await,
            _ => Ok(reservation),
        }
    }

    async fn read_key_usage(&self, key: KeyDay<'_>) -> Result<KeyUsage, LedgerError> {
        self.begin_call().await?;
        self.usage.read_key_usage(key).await
    }

    async fn return_requests(&self, key: KeyDay<'_>, requests: u64, version: u64) -> Result<bool, LedgerError> {
        let fault = self.begin_call().await?;
        let is_returned = self.usage.return_requests(key, requests, version).await?;
        match fault {
            KeyUsageFault::LosesAnswers => Err(failure()),
            KeyUsageFault::Repeats => self.usage.return_requests(key, requests, version).await,
            _ => Ok(is_returned),
        }
    }
}

fn failure() -> LedgerError {
    LedgerError::Failed { action: "count requests of a key", message: "it was told to fail".to_owned() }
}
