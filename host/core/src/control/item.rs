//! The control item: what all processes that work for a provider share, the breaker's truth among it.
//!
//! ```text
//!             a failure that needs a person
//!   CLOSED ------------------------------------> OPEN
//!      ^            `damper resume`                |
//!      +-------------------------------------------+
//! ```

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A provider's control item: what all processes that work for it share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Control {
    /// Raised by every write; a write holds only if nobody else wrote since the read.
    pub version: u64,
    /// Whether the API may be called.
    pub breaker: Breaker,
    /// How many more items the mass brake lets become dead letters without a word: an operator's grant.
    pub dead_letters_allowed: u32,
}

/// Whether a provider's API may be called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Breaker {
    /// It may.
    #[default]
    Closed,
    /// It may not.
    Open {
        /// Since when.
        since: Timestamp,
        /// Who opened it.
        by: OpenedBy,
        /// Why, for a person.
        reason: String,
    },
}

/// Who opened a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpenedBy {
    /// An operator, who alone closes it again.
    Operator,
    /// The breaker's own counting of errors.
    Breaker,
    /// A window that closed.
    Window,
    /// A quota that is spent.
    Quota,
    /// Something that only a person can mend: a credential, a component, a moved path.
    Config,
}

impl std::fmt::Display for OpenedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Operator => "operator",
            Self::Breaker => "breaker",
            Self::Window => "window",
            Self::Quota => "quota",
            Self::Config => "config",
        })
    }
}
