//! The providers to package: which they are, where each comes from, and whether Lambda can run it as the operator set it up.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use damper_config::Config;
use damper_config::lock::{Candidate, check};
use damper_config::provider::{self, BUILT, FindError};
use damper_core::manifest::Manifest;
use damper_plugins::component_file::ComponentFile;
use damper_plugins::grants::{Secret, SecretSource};
use damper_plugins::settings::{
    self, FoundSecret, Place, ProviderSettings, SecretBackends, SecretPlace, SecretPlaceError, SecretSources,
};
use toml::Table;

use super::retention::StreamRetention;
use crate::commands::build::{Builder, Source, place_of};
use crate::commands::test::conformance;
use crate::context::Context;
use crate::error::CliError;
use crate::language::Language;
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

/// A provider that can be packaged.
#[derive(Debug)]
pub(super) struct Ready {
    /// Its component.
    pub(super) file: ComponentFile,
    /// Its manifest with what the operator tightened.
    pub(super) manifest: Manifest,
    /// The operator's table, as TOML.
    pub(super) settings: String,
    /// The names of its secrets in AWS Secrets Manager.
    pub(super) secrets: BTreeSet<String>,
    /// How long its stream keeps an item.
    pub(super) retention: StreamRetention,
    /// Warnings for the operator.
    pub(super) warnings: Vec<String>,
    /// It, as damper.lock looks at it.
    candidate: Candidate,
}

impl Ready {
    /// The provider's name.
    pub(super) fn name(&self) -> &str {
        &self.manifest.name
    }
}

/// The providers named, or all that damper.toml names.
///
/// # Errors
/// If there are none, or one is not to be found.
pub(super) fn select(config: &Config, named: &[String]) -> Result<Vec<SelectedProvider>, CliError> {
    if !named.is_empty() {
        return named.iter().map(|name| select_one(config, name)).collect();
    }
    let example = "name them, as in `damper package providers/gleif`, or list them in damper.toml:\n  [providers.gleif]\n  component = \"providers/gleif\"\n  hosts = [\"api.gleif.org\"]";
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
    let said = config.provider(name).and_then(|said| said.component.as_ref()).map(|path| config.folder.join(path));
    if let Some(path) = said {
        if path.is_dir() {
            return Ok(ProviderSource::Crate(path));
        }
        // CRATE/target/damper/NAME.wasm
        let built = path.parent().filter(|folder| folder.ends_with(BUILT));
        if let Some(home) = built.and_then(|folder| folder.ancestors().nth(2)).filter(|home| is_crate(home)) {
            return Ok(ProviderSource::Crate(home.to_path_buf()));
        }
    } else {
        let home = config.components.join(name);
        if is_crate(&home) {
            return Ok(ProviderSource::Crate(home));
        }
    }
    provider::find(config, name).map(ProviderSource::File)
}

fn is_crate(folder: &Path) -> bool {
    folder.join("provider.toml").is_file() && Language::of(folder).is_ok()
}

/// Builds what is to be built, and checks each provider; those that are built here have to conform where that is asked for.
///
/// # Errors
/// If one does not compile, does not conform, or cannot run in Lambda as it is set up.
pub(super) fn build(
    wanted: &[SelectedProvider],
    config: &Config,
    has_to_conform: bool,
    context: &Context,
) -> Result<Vec<Ready>, CliError> {
    for path in
        wanted.iter().filter_map(|wanted| if let ProviderSource::File(path) = &wanted.from { Some(path) } else { None })
    {
        context.screen.say(format!(
            "{}: as it is; whether it conforms is not looked at, for its cases are not here",
            path.display()
        ));
    }
    let mut builder = None;
    let all = prepare(wanted, config, |source| {
        context.screen.say(format!("building {}", source.manifest.name));
        let builder = match &mut builder {
            Some(builder) => builder,
            none => none.insert(Builder::new(context)?),
        };
        let component = builder.build(source, None)?.component;
        if has_to_conform {
            conformance::require(&component, &source.folder, context)?;
        }
        Ok(component)
    })?;
    lock::enforce(context, config, &candidates(&all))?.into_iter().collect::<Result<(), _>>()?;
    Ok(all)
}

fn candidates(all: &[Ready]) -> Vec<Candidate> {
    all.iter().map(|ready| ready.candidate.clone()).collect()
}

