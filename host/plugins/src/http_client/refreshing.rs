//! Fetches tokens with a refresh token, which the endpoint may replace each time (RFC 9700, section 4.14). A new one is
//! written before its token is used: a refresh token that is lost means that a person must authorise the client anew.

use std::sync::Arc;
use std::time::Duration;

use damper_core::record::FailureKind;
use tokio::time::Instant;

use super::client::HttpClient;
use super::shared_tokens::Lease;
use super::tokens::TokenContext;
use crate::credentials::{BoundCredential, Form, RefreshClient, Refreshed, SecretVersion, Token, TokenFailure, Tokens};
use crate::grants::Secret;

/// The wait for another process that uses the refresh token.
const BUSY: Duration = Duration::from_secs(2);

impl HttpClient {
    /// Fetches a token with the refresh token, under the lease. Where there is a store, nobody uses a refresh token
    /// without the lease: an endpoint that sees one twice may revoke all of them.
    pub(super) async fn refresh_token(
        &self,
        context: &mut TokenContext<'_>,
        lease: Option<Lease>,
    ) -> Result<Arc<Token>, TokenFailure> {
        let tokens = context.tokens;
        if lease.is_none() && tokens.shared.is_some() {
            let what = "another process uses its refresh token, or the store of shared tokens fails";
            let mut failed = tokens.failure(FailureKind::Unavailable, what);
            failed.failure.retry_after = Some(BUSY);
            return Err(failed);
        }
        match self.find_unsaved_or_request(context, lease.as_ref()).await {
            Ok(refreshed) => save(context, lease, refreshed).await,
            Err(failed) => {
                if let (Some(lease), Some(shared)) = (lease, &tokens.shared) {
                    lease.give_back(context.call, shared, None).await;
                }
                Err(failed)
            }
        }
    }

    /// The token whose new refresh token could not be written before; else requests one with the refresh token that the
    /// secret's place holds now, or the store.
    async fn find_unsaved_or_request(
        &self,
        context: &mut TokenContext<'_>,
        lease: Option<&Lease>,
    ) -> Result<Refreshed, TokenFailure> {
        let (bound, tokens) = (context.bound, context.tokens);
        let unreadable = |why| tokens.unreadable_secret(why);
        let mut home = bound.secret.read_again().await.map_err(unreadable)?;
        let mut current = find_current(bound, tokens, lease, &home).map_err(unreadable)?;
        // If another process has replaced the refresh token meanwhile, the unsaved one is of no use.
        let unsaved = bound.refresh.take_unsaved();
        if let Some(unsaved) = unsaved.filter(|unsaved| unsaved.used == *refresh_token_of(&current)) {
            return Ok(Refreshed { home, ..unsaved });
        }
        if let Some(failed) = bound.refresh.find_refusal(refresh_token_of(&current)) {
            return Err(tokens.record_failure(failed, Instant::now()));
        }
        let mut result = self.request_token_once(context, &current).await;
        // Without a lease, another process may have used and replaced it meanwhile.
        if result.as_ref().is_err_and(|failed| failed.is_client_refused)
            && let Ok(other) = bound.secret.read_again().await
            && !Arc::ptr_eq(&other, &home)
        {
            current = find_current(bound, tokens, lease, &other).map_err(unreadable)?;
            home = other;
            result = self.request_token_once(context, &current).await;
        }
        let used = refresh_token_of(&current).clone();
        match result {
            Ok(token) => {
                tokens.record_success();
                let refresh_token = token.refresh_token.clone().unwrap_or_else(|| used.clone());
                Ok(Refreshed { token, home, refresh_token, used })
            }
            Err(failed) => {
                let failed = explain_refusal(bound, tokens, failed);
                if failed.is_grant_refused {
                    bound.refresh.record_refusal(&used, &failed);
                }
                Err(tokens.record_failure(failed, Instant::now()))
            }
        }
    }
}

