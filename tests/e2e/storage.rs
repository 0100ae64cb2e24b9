//! Full disks, folders that are files, broken databases: each has a clear message, and nothing is lost.

use std::process::{Command, Stdio};

use damper_demo_api::Settings;

use crate::local_setup::{LocalSetup, ids, text};

#[tokio::test(flavor = "multi_thread")]
async fn an_output_folder_that_is_none_is_named_before_anything_is_fetched() {
    let setup = LocalSetup::demo(Settings::default(), "");
    setup.feed(ids("account", 10));
    std::fs::write(setup.path().join("out"), "a file").unwrap();
    let output = setup.run(&["run", "demo"]);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    assert!(text(&output).contains("out"), "{}", text(&output));
    assert_eq!(setup.api.stats().requests, 0);
    std::fs::remove_file(setup.path().join("out")).unwrap();
    setup.drain();
    setup.assert_all_ended(10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_database_is_named_and_left_as_it_is() {
    let setup = LocalSetup::demo(Settings::default(), "");
    setup.feed(ids("account", 2_000));
    let path = setup.path().join("damper.db");
    let files = ["damper.db", "damper.db-wal", "damper.db-shm"].map(|name| setup.path().join(name));
    let kept = files.clone().map(|file| std::fs::read(file).ok());
    let whole = kept[0].clone().unwrap();
    for length in [100, whole.len() / 2, whole.len() - 1] {
        files.iter().for_each(|file| drop(std::fs::remove_file(file)));
        std::fs::write(&path, &whole[..length]).unwrap();
        let output = setup.run(&["run", "demo"]);
        assert_eq!(output.status.code(), Some(5), "{length}: {}", text(&output));
        assert!(text(&output).contains("damper.db"), "{}", text(&output));
        assert!(!text(&output).contains("panicked"), "{}", text(&output));
        assert_eq!(std::fs::read(&path).unwrap(), whole[..length], "it is left as it was");
    }
    for (file, content) in files.iter().zip(kept) {
        let _ = std::fs::remove_file(file);
        if let Some(content) = content {
            std::fs::write(file, content).unwrap();
        }
    }
    setup.drain();
    setup.assert_all_ended(2_000).await;
}

/// A process that may write no file beyond a size stands for a full disk: the system refuses the write.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_takes_no_more_stops_the_run_and_loses_nothing() {
    let setup = LocalSetup::demo(Settings::default(), "");
    setup.feed(ids("account", 3_000));
    let damper = setup.damper(&["run", "demo"]);
    let limited = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 120; exec \"$0\" run demo"])
        .arg(damper.get_program())
        .current_dir(setup.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(limited.status.code(), Some(5), "{}", text(&limited));
    assert!(!text(&limited).contains("panicked"), "{}", text(&limited));
    setup.drain();
    setup.assert_all_ended(3_000).await;
}
