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
    insta::assert_snapshot!(show().join("\n"), @"");
}

#[test]
fn no_secret_is_shown() {
    let text = show().join("\n");
    assert!(!text.contains("hunter2") && !text.contains("password"), "{text}");
}
