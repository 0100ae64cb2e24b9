//! The providers to package: which they are and where each comes from, as damper.toml and the command line name them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use damper_config::Config;
use damper_config::config::{ComponentLocation, LayeredSettings};
use damper_config::lock::{Candidate, check};
use damper_config::provider::{self, FindError};
use damper_package::{OperatorSettings, PreparedProvider};
use damper_plugins::component_file::ComponentFile;
use damper_plugins::settings::Place;
use damper_toolchain::{BUILT_FOLDER, Builder, Project, locate_component};

use crate::commands::test::conformance;
use crate::context::Context;
use crate::error::CliError;
use crate::lock;

/// A provider that was asked for.
#[derive(Debug)]
pub(super) struct SelectedProvider {
    /// Its name; none where a path was given instead.
    name: Option<String>,
    from: ProviderSource,
}

/// The source of its component.
#[derive(Debug)]
enum ProviderSource {
    /// A crate, to be built.
    Crate(PathBuf),
    /// A component that is there.
    File(PathBuf),
}

/// The providers named, or all that damper.toml names.
///
/// # Errors
/// If there are none, or one is not to be found.
pub(super) fn select(config: &Config, named: &[String]) -> Result<Vec<SelectedProvider>, CliError> {
    if !named.is_empty() {
        return named.iter().map(|name| select_one(config, name)).collect();
    }
    let example = "name them, as in `damper package providers/gleif`, or list them in damper.toml:\n  \
        [providers.gleif]\n  component = \"providers/gleif\"\n  hosts = [\"api.gleif.org\"]";
    let Some(file) = &config.file else {
        return Err(CliError::input("no provider is named, and there is no damper.toml to name them", example));
    };
    if config.providers.is_empty() {
        return Err(CliError::input_in(file, "no provider is named, here or on the command line", example));
    }
    config.providers.keys().map(|name| select_one(config, name)).collect()
}

fn select_one(config: &Config, text: &str) -> Result<SelectedProvider, CliError> {
    let path = Path::new(text);
    if text.contains(['/', '\\']) || text == "." {
        let from = if path.is_dir() {
            ProviderSource::Crate(path.to_path_buf())
        } else {
            ProviderSource::File(path.to_path_buf())
        };
        return Ok(SelectedProvider { name: None, from });
    }
    provider::check_name(text)?;
    Ok(SelectedProvider { name: Some(text.to_owned()), from: locate(config, text)? })
}

/// The source of a provider's component: a crate if there is one, else a file as [`provider::find`] finds it.
fn locate(config: &Config, name: &str) -> Result<ProviderSource, FindError> {
    let home = match config.component(name) {
        ComponentLocation::Named(path) if path.is_dir() => Some(path),
        // CRATE/target/damper/NAME.wasm
        ComponentLocation::Named(path) => {
            let built = path.parent().filter(|folder| folder.ends_with(BUILT_FOLDER));
            let home = built.and_then(|folder| folder.ancestors().nth(2));
            home.filter(|home| Project::is_in(home)).map(Path::to_path_buf)
        }
        ComponentLocation::Searched(name) => {
            Some(config.component_folder.join(name)).filter(|home| Project::is_in(home))
        }
    };
    match home {
        Some(home) => Ok(ProviderSource::Crate(home)),
        None => provider::find(config, name).map(ProviderSource::File),
    }
}

/// Builds what is to be built, and checks each provider; those that are built here have to conform where that is asked
/// for.
///
/// # Errors
/// If one does not compile, does not conform, or cannot run in Lambda as it is set up.
pub(super) fn build(
    wanted: &[SelectedProvider],
    config: &Config,
    has_to_conform: bool,
    context: &Context,
) -> Result<Vec<PreparedProvider>, CliError> {
    for path in
        wanted.iter().filter_map(|wanted| if let ProviderSource::File(path) = &wanted.from { Some(path) } else { None })
    {
        context
            .screen
            .say(format!("{}: packaged without the conformance test, because its cases are not here", path.display()));
    }
    let (build_context, mut builder) = (context.for_builds(), None);
    let all = prepare(wanted, config, |project| {
        context.screen.say(format!("building {}", project.manifest.name));
        let builder = match &mut builder {
            Some(builder) => builder,
            none => none.insert(Builder::new(&build_context)?),
        };
        let component = builder.build(project, None)?.component;
        if has_to_conform {
            conformance::require(&component, &project.folder, context)?;
        }
        Ok(component)
    })?;
    lock::enforce(context, config, &candidates(config, &all))?.into_iter().collect::<Result<(), _>>()?;
    Ok(all)
}

/// The providers, as damper.lock looks at them.
fn candidates(config: &Config, all: &[PreparedProvider]) -> Vec<Candidate> {
    all.iter().map(|ready| Candidate::new(config, ready.name(), &ready.file, &ready.grants)).collect()
}

/// Checks each provider as it was built last.
///
/// # Errors
/// As [`build`], and where one was never built.
pub(super) fn look(
    wanted: &[SelectedProvider],
    config: &Config,
    context: &Context,
) -> Result<Vec<PreparedProvider>, CliError> {
    let environment = context.for_builds().environment;
    let all = prepare(wanted, config, |project| {
        let path = locate_component(project, &environment)?;
        if path.is_file() {
            return Ok(path);
        }
        let what = format!("{} was not built yet, and --check builds nothing", project.manifest.name);
        Err(CliError::input_in(&path, what, "run `damper package` without --check first"))
    })?;
    check(config, &candidates(config, &all))?.into_iter().collect::<Result<(), _>>()?;
    Ok(all)
}

fn prepare(
    wanted: &[SelectedProvider],
    config: &Config,
    mut find_or_build: impl FnMut(&Project) -> Result<PathBuf, CliError>,
) -> Result<Vec<PreparedProvider>, CliError> {
    let mut all: Vec<PreparedProvider> = Vec::with_capacity(wanted.len());
    // A component that several providers use is built once.
    let mut built = BTreeMap::<&Path, PathBuf>::new();
    for wanted in wanted {
        let path = match &wanted.from {
            ProviderSource::Crate(folder) => match built.get(folder.as_path()) {
                Some(path) => path.clone(),
                None => {
                    let path = find_or_build(&Project::read(folder)?)?;
                    built.entry(folder).or_insert(path).clone()
                }
            },
            ProviderSource::File(path) => path.clone(),
        };
        let file = ComponentFile::read(&path)?;
        if let Some(name) = &wanted.name {
            provider::check_component_name(config, name, &file, &path)?;
        }
        let name = wanted.name.clone().unwrap_or_else(|| file.manifest.name.clone());
        if all.iter().any(|other| other.name() == name) {
            let what = format!("the provider {name} is named twice");
            return Err(CliError::input_in(&path, what, "name each provider once"));
        }
        let said = OperatorSettings {
            settings: config.provider(&name),
            table: config.layers(&name).map(LayeredSettings::table).unwrap_or_default(),
            place: config.file.as_deref().map_or(Place::Nowhere, Place::File),
        };
        all.push(PreparedProvider::new(&name, file, said)?);
    }
    all.sort_by(|one, other| one.name().cmp(other.name()));
    Ok(all)
}
