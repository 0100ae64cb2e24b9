//! The manifest: what a component's author asks for in `provider.toml`, checked, with defaults and units resolved.
//! A manifest asks and an operator grants; what the operator tightens is laid over it with [`Manifest::tighten`], and
//! [`Manifest::for_provider`] gives it the name of one of the component's providers.
//!
//! Unknown keys are errors, numbers have bounds, and an error names the field, its value, what is allowed, and the
//! line. This module reads no file and gives no secret.

pub mod reference;
pub mod units;

mod check;
mod error;
mod raw;
mod tables;
mod tighten;

pub use check::names::is_name;
pub use error::{ManifestError, Position};
pub use tables::{
    ClientAuth, CredentialKind, Egress, Limits, MAX_MANIFEST_BYTES, Manifest, OnLeaseExpiry, Pace, Retry, TokenSettings,
};
pub use tighten::{LimitsTightening, PaceTightening, RetryTightening, Tightening, WindowTightening};

impl Manifest {
    /// Reads the text of a `provider.toml`.
    ///
    /// # Errors
    /// If the text is no TOML, has a key that is not known or lacks one that is needed, or if a value is not allowed.
    /// The message names the field and what is allowed there; line and column count from 1.
    ///
    /// # Examples
    /// ```
    /// # use damper_core::manifest::Manifest;
    /// let text = "name = \"gleif\"\nversion = \"0.3.0\"\negress.hosts = [\"api.gleif.org\"]\n\
    ///             limits.max_concurrency = 0\n";
    /// assert_eq!(
    ///     Manifest::parse(text).unwrap_err().to_string(),
    ///     "limits.max_concurrency is 0: it must be a whole number from 1 to 1000 (line 4, column 26)"
    /// );
    /// ```
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        if text.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLong { bytes: text.len() });
        }
        let raw: raw::RawManifest = toml::from_str(text).map_err(|error| ManifestError::unreadable(text, &error))?;
        check::manifest(raw).map_err(|error| error.located_in(text))
    }

    /// The manifest of a provider of this name. The name is not checked.
    #[must_use]
    pub fn for_provider(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// Lays an operator's tightening over the manifest. For every limit that the author has written and for the window,
    /// the stricter of the two holds. A limit that the author leaves to its default, batch sizes, attempts and backoff
    /// are the operator's where they are given, and so are the window's time zone and start of the day where the author
    /// says neither.
    ///
    /// # Errors
    /// If a value of the operator is outside what a manifest may say, lists of spans are empty, or the operator names
    /// another time zone or start of the day than the author. Such an error has no position.
    pub fn tighten(self, tightening: &Tightening) -> Result<Self, ManifestError> {
        tighten::tighten(self, tightening)
    }
}

#[cfg(test)]
mod tests;
