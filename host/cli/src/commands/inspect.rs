//! `damper inspect`: what a component is and what it asks for. Nothing of it is run.

use std::path::{Path, PathBuf};

use clap::Args;
use damper_core::manifest::{CredentialKind, Manifest};
use damper_plugins::compiler::{self, CompileCost};
use damper_plugins::component_file::ComponentFile;
use damper_workbench::contract::{ContractComparison, ContractError};
use serde::Serialize;

use crate::error::{CliError, Exit};
use crate::screen::{put, put_json, size, table};

/// Show what a component is and what it asks for: versions, imports, hosts, credentials, limits
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  damper inspect gleif.wasm
  damper inspect gleif.wasm --json | jq .limits
  damper inspect --compat wit/released/0.1.0/provider.wit wit/provider.wit")]
pub(crate) struct Inspect {
    /// The component's file, as written by `damper build`
    #[arg(value_name = "FILE.wasm", required_unless_present = "compat")]
    file: Option<PathBuf>,

    /// Compare two contracts; exit code 4 if the newer one breaks components built against the older one
    #[arg(long, num_args = 2, value_names = ["OLD.wit", "NEW.wit"], conflicts_with = "file")]
    compat: Vec<PathBuf>,

    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// The output of the command. Durations are in milliseconds.
#[derive(Serialize)]
struct Inspected {
    name: String,
    version: String,
    description: String,
    contract: String,
    sdk: Option<String>,
    language: Option<String>,
    size_bytes: u64,
    compiling: CompilingShown,
    digest: String,
    identity: Vec<String>,
    hosts: Vec<String>,
    credentials: Vec<CredentialShown>,
    config: Vec<Setting>,
    limits: LimitsShown,
    retry: RetryShown,
    window: WindowShown,
    imports: Vec<String>,
    exports: Vec<String>,
}

/// The costs of compiling the component.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum CompilingShown {
    /// It can be compiled.
    Cost { functions: u64, longest_function_bytes: u64, most_memory_bytes: u64, most_cpu_seconds: u64 },
    /// It is not compiled, for this reason.
    Refused(String),
}

#[derive(Serialize)]
struct CredentialShown {
    name: String,
    kind: &'static str,
    /// The token endpoint that the manifest names.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_url: Option<String>,
}

impl CredentialShown {
    fn of(name: &str, kind: &CredentialKind) -> Self {
        let token_url = kind.token_settings().and_then(|tokens| tokens.token_url.clone());
        Self { name: name.to_owned(), kind: kind.name(), token_url }
    }

    fn as_text(&self) -> String {
        let tokens = self.token_url.as_ref().map(|url| format!(", tokens from {url}")).unwrap_or_default();
        format!("{} ({}{tokens})", self.name, self.kind)
    }
}

#[derive(Serialize)]
struct Setting {
    key: String,
    default: String,
}

#[derive(Serialize)]
struct LimitsShown {
    max_concurrency: u32,
    requests_per_second: Option<f64>,
    daily_quota: Option<u64>,
    fetch_timeout_ms: u128,
    memory_bytes: u64,
    response_bytes: u64,
    start_batch: u32,
    max_batch: u32,
}

#[derive(Serialize)]
struct RetryShown {
    max_attempts: u32,
    backoff_ms: u128,
    max_item_age_ms: u128,
}

#[derive(Serialize)]
struct WindowShown {
    timezone: String,
    day_starts: String,
    open: Vec<String>,
    closed: Vec<String>,
}

/// Show a component.
///
/// # Errors
/// If the file is none that can be run.
pub(crate) fn run(command: &Inspect) -> Result<Exit, CliError> {
    if let [old, new] = command.compat.as_slice() {
        return compare_contracts(old, new, command.json);
    }
    let file = command.file.as_deref().ok_or_else(|| CliError::input("no file is named", "name a component"))?;
    let shown = Inspected::of(ComponentFile::read(file)?);
    if command.json {
        put_json(&shown)?
    } else {
        put(shown.as_table().trim_end())?
    }
    Ok(Exit::Done)
}

/// Compare two contracts.
///
/// # Errors
/// If one cannot be read. That they do not go together is told, and the exit says so.
fn compare_contracts(old: &Path, new: &Path, json: bool) -> Result<Exit, CliError> {
    let comparison = ContractComparison::of_files(old, new)?;
    if json {
        put_json(&comparison)?;
    } else {
        put(comparison.to_string().trim_end())?;
    }
    Ok(if comparison.compatible { Exit::Done } else { Exit::BadInput })
}

impl From<ContractError> for CliError {
    fn from(error: ContractError) -> Self {
        match error {
            ContractError::Unreadable { path, source } => Self::File { action: "read the contract", path, source },
            ContractError::Invalid { ref path, .. } => {
                Self::input_in(path, error.to_string(), "give a file of WIT with its package and version")
            }
        }
    }
}

impl CompilingShown {
    fn of(file: &ComponentFile) -> Self {
        match compiler::cost("the component", &file.bytes) {
            Ok(CompileCost { code, limits }) => Self::Cost {
                functions: code.functions,
                longest_function_bytes: code.function_bytes,
                most_memory_bytes: limits.memory_bytes,
                most_cpu_seconds: limits.cpu_seconds,
            },
            Err(error) => Self::Refused(error.to_string()),
        }
    }

