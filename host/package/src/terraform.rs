//! The inputs of the Terraform modules in `packaging/terraform`: the value of their variable `package`. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::dashboard;
use crate::prepared_provider::PreparedProvider;
use crate::retention::StreamRetention;
use crate::templates::{Codes, StackSecrets, aws_name};
use crate::timeout::LeastTimeout;
use crate::zips::zip_name;

/// The file of variables, for `terraform apply -var-file`.
pub(crate) const VARIABLES: &str = "damper.tfvars.json";

/// The variable `package` of the modules, as a file.
pub(crate) fn variables(providers: &[PreparedProvider], isolated: &BTreeSet<String>, codes: &Codes) -> String {
    let code: Map<String, Value> = codes
        .iter()
        .map(|(architecture, code)| {
            let zip = json!({ "file": zip_name(*architecture), "key": code.name, "sha256": code.sha256 });
            (aws_name(*architecture).to_owned(), zip)
        })
        .collect();
    let first = providers.first().map(PreparedProvider::name).unwrap_or_default();
    let timeout = LeastTimeout::of(providers.iter().map(|provider| &provider.manifest));
    let settings: Map<String, Value> = providers
        .iter()
        .map(|provider| {
            let secrets = StackSecrets { read: &provider.secrets, rotated: &provider.rotated_secrets };
            let batch_size = provider.manifest.pace.start_batch;
            let is_isolated = isolated.contains(provider.name());
            (provider.name().to_owned(), settings(batch_size, &provider.retention, secrets, is_isolated))
        })
        .collect();
    let package = json!({
        "code": code,
        "dashboard": dashboard::body(first),
        "least_timeout_seconds": timeout.seconds,
        "providers": settings,
    });
    let text = serde_json::to_string_pretty(&json!({ "package": package })).unwrap_or_default();
    format!("{text}\n")
}

/// The variable `settings` of the module for a provider.
fn settings(batch_size: u32, retention: &StreamRetention, secrets: StackSecrets<'_>, is_isolated: bool) -> Value {
    json!({
        "batch_size": batch_size,
        "isolated": is_isolated,
        "oldest_alarm_ms": u64::try_from(retention.alarm_age().as_millis()).unwrap_or(u64::MAX),
        // -1: no limit.
        "record_age_seconds": retention.record_age.map_or(-1, |age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX)),
        "retention_hours": retention.hours,
        "rotated_secrets": secrets.rotated,
        "secrets": secrets.read,
    })
}

#[cfg(test)]
mod tests;
