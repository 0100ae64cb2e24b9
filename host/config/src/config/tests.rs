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
    let text = error("readable_by = \"everybody\"\n");
    assert!(text.contains("expected one of `owner`, `group`, `all`") && text.ends_with(":1:15"), "{text}");
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

#[test]
fn a_secret_that_is_no_regular_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    for path in [path.as_path(), folder.path(), Path::new("/dev/zero")] {
        assert!(read_secret(path).unwrap_err().contains("not a regular file"), "{}", path.display());
    }
}

#[test]
fn a_file_that_others_can_change_or_exchange_is_refused_with_the_command_that_mends_it() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let place = tempfile::tempdir().unwrap();
    let (folder, elsewhere) = (place.path().join("house"), place.path().join("elsewhere"));
    let (path, link) = (folder.join(FILE_NAME), elsewhere.join("link.toml"));
    fs::create_dir(&folder).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    fs::write(&path, "").unwrap();
    symlink(&path, &link).unwrap();
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let refused = |named: &Path, at: &Path| {
        let error = Config::load(Some(named), place.path()).unwrap_err();
        assert!(
            matches!(error, ConfigError::Changeable { .. }) && error.to_string().contains("other users can write"),
            "{error}"
        );
        assert_eq!(error.place(), at.display().to_string());
        assert!(error.hint().unwrap().ends_with(&format!("`chmod go-w {}`", at.display())), "{:?}", error.hint());
    };
    for mode in [0o666, 0o646] {
        allow(&path, mode);
        refused(&path, &path);
        refused(&link, &link);
    }
    allow(&path, 0o644);
    allow(&folder, 0o777);
    refused(&path, &folder);
    // The link's target can be replaced by others.
    refused(&link, &folder);
    allow(&folder, 0o755);
    allow(&elsewhere, 0o777);
    refused(&link, &elsewhere);
    // As /tmp: nobody can exchange a file of another user there.
    allow(&folder, 0o1777);
    Config::load(Some(&path), place.path()).unwrap();
}

/// In a clone where the umask is 002 everything is writable for its owner's own group.
#[test]
fn a_file_that_the_owner_s_own_group_may_write_to_is_read() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    fs::write(&path, "").unwrap();
    let (user, group) = (fs::metadata(&path).unwrap().uid(), fs::metadata(&path).unwrap().gid());
    for (path, mode) in [(path.as_path(), 0o664), (folder.path(), 0o775)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    // Elsewhere the group of these tests may be one with several members.
    if user == group && damper_plugins::ownership::has_private_group(user, group) {
        Config::load(Some(&path), folder.path()).unwrap();
    }
    if std::os::unix::fs::chown(&path, None, Some(group.wrapping_add(4711))).is_ok() {
        assert!(matches!(Config::load(Some(&path), folder.path()), Err(ConfigError::Changeable { .. })));
    }
}
