//! The certificates of the authorities that TLS trusts: read from the system's one bundle.
//!
//! Left to themselves the libraries read that bundle and, one by one, the files of a folder that hold the same
//! certificates once more, each library for itself: six milliseconds of a cold start.

use std::path::Path;

/// Names the one bundle to read; what is set is left alone.
const BUNDLE: &str = "SSL_CERT_FILE";
/// Names a folder; an operator who sets it wants that folder.
const FOLDER: &str = "SSL_CERT_DIR";
/// The bundle's path on Amazon Linux and on Debian.
const BUNDLES: [&str; 2] = ["/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt"];

/// Has the one bundle read, if there is one and nothing else was said. To be called before anything else in the process
/// runs.
#[allow(unsafe_code, reason = "the libraries take the bundle's name from the environment alone")]
#[allow(clippy::disallowed_methods, reason = "what they read is looked at before it is set")]
pub(crate) fn read_one_bundle() {
    if std::env::var_os(BUNDLE).is_some() || std::env::var_os(FOLDER).is_some() {
        return;
    }
    if let Some(bundle) = BUNDLES.into_iter().find(|bundle| Path::new(bundle).is_file()) {
        // SAFETY: the process has one thread yet, so that nobody reads the environment meanwhile.
        unsafe { std::env::set_var(BUNDLE, bundle) };
    }
}
