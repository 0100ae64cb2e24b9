//! `demo-api`: the demo API as a program. Flags in, one line out when it listens, gone on a signal.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use damper_demo_api::{DemoApi, Drip, Latency, Options, Outage, OutageMode, RateLimit, Refusals, RetryAfter, Settings};

const EXAMPLE: &str = "\
Examples:
  A slow API that throttles, and is down for five seconds after ten seconds:
    demo-api --port 8080 --latency-median-ms 40 --latency-sigma 0.4 --error-rate 0.02 \\
      --rate-per-second 200 --rate-burst 50 --outage-after-ms 10000 --outage-for-ms 5000
  While it runs, change and watch it:
    curl -X PUT http://127.0.0.1:8080/control -d '{\"latency\": {\"median_ms\": 200}}'
    curl http://127.0.0.1:8080/records/42
    curl http://127.0.0.1:8080/stats";

/// A demo API to fetch records from. Flags and PUT /control make it slow, throttle, fail, and go down and up.
#[derive(Debug, Parser)]
#[command(name = "demo-api", version, after_help = EXAMPLE)]
struct Flags {
    /// The port to listen on; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The address to listen on; only loopback is accepted.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
    /// Write the port to this file once it listens.
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
    /// Append one JSON line per finished record request to this file.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,

    /// The median latency of the log-normal distribution.
    #[arg(long, value_name = "MS", default_value_t = 0.0)]
    latency_median_ms: f64,
    /// The spread of the latency; 0 makes every answer take the median.
    #[arg(long, value_name = "SIGMA", default_value_t = 0.0)]
    latency_sigma: f64,
    /// The longest time until a response.
    #[arg(long, value_name = "MS")]
    latency_max_ms: Option<f64>,
    /// The share of answers, 0 to 1, whose body arrives in small pieces.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    drip_share: f64,
    /// The time from a dripping body's first piece to its last.
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    drip_over_ms: u64,
    /// The number of pieces of a dripping body.
    #[arg(long, value_name = "N", default_value_t = 8)]
    drip_pieces: u32,
    /// The share of records, 0 to 1, answered with 500, 502 or 503.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    error_rate: f64,
    /// The share of records, 0 to 1, answered with 429 at random, regardless of the request rate.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    refusal_share: f64,
    /// The wait that such a 429 asks for.
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    refusal_wait_ms: u64,
    /// The share of records, 0 to 1, answered with 200 and truncated JSON.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    malformed_rate: f64,
    /// Requests above this rate get 429.
    #[arg(long, value_name = "N")]
    rate_per_second: Option<f64>,
    /// The number of requests that may arrive at once after a pause.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "rate_per_second")]
    rate_burst: u32,
    /// Requests above this number in flight get 429.
    #[arg(long, value_name = "N")]
    concurrency_cap: Option<u64>,
    /// The form in which a 429 states its wait.
    #[arg(long, value_enum, value_name = "FORM", default_value_t = RetryAfter::Seconds)]
    retry_after: RetryAfter,
    /// An outage begins after this time (at once if only another outage flag is given).
    #[arg(long, value_name = "MS")]
    outage_after_ms: Option<u64>,
    /// The outage lasts this long [default: until the settings change].
    #[arg(long, value_name = "MS")]
    outage_for_ms: Option<u64>,
    /// The response to a request in the outage [default: error].
    #[arg(long, value_enum, value_name = "MODE")]
    outage_mode: Option<OutageMode>,
    /// Requests without this value in the header X-Api-Key get 401.
    #[arg(long, value_name = "KEY")]
    require_key: Option<String>,
    /// Answer every record with 404, as an API does after it has moved.
    #[arg(long)]
    moved: bool,
    /// The size of the body of ids that begin with `big`.
    #[arg(long, value_name = "BYTES", default_value_t = 10_000_000)]
    big_bytes: u64,
    /// The target of the redirects of ids that begin with `redirect`.
    #[arg(long, value_name = "URL", default_value = "/records/landed")]
    redirect_to: String,
    /// Count a request whose client has disconnected as in flight until its latency has passed.
    #[arg(long)]
    keep_working: bool,
    /// Change the settings this long after the start, as PUT /control does; may be given several times.
    #[arg(long, value_name = "MS=JSON")]
    at: Vec<Change>,
    /// The seed of all random choices.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The number of lines that GET /log keeps.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    log_max: usize,
}

/// A change of the settings at a time after the start.
#[derive(Debug, Clone, PartialEq)]
struct Change {
    after: Duration,
    patch: serde_json::Value,
}

