//! `damper new`: a provider that builds and passes its test at once, anywhere on the disk.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use damper_config::provider::check_name;
use damper_toolchain::{BUILT_FOLDER, Language, Recipe, Sdk, check_project_name, scaffold};

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::screen::{printable, put};

/// Create a new provider: a project with a manifest, a function, its tests and a case
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper new catfacts && cd catfacts && cargo test && damper build
  damper new catfacts --lang js && cd catfacts && npm install && npm test && damper build
  damper new catfacts --lang python && cd catfacts && python3 -m unittest && damper build
  damper new customers --recipe oauth2

A Rust component is the smallest and by far the fastest; JavaScript and Python components contain
their interpreter. The SDK of the language is in damper's cache, and the tests download nothing.")]
pub(crate) struct New {
    /// The provider's name: 1 to 64 of a-z, 0-9 and "-", starting with a letter
    name: String,

    /// The language to write it in
    #[arg(long, value_enum, default_value_t, value_name = "LANGUAGE")]
    lang: LanguageArg,

    /// The recipe to begin with, instead of the plain function
    #[arg(long, value_enum, value_name = "RECIPE")]
    recipe: Option<RecipeArg>,

    /// The folder to create; default: NAME in the working folder
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

/// A language with an SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum LanguageArg {
    /// Rust, compiled by cargo
    #[default]
    Rust,
    /// JavaScript or TypeScript, run by QuickJS inside of the component
    Js,
    /// Python, run by CPython inside of the component
    Python,
}

impl From<LanguageArg> for Language {
    fn from(language: LanguageArg) -> Self {
        match language {
            LanguageArg::Rust => Self::Rust,
            LanguageArg::Js => Self::Js,
            LanguageArg::Python => Self::Python,
        }
    }
}

/// A recipe of the provider guide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RecipeArg {
    /// An API that wants OAuth2 tokens, which the host fetches and renews
    #[value(name = "oauth2")]
    OAuth2,
    /// An API that takes an order first, and has its record later
    TwoStep,
    /// A service that speaks SOAP, with the SDK's XML reader
    Xml,
}

impl From<RecipeArg> for Recipe {
    fn from(recipe: RecipeArg) -> Self {
        match recipe {
            RecipeArg::OAuth2 => Self::OAuth2,
            RecipeArg::TwoStep => Self::TwoStep,
            RecipeArg::Xml => Self::Xml,
        }
    }
}

/// Scaffold a provider.
///
/// # Errors
/// If the name is none, the folder exists, or files cannot be written.
pub(crate) fn run(command: &New, context: &Context) -> Result<Exit, CliError> {
    check_name(&command.name)?;
    let language = Language::from(command.lang);
    check_project_name(&command.name, language)?;
    let folder = command.path.clone().unwrap_or_else(|| command.name.clone().into());
    if folder.exists() {
        let hint = "choose another name, or another folder with --path; nothing was changed";
        return Err(CliError::input_in(&folder, "the folder already exists", hint));
    }
    let sdk = Sdk::unpack(&context.for_builds().open_cache()?)?;
    scaffold(&folder, &command.name, language, command.recipe.map(Recipe::from), &sdk)?;
    put(format!("created the provider {} in {}", command.name, printable(&folder.display().to_string())))?;
    let test = match language {
        Language::Rust => "cargo test",
        Language::Js => "npm install && npm test",
        Language::Python => "python3 -m unittest",
    };
    context.screen.say(format!(
        "next:\n  cd {}\n  {test:<24}  # its tests, against a scripted API\n  {:<24}  # one .wasm file, in {}",
        folder.display(),
        "damper build",
        BUILT_FOLDER,
    ));
    Ok(Exit::Done)
}
