//! OAuth 2.0 tokens of `damper run` and `damper fetch`, which are processes of their own: they share one, and the
//! database does not give it away.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use damper_plugins::component_file::embed_manifest;
use serde_json::json;

use crate::local_setup::{require_built, target};

/// A server that is token endpoint and API, and replaces the refresh token with each request.
struct TokenApi {
    origin: String,
    token_requests: Arc<AtomicUsize>,
    /// The bodies of requests for a token.
    bodies: Arc<Mutex<Vec<String>>>,
}

impl TokenApi {
    /// Each connection has one request. The thread ends with the tests.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let (token_requests, bodies) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (counted, held) = (Arc::clone(&token_requests), Arc::clone(&bodies));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let (path, body) = read_request(&stream);
                let answer = if path == "/token" {
                    held.lock().unwrap().push(body);
                    let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                    json!({ "access_token": format!("t0ken-{number}"), "token_type": "Bearer", "expires_in": 3600,
                        "refresh_token": format!("refresh-{}", number + 1) })
                } else {
                    json!({})
                };
                let answer = answer.to_string();
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
                let _ = write!(&stream, "{head}content-length: {}\r\n\r\n{answer}", answer.len());
            }
        });
        Self { origin, token_requests, bodies }
    }

    fn token_requests(&self) -> usize {
        self.token_requests.load(Ordering::SeqCst)
    }
}

fn read_request(stream: &TcpStream) -> (String, String) {
    let mut reader = BufReader::new(stream);
    let (mut line, mut path, mut length) = (String::new(), String::new(), 0);
    while reader.read_line(&mut line).unwrap() > 0 && line != "\r\n" {
        if path.is_empty() {
            path = line.split(' ').nth(1).unwrap().to_owned();
        }
        if let Some((_, value)) = line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (path, String::from_utf8(body).unwrap())
}

/// A folder with a provider whose credential is of this kind. Its secret is in the file `secret`.
fn set_up(folder: &Path, api: &TokenApi, kind: &str, secret: &str) {
    let component = std::fs::read(require_built(&target().join("components/hostile.wasm"))).unwrap();
    let manifest = format!(
        "name = \"tokens\"\nversion = \"0.1.0\"\negress.hosts = [\"api.invalid\"]\ncredentials.token.kind = \"{kind}\"\n"
    );
    std::fs::write(folder.join("tokens.wasm"), embed_manifest(&component, &manifest).unwrap()).unwrap();
    let origin = &api.origin;
    let settings = format!(
        "[providers.tokens]\ncomponent = \"tokens.wasm\"\nhosts = \"manifest\"\nprivate = [\"{origin}\"]\n\
         [providers.tokens.credentials.token]\nfile = \"secrets/secret\"\ntoken_url = \"{origin}/token\"\n\
         hosts = [\"{origin}\"]\n"
    );
    std::fs::write(folder.join("damper.toml"), settings).unwrap();
    std::fs::write(folder.join("items.csv"), format!("id,url,credential\nget,{origin},token\n")).unwrap();
    std::fs::create_dir(folder.join("secrets")).unwrap();
    let path = folder.join("secrets/secret");
    std::fs::write(&path, secret).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

fn damper(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(require_built(&target().join("debug/damper")));
    let output = command.args(arguments).current_dir(folder).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

/// Feeds and runs, and then fetches the same record; returns everything that was said.
fn run_and_fetch(folder: &Path, api: &TokenApi) -> String {
    let (url, credential) = (format!("url={}", api.origin), "credential=token");
    let fetch = ["fetch", "tokens", "get", "--param", &url, "--param", credential];
    let commands: [&[&str]; 4] = [&["feed", "tokens", "items.csv"], &["run", "tokens"], &fetch, &fetch];
    commands.iter().map(|arguments| damper(folder, arguments)).collect()
}

/// What the files of the database hold.
fn database_holds(folder: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let files =
        files.filter(|file| file.is_file() && file.file_name().unwrap().to_string_lossy().contains("damper.db"));
    let content: Vec<u8> = files.flat_map(|file| std::fs::read(file).unwrap()).collect();
    content.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn a_run_and_the_fetches_after_it_ask_for_one_token_together() {
    let (folder, api) = (tempfile::tempdir().unwrap(), TokenApi::start());
    set_up(folder.path(), &api, "oauth2-client-credentials", "the-id:hunter2");
    let said = run_and_fetch(folder.path(), &api);
    assert_eq!(api.token_requests(), 1, "{said}");
    assert!(database_holds(folder.path(), "tokens"), "the row is there");
    for secret in ["t0ken-1", "hunter2", "the-id"] {
        assert!(!database_holds(folder.path(), secret) && !said.contains(secret), "{secret}");
    }
}

#[test]
fn a_new_refresh_token_is_in_its_file_and_the_fetches_after_it_need_none() {
    let (folder, api) = (tempfile::tempdir().unwrap(), TokenApi::start());
    let secret = |token: &str| json!({ "client_id": "app", "refresh_token": token }).to_string();
    set_up(folder.path(), &api, "oauth2-refresh-token", &secret("refresh-1"));
    let said = run_and_fetch(folder.path(), &api);
    assert_eq!(api.token_requests(), 1, "{said}");
    assert!(api.bodies.lock().unwrap()[0].contains("refresh_token=refresh-1"));
    assert_eq!(std::fs::read_to_string(folder.path().join("secrets/secret")).unwrap(), secret("refresh-2"));
    for secret in ["t0ken-1", "refresh-1", "refresh-2"] {
        assert!(!database_holds(folder.path(), secret) && !said.contains(secret), "{secret}");
    }
}
