//! Tokens that processes share: what is stored of one, and whose turn it is to request the next. Decisions only;
//! `http_client::shared_tokens` reads and writes the store.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use damper_core::clock::WallClock;
use damper_core::random::RandomSource;
use damper_core::token_store::{TokenKey, TokenLease, TokenRow, TokenStore};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::sealing::{self, SealContext};
use crate::grants::{Secret, TokenEndpoint};

/// The store in which this host's plugins share their tokens with those of other processes, and the clock for it.
#[derive(Clone)]
pub struct TokenSharing {
    store: Arc<dyn TokenStore>,
    clock: WallClock,
}

impl TokenSharing {
    /// Tokens are shared by this store. `clock` says when they expire.
    #[must_use]
    pub fn new(store: Arc<dyn TokenStore>, clock: WallClock) -> Self {
        Self { store, clock }
    }
}

impl fmt::Debug for TokenSharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSharing").finish_non_exhaustive()
    }
}

/// One credential's part of the store.
#[derive(Debug)]
pub(crate) struct SharedToken {
    sharing: TokenSharing,
    provider: String,
    credential: String,
    context: SealContext,
    /// The holder of this credential's leases: other processes have others.
    owner: String,
    /// Whether the store failed when it was last used.
    has_failed: AtomicBool,
}

/// A token as it is stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StoredToken {
    pub(crate) token: Secret,
    /// When the endpoint returned it.
    pub(crate) obtained: Timestamp,
    pub(crate) lifetime: Duration,
    /// The refresh token to use next, if the secret's place cannot be written: an environment variable, for instance.
    pub(crate) refresh_token: Option<Secret>,
}

/// The sealed text.
#[derive(Serialize, Deserialize)]
struct StoredText<'a> {
    #[serde(borrow)]
    token: std::borrow::Cow<'a, str>,
    /// Microseconds since 1970.
    obtained: i64,
    lifetime_ms: u64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<std::borrow::Cow<'a, str>>,
}

/// What comes next for a process that needs a token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It uses the stored one.
    Use,
    /// Another process requests one and has so much time left.
    Wait(Duration),
    /// It takes the lease, and requests one.
    Take,
}

impl StoredToken {
    /// The time for which the token is still valid: never longer than its lifetime, whatever the clock says.
    pub(crate) fn time_left(&self, now: Timestamp) -> Duration {
        let passed = Duration::try_from(now.duration_since(self.obtained)).unwrap_or_default();
        self.lifetime.saturating_sub(passed)
    }

    /// When nobody can use it any more; none: its refresh token has no other place.
    fn expires(&self) -> Option<Timestamp> {
        let ends = self.obtained.saturating_add(self.lifetime).unwrap_or(Timestamp::MAX);
        Some(ends).filter(|_| self.refresh_token.is_none())
    }
}

impl SharedToken {
    pub(super) fn new(sharing: TokenSharing, provider: &str, credential: &str, endpoint: &TokenEndpoint) -> Self {
        Self {
            sharing,
            provider: provider.to_owned(),
            credential: credential.to_owned(),
            context: SealContext::new(provider, credential, endpoint),
            owner: format!("{:032x}", RandomSource::System.bits()),
            has_failed: AtomicBool::new(false),
        }
    }

    pub(crate) fn store(&self) -> &dyn TokenStore {
        &*self.sharing.store
    }

