//! The engine: how components are compiled and where their instances live. Nothing here knows the contract.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::{
    Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, ModuleVersionStrategy, PoolingAllocationConfig,
};

use crate::component_file::hexadecimal;

/// How often a computing guest gives way to others.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// What decides how compiled code looks. It is a part of every cache key, whole; a field here is to be used in `config`.
#[derive(Debug, Clone)]
pub(crate) struct CodeSettings {
    /// The target triple. Always given, so that code never depends on the CPU of the machine that compiled it.
    target: &'static str,
    max_wasm_stack: usize,
    memory_reservation: u64,
    memory_guard_bytes: u64,
    /// Whether instructions are counted, which the code itself does: it is other code than production's.
    counts_instructions: bool,
}

impl CodeSettings {
    /// The settings for the machine's own architecture, without any of its CPU's extras.
    pub(crate) fn host() -> Option<Self> {
        let target = match (std::env::consts::ARCH, std::env::consts::OS) {
            ("x86_64", "linux") => "x86_64-unknown-linux-gnu",
            ("aarch64", "linux") => "aarch64-unknown-linux-gnu",
            ("x86_64", "macos") => "x86_64-apple-darwin",
            ("aarch64", "macos") => "aarch64-apple-darwin",
            _ => return None,
        };
        // All of a 32-bit memory is reserved, with a guard behind it, so that no access needs a check of its own.
        Some(Self {
            target,
            max_wasm_stack: 512 << 10,
            memory_reservation: 4 << 30,
            memory_guard_bytes: 32 << 20,
            counts_instructions: false,
        })
    }

    /// The same settings for code that counts its instructions.
    pub(crate) fn metered(self) -> Self {
        Self { counts_instructions: true, ..self }
    }

    /// Whether instructions are counted.
    pub(crate) fn counts_instructions(&self) -> bool {
        self.counts_instructions
    }

    /// What code compiled with these settings by this release of the engine is kept under, beside its component's digest.
    pub(crate) fn key(&self) -> String {
        let mut hasher = Sha256Hasher(Sha256::new());
        // The engine's full version: compiled code of another is never loaded.
        ModuleVersionStrategy::WasmtimeVersion.hash(&mut hasher);
        hasher.write(format!("{self:?}").as_bytes());
        hexadecimal(&hasher.0.finalize())
    }

    fn config(&self) -> wasmtime::Result<Config> {
        let mut config = Config::new();
        config
            .wasm_component_model(true)
            .concurrency_support(false)
            .epoch_interruption(true)
            .consume_fuel(self.counts_instructions)
            .wasm_backtrace_max_frames(None)
            .max_wasm_stack(self.max_wasm_stack)
            .async_stack_size(self.max_wasm_stack + HOST_STACK_BYTES)
            .memory_reservation(self.memory_reservation)
            .memory_guard_size(self.memory_guard_bytes)
            .target(self.target)?;
        Ok(config)
    }
}

/// What the host's own functions may use of a guest's stack. Compiled code does not depend on it.
const HOST_STACK_BYTES: usize = 512 << 10;
/// Memory, tables and stacks of an instance that stay with the pool when the instance ends, so that the next one touches
/// nothing for the first time.
const RESIDENT_MEMORY_BYTES: usize = 64 << 10;
const RESIDENT_TABLE_BYTES: usize = 16 << 10;
const RESIDENT_STACK_BYTES: usize = 32 << 10;
/// What a Rust component has: a module, the adapters around it, a table each for both, and one memory.
const CORE_INSTANCES: u32 = 8;
const TABLES: u32 = 2;
const MEMORIES: u32 = 1;

/// The engines: one whose instances come from a pool, and one without for what does not fit into it.
pub(crate) struct Engines {
    pub(crate) settings: CodeSettings,
    /// None where this machine has no room for the pool.
    pub(crate) pooled: Option<Engine>,
    pub(crate) on_demand: Engine,
}

impl Engines {
    /// Makes both engines. The pool has room for `instances` at a time.
    pub(crate) fn new(settings: CodeSettings, instances: u32) -> wasmtime::Result<Self> {
        let on_demand = Engine::new(&settings.config()?)?;
        let pooled = Engine::new(settings.config()?.allocation_strategy(pool(instances)));
        let pooled = pooled.inspect_err(|error| {
            tracing::warn!(%error, instances, "no room for a pool of instances; each is made on demand, which is slower");
        });
        let pooled = pooled.ok();
        start_ticker(pooled.iter().chain([&on_demand]))?;
        Ok(Self { settings, pooled, on_demand })
    }
}

/// One engine whose instances are made on demand, for what runs once.
#[cfg(feature = "compile")]
pub(crate) fn lone(settings: &CodeSettings) -> wasmtime::Result<Engine> {
    let engine = Engine::new(&settings.config()?)?;
    start_ticker(std::iter::once(&engine))?;
    Ok(engine)
}

/// Whether the kernel tells which pages a guest has touched, which halves the cost of an instance (Linux 6.7).
#[must_use]
pub fn tells_touched_pages() -> bool {
    PoolingAllocationConfig::is_pagemap_scan_available()
}

fn pool(instances: u32) -> InstanceAllocationStrategy {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
        .max_core_instances_per_component(CORE_INSTANCES)
        .total_memories(instances.saturating_mul(MEMORIES))
        .max_memories_per_component(MEMORIES)
        .total_tables(instances.saturating_mul(TABLES))
        .max_tables_per_component(TABLES)
        .total_stacks(instances)
        .max_unused_warm_slots(instances)
        .linear_memory_keep_resident(RESIDENT_MEMORY_BYTES)
        .table_keep_resident(RESIDENT_TABLE_BYTES)
        // Where the kernel can say which pages a guest has touched (Linux 6.7), only those are cleared: half of the cost.
        .pagemap_scan(Enabled::Auto)
        .async_stack_keep_resident(RESIDENT_STACK_BYTES);
    InstanceAllocationStrategy::Pooling(pool)
}

/// Starts the one thread that moves the engines' clock. It ends when they are gone.
fn start_ticker<'a>(engines: impl Iterator<Item = &'a Engine>) -> std::io::Result<()> {
    let engines: Vec<EngineWeak> = engines.map(Engine::weak).collect();
    let tick = move || {
        loop {
            std::thread::sleep(TICK);
            let mut alive = engines.iter().filter_map(EngineWeak::upgrade).peekable();
            if alive.peek().is_none() {
                return;
            }
            alive.for_each(|engine| engine.increment_epoch());
        }
    };
    std::thread::Builder::new().name("damper-ticker".to_owned()).spawn(tick).map(drop)
}

/// Feeds what hashes itself into SHA-256.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Not used: the digest is taken instead.
    fn finish(&self) -> u64 {
        0
    }
}
