//! The way of a record request: outage, key, throttling, latency, answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::answer::{Answer, answer, decode_id};
use crate::book::{End, Outcome};
use crate::chance::{Fate, fate};
use crate::control::{InForce, Shared};
use crate::reply::{Flight, ReplyBody};
use crate::settings::{OutageMode, Settings};

/// The outage closes the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("refused by an outage")]
pub(crate) struct Refused;

/// Answers `GET /records/{raw_id}`. Dropping the future means that the client is gone.
pub(crate) async fn record(
    shared: &Arc<Shared>,
    raw_id: &str,
    headers: &HeaderMap,
) -> Result<Response<ReplyBody>, Refused> {
    let decoded = decode_id(raw_id);
    let id = decoded.as_deref().unwrap_or(raw_id);
    let mut flight = Flight::begin(shared, id.to_owned());
    let in_force = match outage(shared).await {
        Light::Yes(in_force) => in_force,
        Light::No => return Ok(reply(&Answer::error(503, "the API is down"), flight, None)),
        Light::Refused => {
            flight.finish(End { status: None, outcome: Outcome::Refused });
            return Err(Refused);
        }
    };
    let settings = &in_force.settings;
    if let Err(why) = decoded {
        return Ok(reply(&Answer::error(400, why), flight, None));
    }
    if let Some(answer) = early_refusal(shared, settings, headers, flight.in_flight_at_start()) {
        return Ok(reply(&answer, flight, None));
    }
    let nth = if settings.is_random() { shared.book.next_draw(id) } else { 0 };
    let fate = fate(settings, id, nth);
    if !fate.latency.is_zero() {
        let until = tokio::time::Instant::now() + fate.latency;
        if settings.keep_working {
            flight.keep_working_until(until);
        }
        tokio::time::sleep_until(until).await;
    }
    let answer = match fate.error {
        Some(status) => Answer::error(status, "the API failed, by chance"),
        None if fate.refused => {
            let wait = Duration::from_millis(settings.refusals.wait_ms);
            throttle_answer(shared, settings, "the API refused, by chance", wait)
        }
        None => answer(settings, id, fate.malformed),
    };
    Ok(reply(&answer, flight, drips(settings, &fate)))
}

enum Light {
    Yes(Arc<InForce>),
    No,
    Refused,
}

/// The settings in force once no outage holds the request back.
async fn outage(shared: &Shared) -> Light {
    let in_force = shared.in_force();
    if in_force.settings.outage.is_none() {
        return Light::Yes(in_force);
    }
    let mut changes = shared.changes();
    loop {
        let in_force = Arc::clone(&changes.borrow_and_update());
        let Some(dark) = in_force.current_outage(Instant::now()) else { return Light::Yes(in_force) };
        match dark.mode {
            OutageMode::Error => return Light::No,
            OutageMode::Refuse => return Light::Refused,
            OutageMode::BlackHole => {
                let end = dark.remaining.unwrap_or(Duration::from_secs(86_400));
                // Either way the outage is looked at again.
                let _ = tokio::time::timeout(end, changes.changed()).await;
            }
        }
    }
}

/// 401 or 429, at once and without latency.
fn early_refusal(shared: &Shared, settings: &Settings, headers: &HeaderMap, in_flight: u64) -> Option<Answer> {
    if let Some(key) = &settings.require_key {
        let given = headers.get("x-api-key").map(HeaderValue::as_bytes);
        if given != Some(key.as_bytes()) {
            return Some(Answer::error(401, "the header X-Api-Key is missing or wrong"));
        }
    }
    if settings.concurrency_cap.is_some_and(|cap| in_flight > cap) {
        return Some(throttle_answer(shared, settings, "too many requests at the same time", Duration::from_secs(1)));
    }
    let wait = shared.take_token().err()?;
    Some(throttle_answer(shared, settings, "too many requests per second", wait))
}

/// 429, which says when to come back.
fn throttle_answer(shared: &Shared, settings: &Settings, why: &str, wait: Duration) -> Answer {
    Answer { retry_after: shared.retry_after(settings.retry_after, wait), ..Answer::error(429, why) }
}

fn drips(settings: &Settings, fate: &Fate) -> Option<(u32, Duration)> {
    let over = Duration::from_millis(settings.drip.over_ms);
    fate.drips.then_some((settings.drip.pieces, over))
}

fn reply(answer: &Answer, flight: Flight, drips: Option<(u32, Duration)>) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::new(answer, flight, drips));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in [(LOCATION, &answer.location), (RETRY_AFTER, &answer.retry_after)] {
        let value = value.as_ref().and_then(|value| HeaderValue::try_from(value).ok());
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    response
}
