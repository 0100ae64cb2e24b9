//! `damper feed`: enqueue items from a file. It reads piece by piece, so a file may be larger than memory.

mod format;
mod rows;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use damper_config::Config;
use damper_config::provider::{self, FindError, check_name};
use damper_core::admin::Backend;
use damper_core::item::Item;
use damper_plugins::component_file::ComponentFile;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::backend::BackendArgs;
use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::screen::{put, put_json};

use format::Format;
use rows::{Problem, Row, Rows};

/// Items that are enqueued at a time at most, and bytes of their payload.
const CHUNK_ITEMS: usize = 5_000;
const CHUNK_BYTES: usize = 4 * 1024 * 1024;
/// Malformed lines that are shown.
const SHOWN: usize = 10;

/// Enqueue items for a provider: from a file with one id a line, CSV with a header, or NDJSON
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper feed gleif leis.txt
  printf '1\\n2\\n' | damper feed catfacts -
  damper feed gleif items.csv --json
  damper feed gleif items.csv --aws

Formats:
  ids     one id a line; spaces around it are cut off
  csv     a header with a column `id`; other columns become parameters, where a cell is not empty
  ndjson  {\"id\": \"...\", \"params\": {\"name\": \"value\"}} a line; params may be left out
Blank lines are skipped. A malformed line (no UTF-8, an id that is empty or over 512 bytes, ...) is
told by its number and not enqueued; the others are, and the exit code is 4. What is fed twice is
fetched once a day, so that a file may be fed again where a feed has failed.")]
pub(crate) struct Feed {
    /// The provider's name
    provider: String,

    /// The file; `-` is standard input
    file: String,

    /// The file's format; default: by its extension, else by its first line
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Enqueue malformed lines too: they become dead letters, with their bytes
    #[arg(long)]
    keep_malformed: bool,

    /// One JSON object: how many were accepted and malformed, and the first of these
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    backend: BackendArgs,
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
    let format = match command.format.or_else(|| path.and_then(Format::of_name)) {
        Some(format) => format,
        None => Format::guess(input.fill_buf().map_err(CliError::file("read", path.unwrap_or(Path::new("-"))))?),
    };
    let identity = identity_params(context, &config, command)?;
    let runtime = context::runtime()?;
    let backend = runtime.block_on(command.backend.open_for_feed(context, &config))?;
    let mut feeder = Feeder {
        context,
        provider: &command.provider,
        keep_malformed: command.keep_malformed,
        identity,
        backend,
        runtime,
        chunk: Vec::new(),
        chunk_bytes: 0,
        accepted: 0,
        kept: 0,
        malformed: 0,
        first: Vec::new(),
    };
    let fed = Rows::new(input, format).and_then(|rows| feeder.feed(rows)).and_then(|()| feeder.flush());
    progress.finish_and_clear();
    feeder.print_summary(command.json, fed.is_ok())?;
    fed.map_err(|error| with_path(error, path))?;
    if feeder.malformed > 0 && !command.keep_malformed {
        Err(CliError::Malformed(feeder.malformed))
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
        Err(FindError::NoComponent { .. }) if command.backend.aws => return Ok(Vec::new()),
        Ok(path) => path,
        Err(FindError::NoComponent { looked_for, .. }) => {
            let looked_for: Vec<String> = looked_for.iter().map(|path| path.display().to_string()).collect();
            context.screen.warn(format!(
                "there is no component for {name} yet (looked for {}); items are enqueued, and `damper run` will need it",
                looked_for.join(", ")
            ));
            return Ok(Vec::new());
        }
        Err(error) => return Err(error.into()),
    };
    match ComponentFile::read(&path) {
        Ok(file) => Ok(file.manifest.identity),
        Err(error) => {
            context.screen.warn(format!("the component cannot be used, and `damper run` will need it: {error}"));
            Ok(Vec::new())
        }
    }
}

struct Feeder<'a> {
    context: &'a Context,
    provider: &'a str,
    keep_malformed: bool,
    identity: Vec<String>,
    backend: Box<dyn Backend>,
    runtime: Runtime,
    chunk: Vec<Bytes>,
    chunk_bytes: usize,
    accepted: u64,
    kept: u64,
    malformed: u64,
    /// The first malformed lines: their numbers and what is wrong.
    first: Vec<(u64, String)>,
}

