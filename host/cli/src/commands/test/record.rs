//! `damper test --record`: cases from the real API, with what the operator grants and binds.

use std::fs;
use std::path::Path;

use damper_config::Config;
use damper_config::provider::{self, Bound};
use damper_core::fetcher::Fetcher;
use damper_core::item::{Item, Params};
use damper_plugins::{HostOptions, PluginHost};
use damper_runner::count_keys;
use damper_workbench::record::{CaseFile, Recording, case_files};

use super::Test;
use super::component::{Subject, check_uses};
use crate::commands::fetch::{acquire_slot, open_shared_database};
use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::lock;
use crate::screen::{printable, put};

/// The longest name of a recorded case, in characters.
const MAX_NAME: usize = 60;

/// Fetch each id, and write a case of it.
///
/// # Errors
/// If the provider cannot be used, a fetch makes no case, or the case is there already; what was written before stays.
pub(super) fn run(command: &Test, subject: &Subject, context: &Context) -> Result<Exit, CliError> {
    let config = context.config()?;
    let provider = command.provider.as_ref().unwrap_or(&subject.file.manifest.name);
    if command.provider.is_some() {
        check_uses(&config, provider, &subject.file)?;
    }
    let bound = provider::bind(&config, provider, subject.file.clone())?;
    for warning in &bound.warnings {
        context.screen.warn(warning);
    }
    lock::enforce_one(context, &config, &bound)?;
    let key_counting = open_shared_database(&config, &bound)?.map(|database| count_keys(database, &context.clock));
    let host = PluginHost::new(HostOptions { key_counting, ..context.host_options(1)? })?;
    context::runtime()?.block_on(async {
        for id in &command.record {
            let case = subject.cases.join(format!("{}.toml", name(id)));
            if fs::symlink_metadata(&case).is_ok() {
                let hint = "remove it first, or rename it to keep both";
                return Err(CliError::input_in(&case, "the case already exists", hint));
            }
            for file in record_case(command, id, subject, &bound, &host, (context, &config)).await? {
                write(&file)?;
            }
            put(printable(&case.display().to_string()))?;
        }
        Ok(Exit::Done)
    })
}

async fn record_case(
    command: &Test,
    id: &str,
    subject: &Subject,
    bound: &Bound,
    host: &PluginHost,
    (context, config): (&Context, &Config),
) -> Result<Vec<CaseFile>, CliError> {
    let params: Params = command.params.iter().cloned().collect();
    let item = Item::new(id.to_owned(), params)
        .map_err(|error| CliError::input(error.to_string(), "an id has 1 to 512 bytes"))?;
    let provider = bound.manifest.name.clone();
    let plugin = host
        .load(&bound.file, bound.manifest.clone(), bound.grants.clone())
        .map_err(|error| CliError::load(provider.clone(), error.to_string()))?;
    // Compiling takes longer than a slot counts: nobody renews this one.
    plugin.prepare().await.map_err(|failure| CliError::load(provider, failure.message))?;
    let slot = acquire_slot(context, config, &bound.manifest).await?;
    let request = bound.first_fetch(item, context.clock.now());
    let fetch = plugin.fetch_recorded(request.clone(), slot.permits()).await;
    slot.give_back(fetch.report.unanswered_since.is_some()).await;
    plugin.return_unsent().await;
    let (manifest, config) = (&bound.manifest, &bound.grants.config);
    let recording = Recording { manifest, config, request: &request, redact: &command.redact };
    case_files(&recording, &fetch, &subject.cases, &name(id)).map_err(|error| {
        CliError::input(
            format!("no case can be recorded for {id:?}: {error}"),
            "`damper fetch` shows the result of the fetch",
        )
    })
}

/// A case's name from an id: what a file's name takes of it.
fn name(id: &str) -> String {
    let kept = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    let name: String = id.chars().take(MAX_NAME).map(|it| if kept(it) { it } else { '-' }).collect();
    let name = name.trim_matches(['-', '.']);
    if name.is_empty() { "record".to_owned() } else { name.to_owned() }
}

fn write(file: &CaseFile) -> Result<(), CliError> {
    let folder = file.path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(CliError::file("make the folder of cases", folder))?;
    if fs::symlink_metadata(&file.path).is_ok_and(|found| found.is_symlink()) {
        let hint = "remove it: a recording is not written through a link";
        return Err(CliError::input_in(&file.path, "a symbolic link with this name already exists", hint));
    }
    fs::write(&file.path, &file.bytes).map_err(CliError::file("write", &file.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_named_after_its_id_and_never_leaves_its_folder() {
        for (id, expected) in
            [("529900W18", "529900W18"), ("../../x", "x"), ("a/b c", "a-b-c"), ("東京", "record"), ("..", "record")]
        {
            assert_eq!(name(id), expected, "{id}");
        }
        assert_eq!(name(&"x".repeat(500)).len(), MAX_NAME);
    }
}
