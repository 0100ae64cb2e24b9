//! Keys with a daily quota, which two `damper run` and `damper fetch` beside them use: no key is used more often.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use damper_plugins::component_file::embed_manifest;

use crate::local_setup::{PATIENCE, require_built, target};

/// The keys and their quotas.
const KEYS: [(&str, usize); 2] = [("hunter2-one", 60), ("hunter2-two", 140)];

/// An API that counts requests by key.
struct CountingApi {
    origin: String,
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl CountingApi {
    /// Each connection has one request. The thread ends with the tests.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let counts = Arc::<Mutex<BTreeMap<String, usize>>>::default();
        let counted = Arc::clone(&counts);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let headers = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
                for (_, value) in headers.collect::<Vec<_>>().iter().filter_map(|line| line.split_once(": ")) {
                    if let Some(key) = value.strip_prefix("Bearer ") {
                        *counted.lock().unwrap().entry(key.to_owned()).or_default() += 1;
                    }
                }
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
                let _ = write!(&stream, "{head}content-length: 2\r\n\r\n{{}}");
            }
        });
        Self { origin, counts }
    }

    fn counts(&self) -> Vec<usize> {
        let counts = self.counts.lock().unwrap();
        KEYS.iter().map(|(key, _)| counts.get(*key).copied().unwrap_or_default()).collect()
    }

    fn wait_for(&self, is_seen: impl Fn(&[usize]) -> bool) {
        let begun = Instant::now();
        while !is_seen(&self.counts()) {
            assert!(begun.elapsed() < PATIENCE, "{:?}", self.counts());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A folder with a provider whose credential has these keys, each in a file of its own, and more items than requests.
fn set_up(folder: &Path, api: &CountingApi) {
    let component = std::fs::read(require_built(&target().join("components/hostile.wasm"))).unwrap();
    let manifest = "name = \"pool\"\nversion = \"0.1.0\"\negress.hosts = [\"api.invalid\"]\nidentity = [\"n\"]\n\
                    credentials.key.kind = \"bearer\"\nlimits.max_concurrency = 4\n";
    std::fs::write(folder.join("pool.wasm"), embed_manifest(&component, manifest).unwrap()).unwrap();
    let origin = &api.origin;
    let secrets = KEYS.map(|(key, quota)| format!("{{ file = \"secrets/{key}\", daily_quota = {quota} }}")).join(", ");
    // The files' names are not the keys.
    let secrets = secrets.replace("hunter2-", "");
    let settings = format!(
        "[providers.pool]\ncomponent = \"pool.wasm\"\nhosts = \"manifest\"\nprivate = [\"{origin}\"]\n\
         [providers.pool.credentials.key]\nsecrets = [{secrets}]\nhosts = [\"{origin}\"]\n"
    );
    std::fs::write(folder.join("damper.toml"), settings).unwrap();
    let items: String = (0..400).map(|number| format!("get,{origin},key,{number}\n")).collect();
    std::fs::write(folder.join("items.csv"), format!("id,url,credential,n\n{items}")).unwrap();
    std::fs::create_dir(folder.join("secrets")).unwrap();
    for (key, _) in KEYS {
        let path = folder.join("secrets").join(key.trim_start_matches("hunter2-"));
        std::fs::write(&path, key).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
}

fn damper(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(require_built(&target().join("debug/damper")));
    command.args(arguments).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn fetch(folder: &Path, api: &CountingApi, number: usize) -> (bool, String) {
    let (url, number) = (format!("url={}", api.origin), format!("n=fetch-{number}"));
    let arguments = ["fetch", "pool", "get", "--param", &url, "--param", "credential=key", "--param", &number];
    let output = damper(folder, &arguments).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn two_runs_and_fetches_beside_them_use_no_key_more_often_than_its_quota() {
    let (folder, api) = (tempfile::tempdir().unwrap(), CountingApi::start());
    let folder = folder.path();
    set_up(folder, &api);
    // Without a database, and counted all the same.
    let (is_fetched, said) = fetch(folder, &api, 0);
    assert!(is_fetched, "{said}");
    assert!(damper(folder, &["feed", "pool", "items.csv"]).status().unwrap().success());
    let runs = [(); 2].map(|()| damper(folder, &["run", "pool"]).spawn().unwrap());
    api.wait_for(|counts| counts.iter().sum::<usize>() >= 60);
    let (is_fetched, said) = fetch(folder, &api, 1);
    assert!(is_fetched, "{said}");
    // One dies with what it has reserved; the other goes on with the rest, and another comes.
    let [first, second] = runs;
    kill(first);
    let third = damper(folder, &["run", "pool"]).spawn().unwrap();
    // What a killed run had reserved, at most a fiftieth, counts as sent.
    api.wait_for(|counts| counts.iter().zip(KEYS).all(|(count, (_, quota))| *count + quota / 50 + 1 >= quota));
    let said = (2..8).map(|number| fetch(folder, &api, number)).find(|(is_fetched, _)| !is_fetched);
    let (_, said) = said.expect("a fetch without a key left");
    assert!(said.contains("throttled: the daily quotas of all keys of the credential \"key\" are spent"), "{said}");
    [second, third].into_iter().for_each(kill);
    let used = api.counts();
    assert!(used.iter().zip(KEYS).all(|(count, (_, quota))| *count <= quota), "{used:?}");
    let (is_fetched, again) = fetch(folder, &api, 9);
    assert!(!is_fetched && api.counts() == used, "{again}");
    for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file()) {
        let content = std::fs::read(&file).unwrap();
        assert!(!content.windows(7).any(|part| part == b"hunter2"), "{}", file.display());
    }
    assert!(!said.contains("hunter2") && !again.contains("hunter2"));
}
