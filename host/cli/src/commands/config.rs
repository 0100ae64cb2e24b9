//! `damper config`: what damper.toml and a component's manifest come to for a provider.

use clap::{Args, Subcommand};
use damper_config::config::ComponentLocation;
use damper_config::provider::{self, EffectiveSetting, OpenError, SettingSource, check_name, effective_settings};
use damper_config::{Config, config};
use damper_plugins::component_file::ComponentFile;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::screen::{printable, put, put_json, table};

/// Show the settings in force of a provider
#[derive(Debug, Args)]
pub(crate) struct ConfigCommand {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    Show(Show),
}

/// Show a provider's settings in force, and where each comes from
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper config show acme-life

A provider's settings are those of [defaults], then those of its component's [components.NAME], then
its own, the later in place of the earlier. Of a limit that the component's manifest states too, the
stricter one is in force. Secrets are not read, and their names are not shown.")]
struct Show {
    /// The provider's name
    provider: String,

    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Show settings.
///
/// # Errors
/// If the provider has no component, or its settings do not fit it.
pub(crate) fn run(command: &ConfigCommand, context: &Context) -> Result<Exit, CliError> {
    let Subcommands::Show(show) = &command.command;
    check_name(&show.provider)?;
    let config = context.config()?;
    let file = provider::read(&config, &show.provider)?;
    // Says what does not fit, as a run would.
    let bound = provider::bind_without_secrets(&config, &show.provider, &file).map_err(OpenError::from)?;
    for warning in &bound.warnings {
        context.screen.warn(warning);
    }
    let nothing = config::LayeredSettings::default();
    let layers = config.layers(&show.provider).unwrap_or(&nothing);
    let settings = effective_settings(layers, (&file.manifest, &file.manifest_text), &bound.manifest);
    if show.json {
        put_json(&as_json(&show.provider, &file, &settings))?
    } else {
        put_table(show, &config, &file, &settings)?
    }
    Ok(Exit::Done)
}

fn put_table(
    show: &Show,
    config: &Config,
    file: &ComponentFile,
    settings: &[EffectiveSetting],
) -> Result<(), CliError> {
    let place = match config.component(&show.provider) {
        ComponentLocation::Named(path) => path.display().to_string(),
        ComponentLocation::Searched(name) => format!("found by its name, {name}"),
    };
    let (name, version) = (&file.manifest.component, &file.manifest.version);
    put(format!("{}: component {name} {version}, {} ({})\n", show.provider, file.digest, printable(&place)))?;
    let toml = config.file.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let row = |setting: &EffectiveSetting| {
        let source = match &setting.source {
            SettingSource::Operator(origin) => format!("{toml}:{} [{}]", origin.position.line, origin.table),
            SettingSource::Manifest => "the component's manifest".to_owned(),
            SettingSource::Default => "default".to_owned(),
        };
        [&setting.key, &setting.value, &source].map(|cell| printable(cell).to_string()).to_vec()
    };
    put(table(&settings.iter().map(row).collect::<Vec<_>>()).trim_end())
}

fn as_json(provider: &str, file: &ComponentFile, settings: &[EffectiveSetting]) -> Value {
    let setting = |setting: &EffectiveSetting| {
        let source = match &setting.source {
            SettingSource::Operator(origin) => json!({
                "table": origin.table, "line": origin.position.line, "column": origin.position.column,
            }),
            SettingSource::Manifest => "manifest".into(),
            SettingSource::Default => "default".into(),
        };
        json!({ "key": setting.key, "value": setting.value, "from": source })
    };
    json!({
        "provider": provider,
        "component": {
            "name": file.manifest.component, "version": file.manifest.version, "digest": file.digest,
        },
        "settings": settings.iter().map(setting).collect::<Vec<_>>(),
    })
}
