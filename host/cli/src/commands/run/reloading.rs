//! Changes of damper.toml and of components while `damper run --watch` runs: what is to be loaded anew. A changed file
//! is read when two looks in a row have found it the same, since somebody may still be writing it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use damper_config::Config;
use damper_config::provider::{self, Bound, FileIdentity, Fingerprint};
use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::context::Context;
use crate::error::CliError;
use crate::lock;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A change that a run is to make.
pub(super) enum Change {
    /// Use this component and these settings from now on; what was taken of them.
    Load(Box<Bound>, Fingerprint),
    /// Stop the provider: damper.toml does not list it any more.
    Remove(String),
}

/// Looks for changes.
pub(super) struct Reloader<'a> {
    context: &'a Context,
    config: Config,
    /// damper.toml, as it was read last and as the last look found it.
    file: Watched<Option<FileIdentity>>,
    /// The providers that the command line names; empty: all that damper.toml lists.
    named: BTreeSet<String>,
    providers: BTreeMap<String, Watched<Fingerprint>>,
    looks: Interval,
    /// Told where a signal asks for a look.
    asked: Arc<Notify>,
}

/// Something that may change.
#[derive(Debug)]
struct Watched<T> {
    in_force: Option<T>,
    /// As the last look found it.
    last: Option<T>,
    /// The version that could not be used: it is not tried again unless somebody asks.
    refused: Option<T>,
}

impl<T> Default for Watched<T> {
    fn default() -> Self {
        Self { in_force: None, last: None, refused: None }
    }
}

impl<T: Clone + PartialEq> Watched<T> {
    /// Looks at it. Returns whether it is to be loaded: it has changed, it did not change since the last look, and it
    /// was not refused. If somebody `asked`, a change counts at once, and what was refused is tried again.
    fn look(&mut self, now: &T, asked: bool) -> bool {
        let is_stable = self.last.as_ref() == Some(now);
        self.last = Some(now.clone());
        if asked {
            self.refused = None;
        }
        self.in_force.as_ref() != Some(now) && self.refused.as_ref() != Some(now) && (is_stable || asked)
    }
}

impl<'a> Reloader<'a> {
    /// Watches what these providers, as they are now, come from; taken before they are loaded.
    pub(super) fn new(context: &'a Context, config: &Config, named: &[String], asked: Arc<Notify>) -> Self {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let named: BTreeSet<String> = named.iter().cloned().collect();
        let file = identity(config);
        let mut reloader = Self {
            context,
            config: config.clone(),
            file: Watched { in_force: Some(file.clone()), last: Some(file), refused: None },
            named,
            providers: BTreeMap::new(),
            looks,
            asked,
        };
        for name in reloader.names() {
            let now = Fingerprint::take(&reloader.config, &name);
            // A component that cannot be used now is not tried again before it changes.
            let watched = Watched { in_force: None, last: Some(now.clone()), refused: Some(now) };
            reloader.providers.insert(name, watched);
        }
        reloader
    }

    /// A provider was loaded as it was at the start.
    pub(super) fn on_started(&mut self, provider: &str) {
        if let Some(watched) = self.providers.get_mut(provider) {
            watched.in_force = watched.refused.take();
        }
    }

    /// A change was loaded, or could not be.
    pub(super) fn on_loaded(&mut self, provider: &str, taken: Fingerprint, is_in_force: bool) {
        let watched = self.providers.entry(provider.to_owned()).or_default();
        if is_in_force { watched.in_force = Some(taken) } else { watched.refused = Some(taken) }
    }

    /// Waits for the next look, and takes it. Changes that cannot be used are reported here.
    pub(super) async fn next_changes(&mut self) -> Vec<Change> {
        let asked = tokio::select! {
            _ = self.looks.tick() => false,
            () = self.asked.notified() => true,
        };
        let mut changes: Vec<Change> = self.reread_config(asked).into_iter().map(Change::Remove).collect();
        for name in self.names() {
            let now = Fingerprint::take(&self.config, &name);
            let watched = self.providers.entry(name.clone()).or_default();
            if !watched.look(&now, asked) {
                continue;
            }
            match self.bind(&name) {
                Ok(bound) => {
                    // Not again while it is loaded.
                    self.on_loaded(&name, now.clone(), false);
                    changes.push(Change::Load(Box::new(bound), now));
                }
                Err(error) => {
                    self.on_loaded(&name, now, false);
                    self.report_refused(&name, &error);
                }
            }
        }
        changes
    }

