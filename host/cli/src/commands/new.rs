//! `damper new`: a provider that builds and passes its test at once, anywhere on the disk.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::provider::check_name;
use crate::screen::{printable, put};
use crate::sdk::{self, Sdk};

/// Start a new provider: a crate with a manifest, a function and its tests
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  damper new catfacts && cd catfacts && cargo test && damper build")]
pub(crate) struct New {
    /// The provider's name: 1 to 64 of a-z, 0-9 and "-", starting with a letter
    name: String,

    /// The folder to make; default: NAME in the working folder
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

/// Scaffold a provider.
///
/// # Errors
/// Where the name is none, the folder exists, or files cannot be written.
pub(crate) fn run(command: &New, context: &Context) -> Result<Exit, CliError> {
    check_name(&command.name)?;
    check_crate_name(&command.name)?;
    let folder = command.path.clone().unwrap_or_else(|| command.name.clone().into());
    if folder.exists() {
        let hint = "choose another name, or another folder with --path; nothing was changed";
        return Err(CliError::input_in(&folder, "the folder exists already", hint));
    }
    let sdk = Sdk::unpack(&context.cache()?)?;
    scaffold(&folder, &command.name, &sdk.rust())?;
    put(format!("made the provider {} in {}", command.name, printable(&folder.display().to_string())))?;
    context.screen.say(format!(
        "next:\n  cd {}\n  cargo test        # its tests, against a scripted API\n  damper build      # one .wasm file, in {}",
        folder.display(),
        crate::provider::BUILT,
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

fn scaffold(folder: &Path, name: &str, sdk: &Path) -> Result<(), CliError> {
    let sdk = sdk.to_str().ok_or_else(|| {
        CliError::input_in(
            sdk,
            "the cache's path is not UTF-8, and cargo needs it to be",
            "set DAMPER_CACHE to another folder",
        )
    })?;
    let fill = |text: &str| text.replace("{{name}}", name).replace("{{sdk_path}}", &in_toml(sdk));
    // Beside its place first, so that nothing half made is left behind.
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(CliError::file("make the folder", parent))?;
    let draft = parent.join(format!(".{name}.{}.new", std::process::id()));
    let made = sdk::template()
        .try_for_each(|(file, text)| sdk::put(&draft.join(file), fill(text).as_bytes()))
        .and_then(|()| fs::rename(&draft, folder).map_err(CliError::file("make the folder", folder)));
    if made.is_err() {
        // Best effort: its name says what it is.
        let _ = fs::remove_dir_all(&draft);
    }
    made
}

/// A path as it stands between the quotes of a TOML string.
fn in_toml(path: &str) -> String {
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
    fn a_path_survives_a_toml_string() {
        let path = "C:\\a \"b\"\n\u{1}é";
        let table: toml::Table = toml::from_str(&format!("path = \"{}\"", in_toml(path))).unwrap();
        assert_eq!(table["path"].as_str(), Some(path));
    }
}
