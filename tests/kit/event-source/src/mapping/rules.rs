//! The rules that hold for a batch.

use crate::config::{MappingConfig, Pace};

/// The rules for a batch.
pub(super) struct Rules<'a> {
    pub(super) config: &'a MappingConfig,
    pub(super) pace: &'a Pace,
}
