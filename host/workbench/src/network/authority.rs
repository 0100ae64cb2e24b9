//! A certificate authority for one run: its key lives in this process's memory and nowhere else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};

/// An authority that does not come about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no certificate for the test network: {0}")]
pub struct AuthorityError(String);

/// The authority, and the servers it speaks for.
pub(crate) struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    by_host: Mutex<HashMap<String, Arc<ServerConfig>>>,
}

impl Authority {
    /// A new authority.
    pub(crate) fn new() -> Result<Self, AuthorityError> {
        let key = KeyPair::generate().map_err(why)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "damper test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key).map_err(why)?.der().clone();
        Ok(Self { certificate, issuer: Issuer::new(params, key), by_host: Mutex::default() })
    }

    /// The authority's certificate, DER.
    pub(crate) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// What a server for this host needs: a name, or an address without brackets.
    pub(crate) fn server(&self, host: &str) -> Result<Arc<ServerConfig>, AuthorityError> {
        let mut known = self.by_host.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = known.get(host) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.make(host)?);
        known.insert(host.to_owned(), Arc::clone(&config));
        Ok(config)
    }

    fn make(&self, host: &str) -> Result<ServerConfig, AuthorityError> {
        let key = KeyPair::generate().map_err(why)?;
        let params = CertificateParams::new(vec![host.to_owned()]).map_err(why)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(why)?.der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(why)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_protocol_versions(&[&TLS13, &TLS12]).map_err(why)?.with_no_client_auth();
        let mut config = config.with_single_cert(vec![certificate], key).map_err(why)?;
        // HTTP/1.1 alone: faults are written to the wire as they are.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn why(error: impl std::fmt::Display) -> AuthorityError {
    AuthorityError(error.to_string())
}
