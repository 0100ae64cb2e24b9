//! The context of every command: settings, screen, and the operator's configuration.

use std::path::{Path, PathBuf};

use damper_config::Config;
use damper_core::clock::WallClock;
use damper_local::Database;
use damper_plugins::compiler::Compiler;
use damper_plugins::{Cache, CacheKey, CacheKeyError, HostOptions};
use damper_toolchain::{BuildContext, BuildEnvironment};
use tokio::runtime::{Builder, Runtime};

use crate::error::CliError;
use crate::screen::Screen;
use crate::settings::{self, Settings};

/// The file of the cache's key, in the folder of what belongs to this user alone.
const CACHE_KEY: &str = "cache.key";

/// The compiler of components: this program, in another process. `hardening`: the setting of that name.
pub(crate) fn compiler(hardening: &str) -> Compiler {
    // On Linux the file that runs now, even if it was replaced meanwhile.
    let itself = Path::new("/proc/self/exe");
    let program = if itself.exists() { Ok(itself.to_owned()) } else { std::env::current_exe() };
    let arguments = if hardening.is_empty() { Vec::new() } else { vec![format!("--hardening={hardening}")] };
    program.map_or(Compiler::InProcess, |program| Compiler::Child { program, arguments })
}

/// One run of the program.
#[derive(Debug)]
pub(crate) struct Context {
    named_config: Option<PathBuf>,
    /// The settings from the environment.
    pub(crate) settings: Settings,
    /// The terminal output.
    pub(crate) screen: Screen,
    /// The time of day.
    pub(crate) clock: WallClock,
}

impl Context {
    /// The context of a program that was given `--config`, or not.
    pub(crate) fn new(named_config: Option<PathBuf>, settings: Settings, screen: Screen) -> Self {
        Self { named_config, settings, screen, clock: WallClock::System }
    }

    /// The damper.toml in force, or the defaults.
    ///
    /// # Errors
    /// If there is one and it cannot be used.
    pub(crate) fn config(&self) -> Result<Config, CliError> {
        let folder = std::env::current_dir().map_err(|error| CliError::internal("find the working folder", error))?;
        Ok(Config::load(self.named_config.as_deref(), &folder)?)
    }

    /// As [`Context::config`], for a command that makes files of what providers fetch: from now on they are made for
    /// those readers alone whom the configuration names.
    ///
    /// # Errors
    /// As [`Context::config`].
    pub(crate) fn data_config(&self) -> Result<Config, CliError> {
        let config = self.config()?;
        rustix::process::umask(config.readable_by.umask());
        Ok(config)
    }

    /// The database that is there; a command that only looks makes none.
    ///
    /// # Errors
    /// If there is none, or it cannot be used.
    pub(crate) fn existing_database(&self, config: &Config) -> Result<Database, CliError> {
        if config.database.exists() {
            return Ok(Database::open(&config.database)?);
        }
        Err(CliError::input_in(
            &config.database,
            "there is no database yet",
            "feed a provider first: `damper feed PROVIDER FILE`; or run this where its damper.toml is found",
        ))
    }

    /// The parts of this program that building needs.
    pub(crate) fn for_builds(&self) -> BuildContext<'_> {
        BuildContext {
            cache: self.settings.cache.as_deref(),
            environment: BuildEnvironment::new(settings::variables(), self.settings.cargo.clone()),
            progress: &self.screen,
        }
    }

    /// How components are run by this program: `max_in_flight` fetches at a time, compiled by another process, and kept
    /// compiled in the cache.
    ///
    /// # Errors
    /// If the cache's key is not trusted.
    pub(crate) fn host_options(&self, max_in_flight: u32) -> Result<HostOptions, CliError> {
        let cache = self.code_cache()?;
        Ok(HostOptions { cache, max_in_flight, compiler: compiler(&self.settings.hardening), ..HostOptions::default() })
    }

    /// The cache of compiled components, and the key that marks them. `None` if there is no folder for either; then
    /// each start compiles anew.
    ///
    /// # Errors
    /// If the key is there and others know it.
    pub(crate) fn code_cache(&self) -> Result<Option<Cache>, CliError> {
        let Some(folder) = self.settings.cache.as_ref().map(|cache| cache.join("components")) else { return Ok(None) };
        let Some(own) = &self.settings.own_config else {
            self.screen.warn("compiled components are not cached: there is no folder for the cache's key; set HOME or XDG_CONFIG_HOME");
            return Ok(None);
        };
        match CacheKey::open(&own.join(CACHE_KEY)) {
            Ok(key) => Ok(Some(Cache { folder, key })),
            Err(error @ CacheKeyError::Unavailable(_)) => {
                self.screen.warn(format!("compiled components are not cached: {error}"));
                Ok(None)
            }
            Err(error) => {
                let hint = "delete the file: the next run creates a new key and compiles again";
                Err(CliError::input(error.to_string(), hint))
            }
        }
    }
}

/// The threads of a command that waits for much at once.
///
/// # Errors
/// If the system gives none.
pub(crate) fn runtime() -> Result<Runtime, CliError> {
    Builder::new_multi_thread().enable_all().build().map_err(|error| CliError::internal("start threads", error))
}
