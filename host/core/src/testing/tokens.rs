//! A token store in memory, which can fail and can lose the answers of its writes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::ledger::LedgerError;
use crate::token_store::{TokenKey, TokenRow, TokenStore};

/// The fault of a [`MemoryTokenStore`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TokenStoreFault {
    /// It works.
    #[default]
    None,
    /// Every call fails, and nothing is written.
    Fails,
    /// Every write is done, and fails as far as its caller can see.
    LosesAnswers,
    /// No call ever answers.
    Hangs,
}

#[derive(Debug, Default)]
struct TokenStoreState {
    rows: BTreeMap<(String, String), TokenRow>,
    fault: TokenStoreFault,
    calls: u64,
}

/// A token store in memory, gone with the process.
#[derive(Debug, Default)]
pub struct MemoryTokenStore {
    state: Mutex<TokenStoreState>,
}

impl MemoryTokenStore {
    /// From now on it has this fault.
    pub fn set_fault(&self, fault: TokenStoreFault) {
        self.lock().fault = fault;
    }

    /// How often it was called.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// A credential's row.
    #[must_use]
    pub fn row(&self, key: TokenKey<'_>) -> TokenRow {
        self.lock().rows.get(&names(key)).cloned().unwrap_or_default()
    }

    /// Puts a row there, whatever its version.
    pub fn put_row(&self, key: TokenKey<'_>, row: TokenRow) {
        self.lock().rows.insert(names(key), row);
    }

    async fn begin_call(&self) -> Result<TokenStoreFault, LedgerError> {
        let fault = {
            let mut state = self.lock();
            state.calls += 1;
            state.fault
        };
        match fault {
            TokenStoreFault::Fails => Err(failure()),
            TokenStoreFault::Hangs => std::future::pending().await,
            fault => Ok(fault),
        }
    }

    fn lock(&self) -> MutexGuard<'_, TokenStoreState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TokenStore for MemoryTokenStore {
    async fn read_token(&self, key: TokenKey<'_>) -> Result<TokenRow, LedgerError> {
        self.begin_call().await?;
        Ok(self.row(key))
    }

    async fn write_token(&self, key: TokenKey<'_>, row: &TokenRow) -> Result<bool, LedgerError> {
        let fault = self.begin_call().await?;
        let mut state = self.lock();
        let stored = state.rows.entry(names(key)).or_default();
        let is_current = stored.version == row.version;
        if is_current {
            *stored = TokenRow { version: row.version + 1, ..row.clone() };
        }
        if fault == TokenStoreFault::LosesAnswers { Err(failure()) } else { Ok(is_current) }
    }
}

fn names(key: TokenKey<'_>) -> (String, String) {
    (key.provider.to_owned(), key.credential.to_owned())
}

fn failure() -> LedgerError {
    LedgerError::Failed { action: "store a token", message: "it was told to fail".to_owned() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::token_contract::TokenStores;

    async fn fresh() -> TokenStores {
        let store = Arc::new(MemoryTokenStore::default());
        TokenStores { one: store.clone(), other: store, keep: Box::new(()) }
    }

    crate::token_store_contract!(fresh);
}
