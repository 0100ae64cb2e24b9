//! `damper feed`: enqueue items from a file. It reads piece by piece, so a file may be larger than memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use damper_config::Config;
use damper_config::provider::{self, FindError, check_name};
use damper_local::items::{FileCounts, ItemFeeder, ItemFormat, ItemRows, ItemsError};
use damper_plugins::component_file::ComponentFile;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::backend::BackendArgs;
use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::screen::{put, put_json};

/// Enqueue items for a provider: from a file with one id a line, CSV with a header, or NDJSON
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper feed gleif leis.txt
  printf '1\\n2\\n' | damper feed catfacts -
  damper feed gleif items.csv --json
  damper feed gleif items.csv --aws

Formats:
  ids     one id per line; spaces around it are removed
  csv     a header with a column `id`; non-empty cells of other columns become parameters
  ndjson  {\"id\": \"...\", \"params\": {\"name\": \"value\"}} per line; params is optional
Blank lines are skipped. Malformed lines (not UTF-8, an id that is empty or over 512 bytes, ...) are
reported by number and not enqueued; the other lines are, and the exit code is 4. An item that is
fed twice is fetched once a day, so a file can be fed again after a feed has failed.")]
pub(crate) struct Feed {
    /// The provider's name
    provider: String,

    /// The file; `-` is standard input
    file: String,

    /// The file's format; default: by its extension, else by its first line
    #[arg(long, value_enum)]
    format: Option<ItemFormatArg>,

    /// Enqueue malformed lines too: they become dead letters, with their bytes
    #[arg(long)]
    keep_malformed: bool,

    /// One JSON object: the numbers of accepted and malformed items, and the first malformed ones
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    backend: BackendArgs,
}

/// A format, as it is named on the command line.
#[derive(Debug, Clone, Copy)]
struct ItemFormatArg(ItemFormat);

impl ValueEnum for ItemFormatArg {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(ItemFormat::Ids), Self(ItemFormat::Csv), Self(ItemFormat::Ndjson)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self.0 {
            ItemFormat::Ids => ("ids", "One id a line"),
            ItemFormat::Csv => ("csv", "A header with a column `id`, then one row per item"),
            ItemFormat::Ndjson => ("ndjson", "One JSON object per line"),
        };
        Some(PossibleValue::new(name).help(help))
    }
}

/// Enqueue items.
///
/// # Errors
/// If the file cannot be read or the stream fails; what was counted until then is enqueued. Malformed lines are an
/// error at the end.
pub(crate) fn run(command: &Feed, context: &Context) -> Result<Exit, CliError> {
    check_name(&command.provider)?;
    let config = context.data_config()?;
    let path = (command.file != "-").then(|| Path::new(&command.file));
    let (input, length) = open_input(path)?;
    let progress = progress_bar(context, length);
    let mut input = BufReader::with_capacity(256 * 1024, progress.wrap_read(input));
    let format = match command.format.map(|given| given.0).or_else(|| path.and_then(ItemFormat::of_name)) {
        Some(format) => format,
        None => ItemFormat::guess(input.fill_buf().map_err(CliError::file("read", path.unwrap_or(Path::new("-"))))?),
    };
    let identity = identity_params(context, &config, command)?;
    let runtime = context::runtime()?;
    let backend = runtime.block_on(command.backend.open_for_feed(context, &config))?;
    let mut feeder = ItemFeeder::new(&*backend, &context.clock, &command.provider, identity, command.keep_malformed);
    let fed =
        ItemRows::new(input, format).map_err(ItemsError::from).and_then(|rows| runtime.block_on(feeder.feed(rows)));
    progress.finish_and_clear();
    let counts = feeder.counts();
    print_summary(command, context, counts, fed.is_ok())?;
    fed.map_err(|error| with_path(error.into(), path))?;
    if counts.malformed > 0 && !command.keep_malformed {
        Err(CliError::Malformed(counts.malformed))
    } else {
        Ok(Exit::Done)
    }
}

/// Name the file in an error about what is in it.
fn with_path(error: CliError, path: Option<&Path>) -> CliError {
    match error {
        CliError::Input { what, path: None, hint } => CliError::Input { what, path: path.map(Path::to_path_buf), hint },
        error => error,
    }
}

