//! Fetches tokens within a fetch: on its permit and out of its quota, by one fetch for all that wait.

use std::sync::Arc;
use std::time::Duration;

use damper_core::clock::WallClock;
use damper_core::record::FailureKind;
use tokio::time::Instant;

use super::client::HttpClient;
use super::shared_tokens::{self, TokenTurn};
use super::{http_error, response};
use crate::bindings::damper::provider::http::HttpError;
use crate::call::{GuestCall, RequestSlot, SendRefusal};
use crate::credentials::{BoundCredential, Role, SecretVersion, Token, TokenFailure, TokenNeed, Tokens};

/// The largest response of a token endpoint that is read, in bytes.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;
/// The longest time for one response of a token endpoint, at most half of the time that the fetch has left: a fetch
/// that the endpoint alone delays fails as that, and not as a timeout of the API.
const LONGEST_ANSWER: Duration = Duration::from_secs(10);

/// The call that needs a token, and the credential.
pub(super) struct TokenContext<'a> {
    pub(super) call: &'a Arc<GuestCall>,
    pub(super) slot: &'a mut RequestSlot,
    pub(super) bound: &'a BoundCredential,
    pub(super) tokens: &'a Tokens,
}

type TokenResult = Result<Arc<Token>, TokenFailure>;

impl HttpClient {
    /// The credential's token. It is fetched if there is none, or replaced if it expires soon.
    pub(super) async fn get_token(&self, mut context: TokenContext<'_>) -> TokenResult {
        let tokens = context.tokens;
        if let Some(token) = tokens.valid_token(Instant::now()) {
            return self.replace_early(context, token).await;
        }
        let leader = match tokens.flight.join().await {
            Role::Follower(result) => return result,
            Role::Leader(leader) => leader,
        };
        let now = Instant::now();
        if let Some(token) = tokens.fresh_token(now) {
            return Ok(token);
        }
        if let Some(refusal) = tokens.active_refusal(now) {
            return leader.complete(Err(refusal));
        }
        match self.obtain_token(&mut context, TokenNeed::First).await {
            // The quota concerns only this call.
            Err(failed) if failed.failure.kind == FailureKind::OutOfQuota => Err(failed),
            result => leader.complete(result),
        }
    }

    /// Another token than the one that the API refused, if there is one. It is fetched at most once a minute: an API
    /// that refuses every token must not overload the token endpoint.
    pub(super) async fn renew_token(
        &self,
        mut context: TokenContext<'_>,
        refused: &Arc<Token>,
    ) -> Result<Option<Arc<Token>>, TokenFailure> {
        let tokens = context.tokens;
        let is_other = |token: &Arc<Token>| !Arc::ptr_eq(token, refused);
        if let Some(other) = tokens.flight.value().filter(is_other) {
            return Ok(Some(other));
        }
        let leader = match tokens.flight.join().await {
            Role::Follower(result) => return result.map(|token| Some(token).filter(is_other)),
            Role::Leader(leader) => leader,
        };
        if let Some(other) = tokens.flight.value().filter(is_other) {
            return Ok(Some(other));
        }
        let now = Instant::now();
        if let Some(refusal) = tokens.active_refusal(now) {
            return leader.complete(Err(refusal)).map(Some);
        }
        if !tokens.renewals.try_begin(now) {
            return Ok(None);
        }
        leader.invalidate();
        match self.obtain_token(&mut context, TokenNeed::Refused(refused)).await {
            Err(failed) if failed.failure.kind == FailureKind::OutOfQuota => Err(failed),
            // Some endpoints return the same token until it expires.
            result => {
                leader.complete(result).map(|token| Some(token).filter(|token| token.header() != refused.header()))
            }
        }
    }

    /// Replaces a token that expires soon. Returns the old one if that fails, unless the endpoint's request that was
    /// given up occupies the only permit.
    async fn replace_early(&self, mut context: TokenContext<'_>, token: Arc<Token>) -> TokenResult {
        let tokens = context.tokens;
        // Another task replaces it already.
        let Some(leader) = tokens.flight.try_lead() else { return Ok(token) };
        let now = Instant::now();
        if let Some(token) = tokens.fresh_token(now) {
            return Ok(token);
        }
        match self.obtain_token(&mut context, TokenNeed::Early(&token)).await {
            Ok(new) => leader.complete(Ok(new)),
            Err(failed) => {
                tokens.postpone_early_renewal(now);
                let why = &failed.failure.message;
                tracing::warn!(provider = %self.provider, why, "the token was not renewed early; the old token stays in use, and a later request tries again");
                if context.slot.replace_permit() { Ok(token) } else { Err(failed) }
            }
        }
    }

