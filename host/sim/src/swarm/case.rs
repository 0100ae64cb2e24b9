//! The parts of a run: data, drawn from a seed and made smaller by the shrinker.

use std::fmt;
use std::time::Duration;

use damper_core::testing::faults::FaultPlan;
use jiff::Timestamp;

/// A cluster and its faults.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The seed of everything that is not in the setup or the plan: latencies, names, jitter.
    pub seed: u64,
    /// The cluster.
    pub setup: Setup,
    /// Its faults.
    pub plan: FaultPlan,
}

/// A cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// Its theme.
    pub theme: Theme,
    /// How many processes there are; each works for all providers.
    pub processes: usize,
    /// Whether the ledger's writes are paid for, as in DynamoDB, and batches are invocations; else it is one machine
    /// with SQLite.
    pub is_cloud: bool,
    /// The longest that a port takes where nothing goes wrong.
    pub latency: Duration,
    /// Whether a process begins with a new pipeline after a store has failed.
    pub is_restarted_on_failure: bool,
    /// When it begins.
    pub begin: Timestamp,
    /// How often a process ticks.
    pub tick: Duration,
    /// How long one invocation may take.
    pub deadline: Duration,
    /// The providers.
    pub providers: Vec<ProviderSetup>,
}

/// One provider.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderSetup {
    /// Its name.
    pub name: String,
    /// The items that are fed.
    pub items: Vec<ItemSetup>,
    /// Over how many shards.
    pub shards: usize,
    /// The most requests in flight.
    pub cap: u32,
    /// The longest that a fetch takes.
    pub fetch_timeout: Duration,
    /// The most requests in a day.
    pub quota: Option<u64>,
    /// Items in the first batches.
    pub batch: u32,
    /// Attempts until an item is a dead letter.
    pub max_attempts: u32,
    /// How often somebody fetches a record beside the batches.
    pub ad_hoc_every: Option<Duration>,
    /// When an operator grants so many dead letters.
    pub grant: Option<(Duration, u32)>,
    /// When it may be called, as in a manifest.
    pub window: Option<&'static str>,
    /// When its time zone is moved west, from that of London to that of New York: all processes begin anew with the new
    /// manifest.
    pub moves_west: Option<Duration>,
    /// The longest that a process takes to have its component ready.
    pub cold_start: Duration,
    /// The API.
    pub api: ApiSetup,
}

/// The subject of a case, besides faults: some promises are about figures, and need a cluster in which nothing else is
/// in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Faults of all kinds, and nothing is said of the pace.
    Faults,
    /// No faults; some requests are answered with 429 or 503 whatever the pace. It takes not much longer than without
    /// these.
    Pace,
    /// No faults; two shards have to share one slot.
    Sharing,
    /// Faults of all kinds while a day ends, with a quota that neither day has enough of.
    Midnight,
    /// No faults; the time zone of a provider with a quota is moved west, so that its day is the one before again.
    MovedWest,
    /// Processes die, and the wall clock is set back by minutes or hours: nobody waits until it is as late as it was.
    SetBack,
    /// No faults; the API fails for one item. It holds no others back.
    Waiting,
    /// The wall clock is a week ahead while many items wait: few of them are too old before a person is asked.
    WeekAhead,
    /// Objects vanish, and processes die between a put and its finish, so that others look for what they had stored.
    Gaps,
    /// Processes freeze between a put and its finish for longer than their claims last, and others take over, seal what
    /// they find, and go on.
    Sealed,
    /// Answers of the control item's writes are lost while a daily quota is nearly spent.
    LostAnswers,
    /// Several processes want the same few slots while the wall clock leaps and processes begin anew, slowly.
    Leaps,
}

/// An API.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ApiSetup {
    /// The shortest time to an answer.
    pub quickest: Duration,
    /// The longest.
    pub slowest: Duration,
    /// Of all requests so many are answered with 503.
    pub unavailable: f64,
    /// Of all requests so many are answered with 429.
    pub throttled: f64,
    /// The Retry-After of a 429.
    pub retry_after: Option<Duration>,
    /// Of all requests so many are never answered.
    pub silent: f64,
    /// From when, for how long all requests are answered with 503.
    pub outage: Option<(Duration, Duration)>,
}

