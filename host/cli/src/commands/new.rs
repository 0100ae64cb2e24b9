//! `damper new`: a provider that builds and passes its test at once, anywhere on the disk.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use damper_config::provider::check_name;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::language::Language;
use crate::screen::{printable, put};
use crate::sdk::{self, Sdk};

/// Start a new provider: a project with a manifest, a function, its tests and a case
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper new catfacts && cd catfacts && cargo test && damper build
  damper new catfacts --lang js && cd catfacts && npm install && npm test && damper build
  damper new catfacts --lang python && cd catfacts && python3 -m unittest && damper build

A component of Rust is the smallest and by far the fastest; those of JavaScript and Python bring
their interpreter. The SDK of the language lies in damper's cache, and nothing is fetched for the
tests.")]
pub(crate) struct New {
    /// The provider's name: 1 to 64 of a-z, 0-9 and "-", starting with a letter
    name: String,

    /// The language to write it in
    #[arg(long, value_enum, default_value_t, value_name = "LANGUAGE")]
    lang: Language,

    /// The folder to make; default: NAME in the working folder
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

/// Scaffold a provider.
///
/// # Errors
/// If the name is none, the folder exists, or files cannot be written.
pub(crate) fn run(command: &New, context: &Context) -> Result<Exit, CliError> {
    check_name(&command.name)?;
    if command.lang == Language::Rust {
        check_crate_name(&command.name)?;
    }
    let folder = command.path.clone().unwrap_or_else(|| command.name.clone().into());
    if folder.exists() {
        let hint = "choose another name, or another folder with --path; nothing was changed";
        return Err(CliError::input_in(&folder, "the folder exists already", hint));
    }
    let sdk = Sdk::unpack(&context.cache()?)?;
    scaffold(&folder, command, &sdk.dependency(command.lang))?;
    put(format!("made the provider {} in {}", command.name, printable(&folder.display().to_string())))?;
    let test = match command.lang {
        Language::Rust => "cargo test",
        Language::Js => "npm install && npm test",
        Language::Python => "python3 -m unittest",
    };
    context.screen.say(format!(
        "next:\n  cd {}\n  {test:<24}  # its tests, against a scripted API\n  {:<24}  # one .wasm file, in {}",
        folder.display(),
        "damper build",
        damper_config::provider::BUILT,
    ));
    Ok(Exit::Done)
}

/// Cargo takes no crate of some names.
fn check_crate_name(name: &str) -> Result<(), CliError> {
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
        let what = format!("no crate can be named {name:?}, which means something to Rust");
        return Err(CliError::input(what, format!("choose another name, such as {name}-api")));
    }
    Ok(())
}

fn scaffold(folder: &Path, command: &New, sdk: &Path) -> Result<(), CliError> {
    let name = command.name.as_str();
    let sdk = sdk.to_str().ok_or_else(|| {
        CliError::input_in(
            sdk,
            "the cache's path is not UTF-8, and the project's file needs it to be",
            "set DAMPER_CACHE to another folder",
        )
    })?;
    let fill = |text: &str| text.replace("{{name}}", name).replace("{{sdk_path}}", &escape_quotes(sdk));
    // Beside its place first, so that nothing half made is left behind.
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(CliError::file("make the folder", parent))?;
    let draft = parent.join(format!(".{name}.{}.new", std::process::id()));
    let made = sdk::template(command.lang)
        .try_for_each(|(file, text)| sdk::put(&draft.join(file), fill(text).as_bytes()))
        .and_then(|()| fs::rename(&draft, folder).map_err(CliError::file("make the folder", folder)));
    if made.is_err() {
        // Best effort: its name says what it is.
        let _ = fs::remove_dir_all(&draft);
    }
    made
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
