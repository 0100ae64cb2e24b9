//! The cost of compiling a component in a process of its own, beside the same compiler in this process.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use damper_plugins::compiler::Compiler;
use damper_plugins::component_file::ComponentFile;
use damper_plugins::grants::Grants;
use damper_plugins::{HostOptions, PluginHost};

use crate::{Bench, median, require_file};

const ROUNDS: usize = 15;

/// Print the table.
pub(crate) async fn run(bench: &Bench, damper: &PathBuf) -> anyhow::Result<()> {
    require_file(damper)?;
    let child = Compiler::Child { program: std::path::absolute(damper)?, arguments: Vec::new() };
    println!("Compiling a component and loading it, median of {ROUNDS} rounds, the two sides in turn");
    println!();
    println!("| component | bytes | in this process ms | in a child ms | more ms | wanted |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for name in ["demo", "hostile"] {
        let path = bench.components.join(format!("{name}.wasm"));
        let file = ComponentFile::read(&path).with_context(|| format!("{}: run `make components`", path.display()))?;
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        // The first of each warms the page cache up, and is not counted.
        for round in 0..=ROUNDS {
            let (in_process, in_child) =
                (compile_ms(&file, Compiler::InProcess).await?, compile_ms(&file, child.clone()).await?);
            if round > 0 {
                alone.push(in_process);
                beside.push(in_child);
            }
        }
        let bytes = std::fs::metadata(&path)?.len();
        let (alone, beside) = (median(alone), median(beside));
        println!("| {name} | {bytes} | {alone:.0} | {beside:.0} | {:.0} | 50 |", beside - alone);
    }
    println!();
    Ok(())
}

/// Milliseconds until a component without a cached artifact is ready.
async fn compile_ms(file: &ComponentFile, compiler: Compiler) -> anyhow::Result<f64> {
    let host = PluginHost::new(HostOptions { compiler, ..HostOptions::default() })?;
    let grants = Grants { hosts: file.manifest.egress.hosts.clone(), ..Grants::default() };
    let plugin = host.load(file, file.manifest.clone(), grants)?;
    let begun = Instant::now();
    plugin.prepare().await.map_err(|failure| anyhow::anyhow!("the component cannot be prepared: {failure}"))?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}