/// One entry of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemSetup {
    /// Its number; two entries of one number have one identity.
    pub number: u32,
    /// The API's response to it.
    pub kind: ItemKind,
    /// When it is fed.
    pub at: Duration,
}

/// The API's response to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// There is a record.
    Good,
    /// There is none.
    Gone,
    /// Its record cannot be read.
    Malformed,
    /// The API takes an order, and has its record after some polls.
    Ordered,
    /// It is locked until faults have ended, and the API is unavailable for it.
    Locked,
}

impl ItemKind {
    /// Its name, which tells the API what to answer.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Gone => "gone",
            Self::Malformed => "malformed",
            Self::Ordered => "ordered",
            Self::Locked => "locked",
        }
    }
}

impl ItemSetup {
    /// The id: it begins with the kind.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}-{}", self.kind.name(), self.number)
    }
}

impl ProviderSetup {
    /// The manifest in TOML, before its time zone is moved or after that.
    pub(super) fn manifest(&self, is_moved: bool) -> String {
        let open = self.window.map(|open| format!("open = [\"{open}\"]\n")).unwrap_or_default();
        let zone = match self.moves_west {
            None => "UTC",
            Some(_) if is_moved => "America/New_York",
            Some(_) => "Europe/London",
        };
        let window = format!("[window]\ntimezone = \"{zone}\"\n{open}");
        let quota = self.quota.map(|quota| format!("daily_quota = {quota}\n")).unwrap_or_default();
        format!(
            "name = \"{}\"\nversion = \"0.1.0\"\n[egress]\nhosts = [\"api.example.org\"]\n\
             [limits]\nmax_concurrency = {}\nfetch_timeout = \"{}s\"\n{quota}\
             [pace]\nstart_batch = {}\nmax_batch = {}\n[retry]\nmax_attempts = {}\nbackoff = \"1s\"\n{window}",
            self.name,
            self.cap,
            self.fetch_timeout.as_secs(),
            self.batch,
            self.batch * 4,
            self.max_attempts,
        )
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setup { theme, processes, is_cloud, latency, begin, tick, .. } = &self.setup;
        let place = if *is_cloud { "in the cloud" } else { "on one machine" };
        let seed = self.seed;
        writeln!(f, "seed {seed} ({theme:?}): {processes} processes {place}, from {begin}")?;
        writeln!(f, "  calls take up to {latency:?}, ticks come every {tick:?}")?;
        self.setup.providers.iter().try_for_each(|provider| writeln!(f, "{provider}"))?;
        writeln!(f, "  faults until {:?}:", self.plan.ends)?;
        self.plan.faults.iter().try_for_each(|fault| writeln!(f, "    {fault}"))
    }
}

impl fmt::Display for ProviderSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, items, shards, cap, fetch_timeout, batch, max_attempts, .. } = self;
        write!(
            f,
            "  {name}: {} entries in {shards} shards, batches of {batch}, at most {cap} in flight, ",
            items.len()
        )?;
        write!(f, "timeout {fetch_timeout:?}, {max_attempts} attempts")?;
        if let Some(quota) = self.quota {
            write!(f, ", {quota} requests a day")?;
        }
        if let Some(window) = self.window {
            write!(f, ", open {window}")?;
        }
        if let Some(at) = self.moves_west {
            write!(f, ", moves west at {at:?}")?;
        }
        if !self.cold_start.is_zero() {
            write!(f, ", cold starts of up to {:?}", self.cold_start)?;
        }
        if let Some(every) = self.ad_hoc_every {
            write!(f, ", ad hoc every {every:?}")?;
        }
        if let Some((at, letters)) = self.grant {
            write!(f, ", at {at:?} an operator grants {letters} dead letters")?;
        }
        let ApiSetup { quickest, slowest, unavailable, throttled, retry_after, silent, outage } = self.api;
        write!(f, "\n    its API takes {quickest:?} to {slowest:?}; of its answers {unavailable:.3} are 503, ")?;
        write!(f, "{throttled:.3} are 429 (Retry-After {retry_after:?}), {silent:.3} never come")?;
        outage.map_or(Ok(()), |(from, length)| write!(f, "; it is down from {from:?} for {length:?}"))
    }
}
