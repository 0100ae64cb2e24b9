//! The port to the tokens that a provider's processes share: one row for each credential, sealed by the process that
//! writes it.
//!
//! A store holds bytes that it cannot read, and writes a row only at the version that was read. The plugin host decides
//! what the bytes mean, and when a token is requested. Not here: keys, tokens and token endpoints.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::ledger::LedgerError;

/// The longest lease of a token request. A lease that ends later was written by a clock that was wrong, and counts for
/// nothing.
pub const LONGEST_TOKEN_LEASE: Duration = Duration::from_secs(30);

/// The largest sealed token that a store returns, in bytes: larger than any that a token endpoint can have sent.
pub const MAX_SEALED_BYTES: usize = 160 * 1024;

/// Stores each credential's sealed token. Every method may be called by any number of processes at once.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// A credential's row, as the last write left it; the default where there is none. A row that cannot be read comes
    /// without the parts that cannot be read, so that it is overwritten.
    async fn read_token(&self, key: TokenKey<'_>) -> Result<TokenRow, LedgerError>;

    /// Writes a row if its version is still `row.version`, and raises the version by one. Durable when it returns.
    /// `false`: the version is another by now. Another process wrote first, or this write was sent twice because its
    /// first response was lost: the writer then reads the row and looks for its own content.
    async fn write_token(&self, key: TokenKey<'_>, row: &TokenRow) -> Result<bool, LedgerError>;
}

/// The name of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenKey<'a> {
    /// The provider's name.
    pub provider: &'a str,
    /// The credential's name.
    pub credential: &'a str,
}

/// A credential's row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenRow {
    /// Raised by each write; 0 where there is no row.
    pub version: u64,
    /// The token, sealed; `None`: none was stored yet.
    pub sealed: Option<Vec<u8>>,
    /// From when on the content is of no use and the row may be deleted; `None`: it is kept.
    pub expires: Option<Timestamp>,
    /// The process that requests a token now.
    pub lease: Option<TokenLease>,
}

/// The right to request a token, until it is given back or runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenLease {
    /// The process that has it.
    pub owner: String,
    /// When it runs out.
    pub until: Timestamp,
}

impl TokenRow {
    /// The time for which another process still requests a token, if one does.
    ///
    /// ```
    /// use std::time::Duration;
    /// use damper_core::token_store::{LONGEST_TOKEN_LEASE, TokenLease, TokenRow};
    ///
    /// let now: jiff::Timestamp = "2026-11-22T10:00:00Z".parse()?;
    /// let lease = |seconds| TokenLease { owner: "one".to_owned(), until: now + Duration::from_secs(seconds) };
    /// let row = |seconds| TokenRow { lease: Some(lease(seconds)), ..TokenRow::default() };
    ///
    /// assert_eq!(row(5).time_until_free("other", now), Some(Duration::from_secs(5)));
    /// assert_eq!(row(5).time_until_free("one", now), None, "its own lease");
    /// assert_eq!(row(0).time_until_free("other", now), None, "it has run out");
    /// assert_eq!(row(LONGEST_TOKEN_LEASE.as_secs() + 1).time_until_free("other", now), None, "its clock was wrong");
    /// # Ok::<(), jiff::Error>(())
    /// ```
    #[must_use]
    pub fn time_until_free(&self, owner: &str, now: Timestamp) -> Option<Duration> {
        let lease = self.lease.as_ref().filter(|lease| lease.owner != owner)?;
        let left = Duration::try_from(lease.until.duration_since(now)).ok()?;
        (!left.is_zero() && left <= LONGEST_TOKEN_LEASE).then_some(left)
    }
}
