//! Python: componentize-py puts the provider and the SDK, already imported, into a component with CPython.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::build_context::BuildContext;
use crate::compiled::{BUILT_FOLDER, Compiled};
use crate::error::ToolchainError;
use crate::files::replace_file;
use crate::language::Language;
use crate::reuse::{Inputs, compile_once};
use crate::sdk::Sdk;
use crate::tools;

/// The newest version that this SDK was tested with; a change needs a run of the providers' cases.
const COMPONENTIZE_PY: &str = "0.25.1";
const REQUIREMENTS: &str = include_str!("python/requirements.txt");
/// The oldest Python that builds Python: major and minor version.
pub const LEAST_PYTHON: (u32, u32) = (3, 11);
const GET_PYTHON: &str = "install Python 3.11 or newer from https://www.python.org";
/// The folder of the provider's modules, and the module with its function.
const SOURCES: &str = "src";
const MODULE: &str = "provider.py";
const ENTRY: &str = "damper_entry";
/// The whole program: the world's class, of the author's function.
const ENTRY_TEXT: &str = "\
from damper_sdk._component import component
from provider import fetch_record

WitWorld = component(fetch_record)
";

/// pyproject.toml, as far as it matters here.
#[derive(Deserialize)]
struct Pyproject {
    project: Option<ProjectTable>,
}

#[derive(Deserialize)]
struct ProjectTable {
    #[serde(default)]
    dependencies: Vec<String>,
}

/// Compile the project in `folder`. The tool's complaints, a traceback above all, go to standard error.
///
/// # Errors
/// If Python or the tool is not there, or the provider cannot be imported.
pub(crate) fn build(
    folder: &Path,
    sdk: &Sdk,
    cache: &Path,
    context: &BuildContext<'_>,
) -> Result<Compiled, ToolchainError> {
    check(folder)?;
    let tool = tool(cache, context)?;
    let output = folder.join(BUILT_FOLDER);
    let work = output.join("python");
    replace_file(&work.join(ENTRY).with_extension("py"), ENTRY_TEXT.as_bytes())?;
    // The tool looks here for installed packages; without this folder it uses those of any Python that it finds.
    let packages = work.join("lib/site-packages");
    fs::create_dir_all(&packages).map_err(ToolchainError::file("make the folder", &packages))?;
    let (sources, wasm) = (folder.join(SOURCES), work.join("provider.wasm"));

    let mut componentize = context.environment.command(tool.join("bin/componentize-py"));
    componentize.arg("--quiet").arg("--wit-path").arg(sdk.wit()).args(["--world", "provider", "componentize"]);
    componentize.arg("--python-path").arg(&work).arg("--python-path").arg(sdk.python().join("src"));
    componentize.arg("--python-path").arg(&sources).arg("--output").arg(&wasm).arg(ENTRY);
    componentize.env("VIRTUAL_ENV", &work).env_remove("PYTHONPATH").env_remove("PYTHONHOME");
    // The author's own lines are in Python's traceback, not in the compiler's.
    componentize.env_remove("RUST_BACKTRACE");
    let mut inputs = Inputs::new(&format!("componentize-py {COMPONENTIZE_PY}"));
    inputs.add("entry", ENTRY_TEXT.as_bytes());
    for read in [&sdk.wit(), &sdk.python().join("src"), &sources] {
        inputs.add_folder(read)?;
    }
    compile_once(cache, &wasm, inputs, || tools::compile(&mut componentize, "componentize-py", &sources.join(MODULE)))?;
    Ok(Compiled { wasm, folder: output })
}

/// That there is a provider, and nothing that would have to be installed.
fn check(folder: &Path) -> Result<(), ToolchainError> {
    let module = folder.join(SOURCES).join(MODULE);
    if !module.is_file() {
        let hint = "write the provider there: `def fetch_record(request: FetchRequest) -> Record`";
        return Err(ToolchainError::input_in(&module, "there is no module with the provider", hint));
    }
    let path = folder.join(Language::Python.project_file());
    let text = fs::read_to_string(&path).map_err(ToolchainError::file("read", &path))?;
    let pyproject: Pyproject = toml::from_str(&text).map_err(|error| {
        ToolchainError::input_in(&path, format!("it cannot be read: {}", error.message()), "correct it")
    })?;
    let dependencies = pyproject.project.map(|project| project.dependencies).unwrap_or_default();
    match dependencies.iter().find(|dependency| !dependency.starts_with("damper-sdk")) {
        None => Ok(()),
        Some(dependency) => {
            let hint = "a component contains only the standard library, the SDK and the files in src: put a copy of a \
                        module of pure Python there, and remove it from the dependencies";
            Err(ToolchainError::input_in(
                &path,
                format!("damper build installs no dependencies, such as {dependency:?}"),
                hint,
            ))
        }
    }
}

/// The virtual environment that has componentize-py.
fn tool(cache: &Path, context: &BuildContext<'_>) -> Result<PathBuf, ToolchainError> {
    let said = tools::run(context.environment.command("python3").arg("--version"), "python3", GET_PYTHON, GET_PYTHON)?;
    tools::check_version("python3", &said.stdout, LEAST_PYTHON, GET_PYTHON)?;
    let announcement = format!("fetching componentize-py {COMPONENTIZE_PY} from PyPI (70 MB unpacked, once)");
    tools::ensure(cache, &format!("python-{COMPONENTIZE_PY}-locked"), (context.progress, &announcement), |folder| {
        let mut venv = context.environment.command("python3");
        venv.args(["-m", "venv"]).arg(folder);
        let failed = "Python cannot make a virtual environment; on Debian: apt install python3-venv";
        tools::run(&mut venv, "python3 -m venv", GET_PYTHON, failed)?;
        let requirements = folder.join("requirements.txt");
        replace_file(&requirements, REQUIREMENTS.as_bytes())?;
        let mut pip = context.environment.command(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]);
        pip.args(["--no-deps", "--require-hashes", "--requirement"]).arg(&requirements);
        let failed =
            "see pip's output above; pip needs its index once: check the network, the proxy, and `pip config list`";
        tools::run(&mut pip, "pip", GET_PYTHON, failed).map(drop)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tool_is_required_at_its_version_with_hashes() {
        assert!(REQUIREMENTS.contains(&format!("componentize-py=={COMPONENTIZE_PY} \\\n    --hash=sha256:")));
    }
}
