//! Secrets are planted in every place from which one could leak; no output, trace or log contains any of them.

use std::io;
use std::sync::{Arc, Mutex};

use damper_core::manifest::{CredentialKind, TokenSettings};
use damper_plugins::grants::{ClientAuth, SecretBinding, TokenEndpoint};
use damper_plugins::{Plugin, TracedFetch};
use tracing_subscriber::fmt::MakeWriter;

use crate::common::authority::Authority;
use crate::common::server::{Server, redirect, reply};
use crate::common::{Setup, fetch_traced};

const KEY: &str = "k3y \"of\" the/house";
const LOGIN: &str = "user:pa55word+long";
const CLIENT: &str = "the-id:cl1ent/secret";
const TOKEN: &str = "t0ken.from-the_server";
const SIGNING: &str = "s1gning-key-of-some-length";

/// Parts of the secrets, in the spellings in which they were planted. None may be found anywhere.
const TRACES: [&str; 12] = [
    "k3y \"of\"",
    "k3y \\\"of",
    "k3y+%22of",
    "k3y%20%22of",
    "azN5ICJvZi",
    "pa55word",
    "dXNlcjpwYTU1d29yZ",
    "cl1ent",
    "dGhlLWlkOmNsMWVud",
    "t0ken.from",
    "dDBrZW4uZnJvbS",
    "s1gning",
];

/// Every spelling of every secret.
fn list_planted(key_line: &str) -> String {
    [
        KEY,
        "k3y \\\"of\\\" the/house",
        "k3y+%22of%22+the%2Fhouse",
        "k3y%20%22of%22%20the%2Fhouse",
        "azN5ICJvZiIgdGhlL2hvdXNl",
        LOGIN,
        "pa55word+long",
        "dXNlcjpwYTU1d29yZCtsb25n",
        CLIENT,
        "cl1ent%2Fsecret",
        "dGhlLWlkOmNsMWVudCUyRnNlY3JldA==",
        "dGhlLWlkOmNsMWVudC9zZWNyZXQ=",
        TOKEN,
        "dDBrZW4uZnJvbS10aGVfc2VydmVy",
        SIGNING,
        key_line,
    ]
    .join(" | ")
}

/// A writer that captures a log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

struct LeakSetup {
    plugin: Plugin,
    origin: String,
    key_line: String,
    _server: Server,
}

