//! `damper test --watch`: again whenever something changes.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use notify::{Event, RecursiveMode, Watcher};

use super::Test;
use crate::context::Context;
use crate::error::{CliError, Exit};

/// How long nothing must change before the cases run again: an editor writes a file in several steps.
const QUIET: Duration = Duration::from_millis(100);
/// Folders whose changes are not the author's.
const NOT_WATCHED: [&str; 2] = ["node_modules", "target"];

/// Run the cases, and again after each change, until a signal ends it.
///
/// # Errors
/// If the folders cannot be watched. Errors of a run are printed, and the next change starts another run.
pub(super) fn run(command: &Test, context: &Context) -> Result<Exit, CliError> {
    let (sender, changes) = mpsc::channel();
    let paths = [Some(&command.path), command.cases.as_ref()].into_iter().flatten();
    let real = |path: &PathBuf| path.canonicalize().map_err(CliError::file("watch", path));
    let roots = paths.map(real).collect::<Result<Vec<_>, _>>()?;
    let watched = roots.clone();
    let told = move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| is_change(&event, &watched)) {
            // Nobody listens any more: the program ends.
            let _ = sender.send(());
        }
    };
    let failed = |error| CliError::internal("watch for changes", error);
    let mut watcher = notify::recommended_watcher(told).map_err(failed)?;
    for root in &roots {
        watcher.watch(root, RecursiveMode::Recursive).map_err(failed)?;
    }
    loop {
        if let Err(error) = super::once(command, context) {
            context.screen.error(&error);
        }
        context.screen.say("waiting for a change");
        if changes.recv().is_err() {
            return Ok(Exit::Done);
        }
        while changes.recv_timeout(QUIET).is_ok() {}
    }
}

/// Whether an event below one of the roots is a change of the author's, not of a build.
fn is_change(event: &Event, roots: &[PathBuf]) -> bool {
    let is_ours = |path: &Path| {
        let Some(inside) = roots.iter().find_map(|root| path.strip_prefix(root).ok()) else { return false };
        let mut names = inside.components().map(|part| part.as_os_str().to_string_lossy());
        names.all(|name| !name.starts_with('.') && !NOT_WATCHED.contains(&name.as_ref()))
    };
    !event.kind.is_access() && event.paths.iter().any(|path| is_ours(path))
}

#[cfg(test)]
mod tests {
    use notify::EventKind;
    use notify::event::{AccessKind, ModifyKind};

    use super::*;

    #[test]
    fn what_a_build_writes_is_no_change() {
        let event = |path: &str| Event::new(EventKind::Modify(ModifyKind::Any)).add_path(path.into());
        let watched = [PathBuf::from("/home/.me/target/provider")];
        assert!(is_change(&event("/home/.me/target/provider/cases/a.toml"), &watched));
        assert!(is_change(&event("/home/.me/target/provider/src/lib.rs"), &watched));
        assert!(!is_change(&event("/home/.me/target/provider/target/debug/x"), &watched));
        assert!(!is_change(&event("/home/.me/target/provider/.git/index"), &watched));
        let read =
            Event::new(EventKind::Access(AccessKind::Any)).add_path("/home/.me/target/provider/src/lib.rs".into());
        assert!(!is_change(&read, &watched));
    }
}
