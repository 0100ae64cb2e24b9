//! `damper package`: from providers to what is deployed to AWS: one zip for each architecture, and the stacks'
//! templates.

mod selection;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use damper_package::{
    Bootstraps, Change, Codes, Dist, FileOutcome, PROVIDERS, Packaged, Packaging, PreparedProvider, SHARED,
    select_isolated, zip_name,
};
use damper_plugins::package::Architecture;
use serde_json::{Value, json};

use crate::context::{self, Context};
use crate::error::{CliError, Exit};
use crate::screen::{put, put_json, size, table};

/// Package providers and the Lambda function that runs them, ready to be deployed to AWS
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper package                        # all providers that damper.toml names
  damper package providers/gleif        # this one, from its crate
  damper package --arch arm64 --isolated sec-edgar
  damper package --check                # what would change; nothing is built

It writes into the folder dist:
  damper-x86_64.zip, damper-arm64.zip   the function's code: `bootstrap` and the compiled providers
  damper.yaml                           shared: function, role, table, bucket, alarms, dashboard
  providers/NAME.yaml                   a stack for each provider: stream, mapping, alarms
  damper.tfvars.json                    the inputs of the Terraform modules

The same input gives the same bytes. A function runs only the providers of its zip, so package all
of them each time: a package that would drop a provider of the folder is refused, unless --remove
names it. With --check, exit code 6 means that something would change.")]
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

    /// A ready `bootstrap` instead of building one; give one for each architecture
    #[arg(long, value_name = "FILE")]
    bootstrap: Vec<PathBuf>,

    /// Give this provider a function of its own, from the same zip
    #[arg(long, value_name = "NAME")]
    isolated: Vec<String>,

    /// Take this provider out of the folder; delete its stack first
    #[arg(long, value_name = "NAME")]
    remove: Vec<String>,

    /// Package providers even if they do not conform
    #[arg(long, conflicts_with = "check")]
    no_conformance: bool,

    /// The folder to write to
    #[arg(short, long, value_name = "DIR", default_value = "dist")]
    output: PathBuf,

    /// Show what would change, with exit code 6 if anything would; build and write nothing
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

/// Package, or tell what would change.
///
/// # Errors
/// If a provider or `bootstrap` cannot be built, or cannot run in Lambda.
pub(crate) fn run(command: &Package, context: &Context) -> Result<Exit, CliError> {
    let config = context.config()?;
    let wanted = selection::select(&config, &command.providers)?;
    let architectures: BTreeSet<Architecture> = command.arch.iter().map(|arch| (*arch).into()).collect();
    // Errors that can be found early are reported before anything is built.
    let bootstraps = Bootstraps::read(&command.bootstrap)?;
    let source = match command.check {
        true => None,
        false => bootstraps.find_source(&architectures, command.source.as_deref())?,
    };
    let providers = if command.check {
        selection::look(&wanted, &config, context)?
    } else {
        selection::build(&wanted, &config, !command.no_conformance, context)?
    };
    for warning in providers.iter().flat_map(|provider| &provider.warnings) {
        context.screen.warn(warning);
    }
    let isolated = select_isolated(&command.isolated, &providers)?;
    let removed: BTreeSet<String> = command.remove.iter().cloned().collect();
    let dist = Dist::new(&command.output);
    let packaging = Packaging {
        architectures: &architectures,
        providers: &providers,
        isolated: &isolated,
        removed: &removed,
        bootstraps: &bootstraps,
    };
    if command.check {
        let outcomes = packaging.compare(&dist)?;
        tell(command, &providers, &outcomes)?;
        let changes = outcomes.values().any(|outcome| outcome.change != Change::Unchanged);
        return Ok(if changes { Exit::WorkLeft } else { Exit::Done });
    }
    let compiler = context::compiler(&context.settings.hardening);
    let Packaged { outcomes, codes } = packaging.write(&dist, source.as_deref(), &compiler, &context.for_builds())?;
    tell(command, &providers, &outcomes)?;
    if !command.json {
        next_steps(command, &codes, &providers, context);
    }
    Ok(Exit::Done)
}

/// Tells what became, or would become, of each file.
fn tell(
    command: &Package,
    providers: &[PreparedProvider],
    outcomes: &BTreeMap<String, FileOutcome>,
) -> Result<(), CliError> {
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
fn next_steps(command: &Package, codes: &Codes, providers: &[PreparedProvider], context: &Context) {
    let dist = command.output.display();
    let mut lines = vec!["\nTo deploy it, with CODE a bucket of yours in the same region:".to_owned()];
    for (architecture, code) in codes {
        lines.push(format!("  aws s3 cp {dist}/{} s3://CODE/damper/{}", zip_name(*architecture), code.name));
    }
    lines.push(format!(
        "  aws cloudformation deploy --stack-name damper --template-file {dist}/{SHARED} --capabilities \
            CAPABILITY_IAM --parameter-overrides CodeBucket=CODE"
    ));
    if let Some(provider) = providers.first() {
        let (name, count) = (provider.name(), providers.len());
        let more = if count > 1 { "   # and so each provider" } else { "" };
        lines.push(format!(
            "  aws cloudformation deploy --stack-name damper-{name} --template-file \
                {dist}/{PROVIDERS}/{name}.yaml --capabilities CAPABILITY_NAMED_IAM{more}"
        ));
    }
    if !command.remove.is_empty() {
        lines.push(format!("Before it, delete the stacks of {} if they are still there.", command.remove.join(", ")));
    }
    context.screen.say(lines.join("\n"));
}
