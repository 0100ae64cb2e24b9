//! Builds the function for AWS: the same pipeline as everywhere, with the ledger in DynamoDB, the sink in S3, and the
//! mapping behind Lambda's own API. No network request is sent here.

use std::sync::Arc;

use anyhow::Context;
use damper_aws::sink::bucket;
use damper_aws::{AwsClients, DynamoLedger, LambdaMapping};
use damper_core::clock::WallClock;
use damper_core::pipeline::Stores;
use damper_core::random::RandomSource;
use damper_plugins::{CrashMarks, KeyCounting, MemoryLimits, TokenSharing};
use jiff::SignedDuration;

use crate::function::Function;
use crate::providers::{PackagedProviders, Secrets, SharedCredentials};
use crate::secrets::ManagedSecrets;
use crate::settings::Settings;

/// The function, with clients of this environment.
///
/// # Errors
/// If there is no package, or the environment names no region or credentials.
pub(crate) async fn build_function(settings: &Settings) -> anyhow::Result<Function> {
    let clients = AwsClients::load().await;
    let sink = Arc::new(bucket(clients.config(), &settings.bucket)?);
    let ledger = Arc::new(DynamoLedger::new(clients.dynamodb(), &settings.table, sink.clone()));
    let stores = Stores {
        ledger: ledger.clone(),
        sink,
        compression: settings.compression,
        mapping: Arc::new(LambdaMapping::new(clients.lambda(), &settings.function, &settings.stream_prefix)),
        clock: build_clock(settings.clock_offset_seconds),
        random: RandomSource::System,
    };
    let secrets = ManagedSecrets::new(clients, settings.secrets_role.clone());
    let secrets: Secrets = Box::new(move |provider, name| secrets.source(provider, name));
    let memory = settings.memory_bytes.map(MemoryLimits::of);
    let assigned = settings.providers.clone();
    // A table's name is a file's name, too. Functions of one machine, in tests, have a table each.
    let marks = std::env::temp_dir().join("damper-marks").join(&settings.table);
    let crash_marks = CrashMarks::open(&marks, |error| {
        tracing::warn!(folder = %marks.display(), %error, "execution marks cannot be written; a crash cannot be traced to a component");
    });
    let tokens = TokenSharing::new(ledger.clone(), stores.clock.clone());
    let shared = SharedCredentials { tokens, key_counting: KeyCounting::new(ledger, stores.clock.clone()) };
    let folder = &settings.package;
    let providers = PackagedProviders::open(folder, stores.clone(), secrets, shared, memory, crash_marks, assigned)
        .with_context(|| format!("start in {}", folder.display()))?;
    Ok(Function::new(Arc::new(providers), stores, settings.stream_prefix.clone()))
}

fn build_clock(offset_seconds: i64) -> WallClock {
    if offset_seconds == 0 {
        return WallClock::System;
    }
    let now = WallClock::System.now();
    WallClock::from_epoch(now.saturating_add(SignedDuration::from_secs(offset_seconds)).unwrap_or(now))
}
