//! The limits of a component and of each of its instances.

/// The largest component that is read, in bytes.
pub const MAX_COMPONENT_BYTES: usize = 64 << 20;
/// The most modules that one instance of a component consists of.
pub(crate) const MAX_CORE_INSTANCES: u32 = 64;
/// The most memories and tables of one instance.
pub(crate) const MAX_MEMORIES: u32 = 4;
pub(crate) const MAX_TABLES: u32 = 16;
/// The most elements of a table; those of compiled languages hold their functions.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 100_000;
