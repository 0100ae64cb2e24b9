//! damper.toml: the whole file, and what a provider's table comes to beside a manifest.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use damper_config::Config;
use damper_core::manifest::Manifest;
use damper_plugins::grants::{Origin, Secret};
use damper_plugins::settings::{
    BoundProvider, FoundSecret, Place, ProviderSettings, SecretBackends, SecretSources, bind, tighten_manifest,
};

use crate::manifest::check_bounds;
use crate::message::check_message;

const FILE: &str = "damper.toml";
/// A manifest that has one of everything.
static MANIFEST: LazyLock<Manifest> =
    LazyLock::new(|| Manifest::parse(include_str!("settings/provider.toml")).expect("a manifest"));

/// Accepted settings tighten a manifest and never widen it; each host, origin and receiver is one; each setting has a
/// value; and a message is bounded.
pub fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let config = match Config::parse(text) {
        Ok(config) => config,
        Err(error) => {
            let lines = text.lines().count() + 1;
            assert!(error.position.is_none_or(|position| (1..=lines).contains(&position.line) && position.column >= 1));
            return check_message(&error.to_string());
        }
    };
    config.providers.values().for_each(check_provider);
}

fn check_provider(settings: &ProviderSettings) {
    let place = Place::File(Path::new(FILE));
    match tighten_manifest(&MANIFEST, settings, place) {
        Ok(tightened) => check_tightened(&tightened),
        Err(error) => check_message(&error.to_string()),
    }
    for backends in [SecretBackends::Machine, SecretBackends::SecretsManager] {
        let secret = Secret::new(r#"{"user":"name","password":"hunter2"}"#);
        let find = |_: &_| Ok(FoundSecret { source: Arc::new(secret.clone()), known: Some(secret.clone()) });
        match bind(&MANIFEST, settings, place, SecretSources { backends, find: &find }) {
            Ok(bound) => check_bound(&bound),
            Err(error) => check_message(&error.to_string()),
        }
    }
}

fn check_tightened(tightened: &Manifest) {
    check_bounds(tightened);
    let (ours, theirs) = (&tightened.limits, &MANIFEST.limits);
    assert!(ours.max_concurrency <= theirs.max_concurrency);
    assert!(ours.requests_per_second.is_some_and(|rate| Some(rate) <= theirs.requests_per_second));
    assert!(ours.daily_quota.is_some_and(|quota| Some(quota) <= theirs.daily_quota));
    assert!(ours.fetch_timeout <= theirs.fetch_timeout);
    assert!(ours.memory_bytes <= theirs.memory_bytes && ours.response_bytes <= theirs.response_bytes);
    assert_eq!((&tightened.egress, &tightened.credentials), (&MANIFEST.egress, &MANIFEST.credentials));
}

fn check_bound(bound: &BoundProvider) {
    check_tightened(&bound.manifest);
    let grants = &bound.grants;
    assert!(
        grants.hosts.iter().all(|host| Origin::https(host).is_ok_and(|origin| origin.host() == host)),
        "{:?}",
        grants.hosts
    );
    for origin in &grants.private {
        assert_eq!(origin.to_string().parse::<Origin>().as_ref(), Ok(origin));
    }
    assert!(grants.config.keys().eq(MANIFEST.config.keys()) && grants.config.values().all(|value| !value.is_empty()));
    assert!(grants.secrets.keys().all(|name| MANIFEST.credentials.contains_key(name)));
    for binding in grants.secrets.values() {
        let is_host = |text: &String| Origin::https(text).is_ok() || text.parse::<Origin>().is_ok();
        assert!(binding.hosts.iter().all(is_host), "{:?}", binding.hosts);
    }
}
