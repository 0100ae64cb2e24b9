//! What a store holds for its one call, and the contract's functions that a guest may call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use damper_core::day::Day;
use tokio::time::Instant;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{ResourceLimiter, StoreContextMut};
use wasmtime_wasi::{WasiCtxView, WasiView};

use crate::bindings::damper::provider::{host, http, types};
use crate::call::Call;
use crate::component_file::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLES};
use crate::credentials::{self, Algorithm};
use crate::http_client::{HttpClient, NoKey, Response};
use crate::memo::Memo;
use crate::output::Level;
use crate::text::Scrubber;
use crate::wasi::{self, Wasi};

/// The most elements of a table; those of compiled languages hold their functions.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 100_000;
/// What the host keeps for an element of a table, at the most.
const TABLE_ELEMENT_BYTES: usize = 16;

/// The contract's interface for requests.
const HTTP: &str = "damper:provider/http@0.1.0";

/// What a provider's calls share on the host's side.
pub(crate) struct Shared {
    pub(crate) client: HttpClient,
    pub(crate) memo: Memo,
    /// The settings that the component may read.
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) scrubber: Arc<Scrubber>,
    /// Whether time and chance are those of a test.
    pub(crate) is_rehearsed: bool,
}

/// What a store holds.
pub(crate) struct State {
    pub(crate) shared: Arc<Shared>,
    pub(crate) call: Arc<Call>,
    pub(crate) memory_bytes: usize,
    /// What all memories and tables of the instance have together; an interpreted component has more than one.
    memory_in_use_bytes: usize,
    day: Day,
    wasi: Option<Box<Wasi>>,
}

impl State {
    pub(crate) fn new(shared: Arc<Shared>, call: Arc<Call>, memory_bytes: usize, day: Day) -> Self {
        Self { shared, call, memory_bytes, memory_in_use_bytes: 0, day, wasi: None }
    }
}

/// Everything that a provider may import.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasi::add_to_linker(linker)?;
    types::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    host::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    add_http(linker)
}

/// The contract's `http`, which the generated glue would give an answer of its own to lower; see [`Response`].
fn add_http(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut http = linker.instance(HTTP)?;
    http.func_wrap_async("send", |mut store: StoreContextMut<'_, State>, (request,): (http::Request,)| {
        Box::new(async move { Ok((store.data_mut().send(request).await,)) })
    })?;
    http.func_wrap_async("send-all", |mut store: StoreContextMut<'_, State>, (requests,): (Vec<http::Request>,)| {
        Box::new(async move { Ok((store.data_mut().send_all(requests).await,)) })
    })
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Self { wasi, call, shared, day, .. } = self;
        let fixed = shared.is_rehearsed.then_some(*day);
        wasi.get_or_insert_with(|| Box::new(Wasi::new(call, &shared.scrubber, fixed))).view()
    }
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(desired <= MAX_TABLE_ELEMENTS && self.grow(bytes))
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        MAX_TABLES as usize
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES as usize
    }
}

impl State {
    /// Whether the instance may have so much more. Growth that was granted and then failed for another reason stays counted: that errs on
    /// the safe side.
    fn grow(&mut self, bytes: usize) -> bool {
        let together = self.memory_in_use_bytes.saturating_add(bytes);
        let fits = together <= self.memory_bytes;
        if fits {
            self.memory_in_use_bytes = together;
            self.call.grew(bytes);
        } else {
            self.call.refuse_memory();
        }
        fits
    }
}

impl types::Host for State {}

impl State {
    async fn send(&mut self, request: http::Request) -> Result<Response, http::HttpError> {
        let _waiting = self.call.waiting();
        let (shared, call) = (Arc::clone(&self.shared), Arc::clone(&self.call));
        let sent = self.call.beside.run(async move { shared.client.send(&call, request).await }).await;
        sent.unwrap_or_else(|| Err(http::HttpError::Other("the call has ended".to_owned())))
    }

    async fn send_all(&mut self, requests: Vec<http::Request>) -> Vec<Result<Response, http::HttpError>> {
        let _waiting = self.call.waiting();
        let (shared, call) = (Arc::clone(&self.shared), Arc::clone(&self.call));
        let sent = self.call.beside.run(async move { shared.client.send_all(&call, requests).await }).await;
        sent.unwrap_or_default()
    }
}

impl host::Host for State {
    fn log(&mut self, level: host::Level, message: String) {
        let level = match level {
            host::Level::Debug => Level::Debug,
            host::Level::Info => Level::Info,
            host::Level::Warn => Level::Warn,
            host::Level::Error => Level::Error,
        };
        self.call.output.log(level, &message, &self.shared.scrubber);
    }

    fn config_get(&mut self, key: String) -> Option<String> {
        self.shared.config.get(&key).cloned()
    }

    async fn sign(
        &mut self,
        credential: String,
        algorithm: host::Algorithm,
        payload: Vec<u8>,
    ) -> Result<Vec<u8>, host::SignError> {
        let algorithm = match algorithm {
            host::Algorithm::HmacSha256 => Algorithm::HmacSha256,
            host::Algorithm::HmacSha512 => Algorithm::HmacSha512,
        };
        let key = match self.shared.client.key_at_hand(&self.call, &credential) {
            Ok(Some(key)) => Ok(key),
            Ok(None) => {
                let _waiting = self.call.waiting();
                let (shared, call, name) = (Arc::clone(&self.shared), Arc::clone(&self.call), credential.clone());
                let read = self.call.beside.run(async move { shared.client.key(&call, &name).await }).await;
                read.unwrap_or(Err(NoKey::NoSecret))
            }
            Err(why) => Err(why),
        };
        match key.map(|key| credentials::sign(&key, algorithm, &payload)) {
            Ok(Some(signature)) => Ok(signature),
            Ok(None) | Err(NoKey::NoSuchCredential) => Err(host::SignError::NoSuchCredential(credential)),
            Err(NoKey::NoSecret) => Err(host::SignError::NoSecret(credential)),
        }
    }

    fn cache_get(&mut self, key: String) -> Option<Vec<u8>> {
        self.shared.memo.get(&key, Instant::now())
    }

    fn cache_put(&mut self, key: String, value: Vec<u8>, ttl_ms: u64) {
        self.shared.memo.put(key, value, Duration::from_millis(ttl_ms), Instant::now());
    }
}
