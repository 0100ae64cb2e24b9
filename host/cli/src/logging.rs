//! The log on standard error, above the progress bars, with everything escaped that a terminal would obey.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::screen::{Screen, printable_lines};
use crate::settings::Settings;

/// Warnings and errors; but what stops a provider is told by `damper run` itself, and what AWS's SDK misses by `--aws`,
/// in words with a hint.
const DEFAULT_FILTER: &str = "warn,damper_core::pipeline::batch_processor=off,aws_config=off";

/// Begin to log what `DAMPER_LOG` asks for.
pub(crate) fn start(settings: &Settings, screen: &Screen) {
    let asked = settings.log.as_deref().unwrap_or(DEFAULT_FILTER);
    let filter = EnvFilter::try_new(asked).unwrap_or_else(|error| {
        screen.warn(format!("DAMPER_LOG is {asked:?}, which is not a filter ({error}); logging warnings and errors"));
        EnvFilter::new(DEFAULT_FILTER)
    });
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(Log(screen.clone())).init();
}

struct Log(Screen);

/// One event: the subscriber writes it whole.
struct Event(Screen);

impl<'a> MakeWriter<'a> for Log {
    type Writer = Event;

    fn make_writer(&'a self) -> Event {
        Event(self.0.clone())
    }
}

impl Write for Event {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(printable_lines(&String::from_utf8_lossy(bytes)).as_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
