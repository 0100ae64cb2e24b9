//! A store's data for its one call: the instance's limits and its use of memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use damper_core::day::Day;
use wasmtime::ResourceLimiterAsync;
use wasmtime_wasi::{WasiCtxView, WasiView};

use super::provider_cache::ProviderCache;
use super::wasi::Wasi;
use crate::call::GuestCall;
use crate::component_file::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLE_ELEMENTS, MAX_TABLES};
use crate::http_client::HttpClient;
use crate::memory::{BudgetShare, Overdraft};
use crate::redaction::Scrubber;

/// The most bytes that the host stores for an element of a table.
const TABLE_ELEMENT_BYTES: usize = 16;

/// The host's data that a provider's calls share.
pub(crate) struct SharedContext {
    pub(crate) client: HttpClient,
    pub(crate) cache: ProviderCache,
    /// The settings that the component may read.
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) scrubber: Arc<Scrubber>,
    /// Whether clocks and random numbers are those of a test environment.
    pub(crate) is_test: bool,
}

/// The data of a store.
pub(crate) struct StoreData {
    pub(crate) shared: Arc<SharedContext>,
    pub(crate) call: Arc<GuestCall>,
    /// The memory limit of the instance.
    memory_bytes: usize,
    /// The provider's share of the memory for guests.
    guest_memory: Arc<BudgetShare>,
    /// The right to exceed that memory budget.
    overdraft: Option<Overdraft>,
    /// The size of all memories and tables of the instance; an interpreted component has more than one.
    memory_in_use_bytes: usize,
    day: Day,
    wasi: Option<Box<Wasi>>,
}

impl StoreData {
    pub(crate) fn new(
        shared: Arc<SharedContext>,
        call: Arc<GuestCall>,
        memory_bytes: usize,
        guest_memory: Arc<BudgetShare>,
        day: Day,
    ) -> Self {
        Self { shared, call, memory_bytes, guest_memory, overdraft: None, memory_in_use_bytes: 0, day, wasi: None }
    }
}

impl WasiView for StoreData {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Self { wasi, call, shared, day, .. } = self;
        let fixed = shared.is_test.then_some(*day);
        wasi.get_or_insert_with(|| Box::new(Wasi::new(call, &shared.scrubber, fixed))).view()
    }
}

#[async_trait]
impl ResourceLimiterAsync for StoreData {
    async fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)).await)
    }

    async fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(desired <= MAX_TABLE_ELEMENTS && self.grow(bytes).await)
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

impl StoreData {
    /// Grants or refuses growth of the instance, and waits until the process has the memory. Growth that was granted
    /// and then failed for another reason stays counted, which is safe.
    async fn grow(&mut self, bytes: usize) -> bool {
        let together = self.memory_in_use_bytes.saturating_add(bytes);
        if together > self.memory_bytes {
            self.call.record_memory_refusal();
            return false;
        }
        if self.overdraft.is_some() {
            self.guest_memory.acquire_beyond_limit(bytes);
        } else if !self.guest_memory.try_acquire(bytes) {
            let _host_wait = self.call.start_waiting();
            self.overdraft = self.call.memory.acquire_or_wait(&self.guest_memory, bytes).await;
        }
        self.memory_in_use_bytes = together;
        self.call.record_memory_growth(bytes);
        true
    }
}

impl Drop for StoreData {
    fn drop(&mut self) {
        self.guest_memory.release(self.memory_in_use_bytes);
    }
}
