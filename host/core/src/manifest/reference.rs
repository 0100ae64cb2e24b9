//! The manifest's keys for people: what each is, its default, its bounds, and what it means. The guide's table is made
//! of it, and its tests hold it against what the parser takes.
//!
//! This is documentation that cannot drift, not a second parser: nothing here decides anything.

use std::fmt::{Display, Write};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::check;
use super::check::credentials::{MAX_HEADER_BYTES, MAX_SCOPE_BYTES, MAX_TOKEN_URL_BYTES};
use super::check::names::{MAX_DESCRIPTION_BYTES, MAX_ENTRIES, MAX_NAME_BYTES};
use super::tables::MAX_AWS_NAME_BYTES;
use super::units::{show_bytes, show_duration};

/// One key of a `provider.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its table: `limits`, `credentials.NAME`; empty for the keys at the top.
    pub table: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The type of its value.
    pub kind: &'static str,
    /// Its default.
    pub default: Absent,
    /// The allowed values.
    pub bounds: String,
    /// Its meaning.
    pub meaning: &'static str,
}

/// The default of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absent {
    /// It cannot be left out.
    Refused,
    /// This value, as it would be written.
    Value(String),
    /// A default that is not a value, in words.
    Words(&'static str),
}

impl Display for Absent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused => f.write_str("required"),
            Self::Value(value) => write!(f, "`{value}`"),
            Self::Words(words) => f.write_str(words),
        }
    }
}

impl Key {
    /// The key with its table: `limits.memory`.
    #[must_use]
    pub fn path(&self) -> String {
        if self.table.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.table, self.name) }
    }

    /// A key without bounds and with a default in words; the others below say more.
    fn new(path: (&'static str, &'static str), kind: &'static str, default: Absent, meaning: &'static str) -> Self {
        Self { table: path.0, name: path.1, kind, default, bounds: String::new(), meaning }
    }

    fn within(mut self, bounds: impl Into<String>) -> Self {
        self.bounds = bounds.into();
        self
    }
}

/// Every key, in the order in which a manifest is written.
#[must_use]
pub fn keys() -> Vec<Key> {
    [top(), limits(), pace(), retry(), window(), credentials()].concat()
}

/// The keys as a table in Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from("| key | type | default | allowed | meaning |\n| --- | --- | --- | --- | --- |\n");
    for key in keys() {
        let Key { kind, default, bounds, meaning, .. } = &key;
        // Writing to a string does not fail.
        let _ = writeln!(text, "| `{}` | {kind} | {default} | {bounds} | {meaning} |", key.path());
    }
    text
}

fn top() -> Vec<Key> {
    let key = |name, kind, default, meaning| Key::new(("", name), kind, default, meaning);
    vec![
        key(
            "name",
            "text",
            Absent::Refused,
            "the component's name, and the provider's unless the operator gives another",
        )
        .within(format!("1 to {MAX_NAME_BYTES} of a-z, 0-9 and `-`, a letter first")),
        key("version", "text", Absent::Refused, "the component's own version")
            .within("MAJOR.MINOR.PATCH, with an optional -PRERELEASE"),
        key("description", "text", value("\"\""), "a description of the data, for people")
            .within(format!("one line, at most {MAX_DESCRIPTION_BYTES} bytes")),
        key(
            "identity",
            "list of text",
            value("[]"),
            "the params that identify a record together with the id; other params are hints",
        )
        .within(format!("at most {MAX_ENTRIES} names of 1 to {MAX_NAME_BYTES} bytes")),
        Key::new(
            ("egress", "hosts"),
            "list of text, or `\"operator\"`",
            Absent::Refused,
            "the hosts that may receive requests, by https on port 443; `\"operator\"`: each operator names them",
        )
        .within(format!("1 to {MAX_ENTRIES} host names; no address, port or wildcard")),
        Key::new(
            ("config", "KEY"),
            "text, number or boolean",
            Absent::Words("no setting"),
            "a setting for the operator, with its default; `\"\"`: the operator must set it",
        )
        .within(format!("at most {MAX_ENTRIES} keys of 1 to {MAX_NAME_BYTES} bytes")),
    ]
}

