//! Components are compiled in a process of their own, whose memory and time are limited.

use std::path::PathBuf;

use damper_plugins::compiler::Compiler;
use damper_plugins::component_file::ComponentFile;
use damper_plugins::package::{self, Architecture};
use wasm_encoder::{
    CodeSection, Component, Function, FunctionSection, Instruction, Module, ModuleSection, TypeSection, ValType,
};

use crate::test_dir::{TestDir, provider};

const MANIFEST: &str = "name = \"demo\"\nversion = \"0.1.0\"\n[egress]\nhosts = [\"api.example.org\"]\n";

fn child() -> Compiler {
    Compiler::Child { program: PathBuf::from(env!("CARGO_BIN_EXE_damper")), arguments: Vec::new() }
}

/// A provider's file with another component in it.
fn file_of(bytes: Vec<u8>) -> ComponentFile {
    let file = ComponentFile::from_bytes("demo.wasm", provider(MANIFEST)).unwrap();
    ComponentFile { bytes: bytes.into(), ..file }
}

/// A component of one module, which nobody instantiates, with so many functions of so many additions each.
fn of_additions(functions: u32, additions: u32) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32], [ValType::I32]);
    let (mut section, mut code) = (FunctionSection::new(), CodeSection::new());
    for _ in 0..functions {
        section.function(0);
        let mut function = Function::new([]);
        function.instruction(&Instruction::LocalGet(0));
        for _ in 0..additions {
            function.instruction(&Instruction::LocalGet(0)).instruction(&Instruction::I32Add);
        }
        function.instruction(&Instruction::End);
        code.function(&function);
    }
    let mut module = Module::new();
    module.section(&types).section(&section).section(&code);
    let mut component = Component::new();
    component.section(&ModuleSection(&module));
    component.finish()
}

#[test]
fn the_code_is_the_same_as_that_of_the_process_itself() {
    let file = file_of(of_additions(10, 100));
    for architecture in Architecture::ALL {
        let code = package::compile(&child(), &file, architecture).unwrap();
        assert_eq!(code, package::compile(&Compiler::InProcess, &file, architecture).unwrap());
    }
}

#[test]
fn what_does_not_compile_says_why() {
    let why = package::compile(&child(), &file_of(b"no component".to_vec()), Architecture::X86_64).unwrap_err();
    assert!(why.to_string().contains("demo"), "{why}");
    // As far as its framing goes it is one; no compiler takes it.
    let why = package::compile(&child(), &file_of(provider(MANIFEST)), Architecture::X86_64).unwrap_err().to_string();
    assert!(why.contains("does not compile for x86_64") && why.contains("offset"), "{why}");
}

/// Each function is as large as one may be, and takes the compiler far more memory than any that a compiler has made.
#[test]
fn a_compilation_beyond_its_memory_ends_alone() {
    let file = file_of(of_additions(2, 690_000));
    let why = package::compile(&child(), &file, Architecture::X86_64).unwrap_err().to_string();
    assert!(why.contains("MiB of memory"), "{why}");
}

#[test]
fn the_command_takes_nothing_but_a_component_and_known_settings() {
    let dir = TestDir::new();
    let said = dir.damper_fed(&["compile-component", "sparc"], b"");
    assert!(said.contains("exit code 4") && said.contains("there are no settings \"sparc\""), "{said}");
    let said = dir.damper_fed(&["compile-component", "x86_64-unknown-linux-gnu"], b"garbage");
    assert!(said.contains("exit code 4") && said.contains("magic"), "{said}");
}
