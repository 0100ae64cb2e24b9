//! Tests of the settings in force: which value is shown, and with which origin.

use std::path::Path;

use damper_plugins::settings::{Place, SecretBackends, SecretSources, bind};

use super::*;
use crate::Config;

const MANIFEST: &str = r#"
name = "enquiry"
version = "1.2.0"
egress.hosts = "operator"
limits.max_concurrency = 4
limits.fetch_timeout = "10s"
window.open = ["Mon-Fri"]
config.standard = "4.0"
config.branch = ""
[credentials.key]
kind = "header"
header = "X-Key"
"#;

const SETTINGS: &str = r#"
[defaults]
limits.max_concurrency = 8
limits.memory = "128MiB"
proxy = "http://user:password@proxy:3128"
[components.enquiry]
file = "enquiry.wasm"
config.standard = "4.1"
[providers.acme]
component = "enquiry"
hosts = ["api.acme.example"]
limits.fetch_timeout = "5s"
pace.max_batch = 20
window.closed = ["Sat"]
config.branch = "north"
[providers.acme.credentials.key]
secret = "hunter2"
"#;

/// Each setting as `key = value (origin)`.
fn show() -> Vec<String> {
    let config = Config::parse(SETTINGS).unwrap();
    let asked = Manifest::parse(MANIFEST).unwrap();
    let mut settings = config.provider("acme").unwrap().clone();
    settings.credentials.clear();
    let sources = SecretSources { backends: SecretBackends::Machine, find: &|_| unreachable!() };
    let place = Place::File(Path::new("damper.toml"));
    let in_force = bind(&asked.clone().for_provider("acme"), &settings, place, sources).unwrap().manifest;
    let shown = effective_settings(config.layers("acme").unwrap(), (&asked, MANIFEST), &in_force);
    shown
        .into_iter()
        .map(|EffectiveSetting { key, value, source }| {
            let source = match source {
                SettingSource::Operator(origin) => format!("{}:{}", origin.table, origin.position.line),
                SettingSource::Manifest => "manifest".to_owned(),
                SettingSource::Default => "default".to_owned(),
            };
            format!("{key} = {value} ({source})")
        })
        .collect()
}

#[test]
fn each_setting_has_its_value_in_force_and_its_origin() {
    insta::assert_snapshot!(show().join("\n"), @r#"
    component = "enquiry" (providers.acme:10)
    hosts = ["api.acme.example"] (providers.acme:11)
    proxy = "...@proxy:3128" (defaults:5)
    limits.max_concurrency = 4 (manifest)
    limits.requests_per_second = no rate (default)
    limits.daily_quota = no quota (default)
    limits.fetch_timeout = "5s" (providers.acme:12)
    limits.memory = "128MiB" (defaults:4)
    limits.response_bytes = "4MiB" (default)
    pace.start_batch = 20 (default)
    pace.max_batch = 20 (providers.acme:13)
    retry.max_attempts = 5 (default)
    retry.max_polls = 1000 (default)
    retry.backoff = "2s" (default)
    retry.spread = "1h" (default)
    retry.max_item_age = "6d" (default)
    retry.on_lease_expiry = "refetch" (default)
    window.timezone = "UTC" (default)
    window.day_starts = "00:00" (default)
    window.open = ["Mon-Fri"] (manifest)
    window.closed = ["Sat"] (providers.acme:14)
    config.branch = "north" (providers.acme:15)
    config.standard = "4.1" (components.enquiry:8)
    credentials.key.kind = "header" (manifest)
    credentials.key.secret = (not shown) (providers.acme:17)
    "#);
}

#[test]
fn no_secret_is_shown() {
    let text = show().join("\n");
    assert!(!text.contains("hunter2") && !text.contains("password"), "{text}");
}
