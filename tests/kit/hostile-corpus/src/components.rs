//! Components that consist of too much, or are too much work for a compiler: the component of
//! `tests/fixtures/providers/hostile`, with more in it.

use wasm_encoder::{
    BlockType, CodeSection, Component, ComponentExportKind, ComponentInstanceSection, ComponentSection, ConstExpr,
    CustomSection, Function, FunctionSection, GlobalSection, GlobalType, InstanceSection, Instruction, MemorySection,
    MemoryType, Module, ModuleArg, ModuleSection, NestedComponentSection, RefType, StartSection, TableSection,
    TableType, TypeSection, ValType,
};
use wasmparser::{Parser, Payload};

use crate::{Bomb, Ends, Kind, Member};

/// A bomb: its name, and what is made of the plain component.
type Row = (&'static str, Kind, Ends, Bomb);

const ROWS: [Row; 27] = [
    ("tables of 16 MB", Kind::Structure, Ends::NotLoaded, |plain| with(plain, &tables(10, 99_000), 1)),
    ("tables of ten instances", Kind::Structure, Ends::Failed, |plain| with(plain, &tables(1, 99_000), 10)),
    ("a table of four billion elements", Kind::Structure, Ends::NotLoaded, |plain| {
        with(plain, &tables(1, u32::MAX.into()), 1)
    }),
    ("100 tables", Kind::Structure, Ends::NotLoaded, |plain| with(plain, &tables(100, 1), 1)),
    ("99 memories", Kind::Structure, Ends::NotLoaded, |plain| with(plain, &memories(99, 1), 1)),
    ("memories of 19 MiB", Kind::Structure, Ends::Failed, |plain| with(plain, &memories(1, 100), 3)),
    ("a memory of 4 GiB", Kind::Structure, Ends::Failed, |plain| with(plain, &memories(1, 65_536), 1)),
    ("100 modules", Kind::Structure, Ends::NotLoaded, |plain| with(plain, &Module::new(), 100)),
    ("63 modules", Kind::Structure, Ends::NotLoaded, |plain| with(plain, &Module::new(), 63)),
    ("a million modules by doubling", Kind::Structure, Ends::NotLoaded, |plain| nest_doubling(plain, 20)),
    ("components 17 deep", Kind::Structure, Ends::NotLoaded, |plain| deep(plain, 17)),
    ("components 1,000 deep", Kind::Structure, Ends::NotLoaded, |plain| deep(plain, 1_000)),
    ("200,000 globals", Kind::Structure, Ends::NotLoaded, |plain| with(plain, &globals(200_000), 1)),
    ("200,000 functions", Kind::Structure, Ends::NotLoaded, |plain| with(plain, &functions(200_000, &[], empty), 1)),
    ("a start that never ends", Kind::Structure, Ends::Failed, |plain| with(plain, &starting(endless), 1)),
    ("a start that traps", Kind::Structure, Ends::Failed, |plain| with(plain, &starting(trapping), 1)),
    ("a section of 50 MiB", Kind::Structure, Ends::Harmless, |plain| custom(plain, 50 << 20)),
    ("a file of 70 MiB", Kind::Structure, Ends::NotLoaded, |plain| custom(plain, 70 << 20)),
    ("cut in the middle", Kind::Structure, Ends::NotLoaded, |plain| {
        plain.get(..plain.len() / 2).unwrap_or_default().to_vec()
    }),
    ("100,000 blocks within blocks", Kind::Compile, Ends::NotLoaded, |plain| {
        with(plain, &functions(1, &[], |code| nested(code, 100_000)), 1)
    }),
    ("2,999 blocks within blocks", Kind::Compile, Ends::Harmless, |plain| {
        with(plain, &functions(1, &[], |code| nested(code, 2_999)), 0)
    }),
    ("50,000 locals in 1,000 functions", Kind::Compile, Ends::NotLoaded, |plain| {
        with(plain, &functions(1_000, &[(50_000, ValType::I64)], empty), 1)
    }),
    ("1,990 locals in 200 functions", Kind::Compile, Ends::Harmless, |plain| {
        with(plain, &functions(200, &[(1_990, ValType::I64)], empty), 0)
    }),
    ("a function of 3 MiB", Kind::Compile, Ends::NotLoaded, |plain| {
        with(plain, &functions(1, &[], |code| straight(code, 1 << 20)), 1)
    }),
    ("a function of a MiB", Kind::Compile, Ends::Harmless, |plain| {
        with(plain, &functions(1, &[], |code| straight(code, 340_000)), 0)
    }),
    ("a branch to 60,000 targets", Kind::Compile, Ends::Harmless, |plain| {
        with(plain, &functions(1, &[], |code| table(code, 60_000)), 0)
    }),
    ("2,000 locals alive in 2,000 blocks", Kind::Compile, Ends::NotLoaded, |plain| {
        with(plain, &functions(4, &[(2_000, ValType::I64)], alive), 0)
    }),
];

pub(crate) fn members() -> Vec<Member> {
    let member = |(name, kind, ends, make): Row| Member {
        name,
        kind,
        ends,
        component: Some(make),
        server: None,
        id: "ok",
        params: &[],
    };
    ROWS.into_iter().map(member).collect()
}

/// The component, with another module that is instantiated so often beside it.
fn with(plain: &[u8], module: &Module, times: u32) -> Vec<u8> {
    let mut bytes = plain.to_vec();
    let modules = count(plain, |payload| matches!(payload, Payload::ModuleSection { .. }));
    ModuleSection(module).append_to_component(&mut bytes);
    let mut instances = InstanceSection::new();
    for _ in 0..times {
        instances.instantiate(modules, std::iter::empty::<(&str, ModuleArg)>());
    }
    instances.append_to_component(&mut bytes);
    bytes
}

/// How many such sections the outermost component has.
fn count(component: &[u8], is_one: fn(&Payload<'_>) -> bool) -> u32 {
    let (mut depth, mut found) = (0_u32, 0);
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.expect("a component");
        found += u32::from(depth == 1 && is_one(&payload));
        match payload {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            _ => {}
        }
    }
    found
}

/// A component that instantiates one that instantiates one twice, and so on.
fn nest_doubling(plain: &[u8], times: u32) -> Vec<u8> {
    let mut inner = Component::new();
    inner.section(&ModuleSection(&Module::new()));
    let mut instances = InstanceSection::new();
    instances.instantiate(0, std::iter::empty::<(&str, ModuleArg)>());
    inner.section(&instances);
    for _ in 0..times.min(14) {
        inner = around(&inner, 2);
    }
    // The rest, which does not fit into these layers, is in the last.
    around_plain(plain, &inner, 1 << times.saturating_sub(14))
}

fn around(inner: &Component, times: u32) -> Component {
    let mut component = Component::new();
    component.section(&NestedComponentSection(inner));
    component.section(&instances_of(0, times));
    component
}

fn instances_of(component: u32, times: u32) -> ComponentInstanceSection {
    let mut instances = ComponentInstanceSection::new();
    for _ in 0..times {
        instances.instantiate::<[(&str, ComponentExportKind, u32); 0], &str>(component, []);
    }
    instances
}

fn around_plain(plain: &[u8], inner: &Component, times: u32) -> Vec<u8> {
    let mut bytes = plain.to_vec();
    let components = count(plain, |payload| matches!(payload, Payload::ComponentSection { .. }));
    NestedComponentSection(inner).append_to_component(&mut bytes);
    instances_of(components, times).append_to_component(&mut bytes);
    bytes
}

fn deep(plain: &[u8], times: u32) -> Vec<u8> {
    let mut inner = Component::new();
    for _ in 0..times {
        inner = around(&inner, 0);
    }
    around_plain(plain, &inner, 0)
}

fn custom(plain: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = plain.to_vec();
    CustomSection { name: "padding".into(), data: vec![0; length].into() }.append_to_component(&mut bytes);
    bytes
}

fn tables(count: u32, elements: u64) -> Module {
    let mut section = TableSection::new();
    for _ in 0..count {
        let element_type = RefType::FUNCREF;
        section.table(TableType { element_type, table64: false, minimum: elements, maximum: None, shared: false });
    }
    let mut module = Module::new();
    module.section(&section);
    module
}

fn memories(count: u32, pages: u64) -> Module {
    let mut section = MemorySection::new();
    for _ in 0..count {
        section.memory(MemoryType {
            minimum: pages,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
    }
    let mut module = Module::new();
    module.section(&section);
    module
}

fn globals(count: u32) -> Module {
    let mut section = GlobalSection::new();
    for number in 0..count {
        let value = ConstExpr::i32_const(number.cast_signed());
        section.global(GlobalType { val_type: ValType::I32, mutable: true, shared: false }, &value);
    }
    let mut module = Module::new();
    module.section(&section);
    module
}

/// The given number of functions with these locals and this code.
fn functions(count: u32, locals: &[(u32, ValType)], write: impl Fn(&mut Function)) -> Module {
    module_of(count, locals, write, false)
}

/// A module that does this when it is instantiated.
fn starting(write: impl Fn(&mut Function)) -> Module {
    module_of(1, &[], write, true)
}

fn module_of(count: u32, locals: &[(u32, ValType)], write: impl Fn(&mut Function), starts: bool) -> Module {
    let (mut types, mut section, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([], []);
    let mut function = Function::new(locals.iter().copied());
    write(&mut function);
    function.instruction(&Instruction::End);
    for _ in 0..count {
        section.function(0);
        code.function(&function);
    }
    let mut module = Module::new();
    module.section(&types).section(&section);
    if starts {
        module.section(&StartSection { function_index: 0 });
    }
    module.section(&code);
    module
}

fn empty(_: &mut Function) {}

fn endless(code: &mut Function) {
    code.instruction(&Instruction::Loop(BlockType::Empty))
        .instruction(&Instruction::Br(0))
        .instruction(&Instruction::End);
}

fn trapping(code: &mut Function) {
    code.instruction(&Instruction::Unreachable);
}

fn nested(code: &mut Function, depth: u32) {
    for _ in 0..depth {
        code.instruction(&Instruction::Block(BlockType::Empty));
    }
    for _ in 0..depth {
        code.instruction(&Instruction::End);
    }
}

/// Code that pushes a number and drops it, repeated: three bytes each time.
fn straight(code: &mut Function, times: u32) {
    for _ in 0..times {
        code.instruction(&Instruction::I32Const(1)).instruction(&Instruction::Drop);
    }
}

fn table(code: &mut Function, targets: usize) {
    code.instruction(&Instruction::I32Const(0));
    code.instruction(&Instruction::BrTable(vec![0; targets].into(), 0));
}

/// All locals are read and written in each of many blocks: all are alive everywhere.
fn alive(code: &mut Function) {
    for block in 0..2_000_u32 {
        code.instruction(&Instruction::Block(BlockType::Empty));
        for step in 0..40 {
            let local = (block * 40 + step) % 2_000;
            let other = (block * 7 + step * 13) % 2_000;
            code.instruction(&Instruction::LocalGet(local)).instruction(&Instruction::LocalGet(other));
            code.instruction(&Instruction::I64Add).instruction(&Instruction::LocalSet(local));
        }
        code.instruction(&Instruction::LocalGet(block % 2_000)).instruction(&Instruction::I64Eqz);
        code.instruction(&Instruction::BrIf(0)).instruction(&Instruction::End);
    }
}