    pub(crate) fn key(&self) -> TokenKey<'_> {
        TokenKey { provider: &self.provider, credential: &self.credential }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.sharing.clock.now()
    }

    /// Records how the store answered. Returns whether an operator should hear of it: the first failure in a row.
    pub(crate) fn record_answer(&self, has_failed: bool) -> bool {
        !self.has_failed.swap(has_failed, Ordering::Relaxed) && has_failed
    }

    /// The token of a row; none if there is none, or it was sealed with another secret or for another endpoint.
    pub(crate) fn open(&self, row: &TokenRow, secret: &Secret) -> Option<StoredToken> {
        let text = sealing::open(secret, &self.context, row.sealed.as_ref()?)?;
        let StoredText { token, obtained, lifetime_ms, refresh_token } = serde_json::from_slice(&text).ok()?;
        let obtained = Timestamp::from_microsecond(obtained).ok()?;
        let (lifetime, refresh_token) = (Duration::from_millis(lifetime_ms), refresh_token.map(Secret::new));
        Some(StoredToken { token: Secret::new(token), obtained, lifetime, refresh_token })
    }

    /// A row with this token, which nobody is about to replace; none if it cannot be sealed.
    pub(crate) fn row_with(&self, version: u64, stored: &StoredToken, secret: &Secret) -> Option<TokenRow> {
        let text = StoredText {
            token: stored.token.expose().into(),
            obtained: stored.obtained.as_microsecond(),
            lifetime_ms: u64::try_from(stored.lifetime.as_millis()).unwrap_or(u64::MAX),
            refresh_token: stored.refresh_token.as_ref().map(|token| token.expose().into()),
        };
        let text = Zeroizing::new(serde_json::to_vec(&text).ok()?);
        let sealed = sealing::seal(secret, &self.context, &text)?;
        Some(TokenRow { version, sealed: Some(sealed), expires: stored.expires(), lease: None })
    }

    /// The row with a lease of this process. A token that an API refused is dropped: no other process may start with
    /// it.
    pub(crate) fn row_with_lease(&self, row: &TokenRow, time: Duration, keeps_token: bool) -> TokenRow {
        let until = self.now().saturating_add(time).unwrap_or(Timestamp::MAX);
        let lease = Some(TokenLease { owner: self.owner.clone(), until });
        let kept = row.sealed.as_ref().filter(|_| keeps_token);
        let expires = if kept.is_some() { row.expires } else { Some(until) };
        TokenRow { version: row.version, sealed: kept.cloned(), expires, lease }
    }

    /// Whose turn it is, if the row's token is `usable` or not.
    pub(crate) fn decide_turn(&self, row: &TokenRow, is_usable: bool) -> Turn {
        if is_usable {
            return Turn::Use;
        }
        row.time_until_free(&self.owner, self.now()).map_or(Turn::Take, Turn::Wait)
    }
}

#[cfg(test)]
mod tests {

    use damper_core::testing::tokens::MemoryTokenStore;
    use damper_core::token_store::LONGEST_TOKEN_LEASE;

    use super::*;
    use crate::grants::ClientAuth;

    const HOUR: Duration = Duration::from_hours(1);

    fn at(seconds: u64) -> Timestamp {
        "2026-11-22T10:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_secs(seconds)
    }

    fn shared(credential: &str) -> SharedToken {
        let clock = WallClock::from_epoch(at(0));
        let endpoint = TokenEndpoint {
            url: "https://auth.test/token".parse().unwrap(),
            scopes: Vec::new(),
            client_auth: ClientAuth::Basic,
            audience: None,
        };
        let sharing = TokenSharing::new(Arc::new(MemoryTokenStore::default()), clock);
        SharedToken::new(sharing, "demo", credential, &endpoint)
    }

