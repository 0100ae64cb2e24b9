//! One SQLite file, one thread that writes to it, and one that reads.
//!
//! **Group commit.** The writer takes what waits in its queue, at most [`MAX_GROUP`] jobs, runs all of it in one
//! transaction and commits with one fsync; only then does it answer each job. Every answer is therefore durable, and
//! many callers at once share one fsync. If a job fails, all are rolled back and run again one by one, so that none
//! fails because of another.
//!
//! Several processes may use one file at once: a writer that finds it locked waits up to [`BUSY_TIMEOUT`].

mod error;
mod open;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

pub use error::DatabaseError;
pub(crate) use error::SqlError;
pub use open::BUSY_TIMEOUT;

/// The most jobs of one transaction.
pub const MAX_GROUP: usize = 256;
/// How many jobs wait for the writer before callers wait themselves.
const QUEUE: usize = 1_024;

/// A database: cheap to clone, closed when the last clone is dropped.
///
/// ```
/// use damper_local::{Database, SqliteLedger, SqliteStream};
///
/// # let folder = tempfile::tempdir()?;
/// // Made where nothing is there. One file holds the stream, the ledger, the mapping and the dead letters.
/// let database = Database::open(folder.path().join("damper.db"))?;
/// let (stream, ledger) = (SqliteStream::new(database.clone()), SqliteLedger::new(database));
///
/// // Another program's file is refused, and stays as it is.
/// let notes = folder.path().join("notes.txt");
/// std::fs::write(&notes, "buy milk")?;
/// assert!(Database::open(&notes).is_err());
/// assert_eq!(std::fs::read_to_string(&notes)?, "buy milk");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Database {
    path: Arc<PathBuf>,
    writer: mpsc::Sender<Box<dyn Job>>,
    reader: mpsc::Sender<Box<dyn Job>>,
}

impl Database {
    /// Open the database at `path`, or make it if nothing is there, with its folder.
    ///
    /// Blocks for as long as the disk takes: some milliseconds, more where another process is making the same file.
    ///
    /// # Errors
    /// If the file is not Damper's, is of a newer Damper, is damaged or empty, cannot be written, or the disk is full.
    /// Nothing that was there is changed then.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DatabaseError> {
        let path = Arc::new(path.as_ref().to_path_buf());
        let writing = open::open_writer(&path)?;
        let reading = open::open_reader(&path)?;
        let (writer, reader) = (mpsc::channel(QUEUE), mpsc::channel(QUEUE));
        spawn("damper-writer", &path, writing, writer.1, write_group)?;
        spawn("damper-reader", &path, reading, reader.1, read_group)?;
        Ok(Self { path, writer: writer.0, reader: reader.0 })
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Run `work` in the writer's next transaction; what it did is durable when this returns `Ok`. It may run more than
    /// once, each time from the same state.
    pub(crate) async fn write<T, W>(&self, work: W) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        W: FnMut(&Connection) -> Result<T, SqlError> + Send + 'static,
    {
        self.submit(&self.writer, work).await
    }

    /// Run `work` in one transaction that only reads.
    pub(crate) async fn read<T, W>(&self, work: W) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        W: FnMut(&Connection) -> Result<T, SqlError> + Send + 'static,
    {
        self.submit(&self.reader, work).await
    }

    async fn submit<T, W>(&self, queue: &mpsc::Sender<Box<dyn Job>>, work: W) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        W: FnMut(&Connection) -> Result<T, SqlError> + Send + 'static,
    {
        let closed = || DatabaseError::Closed { path: self.path.to_path_buf() };
        let (reply, answer) = oneshot::channel();
        queue.send(Box::new(Task { work, value: None, reply })).await.map_err(|_| closed())?;
        receive_answer(answer).await.ok_or_else(closed)?
    }
}

#[cfg(not(test))]
async fn receive_answer<T>(answer: oneshot::Receiver<T>) -> Option<T> {
    answer.await.ok()
}

