//! The token store's contract, with two databases on one file as two processes have them, and files that are not as
//! they should be.

use std::sync::Arc;

use damper_core::testing::token_contract::TokenStores;
use damper_core::token_store::{TokenKey, TokenRow, TokenStore};
use damper_local::{Database, SqliteTokens};
use rusqlite::Connection;

async fn fresh() -> TokenStores {
    let folder = tempfile::tempdir().unwrap();
    let open = || SqliteTokens::new(Database::open(folder.path().join("damper.db")).unwrap());
    TokenStores { one: Arc::new(open()), other: Arc::new(open()), keep: Box::new(folder) }
}

damper_core::token_store_contract!(fresh);

const KEY: TokenKey<'_> = TokenKey { provider: "demo", credential: "login" };

#[tokio::test]
async fn a_database_of_an_earlier_release_gets_the_table_of_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damper.db");
    drop(Database::open(&path).unwrap());
    Connection::open(&path).unwrap().execute_batch("DROP TABLE tokens").unwrap();
    let opened = [Database::open(&path).unwrap(), Database::open(&path).unwrap()];
    let [one, other] = opened.map(SqliteTokens::new);
    let row = TokenRow { sealed: Some(b"sealed".to_vec()), ..TokenRow::default() };
    assert!(one.write_token(KEY, &row).await.unwrap());
    assert_eq!(other.read_token(KEY).await.unwrap(), TokenRow { version: 1, ..row });
}

#[tokio::test]
async fn a_row_that_nobody_can_have_written_is_read_in_part_and_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damper.db");
    let tokens = SqliteTokens::new(Database::open(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    for row in [
        "-7, zeroblob(1000000), 9223372036854775807, CAST(x'ff' AS TEXT), 5",
        "0, NULL, -9223372036854775808, 'x', NULL",
        "9223372036854775807, x'00', NULL, NULL, 5",
    ] {
        let insert = format!("INSERT OR REPLACE INTO tokens VALUES ('demo', 'login', {row})");
        connection.execute_batch(&insert).unwrap();
        let found = tokens.read_token(KEY).await.unwrap();
        assert!(found.lease.is_none() && found.expires.is_none(), "{found:?}");
        let ours = TokenRow { version: found.version, sealed: Some(b"ours".to_vec()), ..TokenRow::default() };
        assert!(tokens.write_token(KEY, &ours).await.unwrap(), "{found:?}");
        assert_eq!(tokens.read_token(KEY).await.unwrap().sealed, ours.sealed);
    }
}
