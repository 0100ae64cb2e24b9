//! The ban of a client that goes on sending after many refusals.

use std::collections::VecDeque;
use std::time::Duration;

use super::conditions::Patience;

/// The recent refusals, and the end of the present ban.
#[derive(Debug, Clone, Default)]
pub(super) struct RateLimitPenalty {
    refusals: VecDeque<Duration>,
    shut_until: Duration,
}

impl RateLimitPenalty {
    /// Whether everything is refused at `now`.
    pub(super) fn is_shut_out(&self, now: Duration) -> bool {
        now < self.shut_until
    }

    /// A call was refused.
    pub(super) fn on_refusal(&mut self, now: Duration, patience: Option<Patience>) {
        let Some(patience) = patience else { return };
        while self.refusals.front().is_some_and(|then| *then + patience.within <= now) {
            self.refusals.pop_front();
        }
        self.refusals.push_back(now);
        if self.refusals.len() > patience.refusals as usize {
            self.shut_until = now + patience.shut_out;
            self.refusals.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_too_many_shuts_out_for_a_while() {
        let second = Duration::from_secs;
        let patience = Some(Patience { refusals: 2, within: second(10), shut_out: second(60) });
        let mut penalty = RateLimitPenalty::default();
        for now in [0, 6, 11, 17] {
            penalty.on_refusal(second(now), patience);
            assert!(!penalty.is_shut_out(second(now)), "never more than two within ten seconds");
        }
        penalty.on_refusal(second(18), patience);
        assert!(penalty.is_shut_out(second(77)) && !penalty.is_shut_out(second(78)));
    }
}