/// In tests, a paused clock stands still while the database works, as it does for all blocking tasks.
#[cfg(test)]
async fn receive_answer<T: Send + 'static>(answer: oneshot::Receiver<T>) -> Option<T> {
    tokio::task::spawn_blocking(|| answer.blocking_recv().ok()).await.ok().flatten()
}

/// One caller's work, its type hidden from the thread that runs it.
trait Job: Send {
    fn is_abandoned(&self) -> bool;
    fn run(&mut self, connection: &Connection) -> Result<(), SqlError>;
    fn answer(self: Box<Self>, failed: Option<DatabaseError>);
}

struct Task<T, W> {
    work: W,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, DatabaseError>>,
}

impl<T: Send, W: FnMut(&Connection) -> Result<T, SqlError> + Send> Job for Task<T, W> {
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(&mut self, connection: &Connection) -> Result<(), SqlError> {
        self.value = Some((self.work)(connection)?);
        Ok(())
    }

    fn answer(self: Box<Self>, failed: Option<DatabaseError>) {
        let answer = match (failed, self.value) {
            (Some(error), _) => Err(error),
            (None, Some(value)) => Ok(value),
            // Unreachable: a job without a value has failed. Dropping the reply says that the database is closed.
            (None, None) => return,
        };
        // A caller that has gone away needs no answer.
        let _ = self.reply.send(answer);
    }
}

type RunGroup = fn(&Connection, &Path, &mut Vec<Box<dyn Job>>);

fn spawn(
    name: &str,
    path: &Arc<PathBuf>,
    connection: Connection,
    mut queue: mpsc::Receiver<Box<dyn Job>>,
    run: RunGroup,
) -> Result<(), DatabaseError> {
    let thread_path = Arc::clone(path);
    let work = move || {
        let mut group = Vec::with_capacity(MAX_GROUP);
        while let Some(first) = queue.blocking_recv() {
            group.push(first);
            while group.len() < MAX_GROUP
                && let Ok(next) = queue.try_recv()
            {
                group.push(next);
            }
            // The callers of these jobs are gone: a claim without a caller would only block its item.
            group.retain(|job| !job.is_abandoned());
            run(&connection, &thread_path, &mut group);
        }
    };
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop).map_err(|error| DatabaseError::Failed {
        path: path.to_path_buf(),
        message: format!("its thread cannot be started: {error}"),
    })
}

fn read_group(connection: &Connection, path: &Path, group: &mut Vec<Box<dyn Job>>) {
    for job in group.drain(..) {
        run_alone(connection, path, "BEGIN", job);
    }
}

fn write_group(connection: &Connection, path: &Path, group: &mut Vec<Box<dyn Job>>) {
    if group.len() > 1 && run_together(connection, "BEGIN IMMEDIATE", group).is_ok() {
        group.drain(..).for_each(|job| job.answer(None));
    }
    // A single job, or a group of which one has failed.
    for job in group.drain(..) {
        run_alone(connection, path, "BEGIN IMMEDIATE", job);
    }
}

fn run_alone(connection: &Connection, path: &Path, begin: &str, job: Box<dyn Job>) {
    let mut alone = [job];
    let failed = run_together(connection, begin, &mut alone).err().map(|error| error.with_path(path));
    let [job] = alone;
    job.answer(failed);
}

fn run_together(connection: &Connection, begin: &str, jobs: &mut [Box<dyn Job>]) -> Result<(), SqlError> {
    connection.prepare_cached(begin)?.execute([])?;
    let done = jobs
        .iter_mut()
        .try_for_each(|job| job.run(connection))
        .and_then(|()| Ok(connection.prepare_cached("COMMIT")?.execute([]).map(drop)?));
    // A full disk rolls back by itself, and then there is nothing left to roll back.
    if done.is_err() && !connection.is_autocommit() {
        connection.prepare_cached("ROLLBACK")?.execute([])?;
    }
    done
}
