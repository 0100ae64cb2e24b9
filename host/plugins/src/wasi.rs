//! WASI 0.2 for a provider: clocks, random numbers and standard streams. No environment, no arguments, a filesystem without a folder in it,
//! and no sockets: if a language's standard library imports them all the same, each of their functions traps.

use std::sync::Arc;

use bytes::Bytes;
use damper_core::day::Day;
use tokio::io::AsyncWrite;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceTable, ResourceType};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::{cli, filesystem, random};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult, add_to_linker_proxy_interfaces_async};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::component_file::WASI_SOCKETS_PACKAGE;
use crate::guest_call::GuestCall;
use crate::output::Source;
use crate::test_environment;
use crate::text::Scrubber;

/// The most random bytes in one call.
const MAX_RANDOM_BYTES: u64 = 1 << 20;
/// The most bytes that a guest may print at a time.
const MAX_WRITE_BYTES: usize = 64 * 1024;

/// The data of a guest's WASI calls. Made when the guest first needs it: many never do.
pub(crate) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
}

impl Wasi {
    /// With the machine's clocks and random numbers, or with those of a test on this day.
    pub(crate) fn new(call: &Arc<GuestCall>, scrubber: &Arc<Scrubber>, fixed: Option<Day>) -> Self {
        let stream = |source| Stream { source, call: Arc::clone(call), scrubber: Arc::clone(scrubber) };
        let mut builder = WasiCtx::builder();
        builder.stdout(stream(Source::Stdout)).stderr(stream(Source::Stderr)).max_random_size(MAX_RANDOM_BYTES);
        if let Some(day) = fixed {
            test_environment::fix_clocks_and_random(&mut builder, day);
        }
        Self { context: builder.build(), table: ResourceTable::new() }
    }

    pub(crate) fn view(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.context, table: &mut self.table }
    }
}

/// A standard stream that goes to the provider's log.
#[derive(Clone)]
struct Stream {
    source: Source,
    call: Arc<GuestCall>,
    scrubber: Arc<Scrubber>,
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.call.output.print(self.source, &bytes, &self.scrubber);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_WRITE_BYTES)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

/// Gives a provider the WASI interfaces that it may import, and no other.
pub(crate) fn add_to_linker<T: WasiView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    // Streams, clocks, random numbers and the standard streams.
    add_to_linker_proxy_interfaces_async(linker)?;
    random::insecure::add_to_linker::<T, WasiRandom>(linker, T::random)?;
    random::insecure_seed::add_to_linker::<T, WasiRandom>(linker, T::random)?;
    cli::environment::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::exit::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::terminal_input::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::terminal_output::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::terminal_stdin::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::terminal_stdout::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::terminal_stderr::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    filesystem::types::add_to_linker::<T, WasiFilesystem>(linker, T::filesystem)?;
    filesystem::preopens::add_to_linker::<T, WasiFilesystem>(linker, T::filesystem)
}

/// The type of a socket handle. It has no values.
enum NoSocket {}

/// A linker for this component in which every function of a socket's interface ends the call, if it imports any. They have no
/// implementation in the host, so sockets cannot be granted by mistake.
pub(crate) fn without_sockets<T: 'static>(
    linker: &Linker<T>,
    component: &Component,
) -> wasmtime::Result<Option<Linker<T>>> {
    let engine = component.engine();
    let component = component.component_type();
    let (mut ours, mut known) = (None, Vec::new());
    for (interface, import) in component.imports(engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else { continue };
        let is_of_sockets = interface.starts_with(WASI_SOCKETS_PACKAGE);
        for (name, item) in instance.exports(engine) {
            match item.ty {
                // A resource that an interface only uses, such as a pollable, belongs to an earlier interface.
                ComponentItem::Resource(resource) if !known.contains(&resource) => {
                    known.push(resource);
                    if is_of_sockets {
                        let stubs = ours.get_or_insert_with(|| linker.clone());
                        let no_socket = ResourceType::host::<NoSocket>();
                        stubs.instance(interface)?.resource(name, no_socket, |_, _| Ok(()))?;
                    }
                }
                ComponentItem::ComponentFunc(_) if is_of_sockets => {
                    let called = format!("the component called {interface}#{name}, and providers have no sockets");
                    let stubs = ours.get_or_insert_with(|| linker.clone());
                    stubs
                        .instance(interface)?
                        .func_new(name, move |_, _, _, _| Err(wasmtime::Error::msg(called.clone())))?;
                }
                _ => {}
            }
        }
    }
    Ok(ours)
}
