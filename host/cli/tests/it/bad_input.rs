//! Bad input is named, with its place and a hint, and nothing panics.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use damper_local::Database;

use crate::test_dir::{MANIFEST, TestDir, component, provider};

#[test]
fn files_that_are_no_provider() {
    let dir = TestDir::with(&[("script.wasm", "#!/bin/sh\n"), ("empty.wasm", "")]);
    dir.write("module.wasm", b"\0asm\x01\0\0\0");
    dir.write("world.wasm", &component(&["wasi:http/types@0.2.0"], "wasi:http/incoming-handler@0.2.0", MANIFEST));
    dir.write("newer.wasm", &component(&["damper:provider/http@0.2.0"], "fetch-record", MANIFEST));
    dir.write("truncated.wasm", provider(MANIFEST).get(..40).unwrap());
    let mut said = String::new();
    for name in ["missing", "script", "empty", "module", "world", "newer", "truncated"] {
        said.push_str(&format!("# {name}\n{}\n", dir.damper(&["inspect", &format!("{name}.wasm")])));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn manifests_that_cannot_be_used_are_refused_before_anything_is_compiled() {
    let cases = [
        ("unknown key", MANIFEST.replace("max_concurrency", "max_concurency")),
        ("bad window", MANIFEST.replace("Mon-Fri 20:00-06:00", "Mon-Fri 25:00-06:00")),
        ("no hosts", MANIFEST.replace("hosts = [\"api.example.org\"]", "hosts = []")),
        ("no toml", MANIFEST.replace("[egress]", "[egress")),
    ];
    let mut said = String::new();
    for (what, manifest) in cases {
        let dir = TestDir::with(&[("provider.toml", &manifest), ("Cargo.toml", "")]);
        said.push_str(&format!("# {what}\n{}\n", dir.damper(&["build"])));
    }
    let dir = TestDir::new();
    said.push_str(&format!("# no provider at all\n{}\n", dir.damper(&["build"])));
    insta::assert_snapshot!(said);
}

#[test]
fn settings_that_do_not_fit_the_provider() {
    let granted = "[providers.demo]\nhosts = \"manifest\"\n[providers.demo.config]\nregion = \"eu\"\n";
    let cases = [
        ("nothing granted", "[providers.demo.config]\nregion = \"eu\"\n".to_owned()),
        ("a setting without a value", "[providers.demo]\nhosts = \"manifest\"\n".to_owned()),
        ("an unknown setting", format!("{granted}colour = \"red\"\n")),
        ("an unknown credential", format!("{granted}[providers.demo.credentials.token]\nenv = \"X\"\n")),
        ("a secret from nowhere", format!("{granted}[providers.demo.credentials.key]\n")),
        (
            "a variable that is not set",
            format!("{granted}[providers.demo.credentials.key]\nenv = \"DAMPER_TEST_NO_SUCH\"\n"),
        ),
        ("a secret that all may read", format!("{granted}[providers.demo.credentials.key]\nfile = \"key\"\n")),
        ("a limit out of bounds", format!("{granted}[providers.demo.limits]\nmax_concurrency = 0\n")),
        ("a url for a host", "[providers.demo]\nhosts = [\"https://api.example.org\"]\n".to_owned()),
        ("a host for an origin", "[providers.demo]\nprivate = [\"localhost\"]\n".to_owned()),
        ("another provider's component", "[providers.other]\ncomponent = \"demo.wasm\"\n".to_owned()),
    ];
    let mut said = String::new();
    for (what, config) in cases {
        let dir = TestDir::with(&[("damper.toml", &config), ("key", "hunter2\n")]);
        dir.write("demo.wasm", &provider(MANIFEST));
        let name = if what.starts_with("another") { "other" } else { "demo" };
        let text = dir.damper(&["fetch", name, "1", "--param", "lang=en"]);
        assert!(!text.contains("hunter2"), "{text}");
        said.push_str(&format!("# {what}\n{text}\n"));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn credentials_whose_settings_do_not_fit_their_kind() {
    let (open, closed) = (MANIFEST.find("[window]").unwrap(), MANIFEST.find("[credentials").unwrap());
    let always_open = format!("{}{}", &MANIFEST[..open], &MANIFEST[closed..]);
    let manifest = format!(
        "{always_open}[credentials.client]\nkind = \"oauth2-client-credentials\"\n[credentials.certificate]\nkind = \"mtls\"\n"
    );
    let url = "token_url = \"https://auth.example.org/token\"\n";
    let cases = [
        ("two homes", "key", "env = \"A\"\nsecret = \"prod/demo\"\n".to_owned()),
        ("a key of no secret", "key", "env = \"A\"\nsecret_key = \"password\"\n".to_owned()),
        ("a secret that is in AWS", "key", "secret = \"prod/demo\"\n".to_owned()),
        ("a token url for a header", "key", format!("env = \"A\"\n{url}")),
        ("a ca for a header", "key", "env = \"A\"\nca = \"\"\n".to_owned()),
        ("no token url", "client", "env = \"A\"\n".to_owned()),
        ("a token url without TLS", "client", format!("env = \"A\"\n{}", url.replace("https", "http"))),
        ("scopes in one text", "client", format!("env = \"A\"\nscopes = [\"read write\"]\n{url}")),
        ("an unknown way to authenticate", "client", format!("env = \"A\"\nclient_auth = \"digest\"\n{url}")),
        ("a client without its secret", "client", format!("file = \"key\"\n{url}")),
        ("a ca that is none", "certificate", "env = \"A\"\nca = \"ca.pem\"\n".to_owned()),
        ("a certificate that is none", "certificate", "file = \"key\"\n".to_owned()),
    ];
    let mut said = String::new();
    for (what, credential, settings) in cases {
        let config = format!(
            "[providers.demo]\nhosts = \"manifest\"\nconfig.region = \"eu\"\n[providers.demo.credentials.{credential}]\n{settings}"
        );
        let dir = TestDir::with(&[("damper.toml", &config), ("key", "hunter2\n")]);
        fs::set_permissions(dir.path().join("key"), fs::Permissions::from_mode(0o600)).unwrap();
        dir.write("demo.wasm", &provider(&manifest));
        let text = dir.damper(&["fetch", "demo", "1", "--param", "lang=en"]);
        assert!(!text.contains("hunter2"), "{text}");
        said.push_str(&format!("# {what}\n{text}\n"));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn a_damper_toml_with_an_unknown_key_is_refused_with_its_place() {
    let dir = TestDir::with(&[("damper.toml", "database = \"x.db\"\n[providers.demo]\nhost = [\"a.b\"]\n")]);
    insta::assert_snapshot!(dir.damper(&["status"]));
}

#[test]
fn a_damper_toml_that_others_can_change_is_refused_with_the_command_that_mends_it() {
    let dir = TestDir::with(&[("damper.toml", "")]);
    let allow = |path: &str, mode| {
        fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    allow("damper.toml", 0o666);
    let mut said = format!("# the file\n{}\n", dir.damper(&["status"]));
    allow("damper.toml", 0o644);
    allow(".", 0o777);
    said.push_str(&format!("# its folder\n{}", dir.damper(&["status"])));
    insta::assert_snapshot!(said);
}

#[test]
fn a_component_that_others_can_change_gets_no_hosts_and_no_secrets() {
    let component = provider("name = \"demo\"\nversion = \"0.1.0\"\n[egress]\nhosts = [\"api.example.org\"]\n");
    let dir = TestDir::with(&[
        ("damper.toml", "[providers.demo]\ncomponent = \"components/demo.wasm\"\nhosts = \"manifest\"\n"),
        ("ids.txt", "1\n"),
    ]);
    fs::create_dir(dir.path().join("components")).unwrap();
    let file = dir.path().join("components/demo.wasm");
    fs::write(&file, component).unwrap();
    assert!(dir.damper(&["feed", "demo", "ids.txt"]).starts_with("exit code 0\n"));
    let allow = |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    allow(&file, 0o666);
    let mut said = format!("# the file\n{}\n", dir.damper(&["fetch", "demo", "1"]));
    allow(&file, 0o644);
    allow(file.parent().unwrap(), 0o777);
    said.push_str(&format!("# its folder\n{}", dir.damper(&["fetch", "demo", "1"])));
    insta::assert_snapshot!(said);
}

#[test]
fn a_damper_toml_of_another_user_is_refused() {
    let dir = TestDir::with(&[("damper.toml", "")]);
    // Only root can give a file away; for others there is nothing to test here.
    if std::os::unix::fs::chown(dir.path().join("damper.toml"), Some(12_345), None).is_err() {
        return;
    }
    insta::assert_snapshot!(dir.damper(&["status"]));
}

#[test]
fn a_component_that_is_missing_or_broken_stops_no_other_and_is_named() {
    let dir = TestDir::with(&[("broken.wasm", "nonsense"), ("ids.txt", "1\n")]);
    for name in ["broken", "missing"] {
        assert!(dir.damper(&["feed", name, "ids.txt"]).starts_with("exit code 0\n"));
    }
    insta::assert_snapshot!(dir.damper(&["run"]));
}

#[test]
fn a_component_that_no_engine_takes_is_named() {
    let dir = TestDir::with(&[("ids.txt", "1\n")]);
    let manifest = MANIFEST.replace("identity = [\"lang\"]\n", "").replace("region = \"\"\n", "");
    dir.write("demo.wasm", &provider(&manifest));
    assert!(dir.damper(&["feed", "demo", "ids.txt"]).starts_with("exit code 0\n"));
    let text = dir.damper(&["run", "demo"]);
    assert!(text.starts_with("exit code 4\n"), "{text}");
    assert!(text.contains("error: the provider demo cannot be loaded"), "{text}");
    assert!(text.contains("demo: 1 fed = 0 fetched + 0 skipped + 0 dead letters + 1 pending"), "{text}");
}

#[test]
fn databases_that_are_none() {
    let cases: [(&str, Vec<u8>); 3] = [
        ("text", b"hello, this is no database at all".repeat(40)),
        ("empty", Vec::new()),
        ("truncated", truncated_database()),
    ];
    let mut said = String::new();
    for (what, content) in cases {
        let dir = TestDir::new();
        dir.write("damper.db", &content);
        said.push_str(&format!("# {what}\n{}\n", dir.damper(&["status"])));
        assert_eq!(fs::read(dir.path().join("damper.db")).unwrap(), content, "it is left as it was");
    }
    insta::assert_snapshot!(said);
}

fn truncated_database() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damper.db");
    drop(Database::open(&path).unwrap());
    let whole = fs::read(path).unwrap();
    whole[..whole.len() / 2].to_vec()
}

#[test]
fn output_folders_that_cannot_be_written() {
    let dir = TestDir::with(&[("out", "a file"), ("ids.txt", "1\n")]);
    assert!(dir.damper(&["feed", "demo", "ids.txt"]).starts_with("exit code 0\n"));
    let mut said = format!("# a file\n{}\n", dir.damper(&["run", "demo"]));
    dir.write("damper.toml", b"output = \"/proc/damper\"\n");
    said.push_str(&format!("# a folder where nothing can be made\n{}\n", dir.damper(&["run", "demo"])));
    insta::assert_snapshot!(said);
}

#[test]
fn names_and_ids_that_are_none() {
    let dir = TestDir::new();
    dir.write("demo.wasm", &provider(&MANIFEST.replace("region = \"\"\n", "")));
    let long = "x".repeat(10_240);
    let mut said = String::new();
    let cases: [&[&str]; 6] = [
        &["run", "Demo"],
        &["feed", "demo.wasm", "-"],
        &["new", "../evil"],
        &["fetch", "demo", &long],
        &["fetch", "demo", ""],
        &["fetch", "demo", "1"],
    ];
    for arguments in cases {
        said.push_str(&format!("{}\n", dir.damper(arguments)));
    }
    insta::assert_snapshot!(said);
}
