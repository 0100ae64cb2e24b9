//! `damper test` as an author uses it: record from an API, run, bless, and run again when something changes.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::local_setup::{target, text};

/// The text that must be in no file.
const SECRET: &str = "hunter2/+very=secret";
const COOKIE: &str = "session-4711-cookie";
const ACCOUNT: &str = "account-of-mr-smith";

/// A folder with the demo provider's damper.toml for an API at this origin.
struct Author {
    folder: tempfile::TempDir,
}

impl Author {
    fn of(origin: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        fs::write(&key, SECRET).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let text = format!(
            "[providers.demo]\nhosts = \"manifest\"\nprivate = [\"{origin}\"]\n[providers.demo.config]\nbase_url = \"{origin}\"\n\
             use_key = \"true\"\n[providers.demo.credentials.key]\nfile = \"key\"\nhosts = [\"{origin}\"]\n"
        );
        fs::write(folder.path().join("damper.toml"), text).unwrap();
        Self { folder }
    }

    fn damper(&self, arguments: &[&str]) -> Command {
        let component = target().join("components/demo.wasm");
        assert!(component.exists(), "{} is missing: run `make test`, which builds it first", component.display());
        let mut command = Command::new(target().join("debug/damper"));
        command.arg("test").arg(component).args(["--cases", "cases"]).args(arguments);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.damper(arguments).output().unwrap()
    }

    fn cases(&self) -> PathBuf {
        self.folder.path().join("cases")
    }
}

/// An API that repeats the caller's key in every place of an answer: it redirects once, answers one record, and fails
/// for the id `error`. It ends with the test.
fn repeating_api() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = answer(&mut stream.unwrap());
        }
    });
    origin
}

fn answer(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut path, mut key) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("x-api-key: ") {
            line.split_at(line.len() - value.len()).1.trim().clone_into(&mut key);
        }
        if path.is_empty() {
            line.split(' ').nth(1).unwrap_or_default().clone_into(&mut path);
        }
        if line == "\r\n" {
            break;
        }
    }
    let escaped = key.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
    let headers = format!(
        "set-cookie: sid={COOKIE}\r\nx-repeated: {key} {escaped}\r\nx-account: {ACCOUNT}\r\ncontent-type: application/json\r\n"
    );
    let (status, more) = match path.split_once('?') {
        _ if path.ends_with("/error") => ("500 Error", String::new()),
        None => ("302 Found", format!("location: {path}?key={escaped}\r\n")),
        Some(_) => ("200 OK", String::new()),
    };
    let json = key.replace('/', "\\/");
    let padding = "x".repeat(500);
    let body = format!(
        "{{\"key\": \"{key}\", \"json\": \"{json}\", \"url\": \"{escaped}\", \"for\": \"{ACCOUNT}\", \"p\": \"{padding}\"}}"
    );
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\n{headers}{more}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        (path, text)
    };
    fs::read_dir(folder).unwrap().map(read).collect()
}

#[test]
fn what_is_recorded_holds_no_secret_and_passes() {
    let author = Author::of(&repeating_api());
    let recorded = author.run(&["--record", "item-1", "error", "--redact", "X-Account"]);
    assert!(recorded.status.success(), "{}", text(&recorded));
    let files = files(&author.cases());
    assert!(files.len() >= 3, "two cases and a body: {files:?}");
    for (path, written) in files.iter().map(|(path, written)| (path.display(), written.to_lowercase())) {
        for form in [SECRET, COOKIE, ACCOUNT, "hunter2\\/+very=secret", "hunter2%2f%2bvery%3dsecret"] {
            assert!(!written.contains(&form.to_lowercase()), "{form} is in {path}:\n{written}");
        }
    }
    let junit = ["--json", "--junit", "report.xml"];
    let ran = author.run(&junit);
    assert!(ran.status.success(), "{}", text(&ran));
    let said = fs::read_to_string(author.folder.path().join("report.xml")).unwrap() + &text(&ran);
    assert!(!said.contains("hunter2") && said.contains("tests=\"2\" failures=\"0\""), "{said}");
    let again = author.run(&["--record", "item-1"]);
    assert_eq!(again.status.code(), Some(4), "{}", text(&again));
    assert!(text(&again).contains("the case already exists"));
}

const CASE: &str = r#"[request]
id = "1"
[[exchange]]
request = { url = "http://127.0.0.1:8085/records/1" }
response = { status = 200, json = { new = true } }
[expect.record]
json = { old = true }
"#;

#[test]
fn what_came_is_blessed_and_passes_from_then_on() {
    let author = Author::of("http://127.0.0.1:1");
    fs::create_dir(author.cases()).unwrap();
    fs::write(author.cases().join("a.toml"), CASE).unwrap();
    let failed = author.run(&[]);
    assert_eq!(failed.status.code(), Some(4), "{}", text(&failed));
    assert!(text(&failed).contains("\"old\": true"), "{}", text(&failed));
    let blessed = author.run(&["--bless"]);
    assert!(blessed.status.success(), "{}", text(&blessed));
    let passed = author.run(&[]);
    assert!(passed.status.success(), "{}", text(&passed));
}

#[test]
fn a_change_runs_the_cases_again() {
    let author = Author::of("http://127.0.0.1:1");
    fs::create_dir(author.cases()).unwrap();
    fs::write(author.cases().join("a.toml"), CASE).unwrap();
    let mut child = author.damper(&["--watch"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut waiting = || {
        let mut line = String::new();
        while !line.contains("waiting for a change") {
            line.clear();
            assert!(told.read_line(&mut line).unwrap() > 0, "it goes on until it is stopped");
        }
    };
    waiting();
    fs::write(author.cases().join("a.toml"), CASE.replace("old", "new")).unwrap();
    waiting();
    child.kill().unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    assert!(said.contains("1 case, 1 failed") && said.contains("1 case, all passed"), "{said}");
}
