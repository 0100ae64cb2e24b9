//! The cost of compiling a component's code, counted before it is compiled; see `structure`.

use wasmparser::{FunctionBody, Operator, Parser, Payload};

use super::structure::{StructureError, at_most};

/// The most bytes of one function's code, its locals, the locals of all functions together, and blocks within blocks.
const MAX_FUNCTION_BYTES: u64 = 2 << 20;
const MAX_FUNCTION_LOCALS: u64 = 2_000;
const MAX_LOCALS: u64 = 400_000;
const MAX_NESTING: u64 = 3_000;

/// The size of a component's functions, on which the time and memory of its compilation depend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CodeCost {
    /// The number of functions.
    pub functions: u64,
    /// The bytes of the longest function.
    pub function_bytes: u64,
    /// The most locals of a function.
    pub function_locals: u64,
    /// The most blocks within blocks.
    pub nesting: u64,
    /// The locals of all functions together.
    pub locals: u64,
}

/// Counts the cost of compiling this component. It reads all code once, so call it only before a compilation.
///
/// # Errors
/// If the code is damaged, or a limit is passed.
pub(super) fn check(bytes: &[u8]) -> Result<CodeCost, StructureError> {
    let mut cost = CodeCost::default();
    for payload in Parser::new(0).parse_all(bytes) {
        if let Payload::CodeSectionEntry(body) = payload? {
            count_function(&body, &mut cost)?;
        }
    }
    Ok(cost)
}

fn count_function(body: &FunctionBody<'_>, cost: &mut CodeCost) -> Result<(), StructureError> {
    let length = body.range().len() as u64;
    at_most("bytes of a function's code", length, MAX_FUNCTION_BYTES)?;
    cost.functions = cost.functions.saturating_add(1);
    cost.function_bytes = cost.function_bytes.max(length);
    let mut locals = 0_u64;
    for group in body.get_locals_reader()? {
        locals = locals.saturating_add(u64::from(group?.0));
    }
    at_most("locals of a function", locals, MAX_FUNCTION_LOCALS)?;
    cost.function_locals = cost.function_locals.max(locals);
    cost.locals = cost.locals.saturating_add(locals);
    at_most("locals of all functions together", cost.locals, MAX_LOCALS)?;
    let mut nesting = 0_u64;
    for operator in body.get_operators_reader()? {
        match operator? {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } | Operator::TryTable { .. } => {
                nesting += 1;
                at_most("blocks within blocks", nesting, MAX_NESTING)?;
                cost.nesting = cost.nesting.max(nesting);
            }
            Operator::End => nesting = nesting.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}