    fn as_text(&self) -> String {
        match self {
            Self::Cost { functions, longest_function_bytes, most_memory_bytes, most_cpu_seconds } => format!(
                "{functions} functions, the longest of {}; may use {} of memory and {most_cpu_seconds} s of \
                    processor time",
                size(*longest_function_bytes),
                size(*most_memory_bytes)
            ),
            Self::Refused(why) => format!("refused: {why}"),
        }
    }
}

impl Inspected {
    fn of(file: ComponentFile) -> Self {
        let compiling = CompilingShown::of(&file);
        let manifest = file.manifest;
        Self {
            contract: file.contract.to_string(),
            sdk: file.stamp.as_ref().map(|stamp| stamp.sdk.clone()),
            language: file.stamp.map(|stamp| stamp.language),
            size_bytes: file.bytes.len() as u64,
            compiling,
            digest: file.digest,
            imports: file.imports,
            exports: file.exports,
            limits: limits(&manifest),
            window: window(&manifest),
            retry: RetryShown {
                max_attempts: manifest.retry.max_attempts,
                backoff_ms: manifest.retry.backoff.as_millis(),
                max_item_age_ms: manifest.retry.max_item_age.as_millis(),
            },
            credentials: manifest.credentials.iter().map(|(name, kind)| CredentialShown::of(name, kind)).collect(),
            config: manifest.config.into_iter().map(|(key, default)| Setting { key, default }).collect(),
            name: manifest.name,
            version: manifest.version,
            description: manifest.description,
            identity: manifest.identity,
            hosts: manifest.egress.hosts,
        }
    }

    fn as_table(&self) -> String {
        let or_none = |list: &[String]| if list.is_empty() { "none".to_owned() } else { list.join(", ") };
        let rate = |rate: f64| format!(", {rate} a second");
        let quota = |quota: u64| format!(", {quota} a day");
        let limits = &self.limits;
        let credentials: Vec<String> = self.credentials.iter().map(CredentialShown::as_text).collect();
        let config: Vec<String> = self
            .config
            .iter()
            .map(|it| {
                if it.default.is_empty() {
                    format!("{} (must be set)", it.key)
                } else {
                    format!("{} = {:?}", it.key, it.default)
                }
            })
            .collect();
        let sdk = self.sdk.as_ref().map_or("none".to_owned(), |sdk| {
            format!("{sdk} ({})", self.language.as_deref().unwrap_or("unknown language"))
        });
        let identity =
            if self.identity.is_empty() { "id".to_owned() } else { format!("id, {}", self.identity.join(", ")) };
        let rows = [
            ("name", format!("{} {}", self.name, self.version)),
            ("description", self.description.clone()),
            ("contract", format!("damper:provider {}", self.contract)),
            ("sdk", sdk),
            ("size", size(self.size_bytes)),
            ("compiling", self.compiling.as_text()),
            ("digest", self.digest.clone()),
            ("hosts", if self.hosts.is_empty() { "named by the operator".to_owned() } else { self.hosts.join(", ") }),
            ("credentials", or_none(&credentials)),
            ("config", or_none(&config)),
            ("identity", identity),
            (
                "requests",
                format!(
                    "at most {} at a time{}{}",
                    limits.max_concurrency,
                    limits.requests_per_second.map(rate).unwrap_or_default(),
                    limits.daily_quota.map(quota).unwrap_or_default(),
                ),
            ),
            (
                "a fetch",
                format!(
                    "at most {} s, {} of memory, {} a response",
                    limits.fetch_timeout_ms as f64 / 1_000.0,
                    size(limits.memory_bytes),
                    size(limits.response_bytes),
                ),
            ),
            ("batches", format!("{} items at first, at most {}", limits.start_batch, limits.max_batch)),
            (
                "attempts",
                format!("{}, {} s apart at first", self.retry.max_attempts, self.retry.backoff_ms as f64 / 1_000.0),
            ),
            ("window", self.window.for_people()),
            ("imports", self.imports.join(", ")),
            ("exports", self.exports.join(", ")),
        ];
        let rows: Vec<Vec<String>> = rows
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| vec![key.to_owned(), value])
            .collect();
        table(&rows)
    }
}

impl WindowShown {
    fn for_people(&self) -> String {
        let open =
            if self.open.is_empty() { "always open".to_owned() } else { format!("open {}", self.open.join(", ")) };
        let closed =
            if self.closed.is_empty() { String::new() } else { format!(", closed {}", self.closed.join(", ")) };
        format!("{open}{closed} ({}); a day starts at {}", self.timezone, self.day_starts)
    }
}

fn limits(manifest: &Manifest) -> LimitsShown {
    let limits = &manifest.limits;
    LimitsShown {
        max_concurrency: limits.max_concurrency.get(),
        requests_per_second: limits.requests_per_second,
        daily_quota: limits.daily_quota,
        fetch_timeout_ms: limits.fetch_timeout.as_millis(),
        memory_bytes: limits.memory_bytes,
        response_bytes: limits.response_bytes,
        start_batch: manifest.pace.start_batch,
        max_batch: manifest.pace.max_batch,
    }
}

fn window(manifest: &Manifest) -> WindowShown {
    let window = &manifest.window;
    WindowShown {
        timezone: window.timezone.iana_name().unwrap_or("UTC").to_owned(),
        day_starts: window.day_starts.strftime("%H:%M").to_string(),
        open: window.open.iter().flatten().map(ToString::to_string).collect(),
        closed: window.closed.iter().map(ToString::to_string).collect(),
    }
}
