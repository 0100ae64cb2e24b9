//! Puts the bundle's source map into the bundle, for the SDK to find the author's file and line of an exception.
//! The map has the lines alone and no source text.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::error::ToolchainError;
use crate::files::replace_file;

/// The global variable that the SDK's `source-map.js` reads.
const GLOBAL: &str = "damperSourceMap";

/// A source map (ECMA-426), as far as it matters here.
#[derive(Deserialize)]
struct SourceMap {
    sources: Vec<String>,
    mappings: String,
}

/// Append the map that lies beside `bundle` to it. `work` is the folder of both, `project` the author's,
/// `sdk` the SDK's.
///
/// # Errors
/// If the map cannot be read or the bundle not be written.
pub(super) fn append(bundle: &Path, work: &Path, project: &Path, sdk: &Path) -> Result<(), ToolchainError> {
    let path = bundle.with_extension("js.map");
    let map = fs::read(&path).map_err(ToolchainError::file("read", &path))?;
    let map: SourceMap = serde_json::from_slice(&map).map_err(|error| {
        ToolchainError::input_in(&path, format!("esbuild's source map cannot be read: {error}"), "report this as a bug")
    })?;
    let work = work.canonicalize().map_err(ToolchainError::file("read", work))?;
    let project = project.canonicalize().map_err(ToolchainError::file("read", project))?;
    let sdk = sdk.canonicalize().map_err(ToolchainError::file("read", sdk))?;
    let sources: Vec<String> =
        map.sources.iter().map(|source| name(&normalize(&work.join(source)), &project, &sdk)).collect();
    let mut text = fs::read(bundle).map_err(ToolchainError::file("read", bundle))?;
    let map = serde_json::json!({ "sources": sources, "mappings": map.mappings });
    text.extend_from_slice(format!("\nglobalThis.{GLOBAL} = {map};\n").as_bytes());
    replace_file(bundle, &text)
}

/// How messages name a source: relative to the project; empty for the SDK's own. No folder of this machine, so that the
/// component is the same wherever it is built.
fn name(source: &Path, project: &Path, sdk: &Path) -> String {
    if source.starts_with(sdk) {
        return String::new();
    }
    let below = source.strip_prefix(project).ok();
    let name = below.or_else(|| source.file_name().map(Path::new)).unwrap_or(source);
    name.to_string_lossy().replace('\\', "/")
}

/// The path without `.` and `..`; it need not exist.
fn normalize(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            component => normal.push(component),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_named_relative_to_the_project_and_the_sdk_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let (project, sdk) = (root.join("thing"), root.join("cache/sdk/js"));
        let work = project.join("target/damper/js");
        fs::create_dir_all(&work).unwrap();
        fs::create_dir_all(&sdk).unwrap();
        let bundle = work.join("provider.js");
        fs::write(&bundle, "let a;").unwrap();
        let sources =
            ["../../../src/provider.ts", "../../../../cache/sdk/js/src/http.js", "../../../../other/shared.js"];
        let map = serde_json::json!({ "version": 3, "sources": sources, "names": [], "mappings": "AAAA;AACA" });
        fs::write(work.join("provider.js.map"), map.to_string()).unwrap();

        append(&bundle, &work, &project, &sdk).unwrap();
        assert_eq!(
            fs::read_to_string(&bundle).unwrap(),
            "let a;\nglobalThis.damperSourceMap = \
             {\"mappings\":\"AAAA;AACA\",\"sources\":[\"src/provider.ts\",\"\",\"shared.js\"]};\n"
        );
    }
}
