//! The requests that one call may still send of the day's quota: reserved in the control item a share at a time, spent
//! request by request.

use jiff::Timestamp;

use crate::budget::Budget;
use crate::clock::WallClock;
use crate::control::quota::share;
use crate::day::Day;
use crate::ledger::LedgerError;
use crate::manifest::Limits;
use crate::pipeline::batch_context::BatchContext;
use crate::pipeline::provider::Pipeline;

/// One call's part of the quota.
#[derive(Debug)]
pub(crate) struct Allowance {
    quota: Option<u64>,
    share: u64,
    /// Less than this, and more is set aside.
    low: u64,
    /// The day that it is of.
    day: Option<Day>,
    /// Whether nothing more can be had on that day.
    is_exhausted: bool,
}

/// The requests that are given back at the end of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unspent {
    /// The day it was set aside for.
    pub(crate) day: Option<Day>,
    /// Set aside and not sent.
    pub(crate) requests: u64,
    /// Sent and not counted yet, if there is no quota.
    pub(crate) uncounted: u64,
}

impl Allowance {
    pub(crate) fn new(limits: &Limits) -> Self {
        let (quota, cap) = (limits.daily_quota, limits.max_concurrency.get());
        let share = share(quota.unwrap_or_default(), cap);
        Self { quota, share, low: u64::from(cap).min(share), day: None, is_exhausted: false }
    }

    /// The budget that a call begins with: nothing is set aside yet.
    pub(crate) fn budget(limits: &Limits, clock: &WallClock) -> Budget {
        match limits.daily_quota {
            Some(_) => Budget::of(0).on_day(clock, (Timestamp::MIN, Timestamp::MIN)),
            None => Budget::unlimited(),
        }
    }

    /// Whether one more try is covered, beside so many that have yet to send their first request.
    pub(crate) fn covers(&self, queued_count: u32, context: &BatchContext) -> bool {
        context.permits.budget().remaining().is_none_or(|left| left > u64::from(queued_count))
    }

    /// Whether nothing is left of the day's quota, here or in the control item.
    pub(crate) fn is_spent(&self, context: &BatchContext) -> bool {
        self.is_exhausted && context.permits.budget().remaining() == Some(0)
    }

    /// Reserve more requests if few are left, or if a new day has begun.
    pub(crate) async fn refill(&mut self, pipeline: &Pipeline, context: &BatchContext) -> Result<(), LedgerError> {
        if self.quota.is_none() {
            return Ok(());
        }
        let (budget, today) = (context.permits.budget(), pipeline.today());
        if self.day != Some(today) {
            // The rest of yesterday does not count today.
            budget.close();
            budget.set_day(pipeline.manifest().window.day_span(today));
            self.day = Some(today);
            self.is_exhausted = false;
        }
        if self.is_exhausted || budget.remaining().unwrap_or_default() >= self.low {
            return Ok(());
        }
        let (quota, share) = (self.quota, self.share);
        let mut granted = 0;
        pipeline
            .change_control(|control| {
                granted = control.usage.reserve(today, share, quota);
                granted > 0
            })
            .await?;
        self.is_exhausted = granted < share;
        budget.add(granted);
        Ok(())
    }

    /// Nothing more is sent.
    pub(crate) fn close(&self, context: &BatchContext) -> Unspent {
        let budget = context.permits.budget();
        let (requests, spent) = (budget.close().unwrap_or_default(), budget.take_spent());
        Unspent { day: self.day, requests, uncounted: if self.quota.is_none() { spent } else { 0 } }
    }
}
