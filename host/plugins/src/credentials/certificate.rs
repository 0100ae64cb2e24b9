//! A client certificate with its key, and the certificates that are trusted where it is shown.

use std::fmt;

use reqwest::{Certificate, Identity};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::http_client::Clients;

/// From so many characters on, a line of a key is secret by itself.
const MIN_LINE: usize = 16;

/// A certificate to show, with the HTTP clients that show it: nothing else is ever sent through them.
pub(crate) struct ClientCertificate {
    pub(crate) identity: Identity,
    /// The certificates that are trusted instead of the public authorities, if any.
    pub(crate) ca: Option<Vec<Certificate>>,
    pub(crate) clients: Clients,
}

impl ClientCertificate {
    /// Reads a chain and its key, else says what is wrong with them, as the end of a sentence.
    pub(super) fn read(pem: &str, ca: Option<&str>) -> Result<Self, &'static str> {
        let no_pem = "is not PEM with a certificate chain and its key";
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|_| no_pem)?;
        if chain.is_empty() {
            return Err("holds no certificate: it must be PEM with a certificate chain and its key");
        }
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| "holds no key without a password: it must be PEM with a certificate chain and its key")?;
        // Checks that the two belong together. A server's error would not say so.
        CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())
            .map_err(|_| "holds a key that is not the certificate's, or of a kind that is not supported")?;
        let identity = Identity::from_pem(pem.as_bytes()).map_err(|_| no_pem)?;
        let ca = ca.map(read_ca).transpose()?;
        Ok(Self { identity, ca, clients: Clients::default() })
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(...)")
    }
}

/// Whether a text holds certificates to trust; else what is wrong with it, as the end of a sentence.
pub(crate) fn check_ca(pem: &str) -> Result<(), &'static str> {
    read_ca(pem).map(drop)
}

fn read_ca(pem: &str) -> Result<Vec<Certificate>, &'static str> {
    let wrong = "is not PEM with certificates";
    let certificates = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|_| wrong)?;
    // Read once more as what it will be to TLS, which the line above does not.
    let anchors: Vec<_> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|_| wrong)?;
    let mut roots = rustls::RootCertStore::empty();
    let (_, ignored) = roots.add_parsable_certificates(anchors);
    if certificates.is_empty() || ignored > 0 { Err(wrong) } else { Ok(certificates) }
}

/// The texts of a chain with its key that must not be written: the key, line by line, so that the lines are found in any arrangement.
/// Certificates are no secret.
pub(super) fn spellings(pem: &str) -> Vec<String> {
    let mut in_key = false;
    let mut lines = Vec::new();
    for line in pem.lines().map(str::trim) {
        if line.starts_with("-----BEGIN ") {
            in_key = line.contains("PRIVATE KEY");
        } else if line.starts_with("-----END ") {
            in_key = false;
        } else if in_key && line.len() >= MIN_LINE {
            lines.extend(super::form::spellings(line));
        }
    }
    lines
}
