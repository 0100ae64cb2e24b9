//! The contract of every token store. One suite runs against the store in memory, SQLite and DynamoDB.
//!
//! Each behaviour uses a provider name of its own, so that all may share one store.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;

use crate::token_store::{TokenKey, TokenLease, TokenRow, TokenStore};

/// Two ways into one store, as two processes have them, and what keeps the store alive.
pub struct TokenStores {
    /// The one.
    pub one: Arc<dyn TokenStore>,
    /// The other; where there is only one way in, the same again.
    pub other: Arc<dyn TokenStore>,
    /// For example the folder that the store lies in.
    pub keep: Box<dyn Any + Send>,
}

/// One test for each behaviour. `$fresh` is as in `ledger_contract`.
#[macro_export]
macro_rules! token_store_contract {
    ($fresh:ident $(, ignore = $reason:literal)?) => {
        $crate::token_store_contract! { @each $fresh [$(#[ignore = $reason])?]:
            a_token_row_begins_empty
            a_token_row_comes_back_as_it_was_written
            a_token_row_is_written_once_for_each_version
            a_late_write_replaces_no_newer_token
            token_rows_of_providers_and_credentials_are_apart
            one_of_many_takes_the_lease_of_a_token
        }
    };
    (@each $fresh:ident $ignore:tt: $($behaviour:ident)*) => {
        $($crate::token_store_contract! { @test $fresh $ignore $behaviour })*
    };
    (@test $fresh:ident [$(#[$ignore:meta])?] $behaviour:ident) => {
        $(#[$ignore])?
        #[tokio::test]
        async fn $behaviour() {
            let stores: Option<$crate::testing::token_contract::TokenStores> = $fresh().await.into();
            let Some(stores) = stores else { return };
            $crate::testing::token_contract::$behaviour(&*stores.one, &*stores.other).await;
        }
    };
}

fn at(seconds: u64) -> Timestamp {
    "2026-11-22T10:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_secs(seconds)
}

fn key(provider: &str) -> TokenKey<'_> {
    TokenKey { provider, credential: "login" }
}

fn lease(owner: &str) -> Option<TokenLease> {
    Some(TokenLease { owner: owner.to_owned(), until: at(20) })
}

/// No row has version 0 and nothing else.
pub async fn a_token_row_begins_empty(one: &dyn TokenStore, _other: &dyn TokenStore) {
    assert_eq!(one.read_token(key("tokens-empty")).await.unwrap(), TokenRow::default());
}

/// Every part of a row, and a row that has only some of them.
pub async fn a_token_row_comes_back_as_it_was_written(one: &dyn TokenStore, other: &dyn TokenStore) {
    let key = key("tokens-whole");
    let sealed = (0..=255).collect::<Vec<u8>>().repeat(64);
    let row = TokenRow { version: 0, sealed: Some(sealed), expires: Some(at(3_600)), lease: lease("a") };
    assert!(one.write_token(key, &row).await.unwrap());
    assert_eq!(other.read_token(key).await.unwrap(), TokenRow { version: 1, ..row.clone() });
    let kept = TokenRow { version: 1, expires: None, lease: None, ..row.clone() };
    assert!(other.write_token(key, &kept).await.unwrap());
    assert_eq!(one.read_token(key).await.unwrap(), TokenRow { version: 2, ..kept });
    let bare = TokenRow { version: 2, sealed: None, expires: None, lease: lease("b") };
    assert!(one.write_token(key, &bare).await.unwrap());
    assert_eq!(other.read_token(key).await.unwrap(), TokenRow { version: 3, ..bare });
}

/// The first write too.
pub async fn a_token_row_is_written_once_for_each_version(one: &dyn TokenStore, other: &dyn TokenStore) {
    let key = key("tokens-versions");
    for version in 0..3 {
        let row = |owner| TokenRow { version, lease: lease(owner), ..TokenRow::default() };
        assert!(one.write_token(key, &row("a")).await.unwrap());
        assert!(!other.write_token(key, &row("b")).await.unwrap(), "version {version} is gone");
        let stored = other.read_token(key).await.unwrap();
        assert_eq!((stored.version, stored.lease), (version + 1, lease("a")));
    }
}

/// Also where that write has been under way for several versions.
pub async fn a_late_write_replaces_no_newer_token(one: &dyn TokenStore, other: &dyn TokenStore) {
    let key = key("tokens-late");
    let row = |version, text: &str| TokenRow { version, sealed: Some(text.into()), ..TokenRow::default() };
    for (version, text) in [(0, "first"), (1, "second"), (2, "third")] {
        assert!(one.write_token(key, &row(version, text)).await.unwrap());
    }
    for version in [0, 1, 2, 4] {
        assert!(!other.write_token(key, &row(version, "late")).await.unwrap(), "version {version}");
    }
    assert_eq!(one.read_token(key).await.unwrap(), row(3, "third"));
}

/// A provider's row is no other's, nor is another credential's.
pub async fn token_rows_of_providers_and_credentials_are_apart(one: &dyn TokenStore, _other: &dyn TokenStore) {
    let keys = [("tokens-apart", "a"), ("tokens-apart", "b"), ("tokens-apart-too", "a")];
    let keys = keys.map(|(provider, credential)| TokenKey { provider, credential });
    let row = |key: TokenKey<'_>| {
        let text = format!("{}/{}", key.provider, key.credential);
        TokenRow { sealed: Some(text.into()), ..TokenRow::default() }
    };
    for key in keys {
        assert!(one.write_token(key, &row(key)).await.unwrap());
    }
    for key in keys {
        assert_eq!(one.read_token(key).await.unwrap(), TokenRow { version: 1, ..row(key) });
    }
}

/// However many ask for it at once.
pub async fn one_of_many_takes_the_lease_of_a_token(one: &dyn TokenStore, other: &dyn TokenStore) {
    let key = key("tokens-race");
    let owners: Vec<String> = (0..8).map(|number| number.to_string()).collect();
    let taken = join_all(owners.iter().enumerate().map(|(number, owner)| async move {
        let store = if number % 2 == 0 { one } else { other };
        store.write_token(key, &TokenRow { lease: lease(owner), ..TokenRow::default() }).await.unwrap()
    }))
    .await;
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 1, "{taken:?}");
    let winner = owners.iter().zip(&taken).find(|(_, taken)| **taken).map(|(owner, _)| owner.as_str()).unwrap();
    assert_eq!(one.read_token(key).await.unwrap().lease, lease(winner));
}
