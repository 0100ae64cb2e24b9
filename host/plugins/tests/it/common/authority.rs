//! A certificate authority for tests: servers with certificates of it, and clients that it vouches for.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PublicKeyData as _};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A client's certificate and its key.
pub(crate) struct Client {
    pub(crate) certificate: Vec<u8>,
    pub(crate) pem: String,
    /// The first line of the key, which is secret.
    pub(crate) key_line: String,
}

/// Whether a server asks for a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientCertificates {
    /// It requires one.
    Required,
    /// It accepts one, and connections without.
    Optional,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::of(KeyPair::generate().unwrap())
    }

    /// The authority of this key, in DER.
    pub(crate) fn with_key(der: &[u8]) -> Self {
        Self::of(KeyPair::try_from(der).unwrap())
    }

    fn of(key: KeyPair) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Each has a name of its own, since a certificate names its issuer by that.
        params.distinguished_name.push(DnType::CommonName, format!("{:?}", key.der_bytes()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Its key.
    pub(crate) fn key_der(&self) -> Vec<u8> {
        self.0.key().serialize_der()
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> String {
        pem("CERTIFICATE", self.0.der())
    }

    pub(crate) fn client(&self) -> Client {
        let (certificate, key) = self.issue("client.test");
        let key_pem = pem("PRIVATE KEY", &key.serialize_der());
        let key_line = key_pem.lines().nth(1).unwrap().to_owned();
        let pem = format!("{}{key_pem}", pem("CERTIFICATE", &certificate));
        Client { certificate: certificate.to_vec(), pem, key_line }
    }

    /// A server of this name, which takes the clients of `clients`.
    pub(crate) fn acceptor(&self, name: &str, clients: &Self, client_certificates: ClientCertificates) -> TlsAcceptor {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut roots = RootCertStore::empty();
        roots.add(clients.0.der().clone()).unwrap();
        let mut verifier = WebPkiClientVerifier::builder(roots.into());
        if client_certificates == ClientCertificates::Optional {
            verifier = verifier.allow_unauthenticated();
        }
        let (certificate, key) = self.issue(name);
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let config = ServerConfig::builder().with_client_cert_verifier(verifier.build().unwrap());
        TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate], key).unwrap()))
    }

    fn issue(&self, name: &str) -> (CertificateDer<'static>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().der().clone(), key)
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