impl FromStr for Change {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = "write it as 5000={\"error_rate\": 0.5}";
        let (ms, patch) = text.split_once('=').ok_or_else(|| form.to_owned())?;
        let after = ms.trim().parse().map(Duration::from_millis).map_err(|error| format!("{ms:?}: {error}; {form}"))?;
        let patch = serde_json::from_str(patch).map_err(|error| format!("{error}; {form}"))?;
        // A change that does not fit the settings is refused now, not in the middle of a run.
        Settings::default().with_patch(&patch).map_err(|error| error.to_string())?;
        Ok(Self { after, patch })
    }
}

/// Makes the changes, each in its time; ends when the last is made.
async fn make(mut changes: Vec<Change>, api: &DemoApi) -> Result<(), Box<dyn std::error::Error>> {
    changes.sort_by_key(|change| change.after);
    let start = tokio::time::Instant::now();
    for Change { after, patch } in changes {
        tokio::time::sleep_until(start + after).await;
        api.control(&patch)?;
        writeln!(std::io::stdout(), "after {after:?}: {patch}")?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-api: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: Flags) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let port_file = flags.port_file.clone();
    let listen = SocketAddr::new(flags.address, flags.port);
    let (log, changes) = (flags.log.clone(), flags.at.clone());
    // Signals are caught before anyone can know that the server is there to be stopped.
    let stop = runtime.block_on(async { stop_signal() })?;
    let api = DemoApi::start_with(Options { listen, log, settings: flags.settings() })?;
    if let Some(file) = port_file {
        write_whole(&file, &format!("{}\n", api.addr().port()))
            .map_err(|error| format!("cannot write the port file {}: {error}", file.display()))?;
    }
    writeln!(std::io::stdout(), "demo API listens on {}", api.url())?;
    runtime.block_on(async {
        tokio::select! {
            () = stop => Ok(()),
            Err(error) = make(changes, &api) => Err(error),
        }
    })
}

/// Ends on SIGTERM or Ctrl-C.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Writes beside and renames, so that a reader never sees half a file.
fn write_whole(file: &Path, text: &str) -> std::io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, file)
}

impl Flags {
    fn settings(self) -> Settings {
        let outage = self.outage();
        Settings {
            latency: Latency {
                median_ms: self.latency_median_ms,
                sigma: self.latency_sigma,
                max_ms: self.latency_max_ms,
            },
            drip: Drip { share: self.drip_share, over_ms: self.drip_over_ms, pieces: self.drip_pieces },
            error_rate: self.error_rate,
            refusals: Refusals { share: self.refusal_share, wait_ms: self.refusal_wait_ms },
            malformed_rate: self.malformed_rate,
            rate_limit: self.rate_per_second.map(|per_second| RateLimit { per_second, burst: self.rate_burst }),
            concurrency_cap: self.concurrency_cap,
            retry_after: self.retry_after,
            outage,
            require_key: self.require_key,
            moved: self.moved,
            big_bytes: self.big_bytes,
            redirect_to: self.redirect_to,
            keep_working: self.keep_working,
            seed: self.seed,
            log_max: self.log_max,
        }
    }

    fn outage(&self) -> Option<Outage> {
        let named = self.outage_after_ms.is_some() || self.outage_for_ms.is_some() || self.outage_mode.is_some();
        named.then(|| Outage {
            after_ms: self.outage_after_ms.unwrap_or(0),
            for_ms: self.outage_for_ms,
            mode: self.outage_mode.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_flags_the_settings_are_the_default() {
        assert_eq!(Flags::parse_from(["demo-api"]).settings(), Settings::default());
    }

    #[test]
    fn changes_are_read_with_their_time_and_bad_ones_refused() {
        let flags = Flags::parse_from(["demo-api", "--at", r#"1500={"error_rate":0.5}"#]);
        assert_eq!(flags.at[0].after, Duration::from_millis(1_500));
        for bad in ["5", "x={}", "5={", r#"5={"eror_rate":1}"#, r#"5={"error_rate":7}"#] {
            assert!(bad.parse::<Change>().is_err(), "{bad}");
        }
    }

    #[test]
    fn any_outage_flag_sets_an_outage() {
        let flags = Flags::parse_from(["demo-api", "--outage-mode", "black_hole"]);
        let outage = Outage { after_ms: 0, for_ms: None, mode: OutageMode::BlackHole };
        assert_eq!(flags.settings().outage, Some(outage));
    }
}
