//! A deployment package with `providers/demo` in it, as `damper package` makes it, and where its parts were built.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use damper_plugins::component_file::{ComponentFile, embed_manifest};
use damper_plugins::package::{self, Architecture};

#[cfg(target_arch = "x86_64")]
const HERE: Architecture = Architecture::X86_64;
#[cfg(not(target_arch = "x86_64"))]
const HERE: Architecture = Architecture::Aarch64;

/// The component and its code, compiled once for all tests.
static DEMO: LazyLock<(ComponentFile, Vec<u8>)> = LazyLock::new(|| {
    let file = ComponentFile::read(&built("components/demo.wasm")).unwrap();
    let code = package::compile(&file, HERE).unwrap();
    (file, code)
});

/// The program under test.
pub fn bootstrap() -> PathBuf {
    built("bootstrap/bootstrap")
}

/// What `make test` has put into the workspace's target folder.
fn built(path: &str) -> PathBuf {
    let path = damper_stand_ins::target_folder().join(path);
    assert!(path.exists(), "{} is missing: run `make test`, which builds it first", path.display());
    path
}

/// Puts the demo provider with the operator's table into a package; in its manifest each of `edits` replaces a text by another.
pub fn add_demo(folder: &Path, settings: &str, edits: &[(&str, &str)]) {
    let (file, code) = &*DEMO;
    let manifest = edits.iter().fold(file.manifest_text.clone(), |manifest, (from, to)| {
        assert!(manifest.contains(from), "{from} is not in the manifest");
        manifest.replacen(from, to, 1)
    });
    let edited = ComponentFile::from_bytes("demo.wasm", embed_manifest(&file.bytes, &manifest).unwrap()).unwrap();
    package::write(folder, &package::files(&edited, HERE, code.clone(), settings)).unwrap();
}

/// Where the demo provider's code lies in a package.
pub fn demo_code(folder: &Path) -> PathBuf {
    folder.join("providers/demo/provider.cwasm")
}
