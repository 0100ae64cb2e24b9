//! Shared by the tests: the component, a host, plugins with their grants, and requests.

pub(crate) mod authority;
pub(crate) mod server;
pub(crate) mod vault;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use damper_core::fetcher::{FetchReport, FetchRequest, Fetcher, Permits};
use damper_core::manifest::{CredentialKind, Manifest};
use damper_core::record::{Failure, Fetched};
use damper_plugins::component_file::ComponentFile;
use damper_plugins::grants::{Grants, SecretBinding};
use damper_plugins::{Cache, CacheKey, HostOptions, Plugin, PluginHost, Resolver, TracedFetch};
use futures::future::BoxFuture;
use serde_json::Value;

/// Long enough for a busy machine; tests of timeouts set their own.
const TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) static HOSTILE: LazyLock<ComponentFile> = LazyLock::new(|| {
    let path = components().join("hostile.wasm");
    assert!(path.exists(), "{} is missing: run `make components`", path.display());
    ComponentFile::read(&path).unwrap()
});

/// One host for all tests but those about hosts. Its compiled code is cached for the next run.
pub(crate) static HOST: LazyLock<PluginHost> = LazyLock::new(|| {
    let cache = PathBuf::from(concat!(env!("CARGO_TARGET_TMPDIR"), "/damper-plugins"));
    PluginHost::new(options(Some(cache))).unwrap()
});

#[allow(clippy::disallowed_methods, reason = "where a test's components lie is said by the environment")]
pub(crate) fn components() -> PathBuf {
    let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/components"));
    std::env::var_os("DAMPER_TEST_COMPONENTS").map_or_else(default, PathBuf::from)
}

pub(crate) fn options(cache: Option<PathBuf>) -> HostOptions {
    let cache = cache.map(|folder| Cache { folder, key: CacheKey::new([7; 32]) });
    HostOptions { cache, max_in_flight: 64, resolver: Arc::new(Names), ..HostOptions::default() }
}

/// Every name ending in `.test` or `.invalid` is this machine.
struct Names;

impl Resolver for Names {
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let known = name.ends_with(".test") || name.ends_with(".invalid");
        let addresses =
            if known { Ok(vec![IpAddr::from([127, 0, 0, 1])]) } else { Err(io::ErrorKind::NotFound.into()) };
        Box::pin(async move { addresses })
    }
}

/// The manifest and the grants, which a test changes before it makes a plugin of the hostile component.
pub(crate) struct Setup {
    pub(crate) manifest: Manifest,
    pub(crate) grants: Grants,
}

impl Setup {
    /// The manifest's own hosts are granted, and these origins.
    pub(crate) fn new(private: &[&str]) -> Self {
        let manifest = HOSTILE.manifest.clone();
        let private = private.iter().map(|origin| origin.parse().unwrap()).collect();
        let grants = Grants { hosts: manifest.egress.hosts.clone(), private, ..Grants::default() };
        Self { manifest, grants }
    }

    /// Binds a secret to a credential, for these origins.
    pub(crate) fn secret(mut self, name: &str, secret: &str, hosts: &[&str]) -> Self {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        self.grants.secrets.insert(name.to_owned(), SecretBinding::constant(secret, hosts));
        self
    }

    /// Adds a credential to the manifest, and binds a secret to it.
    pub(crate) fn credential(mut self, name: &str, kind: CredentialKind, binding: SecretBinding) -> Self {
        self.manifest.credentials.insert(name.to_owned(), kind);
        self.grants.secrets.insert(name.to_owned(), binding);
        self
    }

    pub(crate) fn plugin(self) -> Plugin {
        self.plugin_of(&HOST)
    }

    pub(crate) fn plugin_of(self, host: &PluginHost) -> Plugin {
        host.load(&HOSTILE, self.manifest, self.grants).unwrap()
    }
}

pub(crate) fn request(id: &str, params: &[(&str, &str)]) -> FetchRequest {
    let params: BTreeMap<_, _> = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    FetchRequest {
        id: id.to_owned(),
        params,
        attempt: 1,
        day: "2026-01-01".parse().unwrap(),
        timeout: TIMEOUT,
        resume: None,
    }
}

pub(crate) fn request_with_timeout(id: &str, params: &[(&str, &str)], timeout: Duration) -> FetchRequest {
    FetchRequest { timeout, ..request(id, params) }
}

pub(crate) async fn report(plugin: &Plugin, request: FetchRequest) -> FetchReport {
    plugin.fetch(request, Permits::new(0)).await
}

pub(crate) async fn fetch(plugin: &Plugin, id: &str, params: &[(&str, &str)]) -> Result<Fetched, Failure> {
    report(plugin, request(id, params)).await.outcome
}

pub(crate) async fn fetch_traced(plugin: &Plugin, id: &str, params: &[(&str, &str)]) -> TracedFetch {
    plugin.fetch_traced(request(id, params), Permits::new(0)).await
}

/// The failure's message; the fetch has failed.
pub(crate) async fn failure(plugin: &Plugin, id: &str, params: &[(&str, &str)]) -> String {
    fetch(plugin, id, params).await.unwrap_err().message
}

/// The response as the component returns it.
pub(crate) async fn fetch_json(plugin: &Plugin, id: &str, params: &[(&str, &str)]) -> Value {
    serde_json::from_slice(&fetch(plugin, id, params).await.unwrap().body).unwrap()
}

pub(crate) async fn text(plugin: &Plugin, id: &str, params: &[(&str, &str)]) -> String {
    String::from_utf8(fetch(plugin, id, params).await.unwrap().body.to_vec()).unwrap()
}