    fn stored(token: &str) -> StoredToken {
        StoredToken { token: Secret::new(token), obtained: at(0), lifetime: HOUR, refresh_token: None }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stored_token_comes_back_for_its_credential_and_its_secret() {
        let (one, secret) = (shared("login"), Secret::new("id:secret"));
        let row = one.row_with(7, &stored("t\u{f6}ken \"x\""), &secret).unwrap();
        assert_eq!((row.version, row.expires, &row.lease), (7, Some(at(3_600)), &None));
        let (other_process, other_credential) = (shared("login"), shared("other"));
        assert_eq!(other_process.open(&row, &secret), Some(stored("t\u{f6}ken \"x\"")));
        assert_eq!(other_credential.open(&row, &secret), None);
        assert_eq!(other_process.open(&row, &Secret::new("id:changed")), None);
        assert!(!format!("{:?} {one:?}", stored("hunter2")).contains("hunter2"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_that_is_not_a_token_is_ignored() {
        let (one, secret) = (shared("login"), Secret::new("id:secret"));
        let row = |sealed: Option<Vec<u8>>| TokenRow { sealed, ..TokenRow::default() };
        for length in [0, 1, 28, 29, 45, 1_000] {
            assert_eq!(one.open(&row(Some(vec![1; length])), &secret), None, "{length} bytes");
        }
        assert_eq!(one.open(&row(None), &secret), None);
        for text in ["", "{}", "[]", r#"{"token":"t","obtained":9223372036854775807,"lifetime_ms":1}"#] {
            let sealed = sealing::seal(&secret, &one.context, text.as_bytes());
            assert_eq!(one.open(&row(sealed), &secret), None, "{text}");
        }
    }

    #[test]
    fn a_token_is_believed_until_it_expires_and_never_beyond_its_lifetime() {
        let token = stored("t");
        assert_eq!(token.time_left(at(0)), HOUR);
        assert_eq!(token.time_left(at(3_599)), Duration::from_secs(1));
        assert_eq!(token.time_left(at(3_600)), Duration::ZERO);
        assert_eq!(token.time_left(Timestamp::MAX), Duration::ZERO);
        // The clock was set back, or the process that stored it is ahead.
        assert_eq!(token.time_left(at(0) - HOUR), HOUR);
        assert_eq!(token.time_left(Timestamp::MIN), HOUR);
        let eternal = StoredToken { lifetime: Duration::from_millis(u64::MAX), ..stored("t") };
        assert_eq!(eternal.expires(), Some(Timestamp::MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_with_a_refresh_token_is_kept_also_while_the_next_token_is_requested() {
        let (one, secret) = (shared("login"), Secret::new("id:secret"));
        let stored = StoredToken { refresh_token: Some(Secret::new("r2")), ..stored("t") };
        let row = one.row_with(1, &stored, &secret).unwrap();
        assert_eq!((row.expires, one.open(&row, &secret).as_ref()), (None, Some(&stored)));
        let leased = one.row_with_lease(&row, Duration::from_secs(15), true);
        assert_eq!((leased.expires, one.open(&leased, &secret)), (None, Some(stored)));
    }

    #[tokio::test(start_paused = true)]
    async fn one_process_requests_a_token_and_the_others_wait_for_it() {
        let (one, other) = (shared("login"), shared("login"));
        let empty = TokenRow::default();
        assert_eq!(one.decide_turn(&empty, false), Turn::Take);
        let leased = one.row_with_lease(&empty, Duration::from_secs(15), true);
        assert_eq!(leased.expires, Some(at(15)), "a row without a token may go when its lease has run out");
        assert_eq!(other.decide_turn(&leased, false), Turn::Wait(Duration::from_secs(15)));
        assert_eq!(other.decide_turn(&leased, true), Turn::Use, "an old token is used while it is replaced");
        assert_eq!(one.decide_turn(&leased, false), Turn::Take, "its own lease, of a fetch that was given up");
        tokio::time::advance(Duration::from_secs(15)).await;
        assert_eq!(other.decide_turn(&leased, false), Turn::Take, "the holder has died");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_too_long_is_of_a_wrong_clock() {
        let (one, other) = (shared("login"), shared("login"));
        let long = one.row_with_lease(&TokenRow::default(), LONGEST_TOKEN_LEASE + Duration::from_secs(1), true);
        assert_eq!(other.decide_turn(&long, false), Turn::Take);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_token_is_dropped_with_the_lease() {
        let (one, secret) = (shared("login"), Secret::new("id:secret"));
        let row = one.row_with(1, &stored("t"), &secret).unwrap();
        let kept = one.row_with_lease(&row, Duration::from_secs(15), true);
        assert_eq!((one.open(&kept, &secret), kept.expires), (Some(stored("t")), row.expires));
        assert_eq!(one.row_with_lease(&row, Duration::from_secs(15), false).sealed, None);
    }

    #[tokio::test]
    async fn a_failing_store_is_reported_once() {
        let shared = shared("login");
        let told = [true, true, false, false, true].map(|has_failed| shared.record_answer(has_failed));
        assert_eq!(told, [true, false, false, false, true]);
    }
}
