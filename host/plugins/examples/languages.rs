//! Measures what a fetch costs in each language: `languages gleif.wasm gleif-js.wasm gleif-python.wasm`, in release
//! mode. Each is the same provider, against an API on loopback that answers at once. Each is measured in a process of
//! its own, so that no memory of another counts, and prints a row of a table.

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use damper_core::fetcher::{FetchRequest, Fetcher, Permits};
use damper_plugins::component_file::ComponentFile;
use damper_plugins::grants::Grants;
use damper_plugins::{Cache, CacheKey, HostOptions, Plugin, PluginHost};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const LEI: &str = "506700GE1G29325QX363";
/// Its check digits are wrong, so that no request is sent: an instance, and a call into the guest.
const NO_LEI: &str = "506700GE1G29325QX364";
const RECORD: &str = include_str!("../../../providers/gleif/cases/fixtures/lei-record.json");
/// How long one kind of fetch is repeated, one after another.
const SPAN: Duration = Duration::from_secs(3);
const WARM_UP: u32 = 20;
/// How many wait for an answer at the same time while memory is looked at.
const IN_FLIGHT: u32 = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => Err("usage: languages COMPONENT.wasm...".into()),
        [only] => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            println!("{}", runtime.block_on(measure_component(only.as_ref()))?);
            Ok(())
        }
        several => {
            println!(
                "| provider | component | compiled | compile | first fetch | call alone | warm fetch | memory a fetch |"
            );
            println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
            for component in several {
                let ended = Command::new(std::env::current_exe()?).arg(component).status()?;
                if !ended.success() {
                    return Err(format!("{component} was not measured").into());
                }
            }
            Ok(())
        }
    }
}

/// Measures one component.
async fn measure_component(path: &Path) -> Result<String, Box<dyn Error>> {
    let file = ComponentFile::read(path)?;
    let cache = tempfile::tempdir()?;
    let api = Api::start().await?;
    let host = |in_flight| {
        let cache = Some(Cache { folder: cache.path().to_owned(), key: CacheKey::new([0; 32]) });
        PluginHost::new(HostOptions { max_in_flight: in_flight, cache, ..HostOptions::default() })
    };

    let started = Instant::now();
    api.plugin(&host(1)?, &file)?.prepare().await.map_err(|failure| failure.to_string())?;
    let compile = started.elapsed();
    let compiled: u64 =
        std::fs::read_dir(cache.path())?.flatten().filter_map(|entry| entry.metadata().ok()?.len().into()).sum();

    let second = host(IN_FLIGHT)?;
    let started = Instant::now();
    let plugin = Arc::new(api.plugin(&second, &file)?);
    fetch(&plugin, LEI).await?;
    let first = started.elapsed();

    let call = median_fetch_time(&plugin, NO_LEI).await?;
    let warm = median_fetch_time(&plugin, LEI).await?;
    let memory = measure_memory(&plugin, &api).await?;
    Ok(format!(
        "| {} | {} | {} | {} ms | {:.1} ms | {} us | {} us | {:.1} MiB |",
        file.manifest.name,
        size(file.bytes.len() as u64),
        size(compiled),
        compile.as_millis(),
        first.as_secs_f64() * 1e3,
        call.as_micros(),
        warm.as_micros(),
        memory as f64 / 1_048_576.0
    ))
}

/// The median time of a fetch, one after another. One that fails as it should is as good as a record.
async fn median_fetch_time(plugin: &Plugin, id: &str) -> Result<Duration, Box<dyn Error>> {
    for _ in 0..WARM_UP {
        fetch(plugin, id).await?;
    }
    let (started, mut times) = (Instant::now(), Vec::new());
    while started.elapsed() < SPAN {
        let one = Instant::now();
        fetch(plugin, id).await?;
        times.push(one.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

async fn fetch(plugin: &Plugin, id: &str) -> Result<(), Box<dyn Error>> {
    let request = FetchRequest {
        id: id.to_owned(),
        params: Default::default(),
        attempt: 1,
        day: "2026-01-01".parse()?,
        timeout: Duration::from_secs(60),
        resume: None,
    };
    match (plugin.fetch(request, Permits::new(0)).await.outcome, id) {
        (Ok(_), LEI) => Ok(()),
        (Err(failure), NO_LEI) if failure.message.contains("check digits") => Ok(()),
        (outcome, _) => Err(format!("an unexpected outcome for {id}: {outcome:?}").into()),
    }
}

/// Resident bytes of a fetch that waits for its answer.
async fn measure_memory(plugin: &Arc<Plugin>, api: &Api) -> Result<u64, Box<dyn Error>> {
    let before = resident_bytes()?;
    api.hold.send_replace(true);
    let mut arrived = api.waiting.subscribe();
    let running: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let plugin = Arc::clone(plugin);
            tokio::spawn(async move { fetch(&plugin, LEI).await.map_err(|error| error.to_string()) })
        })
        .collect();
    arrived.wait_for(|waiting| *waiting >= IN_FLIGHT).await?;
    let during = resident_bytes()?;
    api.hold.send_replace(false);
    for task in running {
        task.await??;
    }
    Ok(during.saturating_sub(before) / u64::from(IN_FLIGHT))
}

/// An API that has one record and answers at once, or while it is held not at all.
struct Api {
    origin: String,
    hold: watch::Sender<bool>,
    waiting: watch::Sender<u32>,
}

impl Api {
    async fn start() -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let (hold, held) = watch::channel(false);
        let waiting = watch::Sender::new(0_u32);
        let counter = waiting.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, held.clone(), counter.clone()));
            }
        });
        Ok(Self { origin, hold, waiting })
    }

    /// The provider, with this as its API and room for all that is to be in flight.
    fn plugin(&self, host: &PluginHost, file: &ComponentFile) -> Result<Plugin, Box<dyn Error>> {
        let mut manifest = file.manifest.clone();
        manifest.limits.max_concurrency = IN_FLIGHT.try_into()?;
        let config = [("base_url".to_owned(), self.origin.clone())].into();
        let grants = Grants { private: vec![self.origin.parse()?], config, ..Grants::default() };
        Ok(host.load(file, manifest, grants)?)
    }
}

async fn serve(mut stream: TcpStream, mut held: watch::Receiver<bool>, waiting: watch::Sender<u32>) {
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.api+json\r\ncontent-length: {}\r\n\r\n{RECORD}",
        RECORD.len()
    );
    let mut buffer = Vec::with_capacity(1024);
    while let Ok(1..) = stream.read_buf(&mut buffer).await {
        if !buffer.ends_with(b"\r\n\r\n") {
            continue;
        }
        buffer.clear();
        waiting.send_modify(|waiting| *waiting += u32::from(*held.borrow()));
        if held.wait_for(|held| !held).await.is_err() || stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn size(bytes: u64) -> String {
    if bytes < 1 << 20 { format!("{} KiB", bytes >> 10) } else { format!("{:.1} MiB", bytes as f64 / 1_048_576.0) }
}

fn resident_bytes() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
