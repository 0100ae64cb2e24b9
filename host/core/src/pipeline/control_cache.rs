//! The control item as this process has read or written it last, with its pending changes.
//!
//! Every call begins with a read of the control item, and every write is conditional on the version that was seen. A
//! change starts from the cached item instead of another read: if the item has changed meanwhile, the write is refused
//! with the stored item, and the change is repeated on that. If each write costs money ([`Ledger::write_interval`]),
//! the cache saves most writes too: state that others do not need at once (the limiter's state, the governor's averages
//! and the count of requests) waits for the next write. State that others need is written at once. Pure.
//!
//! [`Ledger::write_interval`]: crate::ledger::Ledger::write_interval

use std::time::Duration;

use jiff::Timestamp;

use crate::control::item::{Control, Governor, SavedLimiter};
use crate::day::Day;

/// When a change of the control item is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WritePolicy {
    /// It is written.
    Now,
    /// It waits, with so many requests that are not counted in the ledger.
    Later { uncounted: u64 },
    /// It is none.
    Nothing,
}

/// The cached control item, with pending changes.
#[derive(Debug, Default)]
pub(crate) struct ControlCache {
    /// With the changes that wait.
    control: Option<Control>,
    /// Since when changes wait to be written; `None`: it is the same in the ledger.
    waiting_since: Option<Timestamp>,
    /// Requests in the pending changes that are not counted in the ledger.
    uncounted: Option<(Day, u64)>,
}

impl ControlCache {
    /// The item as it was seen last.
    pub(crate) fn last_seen(&self) -> Option<Control> {
        self.control.clone()
    }

    /// Merge an item that was read with the pending changes. If another process has written since, only the count of
    /// requests is merged: its learned state is as good as ours.
    pub(crate) fn merge_read(&mut self, mut read: Control) -> Control {
        match &self.control {
            Some(known) if known.version == read.version && self.waiting_since.is_some() => return known.clone(),
            _ => {}
        }
        match self.uncounted {
            Some((day, requests)) => {
                read.usage.reserve(day, requests, None);
            }
            None => self.waiting_since = None,
        }
        self.control = Some(read.clone());
        read
    }

    /// The item was written, with all pending changes; `there` is the stored item.
    pub(crate) fn on_written(&mut self, there: Control) {
        *self = Self { control: Some(there), ..Self::default() };
    }

    /// A change waits.
    pub(crate) fn postpone(&mut self, changed: Control, uncounted: (Day, u64), now: Timestamp) {
        let (day, requests) = uncounted;
        let before = self.uncounted.filter(|(known, _)| *known == day).map_or(0, |(_, requests)| requests);
        self.uncounted = Some((day, before.saturating_add(requests)));
        self.waiting_since.get_or_insert(now);
        self.control = Some(changed);
    }

    /// Whether a change has waited for `interval`.
    pub(crate) fn is_due(&self, now: Timestamp, interval: Duration) -> bool {
        self.waiting_since.is_some_and(|since| now.duration_since(since).unsigned_abs() >= interval)
    }
}

/// Whether a change may wait: it holds only the learned state of an API that works.
pub(crate) fn may_wait(before: &Control, after: &Control) -> bool {
    let gate = |control: &Control| control.limiter.as_ref().and_then(|SavedLimiter { gate, .. }| *gate);
    let was_saved = before.limiter.is_some() || after.limiter.is_none();
    let kept = Control {
        limiter: after.limiter.clone(),
        usage: after.usage.clone(),
        component: after.component.clone(),
        governor: Governor {
            rate: after.governor.rate,
            tail_seconds: after.governor.tail_seconds,
            ..before.governor.clone()
        },
        ..before.clone()
    };
    was_saved && gate(before) == gate(after) && kept == *after
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::control::item::{OpenedBy, Pending, ProviderStop, RunningComponent};

    const DAY: Day = Day(jiff::civil::date(2026, 11, 25));

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn control_with_limit(limit: u32) -> Control {
        let limiter = SavedLimiter { at: at(0), elapsed: None, limit, gate: None, state: Value::Null };
        Control { version: 7, limiter: Some(limiter), ..Control::default() }
    }

    #[test]
    fn what_waits_is_there_until_somebody_else_has_written() {
        let mut cache = ControlCache::default();
        cache.merge_read(control_with_limit(4));
        let mut changed = control_with_limit(5);
        changed.usage.reserve(DAY, 30, None);
        cache.postpone(changed.clone(), (DAY, 30), at(1));
        assert_eq!(cache.merge_read(control_with_limit(4)), changed, "nobody has");
        cache.postpone(changed.clone(), (DAY, 12), at(2));

        let mut others = Control { version: 8, ..control_with_limit(9) };
        others.usage.reserve(DAY, 100, None);
        let read = cache.merge_read(others.clone());
        assert_eq!((read.usage.on(DAY), &read.limiter), (142, &others.limiter), "their limit, and all requests");
        assert_eq!(cache.merge_read(others).usage.on(DAY), 142, "once");
        assert!(cache.is_due(at(1_000), Duration::from_secs(10)), "they still have to be written");
        cache.on_written(read);
        assert!(!cache.is_due(at(1_000), Duration::from_secs(10)));
    }

    #[test]
    fn what_waits_is_due_after_a_while_from_the_first() {
        let mut cache = ControlCache::default();
        cache.postpone(control_with_limit(4), (DAY, 1), at(0));
        cache.postpone(control_with_limit(5), (DAY, 1), at(9));
        assert!(!cache.is_due(at(9), Duration::from_secs(10)));
        assert!(cache.is_due(at(10), Duration::from_secs(10)));
        cache.on_written(control_with_limit(5));
        assert_eq!(cache.last_seen(), Some(control_with_limit(5)));
        assert!(!cache.is_due(at(1_000), Duration::from_secs(10)));
    }

    #[test]
    fn others_have_to_know_at_once_what_stops_or_steers_them() {
        let before = control_with_limit(4);
        let change = |how: fn(&mut Control)| {
            let mut after = before.clone();
            how(&mut after);
            may_wait(&before, &after)
        };
        assert!(change(|after| after.limiter.as_mut().unwrap().limit = 9));
        assert!(change(|after| after.governor.rate = Some(2.0)));
        let component = || RunningComponent { name: "a".into(), version: "0.1.0".into(), digest: "sha256:00".into() };
        assert!(may_wait(&before, &Control { component: Some(component()), ..before.clone() }));
        assert!(change(|after| after.governor.tail_seconds = Some(2.0)));
        assert!(change(|after| {
            after.usage.reserve(DAY, 3, None);
        }));

        let open = |after: &mut Control| {
            after.breaker = ProviderStop::Open { since: at(0), by: OpenedBy::Breaker, reason: String::new() }
        };
        assert!(!change(open));
        assert!(!change(|after| after.limiter.as_mut().unwrap().gate = Some(at(60))));
        assert!(!change(
            |after| after.governor.pending = Some(Pending { at: at(0), batch_size: Some(9), enabled: None })
        ));
        assert!(!change(|after| after.governor.good_batch = Some(9)));
        assert!(!change(|after| after.dead_letters_allowed = 1));
        assert!(!change(|after| after.probed.push("id".to_owned())));
        assert!(!change(|after| after.unfinished.push("4711".into())));
        assert!(!may_wait(&Control::default(), &before), "the first that is learned");
    }
}
