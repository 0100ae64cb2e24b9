//! A certificate authority for one run: its key lives in this process's memory and nowhere else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};

/// An authority that cannot be created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the certificate of the test network cannot be created: {0}")]
pub struct AuthorityError(String);

/// The authority, and the TLS configurations of its servers.
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

    /// The TLS configuration of a server for this host: a name, or an address without brackets.
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
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let config = config.with_protocol_versions(&[&TLS13, &TLS12]).map_err(why)?;
        let config = config.with_client_cert_verifier(Arc::new(AnyClient(provider)));
        let mut config = config.with_single_cert(vec![certificate], key).map_err(why)?;
        // HTTP/1.1 alone: faults are written to the wire as they are.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Lets a client show a certificate, whichever it is, or none. Which it is, is looked at with the request.
#[derive(Debug)]
struct AnyClient(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A client's certificate and its key, as the PEM that a credential of kind `mtls` is.
pub(crate) fn client_certificate(name: &str) -> Result<String, AuthorityError> {
    let key = KeyPair::generate().map_err(why)?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.self_signed(&key).map_err(why)?;
    Ok(pem("CERTIFICATE", certificate.der()) + &pem("PRIVATE KEY", &key.serialize_der()))
}

/// A secret of kind `jwt-bearer` for a credential: an issuer and a key to sign with.
pub(crate) fn assertion_key(name: &str) -> Result<String, AuthorityError> {
    let key = KeyPair::generate().map_err(why)?;
    let private_key = pem("PRIVATE KEY", &key.serialize_der());
    Ok(serde_json::json!({ "issuer": format!("case-issuer-{name}"), "private_key": private_key }).to_string())
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn why(error: impl std::fmt::Display) -> AuthorityError {
    AuthorityError(error.to_string())
}
