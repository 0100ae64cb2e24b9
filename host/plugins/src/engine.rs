//! The engine: the settings of compiled code, and the pools of instances. This module does not know the contract.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, ModuleVersionStrategy, PoolingAllocationConfig};

use crate::component_file::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLES, hexadecimal};
use crate::store_data::MAX_TABLE_ELEMENTS;

/// How often a computing guest gives way to others.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// A processor's architecture, with Linux on it, for which components are compiled ahead of time. Code is compiled for the
/// architecture's baseline alone (x86-64 with SSE2, Armv8.0-A), so that it runs on whichever machine it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Architecture {
    /// `x86_64`.
    X86_64,
    /// `aarch64`, which AWS calls `arm64`.
    Aarch64,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The name as Rust's target triples have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

/// Behind the name of settings that count instructions.
#[cfg(feature = "compile")]
const METERED: &str = "+metered";

/// The settings on which compiled code depends. All of them are part of every cache key; use each field in `config`.
#[derive(Debug, Clone)]
pub(crate) struct CodeSettings {
    /// The target triple. Always given, so that code never depends on the CPU of the machine that compiled it.
    target: &'static str,
    max_wasm_stack: usize,
    memory_reservation: u64,
    memory_guard_bytes: u64,
    /// Whether instructions are allowed whose results differ from one CPU to another.
    relaxed_simd: bool,
    /// Whether instructions are counted, which the code itself does: it is other code than production's.
    counts_instructions: bool,
}

impl CodeSettings {
    /// The settings for the machine's own architecture, without extensions of its CPU.
    pub(crate) fn host() -> Option<Self> {
        let target = match (std::env::consts::ARCH, std::env::consts::OS) {
            ("x86_64", "linux") => return Some(Self::linux(Architecture::X86_64)),
            ("aarch64", "linux") => return Some(Self::linux(Architecture::Aarch64)),
            ("x86_64", "macos") => "x86_64-apple-darwin",
            ("aarch64", "macos") => "aarch64-apple-darwin",
            _ => return None,
        };
        Some(Self::new(target))
    }

    /// The settings for Linux on an architecture, which may be another than this machine's.
    pub(crate) fn linux(architecture: Architecture) -> Self {
        Self::new(match architecture {
            Architecture::X86_64 => "x86_64-unknown-linux-gnu",
            Architecture::Aarch64 => "aarch64-unknown-linux-gnu",
        })
    }

    fn new(target: &'static str) -> Self {
        // All of a 32-bit memory is reserved, with a guard behind it, so that no access needs a check of its own.
        Self {
            target,
            max_wasm_stack: 512 << 10,
            memory_reservation: 4 << 30,
            memory_guard_bytes: 32 << 20,
            relaxed_simd: false,
            counts_instructions: false,
        }
    }

