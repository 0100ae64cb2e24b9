//! The output of `--help`: every command has an example, and the exit codes are listed.

use crate::test_dir::TestDir;

#[test]
fn the_help_tells_the_commands_and_the_exit_codes() {
    insta::assert_snapshot!(TestDir::new().damper(&["--help"]));
}

#[test]
fn every_command_shows_an_example() {
    let commands: [&[&str]; 25] = [
        &["new"],
        &["build"],
        &["test"],
        &["inspect"],
        &["doctor"],
        &["lock"],
        &["config", "show"],
        &["fetch"],
        &["feed"],
        &["run"],
        &["export"],
        &["status"],
        &["pause"],
        &["resume"],
        &["dead-letters"],
        &["replay"],
        &["dead-letters", "list"],
        &["dead-letters", "show"],
        &["dead-letters", "redrive"],
        &["simulate"],
        &["package"],
        &["push"],
        &["pull"],
        &["verify"],
        &["wasm-runner"],
    ];
    for command in commands {
        let arguments: Vec<&str> = command.iter().chain(&["--help"]).copied().collect();
        let text = TestDir::new().damper(&arguments);
        assert!(text.contains("Example:"), "{text}");
        insta::assert_snapshot!(command.join("-"), text);
    }
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let dir = TestDir::new();
    insta::assert_snapshot!(dir.damper(&["fetch", "demo", "1", "--param", "lang"]));
    assert!(dir.damper(&["runn"]).starts_with("exit code 2\n"));
    assert!(dir.damper(&["dead-letters", "list", "--reason", "boredom"]).starts_with("exit code 2\n"));
}
