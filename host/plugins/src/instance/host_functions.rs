//! The contract's functions that a guest may call.
//!
//! They are written by hand, rather than generated, if the guest chooses how much it hands over: too much is refused
//! before it is copied out of the guest's memory.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::component::{HasSelf, Linker, WasmList, WasmStr};
use wasmtime::{StoreContextMut, bail};

use super::provider_cache::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use super::store_data::StoreData;
use super::wasi;
use crate::bindings::damper::provider::{host, http, types};
use crate::call::Level;
use crate::credentials::{self, Algorithm, SecretVersion};
use crate::http_client::{MAX_REQUESTS, SendResult, SigningKeyError};
use crate::memory::HEADER_BYTES;

/// The contract's interfaces.
const HTTP: &str = "damper:provider/http@0.1.0";
const HOST: &str = "damper:provider/host@0.1.0";
/// The most requests of a list that gets a result at all: with refusals, if it has more than [`MAX_REQUESTS`].
const MAX_ANSWERED: usize = 1_024;
/// The largest payload that is signed, in bytes.
const MAX_SIGNED_BYTES: usize = 1 << 20;
/// From so many bytes on, a payload is signed on a thread that may block.
const LARGE_PAYLOAD_BYTES: usize = 64 << 10;
/// The size of a request beside its texts and its body, in bytes.
const REQUEST_BYTES: usize = 512;

/// Adds everything that a provider may import.
pub(crate) fn add_to_linker(linker: &mut Linker<StoreData>) -> wasmtime::Result<()> {
    wasi::add_to_linker(linker)?;
    types::add_to_linker::<_, HasSelf<StoreData>>(linker, |state| state)?;
    add_http(linker)?;
    add_host(linker)
}

fn add_http(linker: &mut Linker<StoreData>) -> wasmtime::Result<()> {
    let mut http = linker.instance(HTTP)?;
    http.func_wrap_async("send", |mut store: StoreContextMut<'_, StoreData>, (request,): (http::Request,)| {
        Box::new(async move { Ok((send(store.data_mut(), request).await,)) })
    })?;
    http.func_wrap_async(
        "send-all",
        |mut store: StoreContextMut<'_, StoreData>, (requests,): (WasmList<http::Request>,)| {
            Box::new(async move { Ok((send_all(&mut store, requests).await?,)) })
        },
    )
}

fn add_host(linker: &mut Linker<StoreData>) -> wasmtime::Result<()> {
    let mut host = linker.instance(HOST)?;
    host.func_wrap("log", |store: StoreContextMut<'_, StoreData>, (level, message): (host::Level, WasmStr)| {
        log(&store, level, &message)
    })?;
    host.func_wrap("config-get", |store: StoreContextMut<'_, StoreData>, (key,): (String,)| {
        Ok((store.data().shared.config.get(&key).cloned(),))
    })?;
    host.func_wrap_async(
        "sign",
        |mut store: StoreContextMut<'_, StoreData>,
         (credential, algorithm, payload): (String, host::Algorithm, WasmList<u8>)| {
            Box::new(async move {
                let length = payload.len();
                if length > MAX_SIGNED_BYTES {
                    bail!("the payload to sign has {length} bytes, more than {MAX_SIGNED_BYTES}");
                }
                let payload = payload.as_le_slice(&store).to_vec();
                Ok((sign(store.data_mut(), credential, algorithm, payload).await,))
            })
        },
    )?;
    host.func_wrap("cache-get", |store: StoreContextMut<'_, StoreData>, (key,): (String,)| {
        Ok((store.data().shared.cache.get(&key, Instant::now()),))
    })?;
    host.func_wrap(
        "cache-put",
        |store: StoreContextMut<'_, StoreData>, (key, value, ttl_ms): (WasmStr, WasmList<u8>, u64)| {
            let key = key.to_str(&store)?;
            let cache = &store.data().shared.cache;
            if key.len() > MAX_KEY_BYTES || value.len() > MAX_VALUE_BYTES {
                cache.remove(&key);
                return Ok(());
            }
            let value = value.as_le_slice(&store).to_vec();
            cache.put(key.into_owned(), value, Duration::from_millis(ttl_ms), Instant::now());
            Ok(())
        },
    )?;
    host.func_wrap("cache-remove", |store: StoreContextMut<'_, StoreData>, (key,): (String,)| {
        store.data().shared.cache.remove(&key);
        Ok(())
    })
}

impl types::Host for StoreData {}

