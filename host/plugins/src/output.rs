//! A guest's output: cut into lines, bounded, scrubbed, and written to the log as data.
//!
//! While the guest runs, a line is only queued. It is scrubbed and written when the guest has yielded, so the guest cannot tell by timing
//! whether its text contains a secret.

use std::sync::Mutex;
use std::sync::PoisonError;

use crate::text::{Scrubber, cut};

/// The longest line that is kept, in bytes.
const MAX_LINE_BYTES: usize = 4 * 1024;
/// The most lines of one call.
const MAX_LINES: u32 = 200;
/// The most bytes of one call.
const MAX_BYTES: usize = 64 * 1024;
/// The most of a panic's message that is kept for the failure, in bytes.
const MAX_PANIC_BYTES: usize = 512;

/// The source of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The contract's `log`.
    Log,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The severity of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the provider's author.
    Debug,
    /// A step.
    Info,
    /// Something to look at.
    Warn,
    /// Something that went wrong.
    Error,
}

/// One line that a guest wrote: without secrets, and cut. It may hold anything else, escapes included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its source.
    pub source: Source,
    /// Its severity.
    pub level: Level,
    /// The line as a JSON string, in quotes: fit to be printed.
    pub json: String,
}

/// The output of one call.
#[derive(Debug)]
pub(crate) struct Output {
    /// The provider, for the log.
    provider: String,
    /// The item's id, for the log.
    item: String,
    buffer: Mutex<OutputBuffer>,
}

#[derive(Debug, Default)]
struct OutputBuffer {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    lines: u32,
    bytes: usize,
    is_full: bool,
    queued: Vec<QueuedLine>,
    panic: Option<String>,
    /// The lines, if the caller captures them.
    captured: Option<Vec<LogLine>>,
}

/// A line that has not been written yet.
#[derive(Debug)]
enum QueuedLine {
    Line(Source, Level, String),
    /// The call has written too much, and the rest is left out.
    Full,
}

impl Output {
    pub(crate) fn new(provider: &str, item: &str, keep: bool) -> Self {
        let buffer = OutputBuffer { captured: keep.then(Vec::new), ..OutputBuffer::default() };
        Self { provider: provider.to_owned(), item: item.to_owned(), buffer: Mutex::new(buffer) }
    }

    /// A line of the contract's `log`.
    pub(crate) fn log(&self, level: Level, message: &str, scrubber: &Scrubber) {
        self.with_buffer(|buffer| buffer.queue(Source::Log, level, message, scrubber));
    }

    /// Whether the limit is reached, so that no more lines of the contract's `log` are written.
    pub(crate) fn is_full(&self) -> bool {
        self.with_buffer(|buffer| buffer.is_full)
    }

    /// Bytes on standard output or standard error.
    pub(crate) fn print(&self, source: Source, bytes: &[u8], scrubber: &Scrubber) {
        self.with_buffer(|buffer| {
            for part in bytes.split_inclusive(|byte| *byte == b'\n') {
                if buffer.is_full && source == Source::Stdout {
                    return;
                }
                buffer
                    .partial(source)
                    .extend_from_slice(part.get(..part.len().min(MAX_LINE_BYTES)).unwrap_or_default());
                if part.ends_with(b"\n") || buffer.partial(source).len() >= MAX_LINE_BYTES {
                    buffer.end_line(source, scrubber);
                }
            }
        });
    }

    /// Writes the lines that are queued. Called while the guest does not run.
    pub(crate) fn flush(&self, scrubber: &Scrubber) {
        let queued = self.with_buffer(|buffer| std::mem::take(&mut buffer.queued));
        for queued in queued {
            match queued {
                QueuedLine::Line(source, level, line) => self.emit(source, level, &line, scrubber),
                QueuedLine::Full => {
                    tracing::warn!(target: "damper::provider", provider = %self.provider, "the provider writes too much output; the rest of this call's output is dropped");
                }
            }
        }
    }

    /// Writes everything, including unfinished lines. Called when the call is over.
    pub(crate) fn finish(&self, scrubber: &Scrubber) {
        self.with_buffer(|buffer| {
            for source in [Source::Stdout, Source::Stderr] {
                if !buffer.partial(source).is_empty() {
                    buffer.end_line(source, scrubber);
                }
            }
        });
        self.flush(scrubber);
    }

    /// The guest's panic message, on one line.
    pub(crate) fn panic(&self) -> Option<String> {
        self.with_buffer(|buffer| buffer.panic.clone())
    }

    /// Takes the captured lines.
    pub(crate) fn take_lines(&self) -> Vec<LogLine> {
        self.with_buffer(|buffer| buffer.captured.take().unwrap_or_default())
    }

