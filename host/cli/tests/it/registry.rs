//! Push, pull and verify as people and scripts meet them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use damper_stand_ins::{RunningRegistry, serve};

use crate::test_dir::{MANIFEST, TestDir, component, provider};

/// Made by cosign 2.6.5 for a file with the content "hi\n".
const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEoIIKAEtixQ1gRlyYpm8OpzPN+i0o
CqqdzP3yDBQxTUYIeyI73p2USf0D4SxdInYFno/wPWuOiJL1NF0HGIb3Aw==
-----END PUBLIC KEY-----
";
const SIGNATURE: &str =
    "MEUCIQDfpb8lE1m4+rGpG+GFj7vTLfV6QskMFTLWEUqRs8tERAIgRROLmLVucTCBldyjRl/sRc0rdv+yQwkkO/qn7iVnobY=";

fn new_test_dir() -> TestDir {
    let dir = TestDir::with(&[("cosign.pub", KEY), ("text", "hi\n"), ("text.sig", SIGNATURE)]);
    dir.write("demo.wasm", &provider(MANIFEST));
    dir
}

/// Runs `damper` with the docker configuration in this folder alone.
fn damper(dir: &TestDir, arguments: &[&str]) -> String {
    let mut command = dir.command(arguments);
    command.env("DOCKER_CONFIG", dir.path().join("docker"));
    dir.text(&command.output().unwrap())
}

#[test]
fn a_component_is_pushed_pulled_and_not_overwritten() {
    let Some(crane) = damper_stand_ins::crane() else { return };
    let registry = RunningRegistry::start_crane(crane).unwrap();
    let dir = new_test_dir();
    let name = format!("oci://{}/acme/demo:1.2.3", registry.address);
    let mut said = String::new();
    let mut tell = |arguments: &[&str]| {
        let text = damper(&dir, arguments).replace(&registry.address, "[registry]");
        let shown = arguments.join(" ").replace(&registry.address, "[registry]");
        said.push_str(&format!("# damper {shown}\n{text}\n"));
    };
    tell(&["push", "demo.wasm", &name]);
    tell(&["push", "demo.wasm", &name, "--json"]);
    tell(&["pull", &name, "-o", "pulled.wasm"]);
    tell(&["pull", &name, "--json"]);
    dir.write("other.wasm", &provider(&MANIFEST.replace("Things", "Other things")));
    tell(&["push", "other.wasm", &name]);
    tell(&["push", "other.wasm", &name, "--overwrite"]);
    tell(&["push", "demo.wasm", &name.replace("1.2.3", "7")]);
    tell(&["pull", &name]);
    tell(&["verify", &name, "--key", "cosign.pub"]);
    tell(&["pull", &name, "--key", "cosign.pub", "-o", "unsigned.wasm"]);
    tell(&["pull", &name.replace("1.2.3", "9.9.9")]);
    insta::assert_snapshot!(said);
    let pushed = fs::read(dir.path().join("demo.wasm")).unwrap();
    assert_eq!(fs::read(dir.path().join("pulled.wasm")).unwrap(), pushed);
    assert!(!dir.path().join("unsigned.wasm").exists());
}

#[test]
fn bad_input_is_named_before_anything_is_sent() {
    let dir = new_test_dir();
    dir.write("world.wasm", &component(&["wasi:http/types@0.2.0"], "wasi:http/incoming-handler@0.2.0", MANIFEST));
    let cases: [&[&str]; 9] = [
        &["push", "missing.wasm", "oci://ghcr.io/acme/demo:1.2.3"],
        &["push", "world.wasm", "oci://ghcr.io/acme/demo:1.2.3"],
        &["push", "demo.wasm", "demo:1.2.3"],
        &["push", "demo.wasm", "oci://demo:1.2.3"],
        &["pull", "oci://ghcr.io/acme/demo"],
        &["pull", "oci://ghcr.io/acme/demo:1.2.3", "--key", "text"],
        &["verify", "text"],
        &["verify", "demo.wasm", "--key", "cosign.pub"],
        &["verify", "demo.wasm", "--key", "cosign.pub", "--signature", "text.sig"],
    ];
    let mut said = String::new();
    for arguments in cases {
        said.push_str(&format!("# damper {}\n{}\n", arguments.join(" "), damper(&dir, arguments)));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn a_file_with_its_signature_beside_it_is_verified() {
    let dir = new_test_dir();
    insta::assert_snapshot!(damper(&dir, &["verify", "text", "--key", "cosign.pub"]));
    let json = damper(&dir, &["verify", "text", "--key", "cosign.pub", "--json"]);
    assert!(json.starts_with("exit code 0\n") && json.contains("\"signer\":\"sha256:"), "{json}");
}

#[test]
fn a_registry_that_is_not_there_is_a_failure_of_a_service() {
    let dir = new_test_dir();
    let port = damper_stand_ins::free_port().unwrap();
    let text = damper(&dir, &["push", "demo.wasm", &format!("oci://127.0.0.1:{port}/demo:1.2.3")]);
    assert!(text.starts_with("exit code 5\n"), "{text}");
    assert!(text.contains(&format!("error: the registry 127.0.0.1:{port} was not reached: ")), "{text}");
    assert!(text.contains("hint: "), "{text}");
}

/// docker's helper programs are found on the path.
#[tokio::test(flavor = "multi_thread")]
async fn a_credential_helper_of_docker_is_asked_and_a_refusal_names_its_configuration() {
    let login = STANDARD.encode("me:hunter2");
    let expected = format!("Basic {login}");
    let server = serve::serve(move |request| {
        let shown = request.headers().get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let is_known = shown.as_deref() == Some(&expected);
        async move {
            let mut response = serve::json(if is_known { 404 } else { 401 }, &serde_json::json!({}));
            response.headers_mut().insert("www-authenticate", "Basic realm=\"x\"".parse().unwrap());
            response
        }
    })
    .await
    .unwrap();
    let (dir, host) = (new_test_dir(), server.addr.to_string());
    dir.write("docker/config.json", format!(r#"{{"credHelpers": {{"{host}": "damper-test"}}}}"#).as_bytes());
    let pull = |script: &str| {
        dir.write("bin/docker-credential-damper-test", format!("#!/bin/sh\nread server\n{script}\n").as_bytes());
        let helper = dir.path().join("bin/docker-credential-damper-test");
        fs::set_permissions(helper, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = dir.command(&["pull", &format!("oci://{host}/demo:1.2.3")]);
        let path = format!("{}:/usr/bin:/bin", dir.path().join("bin").display());
        command.env("DOCKER_CONFIG", dir.path().join("docker")).env("PATH", path);
        let text = dir.text(&command.output().unwrap()).replace(&host, "[registry]");
        assert!(!text.contains("hunter2") && !text.contains(&login), "{text}");
        text
    };
    let found = pull(r#"echo '{"ServerURL":"x","Username":"me","Secret":"hunter2"}'"#);
    assert!(found.contains("error: oci://[registry]/demo:1.2.3 does not exist"), "{found}");
    let mut said = format!("# another password\n{}\n", pull(r#"echo '{"Username":"me","Secret":"hunter3"}'"#));
    said.push_str(&format!("# none\n{}\n", pull("echo 'credentials not found in native keychain'; exit 1")));
    said.push_str(&format!("# locked\n{}\n", pull("echo hunter2 >&2; exit 1")));
    said.push_str(&format!("# nonsense\n{}\n", pull("echo hunter2")));
    insta::assert_snapshot!(said);
}
