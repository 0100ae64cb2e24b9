//! Why there was no whole answer.

use std::fmt;

use crate::{Failure, FailureKind};

/// Why there was no whole answer. A 404 or a 500 is an answer: see [`Response::ok`](super::Response::ok).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A value that a URL's path cannot carry: empty, or of dots alone. Nothing was sent.
    BadValue {
        /// The placeholder's name.
        name: String,
        /// The problem with the value.
        reason: &'static str,
    },
    /// The request is not one: a bad URL, method or header, a credential that provider.toml does not name.
    Invalid(String),
    /// The egress policy refuses the request, or a hop of its redirects.
    Denied(String),
    /// No connection: unknown host, refused, TLS failure.
    Unreachable(String),
    /// The connection broke before the answer was whole, or the answer is not HTTP.
    Broken(String),
    /// No whole answer in time.
    TimedOut,
    /// The answer is larger than provider.toml allows.
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// More than ten redirects, or one without a readable target.
    Redirects(String),
    /// Anything else, named by the host.
    Other(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::BadValue { name, reason } => {
                write!(f, "the value of `{name}` cannot be part of a URL: {reason}")
            }
            Error::Invalid(reason) => write!(f, "not a valid request: {reason}"),
            Error::Denied(reason) => write!(f, "refused by the egress policy: {reason}"),
            Error::Unreachable(reason) => write!(f, "no connection: {reason}"),
            Error::Broken(reason) => write!(f, "the connection broke: {reason}"),
            Error::TimedOut => f.write_str("no whole answer in time"),
            Error::TooLarge { limit_bytes } => {
                write!(f, "the answer is larger than the limit of {limit_bytes} bytes")
            }
            Error::Redirects(reason) => write!(f, "redirects that lead nowhere: {reason}"),
            Error::Other(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Error {}

/// As in the table at the [crate's top](crate).
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::BadValue { .. } => FailureKind::Rejected,
            // Both are mistakes of the provider or its manifest. Not `rejected`: that would make a dead letter of every
            // item at once, while after a mend they may all succeed.
            Error::Invalid(_) => FailureKind::Other("invalid-request".to_owned()),
            Error::Denied(_) => FailureKind::Other("denied".to_owned()),
            Error::Unreachable(_) | Error::Broken(_) => FailureKind::Unavailable,
            Error::TimedOut => FailureKind::TimedOut,
            Error::TooLarge { .. } | Error::Redirects(_) => FailureKind::Malformed,
            Error::Other(_) => FailureKind::Other("http".to_owned()),
        };
        Failure::new(kind, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_becomes_the_documented_failure() {
        let other = |name: &str| FailureKind::Other(name.to_owned());
        let text = || "x".to_owned();
        for (error, kind) in [
            (Error::BadValue { name: text(), reason: "x" }, FailureKind::Rejected),
            (Error::Invalid(text()), other("invalid-request")),
            (Error::Denied(text()), other("denied")),
            (Error::Unreachable(text()), FailureKind::Unavailable),
            (Error::Broken(text()), FailureKind::Unavailable),
            (Error::TimedOut, FailureKind::TimedOut),
            (Error::TooLarge { limit_bytes: 1 }, FailureKind::Malformed),
            (Error::Redirects(text()), FailureKind::Malformed),
            (Error::Other(text()), other("http")),
        ] {
            assert_eq!(Failure::from(error).kind, kind);
        }
    }
}
