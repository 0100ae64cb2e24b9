//! A provider's settings in force, each with its value and origin: the operator's, the component's manifest or Damper's
//! default. It is for people; the values that a run uses come from [`super::bind`].

use damper_core::manifest::Manifest;
use damper_core::manifest::reference::{self, Absent};
use damper_plugins::settings::SettingOrigin;
use toml::{Table, Value};

use crate::config::{LayeredSettings, LayeredValue};

/// The tables whose keys have a value in force, whether or not anybody writes them.
const TABLES: [&str; 4] = ["limits", "pace", "retry", "window"];
/// The text in place of a value that may be a secret by mistake.
const HIDDEN: &str = "(not shown)";

/// A setting in force.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectiveSetting {
    /// The key below `[providers.NAME]`, such as `limits.max_concurrency`.
    pub key: String,
    /// The value, as TOML writes it; a default may be in words.
    pub value: String,
    /// The value's origin.
    pub source: SettingSource,
}

/// The origin of a setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingSource {
    /// The operator wrote it in damper.toml.
    Operator(SettingOrigin),
    /// The component's author wrote it in the manifest.
    Manifest,
    /// Nobody wrote it.
    Default,
}

/// The settings in force of a provider. `asked` is the component's manifest and `text` the same as it was written;
/// `in_force` is the manifest with what the operator tightens.
#[must_use]
pub fn effective_settings(
    layers: &LayeredSettings,
    (asked, text): (&Manifest, &str),
    in_force: &Manifest,
) -> Vec<EffectiveSetting> {
    // The text was read before.
    let written = text.parse::<Table>().unwrap_or_default();
    let layered = Layered { layers, written: &written, asked, in_force };
    let mut settings = Vec::new();
    settings.extend(layered.operator_only("component"));
    settings.push(layered.hosts());
    settings.extend(["private", "proxy"].into_iter().filter_map(|key| layered.operator_only(key)));
    for key in reference::keys().into_iter().filter(|key| TABLES.contains(&key.table)) {
        match (key.table, key.name) {
            // The operator's spans are a layer of their own: both hold.
            ("window", "open" | "closed") => settings.extend(layered.both(&key.path())),
            _ => settings.push(layered.in_force(&key)),
        }
    }
    settings.extend(asked.config.keys().map(|name| layered.config(name)));
    settings.extend(layered.credentials());
    settings
}

/// The parts that a setting in force is made of.
struct Layered<'a> {
    layers: &'a LayeredSettings,
    written: &'a Table,
    asked: &'a Manifest,
    in_force: &'a Manifest,
}

