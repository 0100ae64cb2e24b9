//! JavaScript and TypeScript: esbuild makes one module of the provider and the SDK, and componentize-qjs puts it,
//! already loaded, into a component with the QuickJS interpreter. It is what jco calls for its backend `qjs`; jco as a
//! whole is ten times its size.

mod source_map;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::build_context::BuildContext;
use crate::compiled::{BUILT_FOLDER, Compiled};
use crate::environment::BuildEnvironment;
use crate::error::ToolchainError;
use crate::files::replace_file;
use crate::language::Language;
use crate::reuse::{Inputs, compile_once};
use crate::sdk::Sdk;
use crate::tools;

/// The newest versions that these SDKs were tested with; a change of one needs a run of the providers' cases.
const COMPONENTIZE_QJS: &str = "0.4.5";
const ESBUILD: &str = "0.28.2";
/// These versions and what they depend on, each package with its digest. Made by npm: `npm install --package-lock-only
/// --omit-lockfile-registry-resolved` beside this package.json.
const PACKAGE: &str = include_str!("javascript/package.json");
const PACKAGE_LOCK: &str = include_str!("javascript/npm-lock.json");
/// The oldest Node.js that builds JavaScript: major and minor version.
pub const LEAST_NODE: (u32, u32) = (20, 0);
const GET_NODE: &str = "install Node.js 20 or newer from https://nodejs.org";
/// The file with all of the provider's source and the SDK's.
const BUNDLE: &str = "provider.js";
/// The options of componentize-qjs.
const OPTIONS: [&str; 4] = ["--world", "provider", "--sync", "--opt-size"];
/// Files that are searched for a provider's function if package.json has no `main`.
const MAINS: [&str; 2] = ["src/provider.js", "src/provider.ts"];

/// package.json, as far as it matters here.
#[derive(Deserialize)]
struct PackageJson {
    main: Option<PathBuf>,
}

/// Compile the project in `folder`. The tools' complaints go to standard error.
///
/// # Errors
/// If node or the tools are not there, or the project does not compile.
pub(crate) fn build(
    folder: &Path,
    sdk: &Sdk,
    cache: &Path,
    context: &BuildContext<'_>,
) -> Result<Compiled, ToolchainError> {
    let main = main(folder)?;
    let tools = tools(cache, context)?;
    // The working folder is given as an empty path.
    let folder = folder.join(".").canonicalize().map_err(ToolchainError::file("read", folder))?;
    let output = folder.join(BUILT_FOLDER);
    let work = output.join("js");
    fs::create_dir_all(&work).map_err(ToolchainError::file("make the folder", &work))?;
    let (bundle, wasm) = (work.join(BUNDLE), work.join("provider.wasm"));
    let modules = tools.join("node_modules");

    let mut esbuild = node(&modules.join("esbuild/bin/esbuild"), &context.environment);
    esbuild.arg(sdk.js().join("entry.js")).args([
        "--bundle",
        "--format=esm",
        "--platform=neutral",
        "--main-fields=module,main",
        "--target=es2023",
        "--external:damper:*",
        "--sourcemap=external",
        "--sources-content=false",
        "--log-level=warning",
    ]);
    esbuild.arg(option("--alias:damper-sdk=", &sdk.js().join("src/index.js")));
    esbuild.arg(option("--alias:damper-provider=", &main));
    esbuild.arg(option("--outfile=", &bundle));
    // The bundle names its files, relative to here.
    esbuild.current_dir(&folder);
    tools::compile(&mut esbuild, "node", &main)?;
    source_map::append(&bundle, &work, &folder, &sdk.js())?;

    let mut componentize = node(&modules.join("componentize-qjs/bin/componentize-qjs"), &context.environment);
    componentize.args(OPTIONS);
    // The component holds the bundle's path as it is named here.
    componentize.current_dir(&work);
    componentize.arg("--wit").arg(sdk.wit()).args(["--js", BUNDLE]).arg("--output").arg(&wasm);
    let mut inputs = Inputs::new(&format!("componentize-qjs {COMPONENTIZE_QJS} {OPTIONS:?}"));
    inputs.add("bundle", &fs::read(&bundle).map_err(ToolchainError::file("read", &bundle))?);
    inputs.add_folder(&sdk.wit())?;
    compile_once(cache, &wasm, inputs, || tools::compile(&mut componentize, "node", &main))?;
    Ok(Compiled { wasm, folder: output })
}

