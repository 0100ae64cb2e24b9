//! Tokens asked for on a fetch's behalf: on its permit and out of its quota, by one fetch for all that wait.

use std::sync::Arc;

use damper_core::record::FailureKind;
use tokio::time::Instant;

use super::{HttpClient, answer};
use crate::bindings::damper::provider::http::HttpError;
use crate::call::{Call, InFlight, NotSent};
use crate::credentials::{Bound, Form, Token, TokenFailure, Tokens, Turn, Version};

/// The largest answer of a token endpoint that is read, in bytes.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// Where a token is asked for, and for whom.
pub(super) struct Asking<'a> {
    pub(super) call: &'a Arc<Call>,
    pub(super) lane: &'a mut InFlight,
    pub(super) bound: &'a Bound,
    pub(super) tokens: &'a Tokens,
}

type Asked = Result<Arc<Token>, TokenFailure>;

impl HttpClient {
    /// A token, asked for where there is none to use.
    pub(super) async fn token(&self, mut asking: Asking<'_>) -> Asked {
        let tokens = asking.tokens;
        if let Some(token) = tokens.valid(Instant::now()) {
            return Ok(self.replaced_early(asking, token).await);
        }
        let turn = match tokens.cell.turn().await {
            Turn::Another(result) => return result,
            Turn::Ours(turn) => turn,
        };
        let now = Instant::now();
        if let Some(token) = tokens.ready(now) {
            return Ok(token);
        }
        if let Some(refusal) = tokens.refusal(now) {
            return turn.end(Err(refusal));
        }
        match self.ask(&mut asking).await {
            // That is this call's own affair, and nobody else's.
            Err(failed) if failed.failure.kind == FailureKind::OutOfQuota => Err(failed),
            asked => turn.end(asked),
        }
    }

    /// Another token than the one that the API refused, if there is one by now. It is asked for, but not more often than once
    /// a minute: an API that refuses every token must not hammer the token endpoint.
    pub(super) async fn other_token(
        &self,
        mut asking: Asking<'_>,
        refused: &Arc<Token>,
    ) -> Result<Option<Arc<Token>>, TokenFailure> {
        let tokens = asking.tokens;
        let is_other = |token: &Arc<Token>| !Arc::ptr_eq(token, refused);
        if let Some(other) = tokens.cell.value().filter(is_other) {
            return Ok(Some(other));
        }
        let turn = match tokens.cell.turn().await {
            Turn::Another(result) => return result.map(|token| Some(token).filter(is_other)),
            Turn::Ours(turn) => turn,
        };
        if let Some(other) = tokens.cell.value().filter(is_other) {
            return Ok(Some(other));
        }
        if !tokens.renewals.begin(Instant::now()) {
            return Ok(None);
        }
        turn.forget();
        match self.ask(&mut asking).await {
            Err(failed) if failed.failure.kind == FailureKind::OutOfQuota => Err(failed),
            // Some endpoints give the same token until it ends.
            asked => turn.end(asked).map(|token| Some(token).filter(|token| token.header() != refused.header())),
        }
    }

    /// A token in the place of one that ends soon; the old one as long as there is no other.
    async fn replaced_early(&self, mut asking: Asking<'_>, token: Arc<Token>) -> Arc<Token> {
        let tokens = asking.tokens;
        // Another sees to it already.
        let Some(turn) = tokens.cell.free_turn() else { return token };
        let now = Instant::now();
        if let Some(token) = tokens.ready(now) {
            return token;
        }
        match self.ask(&mut asking).await {
            Ok(new) => turn.end(Ok(new)).unwrap_or(token),
            Err(failed) => {
                tokens.postpone(now);
                let why = &failed.failure.message;
                tracing::warn!(provider = %self.provider, why, "a token that ends soon is not replaced yet");
                token
            }
        }
    }

    /// Asks the endpoint; once more where it no longer accepts the client and the secret has changed.
    async fn ask(&self, asking: &mut Asking<'_>) -> Asked {
        let (bound, tokens) = (asking.bound, asking.tokens);
        let broken = |why: String| {
            let mut failed = tokens.failure(FailureKind::Broken, "");
            failed.failure.message = why;
            failed
        };
        let secret = bound.secret.get().await.map_err(broken)?;
        let mut asked = self.ask_once(asking, &secret).await;
        if asked.as_ref().is_err_and(|failed| failed.is_client_refused)
            && let Some(other) = bound.secret.other_than(&secret).await
        {
            asked = self.ask_once(asking, &other).await;
        }
        tokens.asked(asked.as_ref().err(), Instant::now());
        asked
    }

    async fn ask_once(&self, asking: &mut Asking<'_>, secret: &Version) -> Asked {
        let tokens = asking.tokens;
        let Form::Client(client) = &secret.form else {
            return Err(tokens.failure(FailureKind::Broken, "its secret is none of a client"));
        };
        let url = &tokens.endpoint.url;
        let denied = |why: String| tokens.failure(FailureKind::Broken, &why);
        let route = self.policy.check_named(url).map_err(denied)?;
        let connections =
            self.connections.client(route).map_err(|why| tokens.failure(FailureKind::Unavailable, &why))?;
        let request = tokens.request(client, self.user_agent.clone());
        let note = asking.call.note_secret(&request);
        asking.lane.send().map_err(|why| match why {
            NotSent::OutOfQuota => tokens.failure(FailureKind::OutOfQuota, "the day's quota of requests is spent"),
            NotSent::TimeOver => tokens.failure(FailureKind::TimedOut, "the fetch's time is over"),
        })?;
        let unfinished = self.connections.begin(url);
        let answered = self.answer_of(connections.execute(request).await).await;
        unfinished.finish();
        asking.lane.ended();
        if let Some(note) = note {
            match &answered {
                Ok((status, _, body)) => note.answered(status.as_u16(), body.len(), None),
                Err(error) => note.failed(answer::explain(error)),
            }
        }
        match answered {
            Ok((status, headers, body)) => tokens.read(status, &headers, &body, Instant::now()).map(Arc::new),
            Err(error) => {
                let kind = match error {
                    // The name leads to an address that nobody granted.
                    HttpError::Denied(_) => FailureKind::Broken,
                    HttpError::TimedOut => FailureKind::TimedOut,
                    _ => FailureKind::Unavailable,
                };
                Err(tokens.failure(kind, &answer::explain(&error)))
            }
        }
    }

    async fn answer_of(
        &self,
        response: reqwest::Result<reqwest::Response>,
    ) -> Result<(http::StatusCode, http::HeaderMap, Vec<u8>), HttpError> {
        let mut response = response.map_err(|why| answer::error(&why, &self.scrubber))?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let body = answer::body(response, MAX_ANSWER_BYTES, &self.scrubber, None).await?;
        Ok((status, headers, body))
    }
}
