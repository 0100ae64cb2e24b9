//! The cost of a component for the host beside its memories: the host's data for each instance, and (in `code`) the compiler's memory.
//!
//! The length of a file bounds neither. A component can instantiate another one twice, which does the same, and so on; a thousand functions
//! can have fifty thousand locals each, in a few bytes. Both are therefore counted from the file before anything is compiled, and a
//! component beyond the limits is refused. The limits are about four times what CPython needs, the largest that there is: 14 core
//! instances, 1 memory (QuickJS: 2), 2 tables, 0.5 MB an instance; a function of 427 kB, 271 locals in one and 47,805 in all, 781 blocks
//! within blocks.

use std::fmt;

use wasmparser::{
    BinaryReaderError, ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, Encoding, Instance, Parser, Payload,
};

/// The most modules that one instance of a component consists of.
pub(crate) const MAX_CORE_INSTANCES: u32 = 64;
/// The most memories and tables of one instance.
pub(crate) const MAX_MEMORIES: u32 = 4;
pub(crate) const MAX_TABLES: u32 = 16;
/// The most bytes that the host stores for one instance beside its memories and tables.
const MAX_INSTANCE_BYTES: u64 = 2 << 20;
/// How deep components may lie within components.
const MAX_DEPTH: usize = 16;

/// The most bytes that the engine stores for each function that may be referred to, import, global and lowered function.
const FUNCTION_BYTES: u64 = 32;
const IMPORT_BYTES: u64 = 32;
const GLOBAL_BYTES: u64 = 16;
const LOWERED_BYTES: u64 = 64;

/// A component that is beyond a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excess {
    /// The quantity that is too large.
    pub what: &'static str,
    /// How much; the largest number where it cannot be told.
    pub found: u64,
    /// The limit.
    pub limit: u64,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, found, limit } = self;
        if *found == u64::MAX {
            write!(f, "{what}: too many to count, and at most {limit} are allowed")
        } else {
            write!(f, "{what}: {found}, and at most {limit} are allowed")
        }
    }
}

/// Why a structure was refused.
#[derive(Debug)]
pub(super) enum StructureError {
    Damaged(BinaryReaderError),
    Excess(Excess),
}

impl From<BinaryReaderError> for StructureError {
    fn from(error: BinaryReaderError) -> Self {
        Self::Damaged(error)
    }
}

impl From<Excess> for StructureError {
    fn from(excess: Excess) -> Self {
        Self::Excess(excess)
    }
}

pub(super) fn at_most(what: &'static str, found: u64, limit: u64) -> Result<(), Excess> {
    if found <= limit { Ok(()) } else { Err(Excess { what, found, limit }) }
}

/// The cost of one instance. Sums saturate, and a saturated sum is beyond every limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct InstanceCost {
    pub(super) core_instances: u64,
    pub(super) memories: u64,
    pub(super) tables: u64,
    pub(super) bytes: u64,
}

impl InstanceCost {
    /// The cost of imported modules and components, which is not known.
    const UNKNOWN: Self = Self { core_instances: u64::MAX, memories: u64::MAX, tables: u64::MAX, bytes: u64::MAX };

    fn add(&mut self, other: Self) {
        self.core_instances = self.core_instances.saturating_add(other.core_instances);
        self.memories = self.memories.saturating_add(other.memories);
        self.tables = self.tables.saturating_add(other.tables);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    fn add_bytes(&mut self, count: u32, each: u64) {
        self.bytes = self.bytes.saturating_add(u64::from(count).saturating_mul(each));
    }

    fn check(&self) -> Result<(), Excess> {
        at_most("modules in an instance", self.core_instances, MAX_CORE_INSTANCES.into())?;
        at_most("memories in an instance", self.memories, MAX_MEMORIES.into())?;
        at_most("tables in an instance", self.tables, MAX_TABLES.into())?;
        at_most("bytes that the host keeps for an instance", self.bytes, MAX_INSTANCE_BYTES)
    }
}

/// A module or component whose sections are being read.
#[derive(Debug, Default)]
struct Frame {
    is_module: bool,
    cost: InstanceCost,
    /// Of a component: the cost of an instance of each of its modules and components, by index.
    modules: Vec<InstanceCost>,
    components: Vec<InstanceCost>,
}

impl Frame {
    fn instance_of(indexed: &[InstanceCost], index: u32) -> InstanceCost {
        indexed.get(index as usize).copied().unwrap_or(InstanceCost::UNKNOWN)
    }
}

/// Counts the cost of an instance of this component.
///
/// # Errors
/// If the framing is damaged, or a limit is passed.
pub(super) fn check_instance(bytes: &[u8]) -> Result<InstanceCost, StructureError> {
    let mut frames: Vec<Frame> = Vec::new();
    let mut whole = InstanceCost::default();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { encoding, .. } => {
                at_most("components within components", frames.len() as u64, MAX_DEPTH as u64)?;
                frames.push(Frame { is_module: encoding == Encoding::Module, ..Frame::default() });
            }
            Payload::End(_) => {
                let Some(ended) = frames.pop() else { continue };
                ended.cost.check()?;
                match frames.last_mut() {
                    Some(outer) if ended.is_module => outer.modules.push(ended.cost),
                    Some(outer) => outer.components.push(ended.cost),
                    None => whole = ended.cost,
                }
            }
            payload => count(payload, &mut frames)?,
        }
    }
    Ok(whole)
}

