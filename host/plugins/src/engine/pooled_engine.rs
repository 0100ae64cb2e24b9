//! Engines whose instances come from a pool, and the thread that interrupts computing guests. This module does not know
//! the contract.

use std::time::Duration;

use wasmtime::{Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::code_settings::CodeSettings;
use crate::component_file::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLE_ELEMENTS, MAX_TABLES};

/// How often a computing guest gives way to others.
const TICK: Duration = Duration::from_millis(10);
/// Memory, tables and stacks of an instance that stay with the pool when the instance ends, so that the next one
/// touches nothing for the first time.
const RESIDENT_MEMORY_BYTES: usize = 64 << 10;
const RESIDENT_TABLE_BYTES: usize = 16 << 10;
const RESIDENT_STACK_BYTES: usize = 32 << 10;

/// The limits of one instance of a pool.
#[derive(Debug, Clone, Copy)]
struct Shape {
    core_instances: u32,
    tables: u32,
    table_elements: usize,
    memories: u32,
}

/// Fits a Rust component: a module, the adapters around it, a table each for both, and one memory.
const NARROW: Shape = Shape { core_instances: 8, tables: 2, table_elements: 20_000, memories: 1 };
/// Fits interpreters (JavaScript has 9 core instances and 2 memories, Python 38 core instances), and every component
/// that is accepted. Such a pool reserves four times the address space for an instance, so it has room for fewer.
const WIDE: Shape = Shape {
    core_instances: MAX_CORE_INSTANCES,
    tables: MAX_TABLES,
    table_elements: MAX_TABLE_ELEMENTS,
    memories: MAX_MEMORIES,
};
/// The most instances of the wide pool at a time: 64 of them reserve a tebibyte of address space.
const MOST_WIDE: u32 = 64;

/// An engine whose instances come from a pool, so that none is larger than its place.
pub(super) struct PooledEngine {
    pub(super) engine: Engine,
    /// How many instances the pool has room for.
    pub(super) instances: u32,
}

impl PooledEngine {
    /// The engine for most components.
    pub(super) fn narrow(settings: &CodeSettings, instances: u32) -> wasmtime::Result<Self> {
        Self::new(settings, NARROW, instances)
    }

    /// The engine for larger components. It has room for as many instances as there is address space for.
    pub(super) fn wide(settings: &CodeSettings, instances: u32) -> wasmtime::Result<Self> {
        let mut instances = instances.clamp(1, MOST_WIDE);
        loop {
            match Self::new(settings, WIDE, instances) {
                Err(_) if instances > 1 => instances /= 2,
                made => return made,
            }
        }
    }

    fn new(settings: &CodeSettings, shape: Shape, instances: u32) -> wasmtime::Result<Self> {
        let engine = Engine::new(settings.config()?.allocation_strategy(pool(shape, instances)))?;
        start_ticker(&engine)?;
        Ok(Self { engine, instances })
    }
}

/// An engine whose instances are allocated on demand, for programs that run once.
#[cfg(feature = "compile")]
pub(crate) fn new_on_demand(settings: &CodeSettings) -> wasmtime::Result<Engine> {
    let engine = Engine::new(&settings.config()?)?;
    start_ticker(&engine)?;
    Ok(engine)
}

/// Whether the kernel reports the pages that a guest has touched, which halves the cost of an instance (Linux 6.7).
#[must_use]
pub fn has_pagemap_scan() -> bool {
    PoolingAllocationConfig::is_pagemap_scan_available()
}

fn pool(shape: Shape, instances: u32) -> InstanceAllocationStrategy {
    let Shape { core_instances, tables, table_elements, memories } = shape;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(core_instances))
        .max_core_instances_per_component(core_instances)
        .total_memories(instances.saturating_mul(memories))
        .max_memories_per_component(memories)
        .total_tables(instances.saturating_mul(tables))
        .max_tables_per_component(tables)
        .table_elements(table_elements)
        .total_stacks(instances)
        .max_unused_warm_slots(instances)
        .linear_memory_keep_resident(RESIDENT_MEMORY_BYTES)
        .table_keep_resident(RESIDENT_TABLE_BYTES)
        // If the kernel reports the pages that a guest has touched (Linux 6.7), only those are cleared: half of the
        // cost.
        .pagemap_scan(Enabled::Auto)
        .async_stack_keep_resident(RESIDENT_STACK_BYTES);
    InstanceAllocationStrategy::Pooling(pool)
}

/// Starts the thread that increments an engine's epoch. It ends when the engine is dropped.
fn start_ticker(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    let tick = move || {
        loop {
            std::thread::sleep(TICK);
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
        }
    };
    std::thread::Builder::new().name("damper-ticker".to_owned()).spawn(tick).map(drop)
}