    fn with_buffer<T>(&self, work: impl FnOnce(&mut OutputBuffer) -> T) -> T {
        work(&mut self.buffer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn emit(&self, source: Source, level: Level, line: &str, scrubber: &Scrubber) {
        let json = scrubber.to_json(line, MAX_LINE_BYTES);
        self.write(source, level, &json, scrubber);
        self.with_buffer(|buffer| {
            if let Some(captured) = &mut buffer.captured {
                captured.push(LogLine { source, level, json });
            }
        });
    }

    fn write(&self, source: Source, level: Level, json: &str, scrubber: &Scrubber) {
        let provider = &self.provider;
        macro_rules! event {
            ($level:expr) => {
                tracing::event!(target: "damper::provider", $level, %provider, item = %scrubber.to_json(&self.item, MAX_LINE_BYTES), ?source, line = %json)
            };
        }
        match level {
            Level::Debug => event!(tracing::Level::DEBUG),
            Level::Info => event!(tracing::Level::INFO),
            Level::Warn => event!(tracing::Level::WARN),
            Level::Error => event!(tracing::Level::ERROR),
        }
    }
}

impl OutputBuffer {
    fn end_line(&mut self, source: Source, scrubber: &Scrubber) {
        let bytes = std::mem::take(self.partial(source));
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_end();
        if source == Source::Stderr {
            self.watch_for_panic(line);
        }
        let level = if source == Source::Stderr { Level::Warn } else { Level::Info };
        if !line.is_empty() {
            self.queue(source, level, line, scrubber);
        }
    }

    fn queue(&mut self, source: Source, level: Level, line: &str, scrubber: &Scrubber) {
        if self.is_full {
            return;
        }
        if self.lines >= MAX_LINES || self.bytes >= MAX_BYTES {
            self.is_full = true;
            self.queued.push(QueuedLine::Full);
            return;
        }
        self.lines += 1;
        self.bytes += line.len().min(MAX_LINE_BYTES);
        let line = cut(line, scrubber.window_bytes(MAX_LINE_BYTES)).to_owned();
        self.queued.push(QueuedLine::Line(source, level, line));
    }

    fn partial(&mut self, source: Source) -> &mut Vec<u8> {
        if source == Source::Stderr { &mut self.stderr } else { &mut self.stdout }
    }

    /// Captures the lines from Rust's `panicked at` on, up to its note on backtraces.
    fn watch_for_panic(&mut self, line: &str) {
        if let Some((_, rest)) = line.split_once("panicked at ") {
            self.panic = Some(format!("panicked at {}", cut(rest, MAX_PANIC_BYTES)));
        } else if let Some(panic) = &mut self.panic
            && !line.is_empty()
            && !line.starts_with("note: ")
            && panic.len() < MAX_PANIC_BYTES
        {
            panic.push(' ');
            panic.push_str(cut(line, MAX_PANIC_BYTES));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output() -> (Output, Scrubber) {
        let scrubber = Scrubber::default();
        scrubber.learn("key", vec!["hunter2".to_owned()]).unwrap();
        (Output::new("x", "id", true), scrubber)
    }

    fn lines(output: &Output) -> Vec<String> {
        output.take_lines().into_iter().map(|line| line.json).collect()
    }

    #[test]
    fn bytes_become_lines_whatever_their_pieces() {
        let (output, scrubber) = output();
        for piece in ["on", "e\ntwo\n\nthr", "ee hunter2"] {
            output.print(Source::Stdout, piece.as_bytes(), &scrubber);
        }
        output.finish(&scrubber);
        assert_eq!(lines(&output), ["\"one\"", "\"two\"", "\"three [secret]\""]);
    }

    #[test]
    fn output_is_bounded() {
        let (output, scrubber) = output();
        for _ in 0..1_000 {
            output.print(Source::Stdout, &[b'x'; 3_000], &scrubber);
            output.log(Level::Info, &"y".repeat(100_000), &scrubber);
        }
        output.finish(&scrubber);
        let lines = lines(&output);
        assert!(lines.len() <= MAX_LINES as usize);
        assert!(lines.iter().map(String::len).sum::<usize>() <= MAX_BYTES + 2 * MAX_LINE_BYTES);
        assert!(output.is_full());
        assert!(output.with_buffer(|buffer| buffer.stdout.len()) <= MAX_LINE_BYTES);
    }

    #[test]
    fn a_line_is_queued_while_the_guest_runs_and_written_when_it_gives_way() {
        let (output, scrubber) = output();
        output.log(Level::Info, "hunter2", &scrubber);
        assert!(output.with_buffer(|buffer| buffer.captured.as_ref().unwrap().is_empty() && buffer.queued.len() == 1));
        output.flush(&scrubber);
        assert_eq!(lines(&output), ["\"[secret]\""]);
    }

    #[test]
    fn a_long_line_is_cut_before_it_is_kept() {
        let (output, scrubber) = output();
        output.log(Level::Info, &"x".repeat(1 << 20), &scrubber);
        let Some(QueuedLine::Line(_, _, line)) = output.with_buffer(|buffer| buffer.queued.pop()) else {
            panic!("no line")
        };
        assert_eq!(line.len(), MAX_LINE_BYTES + "hunter2".len());
    }

    #[test]
    fn a_panic_is_found_even_after_too_much_output() {
        let (output, scrubber) = output();
        for _ in 0..1_000 {
            output.print(Source::Stderr, b"noise\n", &scrubber);
        }
        output.print(
            Source::Stderr,
            b"\nthread '<unnamed>' (1) panicked at src/lib.rs:9:5:\nno such thing\nnote: run with\n",
            &scrubber,
        );
        assert_eq!(output.panic().as_deref(), Some("panicked at src/lib.rs:9:5: no such thing"));
    }
}
