//! Makes a new project from the SDKs' template: a manifest, a function, its tests and a case.

use std::fs;
use std::path::Path;

use crate::error::ToolchainError;
use crate::files::replace_file;
use crate::language::Language;
use crate::recipe::{Recipe, project_files};
use crate::sdk::Sdk;

/// Whether a provider of this name can be written in this language.
///
/// # Errors
/// If the language cannot have a project of this name.
pub fn check_project_name(name: &str, language: Language) -> Result<(), ToolchainError> {
    if language == Language::Rust { check_crate_name(name) } else { Ok(()) }
}

/// Make the project `name` in `folder`, which depends on the unpacked SDK; of a recipe, or of the plain template.
///
/// # Errors
/// If the cache's path is no text, or files cannot be written.
pub fn scaffold(
    folder: &Path,
    name: &str,
    language: Language,
    recipe: Option<Recipe>,
    sdk: &Sdk,
) -> Result<(), ToolchainError> {
    let files = project_files(language, recipe);
    let sdk = sdk.dependency(language);
    let sdk = sdk.to_str().ok_or_else(|| {
        ToolchainError::input_in(
            &sdk,
            "the cache's path is not UTF-8, and the project's file must be UTF-8",
            "set DAMPER_CACHE to another folder",
        )
    })?;
    let fill = |text: &str| text.replace("{{name}}", name).replace("{{sdk_path}}", &escape_quotes(sdk));
    // Beside its place first, so that nothing half made is left behind.
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(ToolchainError::file("make the folder", parent))?;
    let draft = parent.join(format!(".{name}.{}.new", std::process::id()));
    let made = files
        .into_iter()
        .try_for_each(|(file, text)| replace_file(&draft.join(file), fill(text).as_bytes()))
        .and_then(|()| fs::rename(&draft, folder).map_err(ToolchainError::file("make the folder", folder)));
    if made.is_err() {
        // Best effort: its name says what it is.
        let _ = fs::remove_dir_all(&draft);
    }
    made
}

/// Cargo takes no crate of some names.
fn check_crate_name(name: &str) -> Result<(), ToolchainError> {
    const TAKEN: [&str; 9] = ["alloc", "build", "core", "deps", "examples", "incremental", "proc-macro", "std", "test"];
    const KEYWORDS: [&str; 52] = [
        "abstract",
        "as",
        "async",
        "await",
        "become",
        "box",
        "break",
        "const",
        "continue",
        "crate",
        "do",
        "dyn",
        "else",
        "enum",
        "extern",
        "false",
        "final",
        "fn",
        "for",
        "gen",
        "if",
        "impl",
        "in",
        "let",
        "loop",
        "macro",
        "match",
        "mod",
        "move",
        "mut",
        "override",
        "priv",
        "pub",
        "ref",
        "return",
        "self",
        "static",
        "struct",
        "super",
        "trait",
        "true",
        "try",
        "type",
        "typeof",
        "unsafe",
        "unsized",
        "use",
        "virtual",
        "where",
        "while",
        "yield",
        "damper-sdk",
    ];
    if TAKEN.contains(&name) || KEYWORDS.contains(&name) {
        let what = format!("no crate can be named {name:?}: Rust reserves the name");
        return Err(ToolchainError::input(what, format!("choose another name, such as {name}-api")));
    }
    Ok(())
}

/// A path as it stands between the quotes of a string of TOML, JSON or Python.
fn escape_quotes(path: &str) -> String {
    let escaped = |character: char| match character {
        '"' | '\\' => format!("\\{character}"),
        character if character.is_control() => format!("\\u{:04X}", u32::from(character)),
        character => character.to_string(),
    };
    path.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_survives_a_string_of_toml_and_json() {
        let path = "C:\\a \"b\"\n\u{1}é";
        let table: toml::Table = toml::from_str(&format!("path = \"{}\"", escape_quotes(path))).unwrap();
        assert_eq!(table["path"].as_str(), Some(path));
        let text: String = serde_json::from_str(&format!("\"{}\"", escape_quotes(path))).unwrap();
        assert_eq!(text, path);
    }
}
