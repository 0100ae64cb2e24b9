use std::fs;

use damper_plugins::settings::HostGrant;

use super::*;

fn config(text: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE_NAME), text).unwrap();
    Config::load(Some(&folder.path().join(FILE_NAME)), folder.path())
}

fn error(text: &str) -> String {
    let error = config(text).unwrap_err();
    let place = error.place();
    let (_, position) = place.split_once("damper.toml").unwrap();
    format!("{error} at {position}")
}

#[test]
fn a_whole_file_is_read() {
    let config = config(
        r#"
        database = "db/damper.db"
        output = "/records"
        compression = "zstd"
        components = "wasm"
        [providers.demo]
        component = "demo.wasm"
        hosts = "manifest"
        private = ["http://127.0.0.1:8085"]
        proxy = "http://proxy:3128"
        [providers.demo.config]
        base_url = "http://127.0.0.1:8085"
        pages = 3
        deep = true
        [providers.demo.limits]
        max_concurrency = 8
        [providers.demo.credentials.key]
        env = "DEMO_KEY"
        [providers.gleif]
        hosts = ["api.gleif.org"]
        "#,
    )
    .unwrap();
    assert!(config.database.is_absolute() && config.database.ends_with("db/damper.db"));
    assert_eq!((config.output.as_path(), config.compression), (Path::new("/records"), Compression::Zstd));
    let demo = config.provider("demo").unwrap();
    assert_eq!(demo.hosts, Some(HostGrant::Manifest));
    assert_eq!(demo.config["pages"].0, "3");
    assert_eq!(demo.config["deep"].0, "true");
    assert_eq!(demo.tightening().limits.max_concurrency, Some(8));
    assert_eq!(config.provider("gleif").unwrap().hosts, Some(HostGrant::Listed(vec!["api.gleif.org".into()])));
    assert!(config.provider("other").is_none());
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_column() {
    let text = error("database = \"x\"\n[providers.demo]\nhost = []\n");
    assert!(text.contains("unknown field `host`") && text.ends_with(":3:1"), "{text}");
    let text = error("compression = \"gzip\"\n");
    assert!(text.contains("unknown variant `gzip`, expected `none` or `zstd`") && text.ends_with(":1:15"), "{text}");
    let text = error("outptu = \"x\"\n");
    assert!(text.contains("unknown field `outptu`") && text.ends_with(":1:1"), "{text}");
    let text = error("[providers.demo.limits]\nmax_concurrency = -1\n");
    assert!(text.ends_with(":2:19"), "{text}");
    let text = error("[providers.demo]\nhosts = \"all\"\n");
    assert!(text.contains("\"manifest\"") && text.ends_with(":2:9"), "{text}");
}

#[test]
fn the_nearest_file_upwards_is_found_and_absence_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b");
    fs::create_dir_all(&deep).unwrap();
    assert!(Config::load(None, &deep).unwrap().file.is_none());
    fs::write(folder.path().join(FILE_NAME), "output = \"up\"").unwrap();
    let config = Config::load(None, &deep).unwrap();
    assert_eq!(config.output, folder.path().join("up"));
    assert!(matches!(Config::load(Some(&deep.join("no.toml")), &deep), Err(ConfigError::Unreadable { .. })));
}

#[test]
fn a_secret_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, "hunter2\n").unwrap();
    let allow = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    allow(0o640);
    assert!(read_secret(&path).unwrap_err().contains("0640"));
    allow(0o600);
    assert_eq!(read_secret(&path).unwrap(), "hunter2");
    fs::write(&path, "\n").unwrap();
    assert!(read_secret(&path).unwrap_err().contains("empty"));
}