async fn send(state: &mut StoreData, request: http::Request) -> SendResult {
    let _host_wait = state.call.start_waiting();
    state.call.memory.release_in_transit();
    state.call.memory.reserve_in_transit(request_bytes(&request)).await?;
    let (shared, call) = (Arc::clone(&state.shared), Arc::clone(&state.call));
    let sent = state.call.driver.run(async move { shared.client.send(&call, request).await }).await;
    sent.unwrap_or_else(|| Err(http::HttpError::Other("the call has ended".to_owned())))
}

async fn send_all(
    store: &mut StoreContextMut<'_, StoreData>,
    requests: WasmList<http::Request>,
) -> wasmtime::Result<Vec<SendResult>> {
    let count = requests.len();
    let call = Arc::clone(&store.data().call);
    let refuse_all = |why: &http::HttpError| (0..count).map(|_| Err(why.clone())).collect();
    call.memory.release_in_transit();
    if count > MAX_ANSWERED {
        bail!("it sends {count} requests at once, and at most {MAX_REQUESTS} are allowed");
    }
    if count > MAX_REQUESTS {
        return Ok(refuse_all(&http::HttpError::Invalid(format!(
            "{count} requests at once, and at most {MAX_REQUESTS} are allowed"
        ))));
    }
    let _host_wait = call.start_waiting();
    // Copied out of the guest's memory one by one: several may point to the same bytes.
    let mut taken = Vec::with_capacity(count);
    for index in 0..count {
        let Some(request) = requests.get(&mut *store, index).transpose()? else { break };
        if let Err(over) = call.memory.reserve_in_transit(request_bytes(&request)).await {
            return Ok(refuse_all(&over.into()));
        }
        taken.push(request);
    }
    let (shared, its_call) = (Arc::clone(&store.data().shared), Arc::clone(&call));
    let sent = call.driver.run(async move { shared.client.send_all(&its_call, taken).await }).await;
    Ok(sent.unwrap_or_default())
}

/// The memory that a request takes, in bytes.
fn request_bytes(request: &http::Request) -> usize {
    let http::Request { method, url, headers, body, credentials, extras, .. } = request;
    let pairs = headers.iter().chain(extras).map(|(name, value)| name.len() + value.len() + HEADER_BYTES);
    let credentials = credentials.iter().map(|name| name.len() + HEADER_BYTES);
    let body = body.as_ref().map_or(0, Vec::len);
    REQUEST_BYTES + method.len() + url.len() + body + pairs.chain(credentials).sum::<usize>()
}

fn log(store: &StoreContextMut<'_, StoreData>, level: host::Level, message: &WasmStr) -> wasmtime::Result<()> {
    let StoreData { call, shared, .. } = store.data();
    if call.output.is_full() {
        return Ok(());
    }
    let level = match level {
        host::Level::Debug => Level::Debug,
        host::Level::Info => Level::Info,
        host::Level::Warn => Level::Warn,
        host::Level::Error => Level::Error,
    };
    call.output.log(level, &message.to_str(store)?, &shared.scrubber);
    Ok(())
}

async fn sign(
    state: &mut StoreData,
    credential: String,
    algorithm: host::Algorithm,
    payload: Vec<u8>,
) -> Result<Vec<u8>, host::SignError> {
    let algorithm = match algorithm {
        host::Algorithm::HmacSha256 => Algorithm::HmacSha256,
        host::Algorithm::HmacSha512 => Algorithm::HmacSha512,
    };
    let signature = match signing_key(state, &credential).await {
        Ok(key) if payload.len() < LARGE_PAYLOAD_BYTES => credentials::sign(&key, algorithm, &payload),
        Ok(key) => {
            let _host_wait = state.call.start_waiting();
            let sign = move || credentials::sign(&key, algorithm, &payload);
            let signed = state.call.driver.run(async move { tokio::task::spawn_blocking(sign).await }).await;
            signed.and_then(Result::ok).flatten()
        }
        Err(SigningKeyError::NoSuchCredential) => None,
        Err(SigningKeyError::NoSecret) => return Err(host::SignError::NoSecret(credential)),
    };
    signature.ok_or(host::SignError::NoSuchCredential(credential))
}

/// The key of a credential that signs, from the cache or read first.
async fn signing_key(state: &mut StoreData, credential: &str) -> Result<Arc<SecretVersion>, SigningKeyError> {
    if let Some(key) = state.shared.client.cached_key(&state.call, credential)? {
        return Ok(key);
    }
    let _host_wait = state.call.start_waiting();
    let (shared, call, name) = (Arc::clone(&state.shared), Arc::clone(&state.call), credential.to_owned());
    let read = state.call.driver.run(async move { shared.client.read_key(&call, &name).await }).await;
    read.unwrap_or(Err(SigningKeyError::NoSecret))
}
