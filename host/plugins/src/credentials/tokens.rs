//! Tokens that a client gets with its id and secret (RFC 6749, section 4.4) or with an assertion (RFC 7523): the
//! request, the meaning of the response, and the lifetime of a token. Decisions only; `http_client::tokens` sends the
//! requests.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use damper_core::record::{Failure, FailureKind};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::time::Instant;
use url::form_urlencoded::Serializer;

use super::cached_secret::{MIN_RENEWAL, RenewalLimit};
use super::form::Form;
use super::header_value::header_value;
use super::secret_spellings::secret_spellings;
use super::single_flight::SingleFlight;
use super::token_sharing::{SharedToken, StoredToken, TokenSharing};
use crate::grants::{ClientAuth, Secret, TokenEndpoint};
use crate::lock::lock;
use crate::redaction::{Scrubber, TooManySecrets};

/// The lifetime of a token whose response has none (RFC 6749 leaves it open).
const DEFAULT_LIFETIME: Duration = Duration::from_hours(1);
/// The longest lifetime that is accepted.
const MAX_LIFETIME: Duration = Duration::from_hours(24 * 365);
/// A token is replaced this long before it expires, or in the last tenth of its lifetime, or at half of a short
/// lifetime.
const EARLY: Duration = Duration::from_secs(30);
/// The backoff after an early replacement has failed; the token is used until it expires.
const EARLY_RETRY: Duration = Duration::from_secs(30);
/// The wait for another process that replaces the token before it expires, until the store is read again.
const OTHERS_RENEWAL: Duration = Duration::from_secs(1);
/// The backoff after the first failure of an endpoint that asks for none. It doubles with each failure in a row.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest backoff that the endpoint did not ask for.
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);
/// The longest Retry-After of a token endpoint that is obeyed.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// The grant type of a request with an assertion (RFC 7523, section 2.1).
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// What a token has before it in `Authorization` (RFC 6750, section 2.1).
const BEARER: &str = "Bearer ";

/// One credential's tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// The credential's name.
    pub(crate) credential: String,
    pub(crate) endpoint: TokenEndpoint,
    pub(crate) flight: SingleFlight<Token, TokenFailure>,
    pub(crate) renewals: RenewalLimit,
    /// The token that other processes have, too; none if there is no store.
    pub(crate) shared: Option<SharedToken>,
    backoff: Mutex<TokenBackoff>,
    scrubber: Arc<Scrubber>,
}

#[derive(Debug, Default)]
struct TokenBackoff {
    /// No early replacement is tried before.
    early_not_before: Option<Instant>,
    /// The endpoint's last failure, and the time before which it is not asked again.
    refusal: Option<(Instant, TokenFailure)>,
    /// The number of its failures in a row.
    failures: u32,
}

/// A token.
pub(crate) struct Token {
    header: HeaderValue,
    /// The refresh token that the endpoint returned with it.
    pub(crate) refresh_token: Option<Secret>,
    lifetime: Duration,
    obtained_at: Instant,
    replace_at: Instant,
    ends_at: Instant,
}

