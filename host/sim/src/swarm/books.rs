//! The promises about every entry and every dead letter at the end of a run.

use damper_core::dead_letter::{DeadLetter, Reason};
use damper_core::pipeline::report::End;
use damper_core::testing::faults::Fault;

use crate::locks::lock;
use crate::swarm::invariants::Invariant;
use crate::swarm::shared::{Provider, Shared};

/// A clock that is wrong by a week may cost so many dead letters before a person is asked.
const MOST_TOO_OLD: usize = 20;

type Broken = (Invariant, String);

impl Shared {
    /// Every entry has ended, and what it ended in is there.
    pub(super) fn check_entries(&self, provider: &Provider) -> Result<(), Broken> {
        let letters = self.ledger.letters(&provider.setup.name);
        let mut fed = 0;
        for shard in &provider.shards {
            let shard = lock(shard);
            fed += shard.entries().len();
            for entry in shard.entries() {
                let name = || format!("entry {} ({})", entry.entry.sequence, entry.id);
                let has_record = || self.sink.has_record(&provider.setup.name, &entry.id);
                let has_letter = || letters.iter().any(|letter| letter.payload == entry.entry.payload);
                let is_right = match entry.end {
                    None => return Err((Invariant::Progress, format!("{} has not ended", name()))),
                    Some(End::Fetched) => has_record(),
                    Some(End::Skipped) => has_record() || has_letter(),
                    Some(End::DeadLetter) => letters.iter().any(|letter| letter.sequence == entry.entry.sequence),
                };
                if !is_right {
                    return Err((
                        Invariant::Books,
                        format!("{} ended as {:?}, and nothing is there", name(), entry.end),
                    ));
                }
            }
        }
        if fed == provider.setup.items.len() {
            return Ok(());
        }
        Err((Invariant::Progress, format!("{fed} entries were fed of {}", provider.setup.items.len())))
    }

    /// Every dead letter has a cause.
    pub(super) fn check_letters(&self, provider: &Provider) -> Result<(), Broken> {
        let letters = self.ledger.letters(&provider.setup.name);
        let without_cause = letters.iter().find(|letter| !self.has_cause(provider, letter));
        if let Some(letter) = without_cause {
            let (payload, reason) = (String::from_utf8_lossy(&letter.payload), letter.reason);
            return Err((
                Invariant::LetterHasCause,
                format!("{payload} was given up on: {reason:?}: {}", letter.message),
            ));
        }
        let too_old = letters.iter().filter(|letter| letter.reason == Reason::TooOld).count();
        // Reasons that an operator allows raise no alarm.
        let granted = provider.setup.grant.map_or(0, |(_, letters)| letters as usize);
        if too_old > MOST_TOO_OLD + granted {
            return Err((Invariant::LetterHasCause, format!("{too_old} items were too old before anybody was asked")));
        }
        Ok(())
    }

    fn has_cause(&self, provider: &Provider, letter: &DeadLetter) -> bool {
        let payload = String::from_utf8_lossy(&letter.payload).into_owned();
        let id = payload.trim_start_matches("{\"id\":\"").trim_end_matches("\"}");
        let truth = lock(&provider.api).truth(id);
        match letter.reason {
            Reason::NotFound => truth.not_found > 0,
            // Failures that are not the item's own last for minutes here, and no item is to be given up on for these.
            Reason::AttemptsSpent => truth.malformed > 0,
            Reason::TooOld => self.case.plan.faults.iter().any(is_step_of_a_week),
            Reason::Unreadable | Reason::Rejected | Reason::NeverReady | Reason::Uncertain => false,
        }
    }
}

fn is_step_of_a_week(fault: &Fault) -> bool {
    matches!(fault, Fault::ClockStep { by_seconds, .. } if *by_seconds > 5 * 86_400)
}
