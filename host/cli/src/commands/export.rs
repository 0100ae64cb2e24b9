//! `damper export`: what was fetched, as one stream.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use damper_config::provider::check_name;
use damper_core::day::Day;
use damper_local::export::{self, BrokenLines, ExportSummary};
use object_store::local::LocalFileSystem;

use crate::context::{self, Context};
use crate::error::{CliError, Exit};

/// Write a provider's records as one stream of NDJSON or CSV
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper export gleif --day 2026-05-01 > gleif.ndjson
  damper export gleif --format csv -o gleif.csv

In CSV, an apostrophe is put before a cell that a spreadsheet would run as a formula. NDJSON is
unchanged.")]
pub(crate) struct Export {
    /// The provider's name
    provider: String,

    /// Only this day of the provider, as YYYY-MM-DD; default: all days
    #[arg(long)]
    day: Option<Day>,

    /// The output format
    #[arg(long, value_enum, default_value_t = ExportFormatArg::Ndjson)]
    format: ExportFormatArg,

    /// The file to write; default: standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Skip and count lines that are not records, instead of failing at the first
    #[arg(long)]
    skip_broken: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ExportFormatArg {
    Ndjson,
    Csv,
}

/// Export records.
///
/// # Errors
/// If the output folder cannot be read or the export cannot be written.
pub(crate) fn run(command: &Export, context: &Context) -> Result<Exit, CliError> {
    check_name(&command.provider)?;
    let config = context.data_config()?;
    if !config.output.is_dir() {
        let hint = "run a provider first, or run this where its damper.toml is found";
        return Err(CliError::input_in(&config.output, "there is no output folder yet", hint));
    }
    // Nothing is written there, so it need not be writable.
    let store = LocalFileSystem::new_with_prefix(&config.output).map_err(damper_local::export::ExportError::from)?;
    let exported = match &command.output {
        None => write(command, &store, &mut BufWriter::new(io::stdout()))?,
        Some(path) => to_file(command, &store, path)?,
    };
    let ExportSummary { objects, records, skipped } = exported;
    let mut said = format!("{}: {records} records from {objects} objects", command.provider);
    if skipped > 0 {
        said.push_str(&format!("; {skipped} broken lines skipped"));
    }
    context.screen.say(said);
    Ok(Exit::Done)
}

fn write(
    command: &Export,
    store: &LocalFileSystem,
    writer: &mut (dyn Write + Send),
) -> Result<ExportSummary, CliError> {
    let format = match command.format {
        ExportFormatArg::Ndjson => export::Format::Ndjson,
        ExportFormatArg::Csv => export::Format::Csv,
    };
    let broken = if command.skip_broken { BrokenLines::Skip } else { BrokenLines::Fail };
    let exported = export::export(store, &command.provider, command.day, format, broken, writer);
    Ok(context::runtime()?.block_on(exported)?)
}

/// Beside its place first, so that the file is there whole or not at all.
fn to_file(command: &Export, store: &LocalFileSystem, path: &Path) -> Result<ExportSummary, CliError> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", std::process::id()));
    let draft = PathBuf::from(draft);
    let file = File::create(&draft).map_err(CliError::file("write", path))?;
    let exported = write(command, store, &mut BufWriter::new(&file)).and_then(|exported| {
        let placed = file.sync_all().and_then(|()| std::fs::rename(&draft, path));
        placed.map(|()| exported).map_err(CliError::file("write", path))
    });
    if exported.is_err() {
        // Best effort: its name says what it is.
        let _ = std::fs::remove_file(&draft);
    }
    exported
}