/// Says what to do where a refresh token is no longer accepted.
fn explain_refusal(bound: &BoundCredential, tokens: &Tokens, mut failed: TokenFailure) -> TokenFailure {
    if failed.is_grant_refused {
        let (credential, place) = (&tokens.credential, bound.secret.place());
        failed.failure.message.push_str(&format!(
            ": the refresh token of the credential {credential:?} has expired, was revoked, or was used already; \
             authorise the client anew, and put the new refresh token into {place}"
        ));
    }
    failed
}

/// Writes a new refresh token to the secret's place, or with the token to the store, and only then returns the token.
async fn save(
    context: &TokenContext<'_>,
    lease: Option<Lease>,
    refreshed: Refreshed,
) -> Result<Arc<Token>, TokenFailure> {
    let (bound, tokens) = (context.bound, context.tokens);
    let (mut home, mut problem) = (Arc::clone(&refreshed.home), None);
    if refreshed.is_rotated() && bound.secret.is_writable() {
        match write_home(bound, &refreshed).await {
            // Another process has stored a newer one meanwhile: it stays.
            Ok(None) => {}
            Ok(Some(new)) => home = new,
            Err(why) => problem = Some(format!("{}: {why}", bound.secret.place())),
        }
    }
    let mut stored = tokens.shared.as_ref().and_then(|shared| refreshed.token.to_stored(shared.now()));
    if let Some(stored) = stored.as_mut().filter(|_| !bound.secret.is_writable()) {
        stored.refresh_token = Some(refreshed.refresh_token.clone());
    }
    if let (Some(lease), Some(shared)) = (lease, &tokens.shared) {
        let stored = stored.as_ref().filter(|_| problem.is_none()).map(|stored| (stored, &*home));
        let is_stored = lease.give_back(context.call, shared, stored).await && stored.is_some();
        if !is_stored && refreshed.is_rotated() && !bound.secret.is_writable() {
            problem = Some("the store of shared tokens, which fails".to_owned());
        }
    }
    let Some(problem) = problem else { return Ok(refreshed.token) };
    bound.refresh.keep_unsaved(refreshed);
    let what = format!(
        "its new refresh token cannot be written to {problem}; the next fetch tries again. If this process ends before, \
         authorise the client anew"
    );
    Err(tokens.record_failure(
        TokenFailure { backoff_for: Some(Duration::ZERO), ..tokens.failure(FailureKind::Unavailable, &what) },
        Instant::now(),
    ))
}

/// Writes the secret with its new refresh token; none if its place holds another secret by now.
async fn write_home(bound: &BoundCredential, refreshed: &Refreshed) -> Result<Option<Arc<SecretVersion>>, String> {
    let new = with_refresh_token(bound, &refreshed.home, &refreshed.refresh_token)?;
    Ok(bound.secret.replace(&refreshed.home, &new).await?.then_some(new))
}

/// The secret with the refresh token that counts now: that of its place, or of the store if the place cannot be
/// written.
fn find_current(
    bound: &BoundCredential,
    tokens: &Tokens,
    lease: Option<&Lease>,
    home: &Arc<SecretVersion>,
) -> Result<Arc<SecretVersion>, String> {
    let stored = match (&tokens.shared, lease) {
        (Some(shared), Some(lease)) if !bound.secret.is_writable() => lease.stored_refresh_token(shared, home),
        _ => None,
    };
    stored.map_or_else(|| Ok(Arc::clone(home)), |token| with_refresh_token(bound, home, &token))
}

fn with_refresh_token(
    bound: &BoundCredential,
    home: &SecretVersion,
    refresh_token: &Secret,
) -> Result<Arc<SecretVersion>, String> {
    let text = RefreshClient::replace_refresh_token(&home.secret, refresh_token);
    bound.secret.make_version(text.ok_or("the secret is not a JSON object")?)
}

/// The refresh token of a secret; the secret itself where it has none, which its kind rules out.
fn refresh_token_of(version: &SecretVersion) -> &Secret {
    match &version.form {
        Form::Refresh(client) => &client.refresh_token,
        _ => &version.secret,
    }
}