/// Why a token is needed.
#[derive(Clone, Copy)]
pub(crate) enum TokenNeed<'a> {
    /// There is none.
    First,
    /// This one expires soon.
    Early(&'a Arc<Token>),
    /// The API refused this one.
    Refused(&'a Arc<Token>),
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenFailure {
    /// The failure of a fetch that needs the token.
    pub(crate) failure: Failure,
    /// Whether the server does not accept the refresh token or the assertion.
    pub(crate) is_grant_refused: bool,
    /// Whether the server does not accept the client: its secret may have changed.
    pub(crate) is_client_refused: bool,
    /// The shortest time for which the server is not asked again; none if it was not the server that failed.
    pub(crate) backoff_for: Option<Duration>,
}

/// A server's response (RFC 6749, section 5).
#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenResponse {
    access_token: String,
    token_type: String,
    expires_in: Option<Seconds>,
    refresh_token: String,
    error: String,
}

/// A number, which some servers write as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

impl Tokens {
    pub(super) fn new(credential: &str, endpoint: TokenEndpoint, scrubber: Arc<Scrubber>) -> Self {
        Self {
            credential: credential.to_owned(),
            shared: None,
            endpoint,
            flight: SingleFlight::new(None),
            renewals: RenewalLimit::default(),
            backoff: Mutex::default(),
            scrubber,
        }
    }

    /// The same, shared with other processes that run this provider.
    pub(super) fn sharing(self, sharing: &TokenSharing, provider: &str) -> Self {
        let shared = SharedToken::new(sharing.clone(), provider, &self.credential, &self.endpoint);
        Self { shared: Some(shared), ..self }
    }

    /// The token, if it need not be replaced yet.
    pub(crate) fn fresh_token(&self, now: Instant) -> Option<Arc<Token>> {
        let token = self.flight.value()?;
        let may_wait =
            || now < token.ends_at && self.lock_backoff().early_not_before.is_some_and(|not_before| now < not_before);
        (now < token.replace_at || may_wait()).then_some(token)
    }

    /// The token, if it has not expired yet.
    pub(crate) fn valid_token(&self, now: Instant) -> Option<Arc<Token>> {
        self.flight.value().filter(|token| now < token.ends_at)
    }

    /// An early replacement has failed.
    pub(crate) fn postpone_early_renewal(&self, now: Instant) {
        let mut backoff = self.lock_backoff();
        let until = backoff.refusal.as_ref().map(|(until, _)| *until);
        backoff.early_not_before = Some(now + EARLY_RETRY).max(until);
    }

    /// Another process is about to replace the token.
    pub(crate) fn await_others_renewal(&self, now: Instant) {
        self.lock_backoff().early_not_before = Some(now + OTHERS_RENEWAL);
    }

    /// A stored token as one to use, which from here on is scrubbed from all output; none if it has expired, or is not
    /// valid in a header.
    pub(crate) fn restore(&self, stored: &StoredToken, now: Timestamp) -> Option<Token> {
        let left = stored.time_left(now);
        let header = self.learn_token(&stored.token).filter(|_| !left.is_zero())?;
        Some(Token::of_age(header, stored.lifetime, left, Instant::now()))
    }

    /// Scrubs a token from all output from here on, and returns its header; none if it cannot be used.
    fn learn_token(&self, token: &Secret) -> Option<HeaderValue> {
        let learned: Result<(), TooManySecrets> =
            self.scrubber.learn(&format!("{} token", self.credential), secret_spellings(token.expose()));
        learned.ok()?;
        header_value(&format!("{BEARER}{}", token.expose())).filter(|_| !token.expose().trim().is_empty())
    }

    /// The endpoint's last failure, as long as its backoff lasts.
    pub(crate) fn active_refusal(&self, now: Instant) -> Option<TokenFailure> {
        let backoff = self.lock_backoff();
        let (until, refusal) = backoff.refusal.as_ref().filter(|(until, _)| now < *until)?;
        let mut refusal = refusal.clone();
        refusal.failure.retry_after = Some(until.saturating_duration_since(now));
        Some(refusal)
    }

    /// Records that the endpoint returned a token.
    pub(crate) fn record_success(&self) {
        *self.lock_backoff() = TokenBackoff::default();
    }

    /// Records a failed request to the endpoint. The failure then says when the endpoint is asked again. Only token
    /// requests wait for that; requests that have a token are sent.
    pub(crate) fn record_failure(&self, mut failed: TokenFailure, now: Instant) -> TokenFailure {
        let Some(asked) = failed.backoff_for else { return failed };
        let mut backoff = self.lock_backoff();
        let own = FIRST_BACKOFF.saturating_mul(1 << backoff.failures.min(16)).min(LONGEST_BACKOFF);
        let wait = asked.max(own);
        failed.failure.retry_after = Some(wait);
        *backoff = TokenBackoff {
            refusal: Some((now + wait, failed.clone())),
            early_not_before: None,
            failures: backoff.failures.saturating_add(1),
        };
        failed
    }

    /// The request for a token with the form of a secret; none if that form gets no tokens.
    pub(crate) fn build_request(
        &self,
        form: &Form,
        user_agent: HeaderValue,
        now: Timestamp,
    ) -> Option<reqwest::Request> {
        let TokenEndpoint { url, scopes, audience, .. } = &self.endpoint;
        let scope = scopes.join(" ");
        let mut body = Serializer::new(String::new());
        match form {
            Form::Client(_) => body.append_pair("grant_type", "client_credentials"),
            Form::Refresh(client) => body
                .append_pair("grant_type", "refresh_token")
                .append_pair("refresh_token", client.refresh_token.expose()),
            Form::Assertion(key) => {
                let assertion = key.sign(audience.as_deref().unwrap_or(url.as_str()), &scope, now)?;
                body.append_pair("grant_type", JWT_BEARER).append_pair("assertion", &assertion)
            }
            _ => return None,
        };
        if !scope.is_empty() {
            body.append_pair("scope", &scope);
        }
        let mut request = reqwest::Request::new(Method::POST, url.clone());
        let headers = request.headers_mut();
        headers.insert(http::header::USER_AGENT, user_agent);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let (client, public_id) = match form {
            Form::Client(client) => (Some(client), None),
            Form::Refresh(refresh) => (refresh.client.as_ref(), Some(&refresh.id)),
            _ => (None, None),
        };
        match (client, self.endpoint.client_auth, public_id) {
            (Some(client), ClientAuth::Basic, _) => {
                // Base64 holds nothing that a header could not.
                headers.extend(header_value(&format!("Basic {}", client.basic())).map(|value| (AUTHORIZATION, value)));
            }
            (Some(client), ClientAuth::Body, _) => {
                body.append_pair("client_id", &client.id).append_pair("client_secret", &client.secret);
            }
            (None, _, Some(id)) => {
                body.append_pair("client_id", id);
            }
            (None, _, None) => {}
        }
        *request.body_mut() = Some(body.finish().into());
        Some(request)
    }

    /// The token of a response, which from here on is scrubbed from all output; else the failure that the response
    /// means.
    pub(crate) fn parse_response(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: Instant,
    ) -> Result<Token, TokenFailure> {
        let answer: TokenResponse = serde_json::from_slice(body).unwrap_or_default();
        if status != StatusCode::OK {
            return Err(self.failure_of_status(status, headers, &answer));
        }
        let unreadable = |what: &str| {
            let failed = self.failure(FailureKind::Unavailable, what);
            Err(TokenFailure { backoff_for: Some(Duration::ZERO), ..failed })
        };
        if !answer.token_type.eq_ignore_ascii_case("bearer") {
            return unreadable("the response's token_type is not \"Bearer\"");
        }
        let refresh_token = Some(Secret::new(answer.refresh_token)).filter(|token| !token.expose().is_empty());
        if let Some(token) = &refresh_token {
            let owner = format!("{} refresh token", self.credential);
            if self.scrubber.learn(&owner, secret_spellings(token.expose())).is_err() {
                return unreadable("the response's refresh_token is too long");
            }
        }
        match self.learn_token(&Secret::new(answer.access_token)) {
            Some(header) => {
                let token = Token::new(header, answer.expires_in.and_then(Seconds::lifetime), now);
                Ok(Token { refresh_token, ..token })
            }
            None => unreadable("the response's access_token is missing, or not valid in a header"),
        }
    }

    /// The failure of a secret that cannot be read, for this reason.
    pub(crate) fn unreadable_secret(&self, why: String) -> TokenFailure {
        let mut failed = self.failure(FailureKind::Broken, "");
        failed.failure.message = why;
        failed
    }

    /// A failure of asking for a token.
    pub(crate) fn failure(&self, kind: FailureKind, what: &str) -> TokenFailure {
        let url = &self.endpoint.url;
        let asked = format!("{}{}", url.origin().ascii_serialization(), url.path());
        let message = format!("no token for the credential {:?} from {asked}: {what}", self.credential);
        let is_of_token_endpoint = !matches!(kind, FailureKind::Broken | FailureKind::OutOfQuota);
        let failure = Failure { is_of_token_endpoint, ..Failure::new(kind, message) };
        TokenFailure { failure, is_grant_refused: false, is_client_refused: false, backoff_for: None }
    }

    fn failure_of_status(&self, status: StatusCode, headers: &HeaderMap, answer: &TokenResponse) -> TokenFailure {
        let number = status.as_u16();
        if status.is_redirection() {
            let what = format!("its response is {number}, and redirects are not followed; correct its `token_url`");
            return self.failure(FailureKind::Broken, &what);
        }
        let kind = match number {
            408 | 429 => FailureKind::Throttled,
            400..=499 => FailureKind::Unauthorized,
            _ => FailureKind::Unavailable,
        };
        // A code of the standard or an extension; other text of a server is not repeated.
        let is_code = |code: &str| code.len() <= 64 && code.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'));
        let code = Some(&answer.error).filter(|code| !code.is_empty() && is_code(code));
        let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
        let mut failed = self.failure(kind, &self.scrubber.scrub_text(&format!("its response is {number}{code}")));
        failed.failure.status = Some(number);
        if failed.failure.kind == FailureKind::Unauthorized {
            failed.is_grant_refused = answer.error == "invalid_grant";
            failed.is_client_refused =
                matches!(number, 401 | 403) || matches!(&*answer.error, "invalid_client" | "invalid_grant");
            failed.backoff_for = Some(MIN_RENEWAL);
        } else {
            failed.failure.retry_after = retry_after(headers);
            failed.backoff_for = Some(failed.failure.retry_after.unwrap_or_default());
        }
        failed
    }

    fn lock_backoff(&self) -> MutexGuard<'_, TokenBackoff> {
        lock(&self.backoff)
    }
}