    /// The architecture that code is compiled for, as a target triple names it.
    pub(crate) fn architecture(&self) -> &'static str {
        self.target.split('-').next().unwrap_or(self.target)
    }

    /// The same settings for code that counts its instructions.
    pub(crate) fn with_metering(self) -> Self {
        Self { counts_instructions: true, ..self }
    }

    /// Whether instructions are counted.
    pub(crate) fn counts_instructions(&self) -> bool {
        self.counts_instructions
    }

    /// The cache key of code that this release of the engine compiles with these settings, to be combined with the component's digest.
    pub(crate) fn key(&self) -> String {
        let mut hasher = Sha256Hasher(Sha256::new());
        // The engine's full version: compiled code of another is never loaded.
        ModuleVersionStrategy::WasmtimeVersion.hash(&mut hasher);
        hasher.write(format!("{self:?}").as_bytes());
        hexadecimal(&hasher.0.finalize())
    }

    /// A name under which [`CodeSettings::from_name`] finds the same settings.
    #[cfg(feature = "compile")]
    pub(crate) fn name(&self) -> String {
        format!("{}{}", self.target, if self.counts_instructions { METERED } else { "" })
    }

    /// The settings of this name.
    #[cfg(feature = "compile")]
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        const TARGETS: [&str; 4] =
            ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "x86_64-apple-darwin", "aarch64-apple-darwin"];
        let (target, is_metered) = name.strip_suffix(METERED).map_or((name, false), |target| (target, true));
        let settings = Self::new(TARGETS.into_iter().find(|known| *known == target)?);
        Some(if is_metered { settings.with_metering() } else { settings })
    }

    /// Compiles a component with these settings, for whichever machine they are.
    #[cfg(feature = "compile")]
    pub(crate) fn compile(&self, component: &[u8]) -> wasmtime::Result<Vec<u8>> {
        Engine::new(&self.config()?)?.precompile_component(component)
    }

    fn config(&self) -> wasmtime::Result<Config> {
        let mut config = Config::new();
        config
            .wasm_component_model(true)
            .concurrency_support(false)
            .epoch_interruption(true)
            .wasm_relaxed_simd(self.relaxed_simd)
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

/// The part of a guest's stack that the host's own functions may use. Compiled code does not depend on it.
const HOST_STACK_BYTES: usize = 512 << 10;
/// Memory, tables and stacks of an instance that stay with the pool when the instance ends, so that the next one touches
/// nothing for the first time.
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
/// Fits interpreters (JavaScript has 9 core instances and 2 memories, Python 38 core instances), and every component that is accepted. Such
/// a pool reserves four times the address space for an instance, so it has room for fewer.
const WIDE: Shape = Shape {
    core_instances: MAX_CORE_INSTANCES,
    tables: MAX_TABLES,
    table_elements: MAX_TABLE_ELEMENTS,
    memories: MAX_MEMORIES,
};
/// The most instances of the wide pool at a time: 64 of them reserve a tebibyte of address space.
const MOST_WIDE: u32 = 64;

/// An engine whose instances come from a pool, so that none is larger than its place.
pub(crate) struct PooledEngine {
    pub(crate) engine: Engine,
    /// How many instances the pool has room for.
    pub(crate) instances: u32,
}

impl PooledEngine {
    /// The engine for most components.
    pub(crate) fn narrow(settings: &CodeSettings, instances: u32) -> wasmtime::Result<Self> {
        Self::new(settings, NARROW, instances)
    }

    /// The engine for larger components. It has room for as many instances as there is address space for.
    pub(crate) fn wide(settings: &CodeSettings, instances: u32) -> wasmtime::Result<Self> {
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
        // If the kernel reports the pages that a guest has touched (Linux 6.7), only those are cleared: half of the cost.
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

/// The engine's name and full version.
pub(crate) fn version() -> String {
    let mut input = HashInput(Vec::new());
    // The engine hashes the text of its version, followed by the byte that ends every text.
    ModuleVersionStrategy::WasmtimeVersion.hash(&mut input);
    format!("wasmtime {}", String::from_utf8_lossy(&input.0).trim_end_matches(char::REPLACEMENT_CHARACTER))
}

/// Collects the bytes of a hash's input.
struct HashInput(Vec<u8>);

impl Hasher for HashInput {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Not used: the bytes are taken instead.
    fn finish(&self) -> u64 {
        0
    }
}

/// Feeds a hash's input into SHA-256.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_names_its_full_version() {
        let version = version();
        let numbers = version.strip_prefix("wasmtime ").unwrap();
        assert!(semver::Version::parse(numbers).is_ok(), "{version:?}");
    }

    #[cfg(feature = "compile")]
    #[test]
    fn instructions_whose_results_depend_on_the_cpu_do_not_compile() {
        use wasm_encoder::{
            CodeSection, Component, Function, FunctionSection, Instruction, Module, ModuleSection, TypeSection, ValType,
        };
        let component = |instruction: Instruction<'_>| {
            let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
            types.ty().function([ValType::V128, ValType::V128], [ValType::V128]);
            functions.function(0);
            let mut function = Function::new([]);
            for instruction in [Instruction::LocalGet(0), Instruction::LocalGet(1), instruction, Instruction::End] {
                function.instruction(&instruction);
            }
            code.function(&function);
            let (mut module, mut component) = (Module::new(), Component::new());
            module.section(&types).section(&functions).section(&code);
            component.section(&ModuleSection(&module));
            component.finish()
        };
        let settings = CodeSettings::linux(Architecture::X86_64);
        assert!(settings.compile(&component(Instruction::I8x16Swizzle)).is_ok());
        let error = format!("{:#}", settings.compile(&component(Instruction::I8x16RelaxedSwizzle)).unwrap_err());
        assert!(error.contains("relaxed SIMD"), "{error}");
    }

    #[test]
    fn each_architecture_has_a_key_of_its_own_and_this_machine_one_of_them() {
        let [x86, arm] = [Architecture::X86_64, Architecture::Aarch64].map(CodeSettings::linux);
        assert_ne!(x86.key(), arm.key());
        assert_eq!(
            (x86.architecture(), arm.architecture()),
            (Architecture::X86_64.name(), Architecture::Aarch64.name())
        );
        if cfg!(target_os = "linux") {
            assert!([x86.key(), arm.key()].contains(&CodeSettings::host().unwrap().key()));
        }
    }
}
