//! Puts the bundle's source map into the bundle, for the SDK to find the author's file and line of an exception.
//! The map has the lines alone and no source text. And makes the bundle the same wherever it is built: the bundler's
//! comments name files relative to the project, and the SDK lies in somebody's home.

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
    let sources: Vec<PathBuf> = map.sources.iter().map(|source| normalize(&work.join(source))).collect();
    let text = fs::read_to_string(bundle).map_err(ToolchainError::file("read", bundle))?;
    let mut text = rename_comments(&text, &sources, &project, &sdk);
    let sources: Vec<String> = sources.iter().map(|source| name(source, &project, &sdk)).collect();
    let map = serde_json::json!({ "sources": sources, "mappings": map.mappings });
    text.push_str(&format!("\nglobalThis.{GLOBAL} = {map};\n"));
    replace_file(bundle, text.as_bytes())
}

/// The bundle, with each comment that names a source as [`name`] does, and the SDK's files below `damper-sdk`. The
/// lines stay where they are.
fn rename_comments(bundle: &str, sources: &[PathBuf], project: &Path, sdk: &Path) -> String {
    let mut renamed = String::with_capacity(bundle.len());
    for line in bundle.split_inclusive('\n') {
        let comment = line.strip_prefix("// ").map(|path| normalize(&project.join(path.trim_end())));
        match comment.filter(|path| sources.contains(path)) {
            None => renamed.push_str(line),
            Some(path) => {
                let shown = match path.strip_prefix(sdk) {
                    Ok(below) => Path::new("damper-sdk").join(below).to_string_lossy().replace('\\', "/"),
                    Err(_) => name(&path, project, sdk),
                };
                renamed.push_str(&format!("// {shown}\n"));
            }
        }
    }
    renamed
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
    #[test]
    fn a_bundle_names_no_folder_of_this_machine() {
        let [project, sdk] = ["/home/me/thing", "/home/me/cache/sdk-1/js"].map(Path::new);
        let sources = ["/home/me/cache/sdk-1/js/src/http.js", "/home/me/thing/src/a.js", "/home/me/shared/b.js"];
        let bundle =
            "// ../cache/sdk-1/js/src/http.js\nlet a;\n// src/a.js\n// ../shared/b.js\n// ../other.js\n  // src/a.js";
        let renamed = rename_comments(bundle, &sources.map(PathBuf::from), project, sdk);
        assert_eq!(renamed, "// damper-sdk/src/http.js\nlet a;\n// src/a.js\n// b.js\n// ../other.js\n  // src/a.js");
    }
}
