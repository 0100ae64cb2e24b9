//! Reads and writes the tokens that processes share. A store that fails is reported once, and fails no fetch: this
//! process then requests its own tokens.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use damper_core::ledger::LedgerError;
use damper_core::token_store::{LONGEST_TOKEN_LEASE, TokenRow};
use tokio::time::Instant;

use crate::call::GuestCall;
use crate::credentials::{BoundCredential, SecretVersion, SharedToken, StoredToken, Token, TokenNeed, Tokens, Turn};
use crate::grants::Secret;

/// The longest time for one call of the store, at most a quarter of the time that the fetch has left.
const LONGEST_CALL: Duration = Duration::from_secs(2);
/// The lease of a token request: the secret may be read again, and the endpoint be asked twice, for ten seconds each.
const LEASE: Duration = Duration::from_secs(25);
/// The first pause before the row is read again while another process requests a token. It doubles with each reading.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What comes of a process's turn.
pub(super) enum TokenTurn {
    /// The token of another process.
    Restored(Arc<Token>),
    /// The old one, which another process is about to replace.
    Kept(Arc<Token>),
    /// This process requests one; with its lease, if it has one to give back.
    Request(Option<Lease>),
}

/// The right to request a token. If it is dropped, it runs out.
pub(super) struct Lease {
    /// The row as this process wrote it.
    row: TokenRow,
}

/// Reads the token that another process has stored. If there is none that satisfies the need, it takes the lease to
/// request one. While another process has the lease, it waits, for at most half of the fetch's remaining time.
///
/// `secret` opens what is stored. One that the host replaces is read again if it does not: another process may have
/// replaced it.
pub(super) async fn take_turn(
    call: &GuestCall,
    bound: &BoundCredential,
    tokens: &Tokens,
    mut secret: Arc<SecretVersion>,
    need: TokenNeed<'_>,
) -> TokenTurn {
    let Some(shared) = &tokens.shared else { return TokenTurn::Request(None) };
    let store = StoreAccess { call, shared };
    let ends_at = Instant::now() + (call.time_left() / 2).min(LONGEST_TOKEN_LEASE);
    let (mut pause, mut tried) = (FIRST_PAUSE, None);
    loop {
        let Some(row) = store.read().await else { return TokenTurn::Request(None) };
        // This process's own write, whose answer was lost.
        if tried.is_some() && row.lease == tried {
            return TokenTurn::Request(Some(Lease { row }));
        }
        let mut stored = shared.open(&row, &secret.secret);
        if stored.is_none()
            && row.sealed.is_some()
            && bound.secret.is_rotated()
            && let Ok(other) = bound.secret.read_again().await
        {
            stored = shared.open(&row, &other.secret);
            secret = other;
        }
        let stored = stored.and_then(|stored| tokens.restore(&stored, shared.now()));
        let usable = stored.filter(|token| token.satisfies(need));
        let left = match (shared.decide_turn(&row, usable.is_some()), usable, need) {
            (Turn::Use, Some(token), _) => return TokenTurn::Restored(Arc::new(token)),
            (Turn::Wait(_), _, TokenNeed::Early(old)) => {
                tokens.await_others_renewal(Instant::now());
                return TokenTurn::Kept(Arc::clone(old));
            }
            (Turn::Wait(left), ..) => left,
            (Turn::Use | Turn::Take, ..) => {
                // Beside the token there may be the only copy of a refresh token.
                let keeps_token = bound.secret.is_rotated() || !matches!(need, TokenNeed::Refused(_));
                let leased = shared.row_with_lease(&row, LEASE, keeps_token);
                match store.write(&leased).await {
                    Some(true) => return TokenTurn::Request(Some(Lease::from_written(leased))),
                    Some(false) => tried = leased.lease,
                    // A refresh token must not be used twice.
                    None if bound.secret.is_rotated() => return TokenTurn::Request(None),
                    // The write may have been done all the same.
                    None => return TokenTurn::Request(Some(Lease::from_written(leased))),
                }
                pause
            }
        };
        if Instant::now() >= ends_at {
            return TokenTurn::Request(None);
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Lease {
    fn from_written(row: TokenRow) -> Self {
        Self { row: TokenRow { version: row.version.saturating_add(1), ..row } }
    }

    /// The refresh token that is stored, if the secret's place cannot hold it.
    pub(super) fn stored_refresh_token(&self, shared: &SharedToken, secret: &SecretVersion) -> Option<Secret> {
        shared.open(&self.row, &secret.secret)?.refresh_token
    }

    /// Gives the lease back, with the new token if there is one. A token that another process has stored meanwhile
    /// stays. Returns whether this process's write is in the store.
    pub(super) async fn give_back(
        self,
        call: &GuestCall,
        shared: &SharedToken,
        stored: Option<(&StoredToken, &SecretVersion)>,
    ) -> bool {
        let store = StoreAccess { call, shared };
        let row_with =
            |(stored, secret): (_, &SecretVersion)| shared.row_with(self.row.version, stored, &secret.secret);
        let with_token = stored.and_then(row_with);
        let row = with_token.unwrap_or_else(|| TokenRow { lease: None, ..self.row.clone() });
        if store.write(&row).await == Some(true) {
            return true;
        }
        // Another process wrote, or the answer of this write was lost, or of the one before.
        let Some(found) = store.read().await else { return false };
        if found.lease == self.row.lease {
            return store.write(&TokenRow { version: found.version, ..row }).await == Some(true);
        }
        found.lease.is_none() && found.sealed == row.sealed
    }
}

/// The store within a call's time. None: it failed.
struct StoreAccess<'a> {
    call: &'a GuestCall,
    shared: &'a SharedToken,
}

impl StoreAccess<'_> {
    async fn read(&self) -> Option<TokenRow> {
        self.within_time(self.shared.store().read_token(self.shared.key())).await
    }

    async fn write(&self, row: &TokenRow) -> Option<bool> {
        self.within_time(self.shared.store().write_token(self.shared.key(), row)).await
    }

    async fn within_time<T>(&self, answer: impl Future<Output = Result<T, LedgerError>>) -> Option<T> {
        let longest = LONGEST_CALL.min(self.call.time_left() / 4);
        let failure = match tokio::time::timeout(longest, answer).await {
            Ok(Ok(value)) => {
                self.shared.record_answer(false);
                return Some(value);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it did not answer in time".to_owned(),
        };
        if self.shared.record_answer(true) {
            let key = self.shared.key();
            tracing::warn!(
                provider = key.provider,
                credential = key.credential,
                failure,
                "the store of shared tokens fails; until it works again, this process requests tokens of its own"
            );
        }
        None
    }
}
