//! The part of a plugin host that its plugins share.

use std::sync::Arc;

use crate::credentials::{KeyCounting, TokenSharing};
use crate::egress::Resolver;
use crate::engine::{ComponentStore, ExecutionMarks};
use crate::memory::MemoryBudget;

/// The part of the host that its plugins share.
pub(crate) struct SharedHost {
    pub(crate) components: Arc<ComponentStore>,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) execution_marks: Option<Arc<ExecutionMarks>>,
    /// The tokens that other processes have, too.
    pub(crate) token_sharing: Option<TokenSharing>,
    /// The counts of keys' requests.
    pub(crate) key_counting: KeyCounting,
    /// The memory of all instances.
    pub(crate) guest_memory: Arc<MemoryBudget>,
    /// The memory that the host holds for all calls.
    pub(crate) host_memory: Arc<MemoryBudget>,
}
