//! `damper package`: what it writes, that it writes the same twice, what it refuses, and that what is in the zip runs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use damper_core::fetcher::{FetchRequest, Fetcher, Permits};
use damper_plugins::component_file::{ComponentFile, embed_manifest};
use damper_plugins::grants::Grants;
use damper_plugins::package::Package;
use damper_plugins::{HostOptions, PluginHost};
use zip::ZipArchive;

use crate::test_dir::{MANIFEST, TestDir, component, provider};

/// A damper.toml that grants two providers what they need.
const CONFIG: &str = "\
[providers.hostile]
component = \"hostile.wasm\"
hosts = \"manifest\"
[providers.gleif]
component = \"gleif.wasm\"
hosts = [\"api.gleif.org\"]
[providers.gleif.window]
open = [\"Sun 02:00-03:00\"]
";

/// A folder with the providers of [`CONFIG`] and a program that passes for `bootstrap`.
fn new_test_dir() -> TestDir {
    let dir = TestDir::with(&[("damper.toml", CONFIG)]);
    for name in ["hostile.wasm", "gleif.wasm"] {
        let path = components().join(name);
        assert!(path.exists(), "{} is missing: run `make components`", path.display());
        fs::copy(path, dir.path().join(name)).unwrap();
    }
    write_programs(&dir);
    dir
}

/// Adds the demo provider, with a secret for its credential.
fn add_provider_with_secret(dir: &TestDir) {
    fs::copy(components().join("demo.wasm"), dir.path().join("demo.wasm")).unwrap();
    let demo = "[providers.demo]\ncomponent = \"demo.wasm\"\nhosts = \"manifest\"\n";
    let key = "[providers.demo.credentials.key]\nsecret = \"damper/demo\"\n";
    dir.write("damper.toml", format!("{CONFIG}{demo}{key}").as_bytes());
}

/// The folder in which `make components` puts them: tests run from `<target>/<profile>/deps`.
fn components() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("components")
}

/// Programs by their names: this machine's `true`, and the same with another architecture, or a newer glibc, in its
/// headers.
fn write_programs(dir: &TestDir) {
    const MACHINE: usize = 18;
    let mut program = fs::read("/bin/true").unwrap();
    for newer in ["GLIBC_2.35\0", "GLIBC_2.36\0", "GLIBC_2.37\0", "GLIBC_2.38\0", "GLIBC_2.39\0"] {
        program = replace_bytes(&program, newer.as_bytes(), b"GLIBC_2.34\0");
    }
    program[MACHINE] = 62;
    dir.write("x86", &program);
    dir.write("newer", &replace_bytes(&program, b"GLIBC_2.34\0", b"GLIBC_2.99\0"));
    program[MACHINE] = 183;
    dir.write("arm", &program);
}

fn replace_bytes(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at: Vec<usize> = bytes.windows(from.len()).enumerate().filter(|(_, w)| *w == from).map(|(at, _)| at).collect();
    for at in at {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

/// Package for both architectures.
fn run_package(dir: &TestDir, more: &[&str]) -> String {
    dir.damper(&[&["package", "--bootstrap", "x86", "--bootstrap", "arm"], more].concat())
}

/// The files of a zip.
fn unzip(zip: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(fs::read(zip).unwrap())).unwrap();
    let mut files = BTreeMap::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).unwrap();
        let (name, mut bytes) = (file.name().unwrap().into_owned(), Vec::new());
        file.read_to_end(&mut bytes).unwrap();
        files.insert(name, bytes);
    }
    files
}

/// The output without values that change with each release of Damper or of the components: sizes and digests.
fn without_figures(text: &str) -> String {
    let words = text.lines().map(|line| {
        let words: Vec<String> = line
            .split(' ')
            .map(|word| {
                match word.rsplit_once('-').and_then(|(name, digest)| Some((name, digest.strip_suffix(".zip")?))) {
                    Some((name, digest)) if digest.len() == 16 => format!("{name}-[digest].zip"),
                    _ if word.contains('.') && word.parse::<f64>().is_ok() => "[size]".to_owned(),
                    _ => word.to_owned(),
                }
            })
            .filter(|word| !word.is_empty())
            .collect();
        words.join(" ")
    });
    words.collect::<Vec<_>>().join("\n")
}

