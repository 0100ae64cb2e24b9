//! Programs of WASI 0.2 (the world `wasi:cli/command`) in the engine of providers: such as a provider's unit tests that `cargo test`
//! compiles for wasm32-wasip2.
//!
//! Such a program is the author's own and runs during development, not in production. It gets a provider's WASI interfaces with this
//! process's standard streams and the given arguments: no folder, no network, no environment, and none of the contract's interfaces.

use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{ResourceLimiter, Store};
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};

use crate::engine::{self, CodeSettings};
use crate::host::HostError;
use crate::wasi;

/// The outcome of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramOutcome {
    /// By itself, with this exit code.
    Exited(i32),
    /// By a trap: a panic, a memory that it was refused, a stack that was full.
    Trapped(String),
}

/// A program that cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// Components cannot run here.
    #[error(transparent)]
    Host(#[from] HostError),
    /// It is no program, or imports an interface that it does not get.
    #[error("it is not a WASI 0.2 program that this host can run: {0}")]
    NotRunnable(String),
}

/// Runs a program to its end, within a memory limit. The first argument is its name.
///
/// # Errors
/// If it cannot be run. A program that fails is no error.
pub async fn run(component: &[u8], arguments: &[String], memory_bytes: usize) -> Result<ProgramOutcome, ProgramError> {
    let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
    let settings = CodeSettings::host().ok_or(HostError::Unsupported { arch, os })?;
    let engine = engine::new_on_demand(&settings).map_err(|error| HostError::Engine(format!("{error:#}")))?;
    let refused = |error: wasmtime::Error| ProgramError::NotRunnable(format!("{error:#}"));
    let component = Component::new(&engine, component).map_err(refused)?;
    let mut linker = Linker::new(&engine);
    wasi::add_to_linker(&mut linker).map_err(refused)?;
    let context = WasiCtx::builder().inherit_stdio().args(arguments).build();
    let mut store = Store::new(&engine, ProgramStoreData { context, table: ResourceTable::new(), memory_bytes });
    store.limiter(|state| state);
    // It yields at each tick, and has no timeout: its author ends it.
    store.epoch_deadline_async_yield_and_update(1);
    let command = Command::instantiate_async(&mut store, &component, &linker).await.map_err(refused)?;
    Ok(match command.wasi_cli_run().call_run(&mut store).await {
        Ok(Ok(())) => ProgramOutcome::Exited(0),
        Ok(Err(())) => ProgramOutcome::Exited(1),
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(code)) => ProgramOutcome::Exited(*code),
            None => ProgramOutcome::Trapped(format!("{error:#}")),
        },
    })
}

struct ProgramStoreData {
    context: WasiCtx,
    table: ResourceTable,
    memory_bytes: usize,
}

impl WasiView for ProgramStoreData {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.context, table: &mut self.table }
    }
}

impl ResourceLimiter for ProgramStoreData {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= self.memory_bytes)
    }

    fn table_growing(&mut self, _current: usize, _desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}
