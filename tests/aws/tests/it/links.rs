//! The libraries of `bootstrap`: no compiler, one TLS library.

use std::process::Command;

#[test]
fn bootstrap_links_no_compiler_and_one_cryptography() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "-p", "damper-lambda", "-e", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let linked: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    // Otherwise this would pass with whatever cargo prints.
    for needed in ["wasmtime", "ring", "damper-plugins"] {
        assert!(linked.contains(&needed), "{needed} is not in the tree: {tree}");
    }
    for forbidden in
        ["cranelift-codegen", "wasmtime-cranelift", "wasmtime-internal-cranelift", "aws-lc-sys", "openssl-sys"]
    {
        assert!(!linked.contains(&forbidden), "{forbidden} is linked");
    }
}