/// A provider with a credential of every kind, whose API repeats all secrets and all requests in its responses.
async fn start_setup() -> LeakSetup {
    let authority = Authority::new();
    let client = authority.client();
    let everything = list_planted(&client.key_line);
    // A header cannot hold a line's end, and this is one line.
    let shown = everything.clone();
    let server = Server::start(move |asked| match asked.path.split('?').next().unwrap() {
        "/token" => reply(
            200,
            &[("x-echo", &shown)],
            format!(r#"{{"access_token": "{TOKEN}", "token_type": "Bearer", "scope": "{CLIENT}"}}"#),
        ),
        "/refused-token" => reply(400, &[("x-echo", &shown)], format!(r#"{{"error": "cl1ent"}} {shown}"#)),
        "/away" => redirect(302, &format!("/landed?{}", shown.replace([' ', '|', '"', '\\'], "&"))),
        "/nowhere" => redirect(302, &format!("http://[{shown}")),
        "/denied" => redirect(302, &format!("https://{TOKEN}/")),
        _ => reply(401, &[("x-echo", &shown)], format!("{shown} {:?} {}", asked.headers, asked.path)),
    })
    .await;
    let origin = server.origin("api.test");
    let hosts = || vec![origin.clone()];
    let tokens = |path: &str| {
        let url = format!("{origin}{path}?for={TOKEN}").parse().unwrap();
        Some(TokenEndpoint { url, scopes: Vec::new(), client_auth: ClientAuth::Body, audience: None })
    };
    let client_binding = |path| SecretBinding { tokens: tokens(path), ..SecretBinding::constant(CLIENT, hosts()) };
    let mtls = SecretBinding::constant(client.pem.clone(), vec![origin.replace("http:", "https:")]);
    let plugin = Setup::new(&[&origin])
        .secret("key", KEY, &[&origin])
        .secret("login", LOGIN, &[&origin])
        .secret("signing", SIGNING, &[])
        .credential(
            "client",
            CredentialKind::Oauth2ClientCredentials(TokenSettings::default()),
            client_binding("/token"),
        )
        .credential(
            "refused",
            CredentialKind::Oauth2ClientCredentials(TokenSettings::default()),
            client_binding("/refused-token"),
        )
        .credential("certificate", CredentialKind::Mtls, mtls)
        .plugin();
    LeakSetup { plugin, origin, key_line: client.key_line, _server: server }
}

fn assert_clean(what: &str, written: &str, key_line: &str) {
    for trace in TRACES.iter().chain([&key_line]) {
        assert!(!written.contains(trace), "{what} holds {trace:?}: {written}");
    }
}

/// All texts of a fetch.
fn describe(fetch: &TracedFetch) -> String {
    let TracedFetch { report, requests, lines, .. } = fetch;
    let lines: Vec<String> = lines.iter().map(|line| serde_json::from_str(&line.json).unwrap()).collect();
    let requests: Vec<String> =
        requests.iter().map(|request| format!("{} {:?}", request.url, request.outcome)).collect();
    let outcome = match &report.outcome {
        Ok(record) => {
            let body: serde_json::Value = serde_json::from_slice(&record.body).unwrap_or_default();
            format!("{} {} {:?}", String::from_utf8_lossy(&record.body), body["body"], record.attributes)
        }
        Err(failure) => failure.to_string(),
    };
    format!("{outcome}\n{}\n{}", requests.join("\n"), lines.join("\n"))
}

#[tokio::test]
async fn no_secret_is_in_what_is_told_written_or_printed() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_max_level(tracing::Level::TRACE).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let LeakSetup { plugin, origin, key_line, _server } = start_setup().await;
    let everything = list_planted(&key_line);
    let url = |path: &str| format!("{origin}{path}?{TOKEN}");
    // The token is a known secret from its first fetch on.
    assert!(fetch_traced(&plugin, "get", &[("url", &origin), ("credential", "client")]).await.report.outcome.is_ok());
    let mut scrubbed = 0;
    for path in ["/", "/away", "/nowhere", "/denied"] {
        for credential in ["key", "login", "client", "refused"] {
            let params = [("url", url(path)), ("credential", credential.to_owned())];
            let params = params.each_ref().map(|(name, value)| (*name, value.as_str()));
            let fetch = fetch_traced(&plugin, "get", &params).await;
            let described = describe(&fetch);
            assert_clean(&format!("{path} with {credential}"), &described, &key_line);
            scrubbed += described.matches("[secret]").count();
        }
    }
    assert!(scrubbed > 100, "there was much to scrub: {scrubbed}");
    for (id, params) in [
        ("say", vec![("message", everything.as_str()), ("kind", everything.as_str())]),
        ("trap", vec![("message", everything.as_str())]),
        ("sign", vec![("credential", everything.as_str())]),
        ("get", vec![("url", everything.as_str())]),
        ("get", vec![("url", origin.as_str()), ("credential", everything.as_str())]),
        ("get", vec![("url", origin.as_str()), ("header-X-Nul\0", everything.as_str())]),
        (everything.as_str(), vec![]),
        ("cache", vec![("key", "k"), ("put", everything.as_str())]),
    ] {
        let fetch = fetch_traced(&plugin, id, &params).await;
        assert_clean(&format!("{id} {}", params.len()), &describe(&fetch), &key_line);
    }
    assert_clean("the plugin's debug output", &format!("{plugin:?}"), &key_line);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("[secret]"), "the log has something to scrub");
    let ours: Vec<&str> = log.lines().filter(|line| line.contains("damper")).collect();
    assert!(!ours.is_empty());
    assert_clean("the log", &ours.join("\n"), &key_line);
}
