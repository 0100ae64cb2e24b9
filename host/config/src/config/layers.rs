//! The layers of a provider's settings in damper.toml: `[defaults]`, then `[components.NAME]`, then `[providers.NAME]`.
//! A later layer's value takes the place of an earlier one's, key by key; a list is one value.
//!
//! Each value keeps its table and line, for errors and for `damper config show`.

use std::collections::BTreeMap;

use damper_core::manifest::Position;
use damper_plugins::settings::{ProviderSettings, SettingOrigin, SettingsError};
use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

/// The keys of a credential that say where its secrets are. They are one setting: a layer that has one of them replaces
/// all of the layers before it.
const SECRET_PLACES: [&str; 5] = ["env", "file", "secret", "secret_key", "secrets"];

/// One value of a provider's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct LayeredValue {
    /// The value.
    pub value: Value,
    /// The value's origin.
    pub origin: SettingOrigin,
}

/// A provider's settings, after its layers were merged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LayeredSettings {
    /// By the path of its key below the provider's table, such as `["limits", "max_concurrency"]`.
    values: BTreeMap<Vec<String>, LayeredValue>,
}

/// A damper.toml's text, with the tables in it and their positions.
pub(super) struct LayeredText<'a> {
    text: &'a str,
    table: Table,
    positions: DeTable<'a>,
}

impl<'a> LayeredText<'a> {
    /// Reads a text.
    ///
    /// # Errors
    /// If it is no TOML.
    pub(super) fn parse(text: &'a str) -> Result<Self, SettingsError> {
        let failed = |error: toml::de::Error| SettingsError::of(&error, text);
        let table = text.parse::<Table>().map_err(failed)?;
        let positions = DeTable::parse(text).map_err(failed)?.into_inner();
        Ok(Self { text, table, positions })
    }

    /// The position of the value at a path, if there is one.
    pub(super) fn position(&self, path: &[&str]) -> Option<Position> {
        let (first, rest) = path.split_first()?;
        let mut found = self.positions.get(*first)?;
        for key in rest {
            let DeValue::Table(table) = found.get_ref() else { return None };
            found = table.get(*key)?;
        }
        Some(Position::of(self.text, found.span().start))
    }

    /// Merges tables into one provider's settings, the later over the earlier. `without`: a key that is left out.
    pub(super) fn merge(&self, tables: &[&[&str]], without: &[&str]) -> LayeredSettings {
        let mut settings = LayeredSettings::default();
        for path in tables {
            let mut found = Some(&self.table);
            for key in *path {
                found = found.and_then(|table| table.get(*key)).and_then(Value::as_table);
            }
            let Some(table) = found else { continue };
            let mut layer = Vec::new();
            collect(table, &mut Vec::new(), &mut layer);
            layer.retain(|(key, _)| !key.first().is_some_and(|first| without.contains(&first.as_str())));
            let name = path.join(".");
            let origin = |key: &[String]| {
                let whole: Vec<&str> = path.iter().copied().chain(key.iter().map(String::as_str)).collect();
                let position = self.position(&whole).unwrap_or(Position { line: 1, column: 1 });
                SettingOrigin { table: name.clone(), position }
            };
            let layer = layer.into_iter().map(|(key, value)| {
                let origin = origin(&key);
                (key, LayeredValue { value, origin })
            });
            settings.lay_over(layer.collect());
        }
        settings
    }
}

impl LayeredSettings {
    /// The values, by their keys' paths, in order.
    pub fn values(&self) -> impl Iterator<Item = (&[String], &LayeredValue)> {
        self.values.iter().map(|(key, value)| (key.as_slice(), value))
    }

    /// The origin of the value of a key such as `limits.max_concurrency`, or of the first value below it.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<&SettingOrigin> {
        let is_below = |path: &[String]| {
            let path = path.join(".");
            path == key || path.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
        };
        self.values().find(|(path, _)| is_below(path)).map(|(_, value)| &value.origin)
    }

    /// The origin of the first value that a table has, if it has one.
    #[must_use]
    pub fn first_in(&self, table: &str) -> Option<&SettingOrigin> {
        let origins = self.values().map(|(_, value)| &value.origin).filter(|origin| origin.table == table);
        origins.min_by_key(|origin| (origin.position.line, origin.position.column))
    }

    /// The settings as one table.
    #[must_use]
    pub fn table(&self) -> Table {
        let mut whole = Table::new();
        for (key, LayeredValue { value, .. }) in &self.values {
            let Some((last, parents)) = key.split_last() else { continue };
            let inner = parents.iter().try_fold(&mut whole, |table, parent| {
                table.entry(parent.clone()).or_insert_with(|| Value::Table(Table::new())).as_table_mut()
            });
            // No value lies below another: `lay_over` removes it.
            if let Some(table) = inner {
                table.insert(last.clone(), value.clone());
            }
        }
        whole
    }

    /// The settings, read.
    ///
    /// # Errors
    /// If the layers do not fit together. Each alone was read before.
    pub(super) fn read(&self) -> Result<ProviderSettings, SettingsError> {
        ProviderSettings::deserialize(self.table())
            .map_err(|error| SettingsError { problem: error.message().replace('\n', " "), position: None })
    }

    /// Lays a layer over the ones before it.
    fn lay_over(&mut self, mut layer: Vec<(Vec<String>, LayeredValue)>) {
        // An empty table takes nothing away from what earlier layers have in it.
        let is_empty = |value: &LayeredValue| value.value.as_table().is_some_and(Table::is_empty);
        let is_known = |key: &[String]| self.values.keys().any(|known| known.starts_with(key));
        layer.retain(|(key, value)| !is_empty(value) || !is_known(key));
        for (key, _) in &layer {
            let replaced = |known: &[String]| known.starts_with(key) || key.starts_with(known);
            let places = secret_place(key);
            let is_other_place = |known: &[String]| places.is_some() && secret_place(known) == places;
            self.values.retain(|known, _| !replaced(known) && !is_other_place(known));
        }
        self.values.extend(layer);
    }
}

/// The name of the credential of whose secret a key says the place.
fn secret_place(key: &[String]) -> Option<&str> {
    let [table, name, last] = key else { return None };
    (table == "credentials" && SECRET_PLACES.contains(&last.as_str())).then_some(name.as_str())
}

/// The values of a table and of the tables in it. An empty table is a value: it grants a credential without a secret.
fn collect(table: &Table, path: &mut Vec<String>, into: &mut Vec<(Vec<String>, Value)>) {
    for (key, value) in table {
        path.push(key.clone());
        match value {
            Value::Table(inner) if !inner.is_empty() => collect(inner, path, into),
            other => into.push((path.clone(), other.clone())),
        }
        path.pop();
    }
}

#[cfg(test)]
mod tests;
