//! Makes the output of guests and APIs safe to write: without secrets, not too long, and harmless to a terminal and a
//! log.

mod scrubber;
mod spellings;
mod text;

pub(crate) use scrubber::{Scrubber, TooManySecrets};
pub(crate) use spellings::query_value;
pub use spellings::spellings;
pub(crate) use text::{cut, echo};