/// The path of a compiled component has its digest in it, which follows from the compiler.
fn without_digest(path: &str) -> String {
    match path.strip_prefix("components/").and_then(|name| name.strip_suffix(".cwasm")) {
        Some(digest) if digest.len() == 64 => "components/DIGEST.cwasm".to_owned(),
        _ => path.to_owned(),
    }
}

#[test]
fn it_writes_a_zip_for_each_architecture_and_a_template_for_each_stack() {
    let dir = new_test_dir();
    insta::assert_snapshot!("packaged", without_figures(&run_package(&dir, &[])));
    for name in ["damper-x86_64.zip", "damper-arm64.zip"] {
        let files = unzip(&dir.path().join("dist").join(name));
        let names: Vec<String> = files.keys().map(|path| without_digest(path)).collect();
        insta::allow_duplicates!(insta::assert_snapshot!("contents", names.join("\n")));
    }
}

#[test]
fn the_settings_of_this_repository_fit_its_providers() {
    let providers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../providers");
    let mut text = fs::read_to_string(providers.join("damper.toml")).unwrap();
    // Of those in Rust all but the one for demonstrations on one machine.
    for entry in fs::read_dir(&providers).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap().to_str().unwrap();
        if name != "demo" && entry.join("Cargo.toml").is_file() {
            let there = format!("\ncomponent = {name:?}\n");
            assert!(text.contains(&there), "{name} is not in providers/damper.toml");
            let built = components().join(format!("{name}.wasm"));
            let table = format!("\n[components.{name}]\n");
            text = if text.contains(&table) {
                text.replace(&table, &format!("{table}file = {built:?}\n"))
            } else {
                text.replace(&there, &format!("\ncomponent = {built:?}\n"))
            };
        }
    }
    let dir = TestDir::with(&[("damper.toml", &text)]);
    write_programs(&dir);
    let told = run_package(&dir, &["--check"]);
    assert!(told.starts_with("exit code 6\n"), "{told}");
    assert!(!told.contains("warning"), "each secret is bound, each setting fits: {told}");
}

#[test]
fn fifty_providers_of_five_components_are_packaged_with_each_component_once() {
    let dir = TestDir::new();
    write_programs(&dir);
    let hostile = ComponentFile::read(&components().join("hostile.wasm")).unwrap();
    let mut config = String::new();
    for standard in 1..=5 {
        let name = format!("standard-{standard}");
        let manifest = format!("name = {name:?}\nversion = \"4.1.{standard}\"\negress.hosts = \"operator\"\n");
        dir.write(&format!("{name}.wasm"), &embed_manifest(&hostile.bytes, &manifest).unwrap());
        config.push_str(&format!("[components.{name}]\nfile = \"{name}.wasm\"\n"));
    }
    for vendor in 0..50 {
        let standard = 1 + vendor % 5;
        config.push_str(&format!(
            "[providers.vendor-{vendor:02}]\ncomponent = \"standard-{standard}\"\nhosts = [\"v{vendor}.example\"]\n"
        ));
    }
    dir.write("damper.toml", config.as_bytes());
    let told = dir.damper(&["package", "--bootstrap", "x86", "--arch", "x86_64"]);
    assert!(told.starts_with("exit code 0\n"), "{told}");
    let files = unzip(&dir.path().join("dist/damper-x86_64.zip"));
    let count = |folder: &str| files.keys().filter(|name| name.starts_with(folder)).count();
    assert_eq!((count("components/"), count("providers/")), (5, 50), "{:?}", files.keys());
    for vendor in 0..50 {
        let provider: serde_json::Value =
            serde_json::from_slice(&files[&format!("providers/vendor-{vendor:02}/provider.json")]).unwrap();
        let text = provider.to_string();
        assert!(text.contains(&format!("v{vendor}.example")), "its own hosts: {text}");
        assert!(text.contains(&format!("standard-{}", 1 + vendor % 5)), "its component: {text}");
    }
}