fn limits() -> Vec<Key> {
    let key = |name, kind, default, meaning| Key::new(("limits", name), kind, default, meaning);
    vec![
        key(
            "max_concurrency",
            "number",
            value(check::DEFAULT_MAX_CONCURRENCY),
            "the most requests in flight at the API, over all processes",
        )
        .within(numbers(&check::MAX_CONCURRENCY)),
        key(
            "requests_per_second",
            "number",
            Absent::Words("no rate"),
            "the most requests that start in a second; 0.5 is one in two seconds",
        )
        .within(format!("above 0, at most {}", check::MAX_REQUESTS_PER_SECOND)),
        key("daily_quota", "number", Absent::Words("no quota"), "the most requests in a day").within("at least 1"),
        key("fetch_timeout", "duration", duration(check::DEFAULT_FETCH_TIMEOUT), "the longest time for one record")
            .within(durations(&check::FETCH_TIMEOUT)),
        key("memory", "size", bytes(check::DEFAULT_MEMORY_BYTES), "the component's memory")
            .within(sizes(&check::MEMORY_BYTES)),
        key(
            "response_bytes",
            "size",
            bytes(check::DEFAULT_RESPONSE_BYTES),
            "the largest response, decompressed, and the largest record",
        )
        .within(sizes(&check::RESPONSE_BYTES)),
    ]
}

fn pace() -> Vec<Key> {
    let key = |name, default, meaning| Key::new(("pace", name), "number", default, meaning);
    vec![
        key(
            "start_batch",
            value(check::DEFAULT_START_BATCH),
            "the items in the first batches; Damper adapts the size from there",
        )
        .within(format!("{}, at most `pace.max_batch`", numbers(&check::BATCH))),
        key("max_batch", value(check::DEFAULT_MAX_BATCH), "the most items in a batch").within(numbers(&check::BATCH)),
    ]
}

fn retry() -> Vec<Key> {
    let key = |name, kind, default, meaning| Key::new(("retry", name), kind, default, meaning);
    vec![
        key(
            "max_attempts",
            "number",
            value(check::DEFAULT_MAX_ATTEMPTS),
            "the attempts after which an item becomes a dead letter; outages and 429 do not count",
        )
        .within(numbers(&check::MAX_ATTEMPTS)),
        key(
            "max_polls",
            "number",
            value(check::DEFAULT_MAX_POLLS),
            "how often an item may be not ready; after one more time it becomes a dead letter",
        )
        .within(numbers(&check::MAX_POLLS)),
        key(
            "backoff",
            "duration",
            duration(check::DEFAULT_BACKOFF),
            "the wait before the second attempt; it doubles from there, up to a minute",
        )
        .within(durations(&check::BACKOFF)),
        key(
            "spread",
            "duration",
            duration(check::DEFAULT_SPREAD),
            "attempts that count because of the API's failures are spread over at least this time; `\"0s\"`: each failure counts at once",
        )
        .within(durations(&check::SPREAD)),
        key(
            "max_item_age",
            "duration",
            duration(check::DEFAULT_MAX_ITEM_AGE),
            "an older item becomes a dead letter; keep this below the stream's own limit",
        )
        .within(durations(&check::MAX_ITEM_AGE)),
        key(
            "on_lease_expiry",
            "text",
            value("\"refetch\""),
            "an item whose worker crashed during the fetch: fetch it again, or make it a dead letter with the reason uncertain",
        )
        .within("`\"refetch\"`, `\"park\"`"),
    ]
}

fn window() -> Vec<Key> {
    let key = |name, kind, default, meaning| Key::new(("window", name), kind, default, meaning);
    let spans = format!("1 to {} spans such as `\"Mon-Fri 20:00-06:00\"`, `\"Sat-Sun\"`", check::MAX_SPANS);
    vec![
        key("timezone", "text", value("\"UTC\""), "the API's time zone").within("a zone of the IANA database"),
        key(
            "day_starts",
            "text",
            value("\"00:00\""),
            "the time at which a day begins in that zone; each record is fetched once a day",
        )
        .within("`\"00:00\"` to `\"23:59\"`"),
        key("open", "list of text", Absent::Words("always"), "when the API may be called").within(spans.clone()),
        key("closed", "list of text", Absent::Words("never"), "when the API must not be called; it overrides `open`")
            .within(spans),
    ]
}

