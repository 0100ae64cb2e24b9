//! Structured logs: one JSON object per line on standard output, where Lambda collects them beside the metrics. Text
//! from a guest is a JSON string, never a line of its own, so it cannot forge logs or metrics.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// The default log filter.
const DEFAULT: &str = "info";

/// Start logging; `wanted` is in the syntax of `RUST_LOG`.
pub(crate) fn start(wanted: Option<&str>) {
    let filter = EnvFilter::try_new(wanted.unwrap_or(DEFAULT)).unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    // It is started once, at the program's start.
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_span_events(FmtSpan::NONE)
        .with_target(false)
        .with_env_filter(filter)
        .try_init();
}
