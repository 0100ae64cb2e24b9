//! Client certificates, against servers that ask for them.

use damper_core::manifest::CredentialKind;
use damper_core::record::FailureKind;
use damper_plugins::grants::SecretBinding;

use crate::common::authority::{Authority, ClientCertificates};
use crate::common::server::{Server, redirect, reply};
use crate::common::vault::Vault;
use crate::common::{HOST, HOSTILE, Setup, fetch, fetch_json};

fn binding(pem: &str, ca: &Authority, origin: &str) -> SecretBinding {
    SecretBinding { ca: Some(ca.pem()), ..SecretBinding::constant(pem, vec![origin.to_owned()]) }
}

fn https(server: &Server, name: &str) -> String {
    server.origin(name).replace("http://", "https://")
}

#[tokio::test]
async fn a_certificate_is_shown_where_it_is_named_and_nowhere_else() {
    let authority = Authority::new();
    let (ours, others) = (authority.client(), authority.client());
    let answer = |_: &_| reply(200, &[], "fine");
    let api = Server::start_tls(authority.acceptor("api.test", &authority, ClientCertificates::Required), answer).await;
    let other =
        Server::start_tls(authority.acceptor("other.test", &authority, ClientCertificates::Optional), answer).await;
    let (api_origin, other_origin) = (https(&api, "api.test"), https(&other, "other.test"));
    let plugin = Setup::new(&[&api_origin, &other_origin])
        .credential("certificate", CredentialKind::Mtls, binding(&ours.pem, &authority, &api_origin))
        .credential("second", CredentialKind::Mtls, binding(&others.pem, &authority, &other_origin))
        .plugin();
    for _ in 0..2 {
        assert_eq!(
            fetch_json(&plugin, "get", &[("url", &api_origin), ("credential", "certificate")]).await["body"],
            "fine"
        );
        assert_eq!(
            fetch_json(&plugin, "get", &[("url", &other_origin), ("credential", "second")]).await["body"],
            "fine"
        );
    }
    assert!(api.requests().iter().all(|asked| asked.certificate.as_ref() == Some(&ours.certificate)));
    assert!(other.requests().iter().all(|asked| asked.certificate.as_ref() == Some(&others.certificate)));
    let refused = fetch(&plugin, "get", &[("url", &other_origin), ("credential", "certificate")]).await.unwrap_err();
    assert!(refused.message.contains("may not be sent to https://other.test"), "{refused}");
    // Without the credential neither the certificate nor its authority is known.
    for origin in [&api_origin, &other_origin] {
        let failure = fetch(&plugin, "get", &[("url", origin)]).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable, "{failure}");
    }
    assert_eq!((api.requests().len(), other.requests().len()), (2, 2));
}