impl Token {
    fn new(header: HeaderValue, lifetime: Option<Duration>, now: Instant) -> Self {
        let lifetime = lifetime.unwrap_or(DEFAULT_LIFETIME).clamp(Duration::from_secs(1), MAX_LIFETIME);
        Self::of_age(header, lifetime, lifetime, now)
    }

    /// A token that has so much of its lifetime left.
    fn of_age(header: HeaderValue, lifetime: Duration, left: Duration, now: Instant) -> Self {
        let lifetime = lifetime.min(MAX_LIFETIME);
        let left = left.min(lifetime);
        let early = (lifetime / 10).max(EARLY).min(lifetime / 2);
        let replace_at = now + left.saturating_sub(early);
        Self { header, refresh_token: None, lifetime, obtained_at: now, replace_at, ends_at: now + left }
    }

    /// The token as it is stored by the process that just obtained it.
    pub(crate) fn to_stored(&self, now: Timestamp) -> Option<StoredToken> {
        let token = std::str::from_utf8(self.header.as_bytes()).ok()?.strip_prefix(BEARER)?;
        let obtained = now.saturating_sub(SignedDuration::try_from(self.obtained_at.elapsed()).ok()?).ok()?;
        Some(StoredToken { token: Secret::new(token), obtained, lifetime: self.lifetime, refresh_token: None })
    }

    /// Whether it satisfies the need of a process that has another token or none.
    pub(crate) fn satisfies(&self, need: TokenNeed<'_>) -> bool {
        match need {
            TokenNeed::First => true,
            TokenNeed::Early(other) | TokenNeed::Refused(other) => {
                self.header != other.header && Instant::now() < self.replace_at
            }
        }
    }

    /// The value of `Authorization`.
    pub(crate) fn header(&self) -> &HeaderValue {
        &self.header
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(...)")
    }
}

impl Seconds {
    fn lifetime(self) -> Option<Duration> {
        let seconds = match self {
            Self::Number(seconds) => seconds,
            Self::Text(text) => text.trim().parse().ok()?,
        };
        Some(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(MAX_LIFETIME))
    }
}

/// An endpoint's Retry-After (RFC 9110, section 10.2.3): seconds, or a date, which is measured from the response's own
/// date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::trim);
    let value = text(RETRY_AFTER)?;
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => date(value)?.duration_since(date(text(DATE)?)?).unwrap_or_default(),
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests;