    /// The token that another process has stored; else requests one, and stores it for the others.
    async fn obtain_token(&self, context: &mut TokenContext<'_>, need: TokenNeed<'_>) -> TokenResult {
        let (bound, tokens) = (context.bound, context.tokens);
        let secret = bound.secret.get_or_read().await.map_err(|why| tokens.unreadable_secret(why))?;
        let lease = match shared_tokens::take_turn(context.call, bound, tokens, Arc::clone(&secret), need).await {
            TokenTurn::Restored(token) => {
                tokens.record_success();
                return Ok(token);
            }
            TokenTurn::Kept(token) => return Ok(token),
            TokenTurn::Request(lease) => lease,
        };
        if bound.secret.is_rotated() {
            return self.refresh_token(context, lease).await;
        }
        let (result, secret) = self.request_token(context, secret).await;
        if let (Some(lease), Some(shared)) = (lease, &tokens.shared) {
            let stored = result.as_ref().ok().and_then(|token| token.to_stored(shared.now()));
            lease.give_back(context.call, shared, stored.as_ref().map(|stored| (stored, &*secret))).await;
        }
        result
    }

    /// Requests a token; once more if the endpoint no longer accepts the client and the secret has changed. Returns the
    /// secret with which it was requested, too.
    async fn request_token(
        &self,
        context: &mut TokenContext<'_>,
        mut secret: Arc<SecretVersion>,
    ) -> (TokenResult, Arc<SecretVersion>) {
        let (bound, tokens) = (context.bound, context.tokens);
        let mut result = self.request_token_once(context, &secret).await;
        if result.as_ref().is_err_and(|failed| failed.is_client_refused)
            && let Some(other) = bound.secret.renew(&secret).await
        {
            result = self.request_token_once(context, &other).await;
            secret = other;
        }
        let result = match result {
            Ok(token) => {
                tokens.record_success();
                Ok(token)
            }
            Err(failed) => Err(tokens.record_failure(failed, Instant::now())),
        };
        (result, secret)
    }

    pub(super) async fn request_token_once(
        &self,
        context: &mut TokenContext<'_>,
        secret: &SecretVersion,
    ) -> TokenResult {
        let tokens = context.tokens;
        let url = &tokens.endpoint.url;
        let denied = |why: String| tokens.failure(FailureKind::Broken, &why);
        let route = self.policy.check_named(url).map_err(denied)?;
        let connections =
            self.connections.client(route).map_err(|why| tokens.failure(FailureKind::Unavailable, &why))?;
        let longest = LONGEST_ANSWER.min(context.call.time_left() / 2);
        let request = tokens.build_request(&secret.form, self.user_agent.clone(), WallClock::System.now());
        let request = request.ok_or_else(|| tokens.failure(FailureKind::Broken, "its secret cannot sign"))?;
        let entry = context.call.start_secret_log_entry(&request);
        context.slot.begin_send().map_err(|why| match why {
            SendRefusal::OutOfQuota => tokens.failure(FailureKind::OutOfQuota, "the day's quota of requests is spent"),
            SendRefusal::TimeOver => tokens.failure(FailureKind::TimedOut, "the fetch's time is over"),
        })?;
        let unfinished = self.connections.start_request(url);
        let response = async { self.read_token_response(connections.execute(request).await).await };
        let response = match tokio::time::timeout(longest, response).await {
            Ok(response) => {
                unfinished.finish();
                context.slot.on_request_done();
                response
            }
            // The endpoint may still be processing it.
            Err(_) => Err(HttpError::TimedOut),
        };
        if let Some(entry) = entry {
            match &response {
                Ok((status, _, body)) => entry.record_response(status.as_u16(), body.len(), None),
                Err(error) => entry.record_failure(http_error::explain(error)),
            }
        }
        match response {
            Ok((status, headers, body)) => tokens.parse_response(status, &headers, &body, Instant::now()).map(Arc::new),
            Err(error) => {
                let kind = match error {
                    // The name resolves to an address that is not granted.
                    HttpError::Denied(_) => FailureKind::Broken,
                    HttpError::TimedOut => FailureKind::TimedOut,
                    _ => FailureKind::Unavailable,
                };
                let has_failed = kind == FailureKind::Unavailable;
                let failed = tokens.failure(kind, &http_error::explain(&error));
                Err(TokenFailure { backoff_for: has_failed.then_some(Duration::ZERO), ..failed })
            }
        }
    }

    async fn read_token_response(
        &self,
        response: reqwest::Result<reqwest::Response>,
    ) -> Result<(http::StatusCode, http::HeaderMap, Vec<u8>), HttpError> {
        let mut response = response.map_err(|why| http_error::to_http_error(&why, &self.scrubber))?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let body = response::read_body(response, MAX_ANSWER_BYTES, &self.scrubber, None).await?;
        Ok((status, headers, body))
    }
}
