//! The memory of guests, and the memory that the host holds for them: the limits of the process, each provider's share
//! of them, and the part of one call.

mod budget;
mod host_memory;
mod machine;

pub(crate) use budget::{BudgetShare, MemoryBudget, Overdraft};
pub(crate) use host_memory::{HEADER_BYTES, HostMemory, OverLimit, max_call_bytes};
pub use machine::{MemoryLimits, available_memory};