#[test]
fn the_same_input_gives_the_same_bytes_and_another_run_changes_nothing() {
    let (one, two) = (new_test_dir(), new_test_dir());
    run_package(&one, &[]);
    run_package(&two, &[]);
    for name in
        ["damper-x86_64.zip", "damper-arm64.zip", "damper.yaml", "providers/gleif.yaml", "providers/hostile.yaml"]
    {
        let [one, two] = [&one, &two].map(|dir| fs::read(dir.path().join("dist").join(name)).unwrap());
        assert!(one == two, "{name}");
    }
    let again = run_package(&one, &[]);
    assert!(!again.contains(" changed ") && again.contains(" unchanged "), "{again}");
}

#[test]
fn check_tells_what_would_change_and_writes_nothing() {
    let dir = new_test_dir();
    assert!(run_package(&dir, &["--check"]).starts_with("exit code 6\n"));
    assert!(!dir.path().join("dist").exists());
    run_package(&dir, &[]);
    let unchanged = run_package(&dir, &["--check"]);
    assert!(unchanged.starts_with("exit code 0\n"), "{unchanged}");
    dir.write("damper.toml", CONFIG.replace("[\"Sun 02:00-03:00\"]", "[\"Sat 02:00-03:00\"]").as_bytes());
    insta::assert_snapshot!(without_figures(&run_package(&dir, &["--check", "gleif", "--remove", "hostile"])));
    assert!(dir.path().join("dist/providers/hostile.yaml").exists());
}

