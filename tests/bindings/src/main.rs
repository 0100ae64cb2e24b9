//! Writes the Rust SDK's bindings anew: `make bindings`.

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let path = damper_bindings::bindings_path();
    std::fs::write(&path, damper_bindings::generate()?).with_context(|| format!("cannot write {}", path.display()))
}
