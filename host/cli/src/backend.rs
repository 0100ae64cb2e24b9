//! The backend that a command works on: this machine's database or a deployment in AWS, as the command line says.

use clap::Args;
#[cfg(feature = "aws")]
use damper_aws::backend::AwsBackend;
#[cfg(feature = "aws")]
use damper_aws::deployment::DeploymentOverrides;
use damper_config::Config;
use damper_config::provider;
use damper_core::admin::Backend;
use damper_local::{Database, LocalBackend};

use crate::context::Context;
use crate::error::CliError;

/// The arguments that select a backend, shared by every command that works with both.
#[derive(Debug, Args)]
pub(crate) struct BackendArgs {
    /// Use the deployment in AWS instead of this machine, with AWS's credentials
    #[arg(long, global = true, help_heading = "AWS")]
    pub(crate) aws: bool,

    /// The function, if not that of damper.toml: an isolated provider has its own
    #[arg(long, global = true, requires = "aws", value_name = "NAME", help_heading = "AWS")]
    function: Option<String>,
}

impl BackendArgs {
    /// Opens an existing backend; creates nothing.
    ///
    /// # Errors
    /// If there is nothing, or it cannot be reached.
    pub(crate) async fn open(&self, context: &Context, config: &Config) -> Result<Box<dyn Backend>, CliError> {
        if self.aws {
            return self.open_aws(config).await;
        }
        Ok(Box::new(local(context.existing_database(config)?, context, config)))
    }

    #[cfg(feature = "aws")]
    async fn open_aws(&self, config: &Config) -> Result<Box<dyn Backend>, CliError> {
        let settings = config.aws.clone();
        let overrides = DeploymentOverrides {
            function: self.function.clone().or(settings.function),
            table: settings.table,
            bucket: settings.bucket,
            stream_prefix: settings.stream_prefix,
        };
        Ok(Box::new(AwsBackend::open(settings.region, overrides).await?))
    }

    #[cfg(not(feature = "aws"))]
    #[allow(clippy::unused_async, reason = "the same as with AWS")]
    async fn open_aws(&self, _config: &Config) -> Result<Box<dyn Backend>, CliError> {
        let function = self.function.as_deref().map(|name| format!(" (for {name})")).unwrap_or_default();
        let what = format!("this damper was built without AWS, so --aws{function} does not work");
        Err(CliError::input(what, "build it with the feature `aws`, which is on by default"))
    }

    /// Opens the backend to feed it; on this machine the database is created if there is none.
    ///
    /// # Errors
    /// If it cannot be reached or made.
    pub(crate) async fn open_for_feed(&self, context: &Context, config: &Config) -> Result<Box<dyn Backend>, CliError> {
        if self.aws {
            self.open(context, config).await
        } else {
            Ok(Box::new(local(Database::open(&config.database)?, context, config)))
        }
    }

    /// The providers there are; in AWS those of damper.toml too, since an isolated one is mapped to a function of its
    /// own.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub(crate) async fn providers(&self, backend: &dyn Backend, config: &Config) -> Result<Vec<String>, CliError> {
        let mut providers = backend.providers().await?;
        if self.aws {
            providers.extend(config.providers.keys().cloned());
            providers.sort();
            providers.dedup();
        }
        Ok(providers)
    }

    /// Checks that a provider exists: damper.toml lists it, it was fed, or on this machine it has a component.
    ///
    /// # Errors
    /// If it does not exist, with the name that may have been meant; or the names cannot be listed.
    pub(crate) async fn check_exists(
        &self,
        backend: &dyn Backend,
        config: &Config,
        name: &str,
    ) -> Result<(), CliError> {
        if config.providers.contains_key(name) || (!self.aws && provider::find(config, name).is_ok()) {
            return Ok(());
        }
        let fed = backend.providers().await?;
        if fed.iter().any(|known| known == name) {
            return Ok(());
        }
        let unknown = if self.aws { "has no stream that is mapped to the function" } else { "was never fed" };
        let question = provider::ask(provider::find_nearest(config, name, &fed).as_deref(), " ");
        Err(CliError::input(
            format!("{name} {unknown} and is not in damper.toml"),
            format!("{question}`damper status{}` lists the providers", self.flag()),
        ))
    }

    /// As [`BackendArgs::check_exists`] on this machine. In AWS nothing is checked: an isolated provider is mapped to a
    /// function of its own, and its state and dead letters outlive its stream.
    ///
    /// # Errors
    /// As [`BackendArgs::check_exists`].
    pub(crate) async fn check_exists_here(
        &self,
        backend: &dyn Backend,
        config: &Config,
        name: &str,
    ) -> Result<(), CliError> {
        if self.aws { Ok(()) } else { self.check_exists(backend, config, name).await }
    }

    /// The flag to append to commands that a message recommends.
    pub(crate) fn flag(&self) -> &'static str {
        if self.aws { " --aws" } else { "" }
    }

    /// An error of the ports, told for the place where it came up: what is to be done differs.
    pub(crate) fn explain(&self, error: CliError) -> CliError {
        match error {
            CliError::Ledger(_) | CliError::Adapt(_) if self.aws => CliError::Service(error.to_string()),
            error => error,
        }
    }
}

/// This machine's database as a backend.
fn local(database: Database, context: &Context, config: &Config) -> LocalBackend {
    LocalBackend::new(database, context.clock.clone(), config.mapping.lag)
}
