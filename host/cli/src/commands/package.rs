//! `damper package`: from providers to what is deployed to AWS: one zip for each architecture, and the stacks' templates.

mod archive;
mod bootstrap;
mod check;
mod dashboard;
mod dist;
mod elf;
mod providers;
mod retention;
mod templates;
mod timeout;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum};
use damper_plugins::package::{self, Architecture};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::screen::{put, put_json, size, table};

use archive::Files;
use bootstrap::Given;
use dist::{Change, Dist, PROVIDERS};
use providers::Ready;
use templates::{Code, Codes, SharedStack, Stack, aws_name};
use timeout::LeastTimeout;

/// The shared stack's template.
const SHARED: &str = "damper.yaml";
/// Folders of the bucket that are no provider's: dead letters, those that were redriven, and what Lambda itself writes.
const FOLDERS: [&str; 3] = ["dead-letters", "dead-letters-redriven", "aws"];

/// Package providers and the Lambda function that runs them, ready to be deployed to AWS
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper package                        # all providers that damper.toml names
  damper package providers/gleif        # this one, from its crate
  damper package --arch arm64 --isolated sec-edgar
  damper package --check                # what would change; nothing is built

It writes, below dist:
  damper-x86_64.zip, damper-arm64.zip   the function's code: `bootstrap` and the compiled providers
  damper.yaml                           the shared stack: function, role, table, bucket, alarms, dashboard
  providers/NAME.yaml                   a stack for each provider: stream, mapping, alarms

The same input gives the same bytes. A function runs the providers of its zip and no other: package
all that are to run, each time. Exit code 6 with --check: something would change.")]
pub(crate) struct Package {
    /// Providers: names, crates' folders or .wasm files; default: all that damper.toml names
    #[arg(value_name = "PROVIDER")]
    providers: Vec<String>,

    /// The architectures to package for
    #[arg(long, value_name = "ARCH", value_enum, value_delimiter = ',', default_values_t = [Arch::X8664, Arch::Arm64])]
    arch: Vec<Arch>,

    /// Damper's source tree, to build `bootstrap` from; default: the one that this program was built from
    #[arg(long, value_name = "DIR", conflicts_with = "bootstrap")]
    source: Option<PathBuf>,

    /// A ready `bootstrap` instead; one for each architecture
    #[arg(long, value_name = "FILE")]
    bootstrap: Vec<PathBuf>,

    /// Give this provider a function of its own, from the same zip
    #[arg(long, value_name = "NAME")]
    isolated: Vec<String>,

    /// Let providers through that do not conform
    #[arg(long, conflicts_with = "check")]
    no_conformance: bool,

    /// The folder to write to
    #[arg(short, long, value_name = "DIR", default_value = "dist")]
    output: PathBuf,

    /// Build and write nothing: tell what would change, with exit code 6 if anything would
    #[arg(long)]
    check: bool,

    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// An architecture as AWS calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Arch {
    #[value(name = "x86_64")]
    X8664,
    Arm64,
}

impl From<Arch> for Architecture {
    fn from(arch: Arch) -> Self {
        match arch {
            Arch::X8664 => Self::X86_64,
            Arch::Arm64 => Self::Aarch64,
        }
    }
}

/// The change of a file, and the reason.
#[derive(Debug)]
struct Outcome {
    change: Change,
    reasons: Vec<String>,
    /// The file's size.
    bytes: Option<usize>,
    /// The size of what is in it.
    unzipped: Option<usize>,
}

impl Outcome {
    fn of(change: Change) -> Self {
        Self { change, reasons: Vec::new(), bytes: None, unzipped: None }
    }
}

