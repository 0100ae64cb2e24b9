//! What every command works with: settings, screen, and the operator's configuration.

use std::path::{Path, PathBuf};

use damper_core::clock::WallClock;
use damper_local::Database;
use damper_plugins::compiler::Compiler;
use tokio::runtime::{Builder, Runtime};

use crate::config::Config;
use crate::error::CliError;
use crate::screen::Screen;
use crate::settings::Settings;

/// Who compiles components: this program, in another process.
pub(crate) fn compiler() -> Compiler {
    // On Linux by what runs now, also where its file was replaced meanwhile.
    let itself = Path::new("/proc/self/exe");
    if itself.exists() {
        return Compiler::Child(itself.to_owned());
    }
    std::env::current_exe().map_or(Compiler::InProcess, Compiler::Child)
}

/// One run of the program.
#[derive(Debug)]
pub(crate) struct Context {
    named_config: Option<PathBuf>,
    /// What the environment says.
    pub(crate) settings: Settings,
    /// Where people look.
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
    /// Where there is one and it cannot be used.
    pub(crate) fn config(&self) -> Result<Config, CliError> {
        let folder = std::env::current_dir().map_err(|error| CliError::unexpected("find the working folder", error))?;
        Ok(Config::load(self.named_config.as_deref(), &folder)?)
    }

    /// The database that is there; a command that only looks makes none.
    ///
    /// # Errors
    /// Where there is none, or it cannot be used.
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

    /// Where caches lie.
    ///
    /// # Errors
    /// Where there is no place for them.
    pub(crate) fn cache(&self) -> Result<PathBuf, CliError> {
        let missing = || CliError::input("there is no folder for caches", "set DAMPER_CACHE to a folder of yours");
        self.settings.cache.clone().ok_or_else(missing)
    }
}

/// The threads of a command that waits for much at once.
///
/// # Errors
/// Where the system gives none.
pub(crate) fn runtime() -> Result<Runtime, CliError> {
    Builder::new_multi_thread().enable_all().build().map_err(|error| CliError::unexpected("start threads", error))
}
