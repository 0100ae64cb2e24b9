//! The token store in SQLite: `tokens` of the [schema](crate::schema). It cannot read what it holds.

use async_trait::async_trait;
use damper_core::ledger::LedgerError;
use damper_core::token_store::{MAX_SEALED_BYTES, TokenKey, TokenLease, TokenRow, TokenStore};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::database::{Database, DatabaseError};

/// The tokens in a [`Database`], which the processes that open its file share.
#[derive(Debug, Clone)]
pub struct SqliteTokens {
    database: Database,
}

impl SqliteTokens {
    /// The tokens in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

const READ: &str = "
SELECT version, iif(length(sealed) <= ?3, sealed, NULL), expires, owner, until FROM tokens
WHERE provider = ?1 AND credential = ?2";

// Version 0 is what is read where there is no row, or one that no release of Damper has written.
const FIRST: &str = "
INSERT INTO tokens (provider, credential, version, sealed, expires, owner, until)
SELECT ?1, ?2, ?4, ?5, ?6, ?7, ?8 WHERE ?3 = 0
ON CONFLICT (provider, credential) DO UPDATE SET
    version = excluded.version, sealed = excluded.sealed, expires = excluded.expires, owner = excluded.owner,
    until = excluded.until
WHERE tokens.version <= 0";

const NEXT: &str = "
UPDATE tokens SET version = ?4, sealed = ?5, expires = ?6, owner = ?7, until = ?8
WHERE provider = ?1 AND credential = ?2 AND version = ?3";

#[async_trait]
impl TokenStore for SqliteTokens {
    async fn read_token(&self, key: TokenKey<'_>) -> Result<TokenRow, LedgerError> {
        let (provider, credential) = (key.provider.to_owned(), key.credential.to_owned());
        let work = move |connection: &Connection| {
            let values = params![provider, credential, MAX_SEALED_BYTES];
            Ok(connection.prepare_cached(READ)?.query_row(values, parse_row).optional()?.unwrap_or_default())
        };
        self.database.read(work).await.map_err(to_ledger_error("read a token"))
    }

    async fn write_token(&self, key: TokenKey<'_>, row: &TokenRow) -> Result<bool, LedgerError> {
        let (provider, credential, row) = (key.provider.to_owned(), key.credential.to_owned(), row.clone());
        let work = move |connection: &Connection| {
            let TokenRow { version, sealed, expires, lease } = &row;
            let seen = i64::try_from(*version).unwrap_or(i64::MAX);
            let written = connection.prepare_cached(if seen == 0 { FIRST } else { NEXT })?.execute(params![
                provider,
                credential,
                seen,
                seen.saturating_add(1),
                sealed,
                expires.map(Timestamp::as_microsecond),
                lease.as_ref().map(|lease| &lease.owner),
                lease.as_ref().map(|lease| lease.until.as_microsecond()),
            ])?;
            Ok(written == 1)
        };
        self.database.write(work).await.map_err(to_ledger_error("store a token"))
    }
}

/// A row, without the parts that cannot be read.
fn parse_row(row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    let time = |column| {
        let micros: Option<i64> = row.get(column).unwrap_or_default();
        micros.and_then(|micros| Timestamp::from_microsecond(micros).ok())
    };
    let (owner, until): (Option<String>, _) = (row.get(3).unwrap_or_default(), time(4));
    Ok(TokenRow {
        version: u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default(),
        sealed: row.get(1).unwrap_or_default(),
        expires: time(2),
        lease: owner.zip(until).map(|(owner, until)| TokenLease { owner, until }),
    })
}

fn to_ledger_error(action: &'static str) -> impl Fn(DatabaseError) -> LedgerError {
    move |error| LedgerError::Failed { action, message: error.to_string() }
}