impl Layered<'_> {
    /// The operator's value of a key, with one key or two.
    fn operator(&self, key: &str) -> Option<&LayeredValue> {
        let is_key = |path: &[String]| path.iter().map(String::as_str).eq(key.splitn(path.len().max(1), '.'));
        self.layers.values().find(|(path, _)| is_key(path)).map(|(_, value)| value)
    }

    /// The author's value of a key, as it was written.
    fn author(&self, key: &str) -> Option<&Value> {
        let (table, name) = key.split_once('.')?;
        self.written.get(table)?.get(name)
    }

    fn operator_only(&self, key: &str) -> Option<EffectiveSetting> {
        let layered = self.operator(key)?;
        let (value, source) = show(layered);
        let value = if key == "proxy" { hide_user(&layered.value) } else { value };
        Some(EffectiveSetting { key: key.to_owned(), value, source })
    }

    /// The hosts that are granted, or that the manifest asks for where the operator grants all of them.
    fn hosts(&self) -> EffectiveSetting {
        let asked = || Value::from(self.asked.egress.hosts.clone()).to_string();
        let (value, source) = match self.operator("hosts") {
            Some(LayeredValue { value: Value::String(_), origin }) => {
                (format!("{} (as the manifest asks)", asked()), SettingSource::Operator(origin.clone()))
            }
            Some(layered) => show(layered),
            None => ("none".to_owned(), SettingSource::Default),
        };
        EffectiveSetting { key: "hosts".to_owned(), value, source }
    }

    /// A key of which one value holds.
    fn in_force(&self, key: &reference::Key) -> EffectiveSetting {
        let path = key.path();
        let (operator, author) = (self.operator(&path), self.author(&path));
        let is_author_stricter = key.table == "limits" && !self.is_tightened(&path);
        let (value, source) = match (operator, author) {
            (Some(layered), None) => show(layered),
            (Some(layered), Some(_)) if !is_author_stricter => show(layered),
            (_, Some(value)) => (value.to_string(), SettingSource::Manifest),
            (None, None) => (default_text(&key.default), SettingSource::Default),
        };
        // A smaller `max_batch` cuts the other, which nobody may have written.
        let value = if path == "pace.start_batch" { self.in_force.pace.start_batch.to_string() } else { value };
        EffectiveSetting { key: path, value, source }
    }

    /// Whether the operator's limit is stricter than the author's.
    fn is_tightened(&self, path: &str) -> bool {
        let (asked, in_force) = (&self.asked.limits, &self.in_force.limits);
        match path {
            "limits.max_concurrency" => asked.max_concurrency != in_force.max_concurrency,
            "limits.requests_per_second" => asked.requests_per_second != in_force.requests_per_second,
            "limits.daily_quota" => asked.daily_quota != in_force.daily_quota,
            "limits.fetch_timeout" => asked.fetch_timeout != in_force.fetch_timeout,
            "limits.memory" => asked.memory_bytes != in_force.memory_bytes,
            _ => asked.response_bytes != in_force.response_bytes,
        }
    }

    /// A key of which the author's value and the operator's hold together.
    fn both(&self, path: &str) -> Vec<EffectiveSetting> {
        let author = self.author(path).map(|value| (value.to_string(), SettingSource::Manifest));
        let operator = self.operator(path).map(show);
        let setting = |(value, source)| EffectiveSetting { key: path.to_owned(), value, source };
        author.into_iter().chain(operator).map(setting).collect()
    }

    fn config(&self, name: &str) -> EffectiveSetting {
        let path = format!("config.{name}");
        let (value, source) = match (self.operator(&path), self.asked.config.get(name)) {
            (Some(layered), _) => show(layered),
            (None, Some(default)) if !default.is_empty() => {
                (Value::from(default.as_str()).to_string(), SettingSource::Manifest)
            }
            (None, _) => ("must be set".to_owned(), SettingSource::Manifest),
        };
        EffectiveSetting { key: path, value, source }
    }

    /// The kind of each credential, and what the operator says of it. The secrets themselves are in neither.
    fn credentials(&self) -> Vec<EffectiveSetting> {
        let mut settings = Vec::new();
        for (name, kind) in &self.asked.credentials {
            let key = format!("credentials.{name}");
            let value = Value::from(kind.name()).to_string();
            settings.push(EffectiveSetting { key: format!("{key}.kind"), value, source: SettingSource::Manifest });
            for (path, layered) in self.layers.values() {
                let [table, credential, rest @ ..] = path else { continue };
                if table != "credentials" || credential != name || rest.is_empty() {
                    continue;
                }
                // By mistake it may be the secret itself, not its name.
                let is_hidden = rest.iter().any(|key| key == "secret" || key == "secrets");
                let (value, source) = show(layered);
                let value = if is_hidden { HIDDEN.to_owned() } else { value };
                settings.push(EffectiveSetting { key: format!("{key}.{}", rest.join(".")), value, source });
            }
        }
        settings
    }
}

/// The operator's value, as TOML writes it, and its origin.
fn show(LayeredValue { value, origin }: &LayeredValue) -> (String, SettingSource) {
    (value.to_string(), SettingSource::Operator(origin.clone()))
}

fn default_text(default: &Absent) -> String {
    match default {
        Absent::Value(value) => value.clone(),
        Absent::Words(words) => (*words).to_owned(),
        Absent::Refused => "none".to_owned(),
    }
}

/// A proxy's URL without user and password.
fn hide_user(value: &Value) -> String {
    let Some(text) = value.as_str() else { return value.to_string() };
    match text.rsplit_once('@') {
        Some((_, host)) => format!("\"...@{host}\""),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests;
