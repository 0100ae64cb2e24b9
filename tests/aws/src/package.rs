//! A deployment package with `providers/demo` in it, as `damper package` makes it, and where its parts were built.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use damper_plugins::compiler::Compiler;
use damper_plugins::component_file::{ComponentFile, embed_manifest};
use damper_plugins::package::{self, Architecture};

#[cfg(target_arch = "x86_64")]
const HERE: Architecture = Architecture::X86_64;
#[cfg(not(target_arch = "x86_64"))]
const HERE: Architecture = Architecture::Aarch64;

/// The machine's architecture as AWS calls it.
#[cfg(target_arch = "x86_64")]
pub const ARCHITECTURE: &str = "x86_64";
#[cfg(not(target_arch = "x86_64"))]
pub const ARCHITECTURE: &str = "arm64";

/// The component and its code, compiled once for all tests.
static DEMO: LazyLock<(ComponentFile, Vec<u8>)> = LazyLock::new(|| {
    let file = ComponentFile::read(&require_built("components/demo.wasm")).unwrap();
    let code = package::compile(&Compiler::InProcess, &file, HERE).unwrap();
    (file, code)
});

/// The program under test.
pub fn bootstrap() -> PathBuf {
    require_built("bootstrap/bootstrap")
}

/// The program `damper`, as the same build has made it.
pub fn damper() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("damper");
    assert!(path.exists(), "{} is missing: run `make test`, which builds it first", path.display());
    path
}

/// The demo provider's component.
pub fn demo() -> PathBuf {
    require_built("components/demo.wasm")
}

/// [`bootstrap`] for a check of the glibc that it needs: what is newer than Lambda's is marked as not needed
/// (`VER_FLG_WEAK`). It was built on this machine and runs on it, however new its glibc is; what is deployed is built
/// for an older one.
pub fn bootstrap_for_packaging() -> Vec<u8> {
    const NEEDED: [u8; 2] = [0, 0];
    const WEAK: [u8; 2] = [2, 0];
    let mut program = std::fs::read(bootstrap()).unwrap();
    for minor in 35_u32..100 {
        // An entry of `.gnu.version_r`: the hash of the version's name, then its flags.
        let hash = elf_hash(&format!("GLIBC_2.{minor}")).to_le_bytes();
        let entry = [&hash[..], &NEEDED].concat();
        while let Some(at) = program.windows(entry.len()).position(|window| window == entry) {
            program[at + hash.len()..at + entry.len()].copy_from_slice(&WEAK);
        }
    }
    program
}

/// The hash of the System V ABI's chapter on dynamic linking.
fn elf_hash(name: &str) -> u32 {
    name.bytes().fold(0_u32, |hash, byte| {
        let hash = (hash << 4).wrapping_add(u32::from(byte));
        let high = hash & 0xf000_0000;
        (hash ^ (high >> 24)) & !high
    })
}

/// A file that `make test` has put into the workspace's target folder.
fn require_built(path: &str) -> PathBuf {
    let path = damper_stand_ins::target_folder().join(path);
    assert!(path.exists(), "{} is missing: run `make test`, which builds it first", path.display());
    path
}

/// Puts the demo provider with the operator's table into a package; in its manifest each of `edits` replaces a text by
/// another.
pub fn add_demo(folder: &Path, settings: &str, edits: &[(&str, &str)]) {
    let (file, code) = &*DEMO;
    let manifest = edits.iter().fold(file.manifest_text.clone(), |manifest, (from, to)| {
        assert!(manifest.contains(from), "{from} is not in the manifest");
        manifest.replacen(from, to, 1)
    });
    let edited = ComponentFile::from_bytes("demo.wasm", embed_manifest(&file.bytes, &manifest).unwrap()).unwrap();
    package::write(folder, &package::files(&edited.manifest.name, &edited, HERE, code.clone(), settings)).unwrap();
}

/// Puts a provider of another name into a package, with the demo provider's component as it is.
pub fn add_vendor(folder: &Path, provider: &str, settings: &str) {
    let (file, code) = &*DEMO;
    package::write(folder, &package::files(provider, file, HERE, code.clone(), settings)).unwrap();
}

/// The path of the only component's code in a package.
pub fn demo_code(folder: &Path) -> PathBuf {
    let mut components = folder.join("components").read_dir().unwrap();
    components.next().unwrap().unwrap().path()
}