    /// Says that a provider keeps what it had.
    pub(super) fn report_refused(&self, provider: &str, error: &CliError) {
        self.context.screen.error(error);
        let is_running = self.providers.get(provider).is_some_and(|watched| watched.in_force.is_some());
        let screen = &self.context.screen;
        if is_running {
            screen.say(format!(
                "{provider}: the change cannot be used; the component and settings of before stay in force"
            ));
        } else {
            screen.say(format!("{provider}: it does not run until that is corrected"));
        }
    }

    /// The providers to watch.
    fn names(&self) -> Vec<String> {
        let listed = self.config.providers.keys();
        if self.named.is_empty() { listed.cloned().collect() } else { self.named.iter().cloned().collect() }
    }

    /// Reads damper.toml again if it has changed. Returns the providers that it does not list any more.
    fn reread_config(&mut self, asked: bool) -> Vec<String> {
        let now = identity(&self.config);
        if !self.file.look(&now, asked) {
            return Vec::new();
        }
        let screen = &self.context.screen;
        // Without it another one would be found, further up, or none: nobody who removes it means that.
        let read = match &self.config.file {
            Some(path) if now.is_none() => Err(CliError::input_in(path, "the file is gone", "put it back")),
            _ => self.context.config(),
        };
        match read {
            Ok(read) => {
                for key in restart_keys(&self.config, &read) {
                    screen.warn(format!("`{key}` of damper.toml has changed: it is used from the next start on"));
                }
                let before = std::mem::replace(&mut self.config, read);
                self.file.in_force = Some(now);
                let gone = |name: &&String| !self.config.providers.contains_key(*name) && self.named.is_empty();
                let gone: Vec<String> = before.providers.keys().filter(gone).cloned().collect();
                self.providers.retain(|name, _| !gone.contains(name));
                gone
            }
            Err(error) => {
                self.file.refused = Some(now);
                screen.error(&error);
                screen.say("damper.toml has changed and cannot be used; the settings of before stay in force");
                Vec::new()
            }
        }
    }

    fn bind(&self, provider: &str) -> Result<Bound, CliError> {
        let bound = provider::open(&self.config, provider)?;
        lock::enforce_one(self.context, &self.config, &bound)?;
        Ok(bound)
    }
}

fn identity(config: &Config) -> Option<FileIdentity> {
    config.file.as_deref().and_then(FileIdentity::of)
}

/// The keys that differ and that a run reads at its start only.
fn restart_keys(before: &Config, after: &Config) -> Vec<&'static str> {
    let keys = [
        ("database", before.database != after.database),
        ("output", before.output != after.output),
        ("compression", before.compression != after.compression),
        ("readable_by", before.readable_by != after.readable_by),
        ("mapping", before.mapping.tick != after.mapping.tick || before.mapping.lag != after.mapping.lag),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_when_it_was_found_twice() {
        let mut watched = Watched { in_force: Some(1), last: Some(1), refused: None };
        assert!(!watched.look(&1, false));
        assert!(!watched.look(&2, false), "it may still be written");
        assert!(!watched.look(&3, false), "and was");
        assert!(watched.look(&3, false));
        watched.in_force = Some(3);
        assert!(!watched.look(&3, false));
    }

    #[test]
    fn what_was_refused_is_tried_again_after_a_change_or_if_somebody_asks() {
        let mut watched = Watched { in_force: Some(1), last: Some(2), refused: Some(2) };
        assert!(!watched.look(&2, false));
        assert!(watched.look(&2, true));
        watched.refused = Some(2);
        assert!(!watched.look(&3, false) && watched.look(&3, false));
        assert!(!watched.look(&1, false) && !watched.look(&1, false), "what is in force");
    }

    #[test]
    fn somebody_who_asks_need_not_wait() {
        let mut watched = Watched { in_force: Some(1), last: Some(1), refused: None };
        assert!(watched.look(&2, true));
    }

    #[test]
    fn settings_of_the_whole_run_need_a_restart() {
        let config = |text: &str| Config::parse(text).unwrap();
        let (before, after) = (config(""), config("output = \"elsewhere\"\n[mapping]\ntick = \"5s\"\n"));
        assert_eq!(restart_keys(&before, &after), ["output", "mapping"]);
        assert!(restart_keys(&before, &config("[providers.a]\n")).is_empty());
    }
}
