//! Mistakes in a damper.toml with several providers of one component: each is named with its file, line and remedy.

use crate::test_dir::{TestDir, provider};

/// A component that leaves its hosts to the operator.
const MANIFEST: &str = "\
name = \"enquiry\"
version = \"4.1.0\"
egress.hosts = \"operator\"
window.timezone = \"Europe/London\"
limits.max_concurrency = 8
[credentials.login]
kind = \"basic\"
[credentials.key]
kind = \"header\"
header = \"X-Api-Key\"
[config]
endpoint = \"\"
";

/// A damper.toml that fits; the tests change it.
const CONFIG: &str = "\
[defaults.limits]
max_concurrency = 2

[components.enquiry]
file = \"enquiry.wasm\"

[providers.acme-life]
component = \"enquiry\"
hosts = [\"api.acme-life.example\"]
config.endpoint = \"https://api.acme-life.example\"
credentials.login.file = \"login\"

[providers.northern]
component = \"enquiry\"
hosts = [\"ws.northern.example\"]
config.endpoint = \"https://ws.northern.example\"
credentials.key.file = \"login\"
";

fn new_test_dir(config: &str) -> TestDir {
    let dir = TestDir::with(&[("damper.toml", config), ("login", "user:password\n")]);
    dir.write("enquiry.wasm", &provider(MANIFEST));
    dir
}

#[test]
fn what_fits_is_shown_for_each_provider_without_a_warning() {
    let dir = new_test_dir(CONFIG);
    for (name, host) in [("acme-life", "api.acme-life.example"), ("northern", "ws.northern.example")] {
        let text = dir.damper(&["config", "show", name]);
        assert!(text.starts_with("exit code 0\n") && text.contains(host), "{text}");
        assert!(!text.contains("warning"), "one credential of the two is enough: {text}");
    }
}

#[test]
fn mistakes_are_named_with_their_line_and_a_remedy() {
    let change = |from: &str, to: &str| {
        assert!(CONFIG.contains(from), "{from}");
        CONFIG.replace(from, to)
    };
    let cases = [
        (
            "an unknown component",
            change("[providers.northern]\ncomponent = \"enquiry\"", "[providers.northern]\ncomponent = \"enqiury\""),
        ),
        ("two providers of one name", change("[providers.acme-life]", "[providers.northern]")),
        ("no hosts", change("hosts = [\"ws.northern.example\"]\n", "")),
        ("the manifest's hosts", change("hosts = [\"ws.northern.example\"]", "hosts = \"manifest\"")),
        ("no endpoint", change("config.endpoint = \"https://ws.northern.example\"\n", "")),
        ("a default limit out of bounds", change("max_concurrency = 2", "max_concurrency = 0")),
        ("another time zone by default", format!("[defaults.window]\ntimezone = \"Europe/Berlin\"\n{CONFIG}")),
        ("a time zone that there is not", format!("[defaults.window]\ntimezone = \"Europe/Londn\"\n{CONFIG}")),
        (
            "a credential of another component",
            change("[components.enquiry]", "[components.enquiry]\ncredentials.token.env = \"X\""),
        ),
        ("a setting of no manifest", change("[components.enquiry]", "[components.enquiry]\nconfig.colour = \"red\"")),
        ("a component without a file", change("file = \"enquiry.wasm\"", "file = \"enquiries.wasm\"")),
        (
            "a component as a provider",
            change(
                "[providers.northern]\ncomponent = \"enquiry\"",
                "[providers.northern]\ncomponent = { file = \"enquiry.wasm\" }",
            ),
        ),
        ("an unknown table", change("[components.enquiry]", "[component.enquiry]")),
        ("hosts for all", format!("[defaults]\nhosts = \"all\"\n{CONFIG}")),
    ];
    let mut said = String::new();
    for (what, config) in cases {
        let text = new_test_dir(&config).damper(&["config", "show", "northern"]);
        assert!(text.starts_with("exit code ") && !text.starts_with("exit code 0"), "{what}: {text}");
        said.push_str(&format!("# {what}\n{text}\n"));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn a_mistake_of_one_provider_stops_no_other() {
    let dir = new_test_dir(&CONFIG.replace("hosts = [\"ws.northern.example\"]\n", ""));
    for name in ["acme-life", "northern"] {
        let text = dir.damper_fed(&["feed", name, "-"], b"1\n");
        assert!(text.starts_with("exit code 0\n"), "{text}");
    }
    let text = dir.damper(&["run", "northern", "acme-life"]);
    // Both are tried: acme-life fails at its own secret, which other users can read.
    for part in ["northern has no granted hosts", "providers.acme-life.credentials.login names the file login"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