/// Package, or tell what would change.
///
/// # Errors
/// If a provider or `bootstrap` cannot be built, or cannot run in Lambda.
pub(crate) fn run(command: &Package, context: &Context) -> Result<Exit, CliError> {
    let config = context.config()?;
    let wanted = providers::select(&config, &command.providers)?;
    let architectures: BTreeSet<Architecture> = command.arch.iter().map(|arch| (*arch).into()).collect();
    // Errors that can be found early are reported before anything is built.
    let given = Given::read(&command.bootstrap)?;
    let lacks_one = architectures.iter().any(|architecture| given.get(*architecture).is_none());
    let source = (lacks_one && !command.check).then(|| source(command, &architectures, &given)).transpose()?;
    let providers = if command.check {
        providers::look(&wanted, &config, context)?
    } else {
        providers::build(&wanted, &config, !command.no_conformance, context)?
    };
    for warning in providers.iter().flat_map(|provider| &provider.warnings) {
        context.screen.warn(warning);
    }
    let isolated = select_isolated(command, &providers)?;
    let dist = Dist::new(&command.output);
    if command.check {
        let outcomes = check::outcomes(&dist, &architectures, &providers, &isolated, &given)?;
        tell(command, &providers, &outcomes)?;
        let changes = outcomes.values().any(|outcome| outcome.change != Change::Unchanged);
        return Ok(if changes { Exit::WorkLeft } else { Exit::Done });
    }
    let mut zips = Zips::default();
    for architecture in &architectures {
        let program = match (given.get(*architecture), &source) {
            (Some(program), _) => program.to_vec(),
            (None, Some(source)) => bootstrap::build(*architecture, source, &context.for_builds())?,
            (None, None) => return Err(CliError::unexpected("build bootstrap", "its source was not looked for")),
        };
        let contents = contents(program, *architecture, &providers, context)?;
        zips.add(*architecture, &contents, &dist)?;
    }
    let Zips { mut files, unzipped, codes } = zips;
    files.extend(templates_of(&providers, &isolated, &codes).into_iter().map(|(name, text)| (name, text.into_bytes())));
    let changes = dist.write(&files)?;
    let outcome = |(name, change): (String, Change)| {
        let bytes = files.get(&name).map(Vec::len);
        let outcome = Outcome { bytes, unzipped: unzipped.get(&name).copied(), ..Outcome::of(change) };
        (name, outcome)
    };
    tell(command, &providers, &changes.into_iter().map(outcome).collect())?;
    if !command.json {
        next_steps(command, &codes, &providers, context);
    }
    Ok(Exit::Done)
}

/// The zips that were packed.
#[derive(Default)]
struct Zips {
    /// Their bytes by their names.
    files: Files,
    /// The sizes of what is in them.
    unzipped: BTreeMap<String, usize>,
    /// Their code as the templates name it.
    codes: Codes,
}

impl Zips {
    /// Packs one, within Lambda's limits.
    fn add(&mut self, architecture: Architecture, contents: &Files, dist: &Dist) -> Result<(), CliError> {
        let zip = archive::pack(contents).map_err(|error| CliError::unexpected("pack the zip", error))?;
        let (name, bytes) = (zip_name(architecture), archive::unzipped_bytes(contents));
        archive::check_sizes(zip.len(), bytes).map_err(|problem| {
            let hint = "package fewer providers at a time, into several stacks with an --output each";
            CliError::input_in(&dist.path(&name), format!("the zip {problem}"), hint)
        })?;
        self.unzipped.insert(name.clone(), bytes);
        self.codes.insert(architecture, code_of(architecture, &zip));
        self.files.insert(name, zip);
        Ok(())
    }
}

/// The source tree, where a `bootstrap` is to be built from one.
fn source(command: &Package, architectures: &BTreeSet<Architecture>, given: &Given) -> Result<PathBuf, CliError> {
    let lacking = architectures.iter().find(|architecture| given.get(**architecture).is_none());
    match (command.bootstrap.is_empty(), lacking) {
        (false, Some(lacking)) => Err(CliError::input(
            format!("no --bootstrap is for {}", aws_name(*lacking)),
            "give one for it, too, or leave the architecture out with --arch",
        )),
        _ => bootstrap::source(command.source.as_deref()),
    }
}

/// The providers that get a function of their own.
fn select_isolated(command: &Package, providers: &[Ready]) -> Result<BTreeSet<String>, CliError> {
    let unknown = command.isolated.iter().find(|name| !providers.iter().any(|provider| provider.name() == *name));
    // Objects of others lie below these.
    let taken = command.isolated.iter().find(|name| FOLDERS.contains(&name.as_str()));
    if let Some(name) = taken {
        let what = format!("--isolated {name}: the bucket has a folder of that name for all providers");
        return Err(CliError::input(what, "give the provider another name"));
    }
    match unknown {
        Some(name) => {
            let known: Vec<&str> = providers.iter().map(Ready::name).collect();
            let hint = format!("the providers are: {}", known.join(", "));
            Err(CliError::input(format!("--isolated {name}: this provider is not packaged"), hint))
        }
        None => Ok(command.isolated.iter().cloned().collect()),
    }
}

fn zip_name(architecture: Architecture) -> String {
    format!("damper-{}.zip", aws_name(architecture))
}

/// A zip's code as the templates name it.
fn code_of(architecture: Architecture, zip: &[u8]) -> Code {
    let digest = Sha256::digest(zip);
    let short: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Code { name: format!("damper-{}-{short}.zip", aws_name(architecture)), sha256: STANDARD.encode(digest) }
}