fn open_input(path: Option<&Path>) -> Result<(Box<dyn Read>, Option<u64>), CliError> {
    let Some(path) = path else { return Ok((Box::new(io::stdin()), None)) };
    let read_error = || CliError::file("read the items", path);
    let file = File::open(path).map_err(read_error())?;
    let metadata = file.metadata().map_err(read_error())?;
    if metadata.is_dir() {
        return Err(read_error()(io::ErrorKind::IsADirectory.into()));
    }
    Ok((Box::new(file), metadata.is_file().then_some(metadata.len())))
}

/// A bar over the file's bytes, or a count where the length is not known.
fn progress_bar(context: &Context, length: Option<u64>) -> ProgressBar {
    if !context.screen.is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = context.screen.bars().add(length.map_or_else(ProgressBar::new_spinner, ProgressBar::new));
    let template = match length {
        Some(_) => "{bar:30} {bytes}/{total_bytes} {msg} eta {eta}",
        None => "{spinner} {bytes} {msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The parameters that belong to the identity, where there is a component to ask.
fn identity_params(context: &Context, config: &Config, command: &Feed) -> Result<Vec<String>, CliError> {
    let name = &command.provider;
    let path = match provider::find(config, name) {
        // In AWS the deployed function has the component; here it would only serve to check items.
        Err(FindError::NoComponent { .. } | FindError::UnknownComponent { .. }) if command.backend.aws => {
            return Ok(Vec::new());
        }
        Ok(path) => path,
        Err(FindError::NoComponent { looked_for, nearest, .. }) => {
            let looked_for: Vec<String> = looked_for.iter().map(|path| path.display().to_string()).collect();
            let looked_for = looked_for.join(", ");
            if let Some(file) = lists_others(config, name) {
                return Err(unknown_provider(file, name, &looked_for, nearest.as_deref()));
            }
            let question = nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
            context.screen.warn(format!(
                "there is no component for {name} yet (looked for {looked_for}); the items are enqueued, but \
                    `damper run` needs it{question}"
            ));
            return Ok(Vec::new());
        }
        Err(error) => return Err(error.into()),
    };
    match ComponentFile::read(&path) {
        Ok(file) => Ok(file.manifest.identity),
        Err(error) => {
            context.screen.warn(format!("the component cannot be used, but `damper run` needs it: {error}"));
            Ok(Vec::new())
        }
    }
}

/// The damper.toml, if it lists providers and this is none of them.
fn lists_others<'a>(config: &'a Config, name: &str) -> Option<&'a Path> {
    let is_other = !config.providers.is_empty() && !config.providers.contains_key(name);
    config.file.as_deref().filter(|_| is_other)
}

/// A name that was mistyped would make a stream that nothing drains.
fn unknown_provider(file: &Path, name: &str, looked_for: &str, nearest: Option<&str>) -> CliError {
    let what = format!(
        "there is no provider {name}: this file does not list it, and it has no component (looked for {looked_for}); \
            nothing is enqueued"
    );
    let question = provider::ask(nearest, " If not, ");
    CliError::input_in(file, what, format!("{question}add it to the file:\n  [providers.{name}]"))
}

fn print_summary(command: &Feed, context: &Context, counts: &FileCounts, whole: bool) -> Result<(), CliError> {
    let FileCounts { accepted, malformed, kept, first } = counts;
    let provider = &command.provider;
    if command.json {
        let first: Vec<_> = first.iter().map(|(line, why)| json!({ "line": line, "problem": why })).collect();
        return put_json(&json!({
            "provider": provider, "accepted": accepted, "malformed": malformed, "kept": kept,
            "first_malformed": first, "whole": whole,
        }));
    }
    for (line, why) in first {
        context.screen.warn(format!("line {line} is malformed: {why}"));
    }
    let shown = first.len() as u64;
    if *malformed > shown {
        context.screen.warn(format!("and {} more malformed lines", malformed.saturating_sub(shown)));
    }
    let fate = match (malformed, command.keep_malformed) {
        (0, _) | (_, false) => String::new(),
        (_, true) => format!(", of which {kept} are enqueued to become dead letters"),
    };
    let end = if whole { "" } else { "; then the feed failed" };
    put(format!("{provider}: {accepted} items accepted, {malformed} malformed{fate}{end}"))
}