/// Checks each provider as it was built last.
///
/// # Errors
/// As [`build`], and where one was never built.
pub(super) fn look(wanted: &[SelectedProvider], config: &Config, context: &Context) -> Result<Vec<Ready>, CliError> {
    let all = prepare(wanted, config, |source| {
        let path = place_of(source, context)?;
        if path.is_file() {
            return Ok(path);
        }
        let what = format!("{} was not built yet, and --check builds nothing", source.manifest.name);
        Err(CliError::input_in(&path, what, "run `damper package` without --check first"))
    })?;
    check(config, &candidates(&all))?.into_iter().collect::<Result<(), _>>()?;
    Ok(all)
}

fn prepare(
    wanted: &[SelectedProvider],
    config: &Config,
    mut find_or_build: impl FnMut(&Source) -> Result<PathBuf, CliError>,
) -> Result<Vec<Ready>, CliError> {
    let mut all: Vec<Ready> = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let path = match &wanted.from {
            ProviderSource::Crate(folder) => find_or_build(&Source::read(folder)?)?,
            ProviderSource::File(path) => path.clone(),
        };
        let ready = prepare_one(config, ComponentFile::read(&path)?)?;
        if let Some(name) = wanted.name.as_ref().filter(|name| *name != ready.name()) {
            let found = ready.name().to_owned();
            return Err(FindError::AnotherName { provider: name.clone(), found, path }.into());
        }
        if all.iter().any(|other| other.name() == ready.name()) {
            let what = format!("two components say that they are {}", ready.name());
            return Err(CliError::input_in(&path, what, "name each provider once"));
        }
        all.push(ready);
    }
    all.sort_by(|one, other| one.name().cmp(other.name()));
    Ok(all)
}

/// A component with what the operator says of it.
fn prepare_one(config: &Config, file: ComponentFile) -> Result<Ready, CliError> {
    let nothing = ProviderSettings::default();
    let said = config.provider(&file.manifest.name).unwrap_or(&nothing);
    let place = config.file.as_deref().map_or(Place::Nowhere, Place::File);
    let secrets = RefCell::new(BTreeSet::new());
    let find = |place: &SecretPlace| {
        secrets.borrow_mut().insert(secret_name(place, &file.manifest.name)?);
        // Nobody asks it: packaging needs no secret, only to know which there are.
        Ok(FoundSecret { source: Arc::new(Secret::new("")) as Arc<dyn SecretSource>, known: None })
    };
    let sources = SecretSources { backends: SecretBackends::SecretsManager, find: &find };
    let bound = settings::bind(&file.manifest, said, place, sources)?;
    let settings = settings_text(config, &file.manifest.name)?;
    let retention = StreamRetention::of(&bound.manifest)?;
    let mut warnings = bound.warnings;
    warnings.extend(retention.warning(&bound.manifest));
    let candidate = Candidate::new(config, &file, &bound.grants);
    Ok(Ready {
        candidate,
        file,
        manifest: bound.manifest,
        settings,
        secrets: secrets.into_inner(),
        retention,
        warnings,
    })
}

/// The settings below `[providers.NAME]` without the component's path on this machine. Without a damper.toml: the settings that such
/// a provider gets.
fn settings_text(config: &Config, name: &str) -> Result<String, CliError> {
    let Some(path) = &config.file else { return Ok("hosts = \"manifest\"\n".to_owned()) };
    let text = fs::read_to_string(path).map_err(CliError::file("read", path))?;
    let mut whole: Table = text.parse().map_err(|error| CliError::unexpected("read damper.toml again", error))?;
    let table = whole.get_mut("providers").and_then(|providers| providers.get_mut(name));
    let Some(table) = table.and_then(toml::Value::as_table_mut) else { return Ok(String::new()) };
    table.remove("component");
    toml::to_string(table).map_err(|error| CliError::unexpected("write the provider's settings", error))
}

/// The name of a secret, which must lie where Lambda finds it.
fn secret_name(place: &SecretPlace, provider: &str) -> Result<String, SecretPlaceError> {
    let unusable = |problem: String, hint: String| Err(SecretPlaceError { problem, hint });
    let kind = match place {
        SecretPlace::SecretsManager(name) => return Ok(name.clone()),
        SecretPlace::Environment(_) => "env",
        SecretPlace::File(_) => "file",
    };
    let hint = format!("put the secret into AWS Secrets Manager and name it here: `secret = \"damper/{provider}\"`");
    unusable(format!("binds `{kind}`, which Lambda does not have"), hint)
}
