//! Whether a provider is stopped, and by whom.
//!
//! ```text
//!             the limiter's breaker opened (by = breaker)
//!   CLOSED ------------------------------------------------> OPEN
//!      ^                 it closed again                       |
//!      +-------------------------------------------------------+
//!      |
//!      |  a failure that needs a person (by = config), `damper pause` (by = operator)
//!      +----------------------------------------------------------------------------> OPEN
//!      ^                              `damper resume`                                   |
//!      +--------------------------------------------------------------------------------+
//! ```
//!
//! A stop that needs an operator is closed by an operator only.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Whether a provider's API may be called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ProviderStop {
    /// It may.
    #[default]
    Closed,
    /// It may not.
    Open {
        /// Since when.
        since: Timestamp,
        /// The party that opened it.
        by: OpenedBy,
        /// Why, for a person.
        reason: String,
    },
}

/// The party that stopped a provider or disabled its mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpenedBy {
    /// An operator, who also closes it again.
    Operator,
    /// The limiter's breaker, which counts errors.
    Breaker,
    /// A window that closed.
    Window,
    /// A quota that is spent.
    Quota,
    /// The API, by Retry-After.
    RetryAfter,
    /// A fault that only an operator can fix: a credential, a component, a moved path.
    Config,
}

impl fmt::Display for OpenedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operator => "operator",
            Self::Breaker => "breaker",
            Self::Window => "window",
            Self::Quota => "quota",
            Self::RetryAfter => "retry-after",
            Self::Config => "config",
        })
    }
}