fn count(payload: Payload<'_>, frames: &mut [Frame]) -> Result<(), StructureError> {
    match payload {
        Payload::ComponentAliasSection(aliases) => {
            for alias in aliases {
                count_alias(alias?, frames);
            }
            return Ok(());
        }
        payload => {
            let Some(frame) = frames.last_mut() else { return Ok(()) };
            if frame.is_module {
                count_module(payload, frame)?
            } else {
                count_component(payload, frame)?
            }
            // Checked at once, so that a file far beyond a limit is not read to its end.
            frame.cost.check()?;
        }
    }
    Ok(())
}

fn count_module(payload: Payload<'_>, frame: &mut Frame) -> Result<(), StructureError> {
    let cost = &mut frame.cost;
    match payload {
        Payload::ImportSection(imports) => {
            for import in imports.into_imports() {
                import?;
                cost.add_bytes(1, IMPORT_BYTES);
            }
        }
        Payload::FunctionSection(functions) => cost.add_bytes(functions.count(), FUNCTION_BYTES),
        Payload::GlobalSection(globals) => cost.add_bytes(globals.count(), GLOBAL_BYTES),
        Payload::MemorySection(memories) => cost.memories = cost.memories.saturating_add(memories.count().into()),
        Payload::TableSection(tables) => cost.tables = cost.tables.saturating_add(tables.count().into()),
        _ => {}
    }
    Ok(())
}

fn count_component(payload: Payload<'_>, frame: &mut Frame) -> Result<(), StructureError> {
    match payload {
        Payload::InstanceSection(instances) => {
            for instance in instances {
                if let Instance::Instantiate { module_index, .. } = instance? {
                    frame.cost.add(Frame::instance_of(&frame.modules, module_index));
                    frame.cost.core_instances = frame.cost.core_instances.saturating_add(1);
                    frame.cost.check()?;
                }
            }
        }
        Payload::ComponentInstanceSection(instances) => {
            for instance in instances {
                if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                    frame.cost.add(Frame::instance_of(&frame.components, component_index));
                    frame.cost.check()?;
                }
            }
        }
        Payload::ComponentCanonicalSection(functions) => frame.cost.add_bytes(functions.count(), LOWERED_BYTES),
        Payload::ComponentImportSection(imports) => {
            for import in imports {
                match import?.ty {
                    ComponentTypeRef::Module(_) => frame.modules.push(InstanceCost::UNKNOWN),
                    ComponentTypeRef::Component(_) => frame.components.push(InstanceCost::UNKNOWN),
                    _ => {}
                }
            }
        }
        Payload::ComponentExportSection(exports) => {
            // An exported item gets an index of its own.
            for export in exports {
                let export = export?;
                match export.kind {
                    ComponentExternalKind::Module => {
                        frame.modules.push(Frame::instance_of(&frame.modules, export.index));
                    }
                    ComponentExternalKind::Component => {
                        frame.components.push(Frame::instance_of(&frame.components, export.index));
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn count_alias(alias: ComponentAlias<'_>, frames: &mut [Frame]) {
    let (is_module, cost) = match alias {
        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. } => (true, InstanceCost::UNKNOWN),
        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => (false, InstanceCost::UNKNOWN),
        ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, count, index } => (
            true,
            outer(frames, count).map_or(InstanceCost::UNKNOWN, |frame| Frame::instance_of(&frame.modules, index)),
        ),
        ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
            let found = outer(frames, count);
            (false, found.map_or(InstanceCost::UNKNOWN, |frame| Frame::instance_of(&frame.components, index)))
        }
        _ => return,
    };
    let Some(frame) = frames.last_mut() else { return };
    if is_module { frame.modules.push(cost) } else { frame.components.push(cost) }
}

fn outer(frames: &[Frame], count: u32) -> Option<&Frame> {
    frames.len().checked_sub(1)?.checked_sub(count as usize).and_then(|position| frames.get(position))
}
