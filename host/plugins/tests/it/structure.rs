//! Components that describe more than they need: what their instances take is limited, and their neighbours go on.

use std::time::Duration;

use damper_core::record::FailureKind;
use damper_plugins::Plugin;
use damper_plugins::component_file::ComponentFile;
use damper_plugins::grants::Grants;
use wasm_encoder::{
    BlockType, CodeSection, ComponentSection, Function, FunctionSection, InstanceSection, Instruction, MemorySection,
    MemoryType, Module, ModuleArg, ModuleSection, RefType, StartSection, TableSection, TableType, TypeSection,
};
use wasmparser::{Parser, Payload};

use crate::common::{HOST, HOSTILE, Setup, fetch, report, request_with_timeout};

/// The hostile component, with another module that is instantiated so often beside it.
fn with(module: &Module, times: u32) -> Vec<u8> {
    let mut bytes = HOSTILE.bytes.to_vec();
    let payloads = Parser::new(0).parse_all(&HOSTILE.bytes).map(Result::unwrap);
    let modules = payloads.filter(|payload| matches!(payload, Payload::ModuleSection { .. })).count();
    ModuleSection(module).append_to_component(&mut bytes);
    let mut instances = InstanceSection::new();
    for _ in 0..times {
        instances.instantiate(modules as u32, std::iter::empty::<(&str, ModuleArg)>());
    }
    instances.append_to_component(&mut bytes);
    bytes
}

fn plugin(bytes: Vec<u8>) -> Plugin {
    let file = ComponentFile::from_bytes("structure.wasm", bytes).unwrap();
    let grants = Grants { hosts: file.manifest.egress.hosts.clone(), ..Grants::default() };
    HOST.load(&file, file.manifest.clone(), grants).unwrap()
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

fn memories(pages: u64) -> Module {
    let mut section = MemorySection::new();
    section.memory(MemoryType { minimum: pages, maximum: None, memory64: false, shared: false, page_size_log2: None });
    let mut module = Module::new();
    module.section(&section);
    module
}

/// A module that never ends to start.
fn endless() -> Module {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let mut functions = FunctionSection::new();
    functions.function(0);
    let mut function = Function::new([]);
    function.instruction(&Instruction::Loop(BlockType::Empty)).instruction(&Instruction::Br(0));
    function.instruction(&Instruction::End).instruction(&Instruction::End);
    let mut code = CodeSection::new();
    code.function(&function);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&StartSection { function_index: 0 }).section(&code);
    module
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_and_memories_count_together_against_the_limit() {
    let neighbour = Setup::new(&[]).plugin();
    for (bytes, what) in [
        (with(&tables(10, 99_000), 1), "tables of 16 MB"),
        (with(&tables(1, 99_000), 10), "the same of ten instances"),
        (with(&tables(1, 100_001), 1), "a table that is too long"),
        (with(&memories(100), 3), "memories of 19 MiB"),
    ] {
        let plugin = plugin(bytes);
        let (failed, beside) = tokio::join!(fetch(&plugin, "ok", &[]), fetch(&neighbour, "ok", &[]));
        let failure = failed.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Broken, "{what}: {failure}");
        assert!(beside.is_ok(), "{what}: {beside:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_of_some_more_modules_runs_like_another() {
    let plugin = plugin(with(&tables(1, 10), 10));
    assert_eq!(fetch(&plugin, "ok", &[]).await.unwrap().body, r#"{"ok":true}"#);
}

#[tokio::test(flavor = "current_thread")]
async fn a_module_that_never_ends_to_start_ends_with_its_time() {
    let (plugin, neighbour) = (plugin(with(&endless(), 1)), Setup::new(&[]).plugin());
    plugin.prepare().await.unwrap();
    neighbour.prepare().await.unwrap();
    let asked = request_with_timeout("ok", &[], Duration::from_millis(500));
    let (failed, beside) = tokio::join!(report(&plugin, asked), fetch(&neighbour, "ok", &[]));
    assert!(failed.outcome.unwrap_err().message.contains("500ms"));
    assert!(beside.is_ok());
}

#[test]
fn more_modules_than_an_instance_may_have_are_refused_before_anything_is_compiled() {
    let why = ComponentFile::from_bytes("structure.wasm", with(&tables(0, 0), 100)).unwrap_err().to_string();
    assert!(why.contains("modules in an instance") && why.contains("at most 64"), "{why}");
}