/// The plain client trusts the machine's authorities. This test is run once more in a process of its own whose machine trusts
/// the test's, so that the plain client gets as far as to show a certificate if it had one.
#[tokio::test]
async fn another_host_that_asks_for_a_certificate_gets_none() {
    #[allow(clippy::disallowed_methods, reason = "what the test's second process is given")]
    if std::env::var_os("SSL_CERT_FILE").is_none_or(|path| !path.to_string_lossy().contains("damper-test-roots")) {
        let authority = Authority::new();
        let folder = tempfile::Builder::new().prefix("damper-test-roots").tempdir().unwrap();
        let (roots, key) = (folder.path().join("roots.pem"), folder.path().join("key"));
        std::fs::write(&roots, authority.pem()).unwrap();
        std::fs::write(&key, authority.key_der()).unwrap();
        let name = "credentials::certificates::another_host_that_asks_for_a_certificate_gets_none";
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", name]).env("SSL_CERT_FILE", &roots).env_remove("SSL_CERT_DIR");
        let output = again.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    #[allow(clippy::disallowed_methods, reason = "what the test's second process is given")]
    let roots = std::path::PathBuf::from(std::env::var_os("SSL_CERT_FILE").unwrap());
    let authority = Authority::with_key(&std::fs::read(roots.with_file_name("key")).unwrap());
    std::fs::write(&roots, authority.pem()).unwrap();
    let client = authority.client();
    let other = Server::start_tls(authority.acceptor("other.test", &authority, ClientCertificates::Optional), |_| {
        reply(200, &[], "fine")
    })
    .await;
    let other_origin = https(&other, "other.test");
    let to = other_origin.clone();
    let acceptor = authority.acceptor("api.test", &authority, ClientCertificates::Optional);
    let api =
        Server::start_tls(
            acceptor,
            move |asked| {
                if asked.path == "/away" { redirect(307, &to) } else { reply(200, &[], "fine") }
            },
        )
        .await;
    let api_origin = https(&api, "api.test");
    let plugin = Setup::new(&[&api_origin, &other_origin])
        .credential("certificate", CredentialKind::Mtls, binding(&client.pem, &authority, &api_origin))
        .plugin();
    let away = format!("{api_origin}/away");
    assert_eq!(fetch_json(&plugin, "get", &[("url", &away), ("credential", "certificate")]).await["body"], "fine");
    assert_eq!(api.requests()[0].certificate, Some(client.certificate));
    assert_eq!(other.requests()[0].certificate, None, "a redirect takes no certificate along");
    // Nor does the same host get one from a request that does not name it.
    assert_eq!(fetch_json(&plugin, "get", &[("url", &api_origin)]).await["body"], "fine");
    assert_eq!(api.requests()[1].certificate, None);
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_believed() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let acceptor = stranger.acceptor("api.test", &authority, ClientCertificates::Required);
    let server = Server::start_tls(acceptor, |_| reply(200, &[], "fine")).await;
    let origin = https(&server, "api.test");
    let secret = binding(&authority.client().pem, &authority, &origin);
    let plugin = Setup::new(&[&origin]).credential("certificate", CredentialKind::Mtls, secret).plugin();
    let failure = fetch(&plugin, "get", &[("url", &origin), ("credential", "certificate")]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.message.contains("UnknownIssuer"), "{failure}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_certificate_that_a_server_no_longer_accepts_is_read_again() {
    let (authority, retired) = (Authority::new(), Authority::new());
    let server = Server::start_tls(authority.acceptor("api.test", &authority, ClientCertificates::Required), |asked| {
        reply(if asked.path == "/401" { 401 } else { 200 }, &[], "fine")
    })
    .await;
    let origin = https(&server, "api.test");
    let vault = Vault::holding(&retired.client().pem);
    let secret = SecretBinding { ca: Some(authority.pem()), ..vault.binding(&[&origin]) };
    let plugin = Setup::new(&[&origin]).credential("certificate", CredentialKind::Mtls, secret).plugin();
    let params = [("url", origin.as_str()), ("credential", "certificate")];
    assert_eq!(fetch(&plugin, "get", &params).await.unwrap_err().kind, FailureKind::Unavailable);
    assert_eq!(vault.reads(), 2, "it was refused, and there is no other yet");
    super::pass(std::time::Duration::from_secs(61)).await;
    let client = authority.client();
    vault.put(&client.pem);
    assert_eq!(fetch_json(&plugin, "get", &params).await["body"], "fine");
    assert_eq!((vault.reads(), server.requests()[0].certificate.clone()), (3, Some(client.certificate)));
}

#[test]
fn a_certificate_that_cannot_work_is_refused_at_once() {
    let authority = Authority::new();
    let (one, two) = (authority.client(), authority.client());
    let part = |pem: &str, label: &str| {
        let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----\n"));
        pem[pem.find(&begin).unwrap()..pem.find(&end).unwrap() + end.len()].to_owned()
    };
    let certificate = part(&one.pem, "CERTIFICATE");
    let mixed = format!("{certificate}{}", part(&two.pem, "PRIVATE KEY"));
    for (pem, why) in [
        (part(&one.pem, "PRIVATE KEY"), "holds no certificate"),
        (certificate, "holds no key without a password"),
        (mixed, "holds a key that is not the certificate's"),
        (one.pem.replace("CERTIFICATE-----\nM", "CERTIFICATE-----\n!"), "is not PEM"),
    ] {
        let origin = "https://api.test";
        let setup = Setup::new(&[]).credential("certificate", CredentialKind::Mtls, binding(&pem, &authority, origin));
        let error = HOST.load(&HOSTILE, setup.manifest, setup.grants).unwrap_err().to_string();
        assert!(error.contains(why), "{why}: {error}");
        assert!(!error.contains(&one.key_line) && !error.contains(&two.key_line), "{error}");
    }
}
