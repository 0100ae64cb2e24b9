//! A folder of its own, the program run in it, and components that are none.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use damper_plugins::component_file::embed_manifest;
use tempfile::TempDir;
use wasm_encoder::{
    Component, ComponentExportKind, ComponentExportSection, ComponentImportSection, ComponentTypeRef,
    ComponentTypeSection, InstanceType,
};

/// A manifest that is valid.
pub(crate) const MANIFEST: &str = "\
name = \"demo\"
version = \"1.2.3\"
description = \"Things of an API\"
identity = [\"lang\"]
[egress]
hosts = [\"api.example.org\"]
[limits]
max_concurrency = 3
requests_per_second = 2.5
daily_quota = 1000
[window]
timezone = \"Europe/Berlin\"
open = [\"Mon-Fri 20:00-06:00\", \"Sat-Sun\"]
[credentials.key]
kind = \"header\"
header = \"X-Api-Key\"
[config]
base_url = \"https://api.example.org\"
region = \"\"
";

/// A working folder and a cache.
pub(crate) struct TestDir {
    folder: TempDir,
    cache: TempDir,
}

impl TestDir {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), cache: tempfile::tempdir().unwrap() }
    }

    /// A folder with these files.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let dir = Self::new();
        for (name, content) in files {
            dir.write(name, content.as_bytes());
        }
        dir
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn cache(&self) -> &Path {
        self.cache.path()
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Run `damper`; returns its exit code and output, with the paths of this folder replaced by placeholders.
    pub(crate) fn damper(&self, arguments: &[&str]) -> String {
        self.damper_fed(arguments, b"")
    }

    /// As [`TestDir::damper`], with something on standard input.
    pub(crate) fn damper_fed(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut child = self.command(arguments).spawn().unwrap();
        // A program that ends without reading all of it is no fault of this test.
        let _ = child.stdin.take().unwrap().write_all(input);
        self.text(&child.wait_with_output().unwrap())
    }

    /// `damper` with nothing of this machine's environment in its way.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_damper"));
        command.args(arguments).current_dir(self.path());
        command.env("DAMPER_CACHE", self.cache.path()).env_remove("DAMPER_LOG").env_remove("RUST_LOG");
        command.env("XDG_CONFIG_HOME", self.cache.path().join("config")).env_remove("CARGO_TARGET_DIR");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The output of a run of [`TestDir::command`].
    pub(crate) fn text(&self, output: &Output) -> String {
        let code = output.status.code().map_or("none".to_owned(), |code| code.to_string());
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let text = format!("exit code {code}\n-- stdout\n{said}-- stderr\n{told}");
        assert!(!text.contains("panicked"), "{text}");
        text.replace(&*self.path().to_string_lossy(), "[dir]").replace(&*self.cache.path().to_string_lossy(), "[cache]")
    }
}

/// A component as far as its framing goes; no engine would take it.
pub(crate) fn component(imports: &[&str], export: &str, manifest: &str) -> Vec<u8> {
    let mut component = Component::new();
    let mut types = ComponentTypeSection::new();
    types.instance(&InstanceType::new());
    component.section(&types);
    let mut section = ComponentImportSection::new();
    for import in imports {
        section.import(*import, ComponentTypeRef::Instance(0));
    }
    component.section(&section);
    let mut exports = ComponentExportSection::new();
    exports.export(export, ComponentExportKind::Func, 0, None);
    component.section(&exports);
    embed_manifest(&component.finish(), manifest).unwrap()
}

/// A component that passes for a provider until it is compiled.
pub(crate) fn provider(manifest: &str) -> Vec<u8> {
    component(&["damper:provider/types@0.1.0", "damper:provider/http@0.1.0"], "fetch-record", manifest)
}
