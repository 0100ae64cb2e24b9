//! The contract's types and functions, generated from `wit/provider.wit`. They stay inside this crate.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "generated code"
)]

wasmtime::component::bindgen!({
    path: "../../wit/provider.wit",
    world: "provider",
    imports: { "damper:provider/http": async, "damper:provider/host.sign": async },
    exports: { default: async },
});
