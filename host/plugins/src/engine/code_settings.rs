//! The settings on which compiled code depends, for each architecture. They are a part of every cache key.

use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};
#[cfg(feature = "compile")]
use wasmtime::Engine;
use wasmtime::{Config, ModuleVersionStrategy};

use crate::digest::hexadecimal;

/// The part of a guest's stack that the host's own functions may use. Compiled code does not depend on it.
const HOST_STACK_BYTES: usize = 512 << 10;

/// A processor's architecture, with Linux on it, for which components are compiled ahead of time. Code is compiled for
/// the architecture's baseline alone (x86-64 with SSE2, Armv8.0-A), so that it runs on whichever machine it meets.
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

    /// The cache key of code that this release of the engine compiles with these settings, to be combined with the
    /// component's digest.
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

    /// The engine's configuration.
    pub(super) fn config(&self) -> wasmtime::Result<Config> {
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

/// The engine's name and full version.
pub(crate) fn engine_version() -> String {
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
        let version = engine_version();
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