impl Feeder<'_> {
    fn feed(&mut self, mut rows: Rows<impl BufRead>) -> Result<(), CliError> {
        while let Some(Row { line, item }) = rows.next()? {
            match item.and_then(|item| self.check(item)) {
                Ok(item) => {
                    self.accepted = self.accepted.saturating_add(1);
                    self.push(item.to_payload())?;
                }
                Err(problem) => self.on_malformed(line, problem)?,
            }
        }
        Ok(())
    }

    /// Check what the provider asks of an item.
    fn check(&self, item: Item) -> Result<Item, Problem> {
        match item.identity(&self.identity) {
            Ok(_) => Ok(item),
            Err(error) => Err(Problem { why: error.to_string(), raw: Some(item.to_payload()) }),
        }
    }

    fn on_malformed(&mut self, line: u64, problem: Problem) -> Result<(), CliError> {
        self.malformed = self.malformed.saturating_add(1);
        if self.first.len() < SHOWN {
            self.first.push((line, problem.why));
        }
        match problem.raw {
            Some(raw) if self.keep_malformed => {
                self.kept = self.kept.saturating_add(1);
                self.push(raw)
            }
            _ => Ok(()),
        }
    }

    fn push(&mut self, payload: Bytes) -> Result<(), CliError> {
        self.chunk_bytes = self.chunk_bytes.saturating_add(payload.len());
        self.chunk.push(payload);
        if self.chunk.len() < CHUNK_ITEMS && self.chunk_bytes < CHUNK_BYTES { Ok(()) } else { self.flush() }
    }

    /// Enqueue what has been read, on this machine in one transaction.
    fn flush(&mut self) -> Result<(), CliError> {
        self.chunk_bytes = 0;
        let chunk = std::mem::take(&mut self.chunk);
        if chunk.is_empty() {
            return Ok(());
        }
        let arrived = self.context.clock.now();
        let (items, kept) = (chunk.len() as u64, self.kept);
        let fed = self.runtime.block_on(self.backend.feed(self.provider, chunk, arrived));
        fed.map_err(|unfed| {
            // Items that were not enqueued are not counted.
            let lost = items.saturating_sub(unfed.accepted);
            self.accepted = self.accepted.saturating_add(kept).saturating_sub(lost);
            self.kept = 0;
            unfed.error.into()
        })
    }

    fn print_summary(&self, as_json: bool, whole: bool) -> Result<(), CliError> {
        let Self { provider, accepted, malformed, kept, first, .. } = self;
        if as_json {
            let first: Vec<_> = first.iter().map(|(line, why)| json!({ "line": line, "problem": why })).collect();
            return put_json(&json!({
                "provider": provider, "accepted": accepted, "malformed": malformed, "kept": kept,
                "first_malformed": first, "whole": whole,
            }));
        }
        for (line, why) in first {
            self.context.screen.warn(format!("line {line} is malformed: {why}"));
        }
        let shown = first.len() as u64;
        if *malformed > shown {
            self.context.screen.warn(format!("and {} more malformed lines", malformed.saturating_sub(shown)));
        }
        let fate = match (malformed, self.keep_malformed) {
            (0, _) | (_, false) => String::new(),
            (_, true) => format!(", of which {kept} are enqueued to become dead letters"),
        };
        let end = if whole { "" } else { "; then it failed" };
        put(format!("{provider}: {accepted} items accepted, {malformed} malformed{fate}{end}"))
    }
}