fn credentials() -> Vec<Key> {
    let key = |name, default, meaning| Key::new(("credentials.NAME", name), "text", default, meaning);
    let tokens = "only for kinds `oauth2-client-credentials`, `oauth2-refresh-token` and `jwt-bearer`";
    vec![
        key("kind", Absent::Refused, "how the host applies the secret").within(
            "`\"header\"`, `\"query\"`, `\"basic\"`, `\"bearer\"`, `\"oauth2-client-credentials\"`, \
                 `\"oauth2-refresh-token\"`, `\"jwt-bearer\"`, `\"hmac\"`, `\"aws-sigv4\"`, `\"mtls\"`",
        ),
        key("header", Absent::Words("required for kind `header`"), "the header that carries the secret")
            .within(format!("a header's name, at most {MAX_HEADER_BYTES} bytes; only for kind `header`")),
        key("prefix", value("\"\""), "the text before the secret, such as `Token `")
            .within(format!("at most {MAX_HEADER_BYTES} printable ASCII characters; only for kind `header`")),
        key("parameter", Absent::Words("required for kind `query`"), "the URL's parameter that carries the secret")
            .within(format!("1 to {MAX_HEADER_BYTES} of letters, digits and `-._~`; only for kind `query`")),
        key("token_url", Absent::Words("the operator names it"), "the API's token endpoint, which the operator grants")
            .within(format!(
                "an https URL with a host name, at port 443, at most {MAX_TOKEN_URL_BYTES} bytes; {tokens}"
            )),
        Key::new(("credentials.NAME", "scopes"), "list of text", value("[]"), "the scopes of a token")
            .within(format!("at most {MAX_ENTRIES} scopes of at most {MAX_SCOPE_BYTES} bytes; {tokens}")),
        key("client_auth", value("\"basic\""), "where the client's id and secret are in a request for a token").within(
            "`\"basic\"`: in `Authorization`; `\"body\"`: in the body; only for kinds `oauth2-client-credentials` \
                 and `oauth2-refresh-token`",
        ),
        key("audience", Absent::Words("the token endpoint's URL"), "whom the assertion for a token is for (`aud`)")
            .within(format!(
                "1 to {MAX_TOKEN_URL_BYTES} printable ASCII characters, no spaces; only for kind `jwt-bearer`"
            )),
        key("region", Absent::Words("the operator names it"), "the region in signatures")
            .within(format!("1 to {MAX_AWS_NAME_BYTES} of a-z, 0-9 and `-`; only for kind `aws-sigv4`")),
        key("service", Absent::Words("the operator names it"), "the service in signatures, such as `execute-api`")
            .within(format!("1 to {MAX_AWS_NAME_BYTES} of a-z, 0-9 and `-`; only for kind `aws-sigv4`")),
    ]
}

fn value(value: impl Display) -> Absent {
    Absent::Value(value.to_string())
}

fn duration(value: Duration) -> Absent {
    Absent::Value(format!("{:?}", show_duration(value)))
}

fn bytes(value: u64) -> Absent {
    Absent::Value(format!("{:?}", show_bytes(value)))
}

fn numbers(bounds: &RangeInclusive<i128>) -> String {
    format!("{} to {}", bounds.start(), bounds.end())
}

fn durations(bounds: &RangeInclusive<Duration>) -> String {
    format!("`{:?}` to `{:?}`", show_duration(*bounds.start()), show_duration(*bounds.end()))
}

fn sizes(bounds: &RangeInclusive<u64>) -> String {
    format!("`{:?}` to `{:?}`", show_bytes(*bounds.start()), show_bytes(*bounds.end()))
}

#[cfg(test)]
mod tests;
