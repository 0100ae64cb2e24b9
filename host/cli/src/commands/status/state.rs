//! A provider's state, told to people.

use damper_core::admin::status::ProviderState;
use damper_core::admin::{Counts, DayCounts, WaitingItems};
use damper_core::control::governor::Forecast;
use damper_core::control::item::RunningComponent;

/// The provider in one line of a table.
pub(super) fn as_line(state: &ProviderState) -> Vec<String> {
    let numbers = match state.counts.stream {
        Some(Counts { fed, fetched, skipped, dead_letters, pending, .. }) => {
            [fed, fetched, skipped, dead_letters, pending].map(Some)
        }
        None => [None, None, None, Some(state.counts.letters), None],
    };
    let mut line = vec![state.provider.clone()];
    line.extend(numbers.map(|number| number.map_or_else(|| "-".to_owned(), |number| number.to_string())));
    line.push(state.control.limiter.as_ref().map_or_else(|| "-".to_owned(), |saved| saved.limit.to_string()));
    line.push(state.mapping.map_or_else(|| "-".to_owned(), |mapping| mapping.batch_size.to_string()));
    line.push(state.text());
    line
}

/// All that is known, a row each.
pub(super) fn as_rows(state: &ProviderState) -> Vec<Vec<String>> {
    let mut rows = vec![vec!["provider".to_owned(), state.provider.clone()]];
    let mut row = |name: &str, text: String| rows.push(vec![name.to_owned(), text]);
    row("state", state.text());
    if let Some(RunningComponent { name, version, digest }) = &state.control.component {
        row("component", format!("{name} {version}, {digest}"));
    }
    row("stream", stream_text(state));
    if let Some(oldest) = state.counts.stream.and_then(|counts| counts.oldest_pending) {
        row("oldest item", format!("fed {oldest:.0}"));
    }
    if let Some(waiting) = waiting_text(state) {
        row("waiting", waiting);
    }
    row("today", today_text(state));
    row(
        "quota",
        match (state.quota, state.quota_left()) {
            (Some(quota), Some(left)) => format!("{left} of {quota} requests left today"),
            _ if state.unknown.is_some() => "not known".to_owned(),
            _ => "none".to_owned(),
        },
    );
    if let Some(saved) = &state.control.limiter {
        row("limit", format!("{} in flight, as of {:.0}", saved.limit, saved.at));
    }
    if let Some(mapping) = state.mapping {
        let lag = if mapping.pending { ", a change is under way" } else { "" };
        row(
            "batch",
            format!(
                "{} entries, mapping {}{lag}",
                mapping.batch_size,
                if mapping.enabled { "enabled" } else { "disabled" }
            ),
        );
    }
    if let Some(disabled) = &state.control.governor.disabled {
        let until = disabled.until.map(|until| format!(", until {}", state.local(until))).unwrap_or_default();
        row("disabled", format!("since {:.0} by {}{until}", disabled.since, disabled.by));
    }
    match (&state.counts.stream, state.control.governor.rate) {
        (Some(counts), _) if counts.pending > 0 => row("forecast", forecast_text(state)),
        (None, Some(rate)) => row("rate", format!("{rate:.1} items a second, by the last measurement")),
        _ => {}
    }
    if let Some(unknown) = &state.unknown {
        row("manifest", format!("not known, so window and quota are not known either: {unknown}"));
    }
    rows
}

fn stream_text(state: &ProviderState) -> String {
    match &state.counts.stream {
        Some(Counts { fed, fetched, skipped, dead_letters, pending, .. }) => format!(
            "{fed} fed = {fetched} fetched + {skipped} skipped + {dead_letters} dead letters + {pending} pending"
        ),
        None => format!(
            "{} dead letters are kept; AWS keeps no counts of fed, fetched and pending items: see the dashboard",
            state.counts.letters
        ),
    }
}

/// Items that wait for their next attempt, as text; `None` if there are none.
fn waiting_text(state: &ProviderState) -> Option<String> {
    let WaitingItems { items, next_due } = state.waiting()?;
    let next_due = state.local(next_due?);
    Some(format!("{items} items wait for their next attempt, the first until {next_due}"))
}

fn today_text(state: &ProviderState) -> String {
    let day = state.day();
    let sent = state.control.usage.on(day);
    match &state.counts.today {
        Some(DayCounts { fetched, dead, waiting }) => format!(
            "{day}: {fetched} fetched, {dead} dead letters, {waiting} in progress or waiting for a retry, {sent} \
                requests"
        ),
        None => format!("{day}: {sent} requests"),
    }
}

fn forecast_text(state: &ProviderState) -> String {
    let rate = state.control.governor.rate.map(|rate| format!(", at {rate:.1} a second")).unwrap_or_default();
    match state.forecast() {
        Forecast::Done { at } => format!("the backlog will be done at about {}{rate}", state.local(at)),
        Forecast::WindowCloses { at, left } => {
            format!("the window closes first, {}, with about {left} left{rate}", state.local(at))
        }
        Forecast::QuotaSpent { left } => format!("the day's quota is spent first, with about {left} left"),
        Forecast::Unknown => "not known until a batch has ended".to_owned(),
    }
}