/// The files of the zip: the program, and each compiled provider.
fn contents(
    program: Vec<u8>,
    architecture: Architecture,
    providers: &[Ready],
    context: &Context,
) -> Result<Files, CliError> {
    let mut files = Files::from([(archive::BOOTSTRAP.to_owned(), program)]);
    for provider in providers {
        context.screen.say(format!("compiling {} for {}", provider.name(), aws_name(architecture)));
        let code = package::compile(&context::compiler(&context.settings.hardening), &provider.file, architecture)
            .map_err(|error| {
                CliError::input(error.to_string(), "build it again with `damper build`, with the SDK of this release")
            })?;
        let packaged = package::files(&provider.file, architecture, code, &provider.settings);
        files.extend(packaged.map(|file| (file.path, file.bytes)));
    }
    Ok(files)
}

/// All templates by their names.
fn templates_of(providers: &[Ready], isolated: &BTreeSet<String>, codes: &Codes) -> BTreeMap<String, String> {
    let with_others = providers.iter().filter(|provider| !isolated.contains(provider.name()));
    let timeout = LeastTimeout::of(with_others.clone().map(|provider| &provider.manifest));
    let stack = SharedStack {
        first: providers.first().map(Ready::name).unwrap_or_default(),
        providers: &with_others.clone().map(|provider| provider.name().to_owned()).collect(),
        isolated,
        secrets: &with_others.flat_map(|provider| provider.secrets.clone()).collect(),
        timeout,
    };
    let mut texts = BTreeMap::from([(SHARED.to_owned(), templates::shared_template(&stack, codes))]);
    for provider in providers {
        let stack = Stack {
            provider: provider.name(),
            start_batch: provider.manifest.pace.start_batch,
            retention: &provider.retention,
            isolated: isolated.contains(provider.name()),
            secrets: &provider.secrets,
            timeout: LeastTimeout::of(std::iter::once(&provider.manifest)),
        };
        texts.insert(format!("{PROVIDERS}/{}.yaml", provider.name()), templates::provider_template(&stack, codes));
    }
    texts
}

/// Tells what became, or would become, of each file.
fn tell(command: &Package, providers: &[Ready], outcomes: &BTreeMap<String, Outcome>) -> Result<(), CliError> {
    let path = |name: &String| command.output.join(name).display().to_string();
    if command.json {
        let files: Vec<Value> = outcomes
            .iter()
            .map(|(name, outcome)| {
                json!({
                    "path": path(name), "change": outcome.change.word(), "reasons": outcome.reasons,
                    "bytes": outcome.bytes, "unzipped_bytes": outcome.unzipped,
                })
            })
            .collect();
        let providers: Vec<Value> = providers
            .iter()
            .map(|provider| {
                json!({
                    "provider": provider.name(), "version": provider.manifest.version, "digest": provider.file.digest,
                    "retention_hours": provider.retention.hours, "secrets": provider.secrets,
                })
            })
            .collect();
        return put_json(&json!({ "files": files, "providers": providers }));
    }
    let bytes = |count: Option<usize>| count.map(|count| size(count as u64)).unwrap_or_default();
    let header = ["file", "change", "size", "unzipped", ""].map(str::to_owned).to_vec();
    let rows = outcomes.iter().map(|(name, outcome)| {
        vec![
            path(name),
            outcome.change.word().to_owned(),
            bytes(outcome.bytes),
            bytes(outcome.unzipped),
            outcome.reasons.join(", "),
        ]
    });
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    put(table(&rows).trim_end())
}

/// Prints how to deploy the files that lie there now.
fn next_steps(command: &Package, codes: &Codes, providers: &[Ready], context: &Context) {
    let dist = command.output.display();
    let mut lines = vec!["\nTo deploy it, with CODE a bucket of yours in the same region:".to_owned()];
    for (architecture, code) in codes {
        lines.push(format!("  aws s3 cp {dist}/{} s3://CODE/damper/{}", zip_name(*architecture), code.name));
    }
    lines.push(format!(
        "  aws cloudformation deploy --stack-name damper --template-file {dist}/{SHARED} --capabilities CAPABILITY_IAM --parameter-overrides CodeBucket=CODE"
    ));
    if let Some(provider) = providers.first() {
        let (name, count) = (provider.name(), providers.len());
        let more = if count > 1 { "   # and so each provider" } else { "" };
        lines.push(format!(
            "  aws cloudformation deploy --stack-name damper-{name} --template-file {dist}/{PROVIDERS}/{name}.yaml{more}"
        ));
    }
    context.screen.say(lines.join("\n"));
}
