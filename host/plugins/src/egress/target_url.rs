//! Reads the URL to which a request goes.

use url::Url;

/// The longest URL, in bytes.
const MAX_URL_BYTES: usize = 16 * 1024;

/// Reads a guest's URL: absolute, without user, password and fragment.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    if text.len() > MAX_URL_BYTES {
        return Err(format!("the URL has {} bytes, more than {MAX_URL_BYTES}", text.len()));
    }
    let url = Url::parse(text).map_err(|error| format!("the URL cannot be read: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the URL is neither http nor https".to_owned());
    }
    if has_user(&url) {
        return Err("the URL holds a user name or a password: use a credential".to_owned());
    }
    if url.fragment().is_some() {
        return Err("the URL holds a fragment".to_owned());
    }
    Ok(url)
}

/// Whether a URL holds a user name or a password.
pub(super) fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}
