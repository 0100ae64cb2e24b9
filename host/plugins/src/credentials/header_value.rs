//! The value of a header that carries a secret.

use http::header::HeaderValue;

/// A header's value that is hidden in debug output.
pub(super) fn header_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
