//! Measures what a fetch costs: `measure hostile.wasm`, in release mode. Prints the time of a fetch without I/O, and
//! the resident memory of a fetch that waits for an answer.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use damper_core::fetcher::{FetchRequest, Fetcher, Permits};
use damper_plugins::component_file::ComponentFile;
use damper_plugins::grants::Grants;
use damper_plugins::{HostOptions, Plugin, PluginHost};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const IN_FLIGHT: u32 = 1_000;

fn request(id: &str, params: BTreeMap<String, String>) -> Result<FetchRequest, Box<dyn Error>> {
    Ok(FetchRequest {
        id: id.to_owned(),
        params,
        attempt: 1,
        day: "2026-01-01".parse()?,
        timeout: Duration::from_secs(60),
        resume: None,
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: measure hostile.wasm")?;
    let file = ComponentFile::read(path.as_ref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let host = PluginHost::new(HostOptions { max_in_flight: IN_FLIGHT, ..HostOptions::default() })?;
        let grants = Grants { private: vec![origin.parse()?], ..Grants::default() };
        let mut manifest = file.manifest.clone();
        manifest.limits.max_concurrency = IN_FLIGHT.try_into()?;
        let plugin = Arc::new(host.load(&file, manifest, grants)?);
        plugin.prepare().await.map_err(|failure| failure.to_string())?;
        measure_time(&plugin, 1).await?;
        measure_time(&plugin, 2).await?;
        measure_time(&plugin, 64).await?;
        measure_memory(&plugin, listener, &origin).await
    })
}

async fn measure_time(plugin: &Arc<Plugin>, tasks: usize) -> Result<(), Box<dyn Error>> {
    const FETCHES: usize = 40_000;
    let permits = Permits::new(0);
    let started = Instant::now();
    let mut running = Vec::new();
    for _ in 0..tasks {
        let (plugin, permits, request) = (Arc::clone(plugin), permits.clone(), request("ok", BTreeMap::new())?);
        running.push(tokio::spawn(async move {
            for _ in 0..FETCHES / tasks {
                assert!(plugin.fetch(request.clone(), permits.clone()).await.outcome.is_ok());
            }
        }));
    }
    for task in running {
        task.await?;
    }
    let each = started.elapsed() / u32::try_from(FETCHES)?;
    println!(
        "{tasks} tasks: {each:?} a fetch (wall time over all), {:?} of one task",
        each * u32::try_from(tasks.min(2))?
    );
    Ok(())
}

async fn measure_memory(plugin: &Arc<Plugin>, listener: TcpListener, origin: &str) -> Result<(), Box<dyn Error>> {
    let (release, released) = tokio::sync::watch::channel(false);
    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    // The server's own memory counts too: it is kept as small as can be.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut released, arrived) = (released.clone(), arrived.clone());
            tokio::spawn(async move {
                let mut buffer = [0; 512];
                let _ = stream.read(&mut buffer).await;
                let _ = arrived.send(());
                let _ = released.wait_for(|released| *released).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await;
            });
        }
    });
    let before = resident_bytes()?;
    let params = BTreeMap::from([("url".to_owned(), format!("{origin}/"))]);
    let mut running = Vec::new();
    for _ in 0..IN_FLIGHT {
        let (plugin, request) = (Arc::clone(plugin), request("get", params.clone())?);
        running.push(tokio::spawn(async move { plugin.fetch(request, Permits::new(0)).await.outcome.is_ok() }));
    }
    for _ in 0..IN_FLIGHT {
        arrivals.recv().await.ok_or("the server ended")?;
    }
    let during = resident_bytes()?;
    println!("{} KiB resident a fetch in flight, at {IN_FLIGHT}", (during - before) / 1024 / u64::from(IN_FLIGHT));
    release.send(true)?;
    for task in running {
        assert!(task.await?);
    }
    Ok(())
}

fn resident_bytes() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
