//! The slots item as it is stored, and what a request makes of it.

use std::collections::BTreeMap;

use damper_core::control::slots::{Granted, Share, grant};
use damper_core::ledger::{LedgerError, SlotRequest};

use super::schema::{Attributes, read_number, read_text, unreadable};

/// The slots item as this process has seen it last.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct SeenSlots {
    pub(super) version: i64,
    /// By owner: how many it has and wants, and until when, in microseconds since 1970.
    pub(super) taken: BTreeMap<String, (Share, i64)>,
}

impl SeenSlots {
    pub(super) fn read(item: &Attributes) -> Result<Self, LedgerError> {
        let json = read_text(item, "slots").ok_or_else(|| unreadable("slots item", "no \"slots\""))?;
        let taken = serde_json::from_str(json).map_err(|error| unreadable("slots item", error))?;
        Ok(Self { version: read_number(item, "v").unwrap_or_default(), taken })
    }

    /// The slots after this request, and how many the owner has then.
    pub(super) fn apply_request(&self, request: &SlotRequest<'_>) -> (Self, Granted) {
        let (now, owner) = (request.now.as_microsecond(), request.owner.as_str());
        let latest_until = request.latest_until().as_microsecond();
        let mut taken = self.taken.clone();
        taken.values_mut().for_each(|(_, until)| *until = (*until).min(latest_until));
        taken.retain(|_, (_, until)| *until > now);
        let before = taken.remove(owner).map(|(share, _)| share);
        let others: Vec<(&String, Share)> = taken.iter().map(|(holder, (share, _))| (holder, *share)).collect();
        let decided = grant(&request.wish(), before, &others);
        if let Some((share, until)) = decided.kept {
            taken.insert(owner.to_owned(), (share, until.as_microsecond()));
        }
        (Self { version: self.version.saturating_add(1), taken }, decided.granted)
    }
}
