//! One call of a guest: the host's state of it, its output, and the work that its host functions hand over.

mod guest_call;
mod guest_time;
mod host_call_driver;
mod output;
mod usage;

pub(crate) use guest_call::{GuestCall, RequestSlot, SendRefusal, Times};
pub(crate) use output::Output;
pub use output::{Level, LogLine, Source};
pub use usage::Usage;
