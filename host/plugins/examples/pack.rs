//! Puts a manifest into a component: `pack COMPONENT.wasm provider.toml OUTPUT.wasm`. `damper build` does this as its
//! last step.

use std::error::Error;
use std::fs;

use damper_plugins::component_file::{ComponentFile, embed_manifest};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [component, manifest, output] = arguments.as_slice() else {
        return Err("usage: pack COMPONENT.wasm provider.toml OUTPUT.wasm".into());
    };
    let packed = embed_manifest(&fs::read(component)?, &fs::read_to_string(manifest)?)?;
    let file = ComponentFile::from_bytes(output, packed)?;
    fs::write(output, &file.bytes)?;
    println!(
        "{} {}: {} bytes, imports {:?}",
        file.manifest.name,
        file.manifest.version,
        file.bytes.len(),
        file.imports
    );
    Ok(())
}
