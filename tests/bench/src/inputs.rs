//! The inputs of all benchmarks: the programs and components, clients, and figures.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use damper_core::manifest::Manifest;
use damper_plugins::component_file::ComponentFile;
use damper_plugins::grants::{Grants, Origin};
use damper_plugins::{HostOptions, Plugin, PluginHost};

/// The inputs of all benchmarks.
#[derive(Debug, Clone)]
pub(crate) struct Bench {
    pub(crate) components: PathBuf,
    pub(crate) demo_api: PathBuf,
}

impl Bench {
    /// A component of the components' folder, loaded and compiled, for so many fetches at a time.
    pub(crate) async fn plugin(
        &self,
        name: &str,
        in_flight: u32,
        origin: Option<&str>,
    ) -> anyhow::Result<(Manifest, Plugin)> {
        let path = self.components.join(format!("{name}.wasm"));
        let file = ComponentFile::read(&path).with_context(|| format!("{}: run `make components`", path.display()))?;
        let mut manifest = file.manifest.clone();
        manifest.limits.max_concurrency = NonZeroU32::new(in_flight + 1).context("more than none in flight")?;
        manifest.limits.fetch_timeout = Duration::from_secs(60);
        manifest.pace.start_batch = 10_000;
        let mut grants = Grants { hosts: manifest.egress.hosts.clone(), ..Grants::default() };
        if let Some(origin) = origin {
            grants.private = vec![origin.parse::<Origin>()?];
            grants.config.insert("base_url".to_owned(), origin.to_owned());
        }
        let host = PluginHost::new(HostOptions { max_in_flight: in_flight + 1, ..HostOptions::default() })?;
        let plugin = host.load(&file, manifest.clone(), grants)?;
        plugin.prepare().await.map_err(|failure| anyhow::anyhow!("{}: {failure}", path.display()))?;
        Ok((manifest, plugin))
    }
}

/// The bare client: set up like the plugins' own.
pub(crate) fn bare_client(in_flight: usize) -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().pool_max_idle_per_host(in_flight).tcp_nodelay(true).build()?)
}

/// The middle of some figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Whether a file is there; says what to do if not.
pub(crate) fn require_file(path: &Path) -> anyhow::Result<&Path> {
    anyhow::ensure!(path.exists(), "{} is missing: run `make bench`, which builds it", path.display());
    Ok(path)
}