/// The absolute path of the module that exports `fetchRecord`.
fn main(folder: &Path) -> Result<PathBuf, ToolchainError> {
    let path = folder.join(Language::Js.project_file());
    let text = fs::read(&path).map_err(ToolchainError::file("read", &path))?;
    let project: PackageJson = serde_json::from_slice(&text).map_err(|error| {
        ToolchainError::input_in(&path, format!("it is not a valid package.json: {error}"), "correct it")
    })?;
    let named = project.main.map(|main| vec![main]);
    let looked_for = named.unwrap_or_else(|| MAINS.iter().map(PathBuf::from).collect());
    let Some(main) = looked_for.iter().map(|main| folder.join(main)).find(|main| main.is_file()) else {
        let hint = format!("write the provider in {}, or name another module as \"main\" in package.json", MAINS[0]);
        let first = looked_for.first().map_or_else(|| folder.to_path_buf(), |main| folder.join(main));
        return Err(ToolchainError::input_in(&first, "there is no module with the provider", hint));
    };
    main.canonicalize().map_err(ToolchainError::file("read", &main))
}

/// The folder of esbuild and componentize-qjs.
fn tools(cache: &Path, context: &BuildContext<'_>) -> Result<PathBuf, ToolchainError> {
    let said = tools::run(context.environment.command("node").arg("--version"), "node", GET_NODE, GET_NODE)?;
    tools::check_version("node", &said.stdout, LEAST_NODE, GET_NODE)?;
    let name = format!("js-qjs-{COMPONENTIZE_QJS}-esbuild-{ESBUILD}-locked");
    let announcement = format!(
        "fetching componentize-qjs {COMPONENTIZE_QJS} and esbuild {ESBUILD} from npm's registry (50 MB unpacked, once)"
    );
    tools::ensure(cache, &name, (context.progress, &announcement), |folder| {
        replace_file(&folder.join("package.json"), PACKAGE.as_bytes())?;
        replace_file(&folder.join("package-lock.json"), PACKAGE_LOCK.as_bytes())?;
        let mut npm = context.environment.command("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]).current_dir(folder);
        let missing = "npm comes with Node.js: install it from https://nodejs.org";
        let failed = "see npm's output above; npm needs its registry once: check the network, the proxy, and `npm \
            config get registry`";
        tools::run(&mut npm, "npm", missing, failed).map(drop)
    })
}

fn node(script: &Path, environment: &BuildEnvironment) -> Command {
    let mut command = environment.command("node");
    command.arg(script).env_remove("NODE_OPTIONS").env_remove("NODE_PATH");
    command
}

/// An option whose value is a path, of whatever characters.
fn option(name: &str, path: &Path) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from(name);
    option.push(path);
    option
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_locked_by_its_digest_and_by_no_registry_s_address() {
        let lock: serde_json::Value = serde_json::from_str(PACKAGE_LOCK).unwrap();
        let packages = lock["packages"].as_object().unwrap();
        let wanted: serde_json::Value = serde_json::from_str(PACKAGE).unwrap();
        for (name, version) in [("componentize-qjs", COMPONENTIZE_QJS), ("esbuild", ESBUILD)] {
            assert_eq!(wanted["dependencies"][name], version);
            assert_eq!(packages[""]["dependencies"][name], version);
            assert_eq!(packages[&format!("node_modules/{name}")]["version"], version);
        }
        for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
            assert!(package["integrity"].as_str().is_some_and(|digest| digest.starts_with("sha512-")), "{name}");
            assert!(package.get("resolved").is_none(), "{name}");
        }
    }
}