/// All files of `dist`, by their names.
fn read_dist(dir: &TestDir) -> BTreeMap<String, Vec<u8>> {
    let dist = dir.path().join("dist");
    let mut files = BTreeMap::new();
    for (folder, prefix) in [(dist.clone(), ""), (dist.join("providers"), "providers/")] {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    files
}

#[test]
fn a_package_that_would_drop_a_provider_is_refused_and_changes_nothing() {
    let dir = new_test_dir();
    run_package(&dir, &[]);
    let before = read_dist(&dir);
    insta::assert_snapshot!("would_drop", run_package(&dir, &["gleif"]));
    insta::assert_snapshot!("check_would_drop", run_package(&dir, &["--check", "gleif"]));
    insta::assert_snapshot!("remove_unknown", run_package(&dir, &["--remove", "nobody"]));
    insta::assert_snapshot!("remove_packaged", run_package(&dir, &["--remove", "gleif"]));
    // The zips alone tell as well.
    fs::remove_file(dir.path().join("dist/providers/hostile.yaml")).unwrap();
    let told = run_package(&dir, &["gleif"]);
    assert!(told.starts_with("exit code 4\n") && told.contains("would drop hostile"), "{told}");
    fs::write(dir.path().join("dist/providers/hostile.yaml"), &before["providers/hostile.yaml"]).unwrap();
    assert!(read_dist(&dir) == before, "a refused package changes nothing");
}

#[test]
fn a_provider_is_removed_on_purpose() {
    let dir = new_test_dir();
    run_package(&dir, &[]);
    let told = run_package(&dir, &["gleif", "--remove", "hostile"]);
    assert!(told.starts_with("exit code 0\n") && told.contains("delete the stacks of hostile"), "{told}");
    let files = read_dist(&dir);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let expected =
        ["damper-arm64.zip", "damper-x86_64.zip", "damper.tfvars.json", "damper.yaml", "providers/gleif.yaml"];
    assert_eq!(names, expected);
    let packed = unzip(&dir.path().join("dist/damper-arm64.zip"));
    assert!(!packed.keys().any(|path| path.contains("hostile")), "{:?}", packed.keys());
    let again = run_package(&dir, &["gleif", "--remove", "hostile"]);
    assert!(again.starts_with("exit code 4\n") && again.contains("it holds gleif"), "{again}");
    assert!(run_package(&dir, &["gleif"]).starts_with("exit code 0\n"));
}

#[test]
fn what_it_did_is_told_in_json() {
    let dir = new_test_dir();
    let text = run_package(&dir, &["--json", "gleif"]);
    let line = text.lines().find(|line| line.starts_with('{')).unwrap();
    let told: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(told["files"][0]["path"], "dist/damper-arm64.zip");
    assert_eq!(told["files"][0]["change"], "new");
    assert_eq!(told["providers"][0]["provider"], "gleif");
    // A week but the hour in which it is open, and two days.
    assert_eq!(told["providers"][0]["retention_hours"], 167 + 48);
}

#[test]
fn a_provider_stack_fits_its_window() {
    let dir = new_test_dir();
    run_package(&dir, &[]);
    let template = |name: &str| fs::read_to_string(dir.path().join(format!("dist/providers/{name}.yaml"))).unwrap();
    insta::assert_snapshot!("gleif.yaml", template("gleif"));
    assert!(template("hostile").contains("RetentionPeriodHours: 168\n"));
    assert!(template("hostile").contains("MaximumRecordAgeInSeconds: 601200\n"));
}

#[test]
fn wrong_input_is_told_with_what_to_do() {
    let nothing = TestDir::new();
    insta::assert_snapshot!("nothing_named", nothing.damper(&["package"]));
    let dir = new_test_dir();
    insta::assert_snapshot!("unknown_provider", run_package(&dir, &["nobody"]));
    insta::assert_snapshot!("isolated_unknown", run_package(&dir, &["gleif", "--isolated", "nobody"]));
    let taken = run_package(&dir, &["gleif", "--isolated", "dead-letters"]);
    assert!(taken.starts_with("exit code 4\n") && taken.contains("a folder of that name for all providers"), "{taken}");
    insta::assert_snapshot!("one_bootstrap_missing", dir.damper(&["package", "--bootstrap", "x86", "gleif"]));
    insta::assert_snapshot!("two_bootstraps", run_package(&dir, &["--bootstrap", "x86", "gleif"]));
    insta::assert_snapshot!(
        "newer_glibc",
        dir.damper(&["package", "--bootstrap", "newer", "--arch", "x86_64", "gleif"])
    );
    insta::assert_snapshot!("no_program", dir.damper(&["package", "--bootstrap", "damper.toml", "gleif"]));
    insta::assert_snapshot!("no_source", dir.damper(&["package", "--source", ".", "gleif"]));
    let newer = component(&["damper:provider/http@0.9.0"], "fetch-record", MANIFEST);
    dir.write("newer.wasm", &newer);
    insta::assert_snapshot!("another_contract", run_package(&dir, &["./newer.wasm"]));
    dir.write("bad.wasm", &provider(&MANIFEST.replace("region = \"\"\n", "")));
    dir.write("damper.toml", b"[providers.demo]\ncomponent = \"bad.wasm\"\nhosts = \"manifest\"\n");
    assert!(run_package(&dir, &[]).contains("demo does not compile for"), "{}", run_package(&dir, &[]));
}

#[test]
fn a_secret_that_lambda_cannot_have_is_refused() {
    let dir = new_test_dir();
    dir.write("demo.wasm", &provider(&MANIFEST.replace("region = \"\"\n", "")));
    for place in ["env = \"KEY\"", "file = \"key.txt\""] {
        let config = format!(
            "[providers.demo]\ncomponent = \"demo.wasm\"\nhosts = \"manifest\"\n[providers.demo.credentials.key]\n{place}\n"
        );
        dir.write("damper.toml", config.as_bytes());
        insta::assert_snapshot!(place.split(' ').next().unwrap(), run_package(&dir, &[]));
    }
}

#[test]
fn secrets_are_read_by_the_role_of_the_providers_stack_and_by_no_other() {
    let dir = new_test_dir();
    add_provider_with_secret(&dir);
    let read = |dir: &TestDir, name: &str| fs::read_to_string(dir.path().join("dist").join(name)).unwrap();
    run_package(&dir, &[]);
    assert!(!read(&dir, "damper.yaml").contains("GetSecretValue"));
    assert!(!read(&dir, "providers/gleif.yaml").contains("GetSecretValue"));
    insta::assert_snapshot!("demo.yaml", read(&dir, "providers/demo.yaml"));
    run_package(&dir, &["--isolated", "demo"]);
    let alone = read(&dir, "providers/demo.yaml");
    assert!(!alone.contains("SecretsRole") && !alone.contains("DAMPER_SECRETS_ROLE"), "{alone}");
    assert_eq!(alone.matches(":secret:damper/demo-??????").count(), 1);
}

/// The mutants' crate with a name of its own and wrong as it comes, so that it is built beside them.
fn write_wrong_provider(dir: &TestDir, root: &Path) {
    let (mutants, sdk) = (root.join("tests/fixtures/providers/mutants"), root.join("sdk/rust"));
    let cargo = format!(
        "[package]\nname = \"wrong\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n\
         [lib]\npath = {:?}\ncrate-type = [\"cdylib\", \"rlib\"]\n[dependencies]\ndamper-sdk = {{ path = {sdk:?} }}\n",
        mutants.join("src/lib.rs")
    );
    let manifest = fs::read_to_string(mutants.join("provider.toml")).unwrap();
    let manifest = manifest.replace("name = \"mutants\"", "name = \"wrong\"");
    let wrong = manifest.replace("mutation = \"none\"", "mutation = \"swallows-a-500\"");
    assert_ne!(manifest, wrong);
    dir.write("wrong/Cargo.toml", cargo.as_bytes());
    dir.write("wrong/Cargo.lock", &fs::read(root.join("Cargo.lock")).unwrap());
    dir.write("wrong/provider.toml", wrong.as_bytes());
    dir.write("wrong/cases/good.toml", &fs::read(mutants.join("cases/good.toml")).unwrap());
}

#[test]
#[allow(clippy::disallowed_methods, reason = "where the toolchain for components lies is said by the environment")]
fn a_provider_that_does_not_conform_is_not_packaged_unless_it_is_told_to() {
    let (dir, root) = (new_test_dir(), Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap());
    write_wrong_provider(&dir, &root);
    dir.write("damper.toml", b"[providers.wrong]\ncomponent = \"wrong\"\nhosts = \"manifest\"\n");
    let package = |more: &[&str]| {
        let arguments = [&["package", "--arch", "x86_64", "--bootstrap", "x86"], more].concat();
        let mut command = dir.command(&arguments);
        // With what was built for the mutants, and the toolchain that built them.
        command.env("CARGO_TARGET_DIR", components().parent().unwrap()).env_remove("DAMPER_CACHE");
        command.envs(std::env::var_os("DAMPER_CACHE").map(|cache| ("DAMPER_CACHE", cache)));
        dir.text(&command.output().unwrap())
    };
    let refused = package(&[]);
    assert!(!refused.starts_with("exit code 0\n") && refused.contains("wrong does not conform"), "{refused}");
    assert!(refused.contains("`--no-conformance` accepts it"), "{refused}");
    assert!(!dir.path().join("dist").exists());
    let told = package(&["--no-conformance"]);
    assert!(told.starts_with("exit code 0\n"), "{told}");
    assert!(dir.path().join("dist/damper-x86_64.zip").exists());
}

#[tokio::test]
async fn what_is_in_the_zip_is_loaded_and_fetched_through() {
    let dir = new_test_dir();
    run_package(&dir, &["hostile"]);
    let zip = if cfg!(target_arch = "x86_64") { "damper-x86_64.zip" } else { "damper-arm64.zip" };
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in unzip(&dir.path().join("dist").join(zip)) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let package = Package::open(folder.path()).unwrap();
    assert_eq!(package.names().unwrap(), ["hostile"]);
    let packaged = package.provider("hostile").unwrap();
    assert_eq!(packaged.settings, "hosts = \"manifest\"\n");
    assert_eq!(packaged.digest(), ComponentFile::read(&dir.path().join("hostile.wasm")).unwrap().digest);
    let host = PluginHost::new(HostOptions { max_in_flight: 2, ..HostOptions::default() }).unwrap();
    let plugin = host.load_packaged(&packaged, packaged.manifest.clone(), Grants::default()).unwrap();
    let request = FetchRequest {
        id: "ok".to_owned(),
        params: BTreeMap::new(),
        attempt: 1,
        day: "2026-01-01".parse().unwrap(),
        timeout: std::time::Duration::from_secs(60),
        resume: None,
    };
    plugin.fetch(request, Permits::new(0)).await.outcome.unwrap();
}

/// A cargo that says what it was asked for, and has `auditable` or has not.
fn write_cargo(dir: &TestDir, has_auditable: bool) {
    let (here, code) = (dir.path().display(), u8::from(!has_auditable));
    let program = if cfg!(target_arch = "x86_64") { "x86" } else { "arm" };
    let script = format!(
        "#!/bin/sh\necho \"$1 $2\" >> {here}/asked\ncase \"$1 $2\" in\n\
         metadata*) echo '{{\"target_directory\":\"{here}/target\"}}' ;;\n\
         'auditable --version') exit {code} ;;\n\
         *) echo '{{\"reason\":\"compiler-artifact\",\"executable\":\"{here}/{program}\"}}' ;;\nesac\n"
    );
    dir.write("cargo", script.as_bytes());
    fs::set_permissions(dir.path().join("cargo"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn bootstrap_is_built_with_the_list_of_its_crates_where_cargo_auditable_is_installed() {
    let arch = if cfg!(target_arch = "x86_64") { "x86_64" } else { "arm64" };
    for (has_auditable, built) in [(true, "auditable build"), (false, "build --release")] {
        let dir = new_test_dir();
        write_cargo(&dir, has_auditable);
        dir.write("source/host/lambda/Cargo.toml", b"");
        let mut command = dir.command(&["package", "--source", "source", "--arch", arch, "hostile"]);
        let told = dir.text(&command.env("CARGO", dir.path().join("cargo")).output().unwrap());
        assert!(told.starts_with("exit code 0\n"), "{told}");
        let asked = fs::read_to_string(dir.path().join("asked")).unwrap();
        assert_eq!(asked.lines().last(), Some(built), "{asked}");
        assert_eq!(told.contains("cargo install --locked cargo-auditable"), !has_auditable, "{told}");
    }
}

#[test]
fn the_templates_are_clean_under_cfn_lint() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let made = Command::new("sh")
        .arg(root.join("tests/templates/cfn-lint.sh"))
        .arg(env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap();
    if !made.status.success() {
        eprintln!("stand-ins: no cfn-lint, templates are not checked: {}", String::from_utf8_lossy(&made.stderr));
        return;
    }
    let lint = String::from_utf8(made.stdout).unwrap();
    let dir = new_test_dir();
    add_provider_with_secret(&dir);
    run_package(&dir, &["--isolated", "hostile"]);
    let dist = dir.path().join("dist");
    let output = Command::new(lint.trim())
        .args(["--regions", "eu-central-1", "us-east-1", "--include-checks", "I", "--"])
        .args(
            ["damper.yaml", "providers/demo.yaml", "providers/gleif.yaml", "providers/hostile.yaml"]
                .map(|name| dist.join(name)),
        )
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    eprintln!("stand-ins: cfn-lint checked four templates");
}

#[test]
#[allow(clippy::disallowed_methods, reason = "cargo tells its own path by the environment")]
fn bootstrap_links_no_compiler() {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let tree = |arguments: &[&str]| {
        let mut command = Command::new(&cargo);
        command.args(["tree", "-e", "normal", "--prefix", "none", "--locked"]).args(arguments);
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let bootstrap = tree(&["-p", "damper-lambda", "--no-default-features"]);
    assert!(bootstrap.contains("damper-plugins v"), "it runs providers: {bootstrap}");
    for compiler in ["cranelift-codegen v", "wasmtime-internal-cranelift v", "wasmtime-internal-winch v"] {
        assert!(!bootstrap.contains(compiler), "{compiler}");
    }
    assert!(
        tree(&["-p", "damper-cli"]).contains("cranelift-codegen v"),
        "the name that is looked for is the right one"
    );
}
