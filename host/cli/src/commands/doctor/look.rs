//! Gathers the machine's facts: runs programs for their versions, reads limits and files. An unknown fact is reported
//! as unknown; nothing here fails, and nothing is changed.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use damper_config::provider;
use damper_hardening::Layer;
use damper_plugins::component_file::host_contracts;
use damper_plugins::ownership::{self, GroupWrite, OwnershipError};
use damper_plugins::{HostOptions, PluginHost, has_pagemap_scan};
use damper_toolchain::RustToolchain;
use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;
use rustix::fs::{Access, access, statvfs};
use rustix::process::{Resource, getrlimit};

use super::machine::{Cache, Clock, Layers, Machine, System};
use crate::context::Context;
use crate::error::CliError;
use crate::harden;

/// How long a server may take for its date, at each step.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much of its answer is read.
const MAX_ANSWER_BYTES: u64 = 16 * 1024;

/// Everything that the checks look at. A server is asked for its time if one is named.
pub(super) fn machine(context: &Context, server: Option<&str>) -> Machine {
    let config = context.config();
    let providers = config.as_ref().map(|config| {
        let zone = |name: &String| {
            let manifest = provider::manifest(config, name).map_err(|error| error.to_string())?;
            Ok(manifest.window.timezone.iana_name().unwrap_or("UTC").to_owned())
        };
        config.providers.keys().map(|name| (name.clone(), zone(name))).collect()
    });
    Machine {
        damper: env!("CARGO_PKG_VERSION").to_owned(),
        contracts: host_contracts(),
        cargo: version_of(&context.settings.cargo),
        rustc: version_of(OsStr::new("rustc")),
        node: version_of(OsStr::new("node")),
        npm: version_of(OsStr::new("npm")),
        python: version_of(OsStr::new("python3")),
        has_venv: first_output_line("python3", &["-c", "import venv, ensurepip"]).is_some(),
        toolchain: RustToolchain::look(context.settings.cache.as_deref()),
        cache: context.settings.cache.as_deref().and_then(cache),
        providers: providers.unwrap_or_default(),
        config: config.map(|config| config.file).map_err(|error| in_words(&error)),
        clock: Clock { now: context.clock.now(), program: program_time(), server: server.map(time_of) },
        zones: TimeZoneDatabase::bundled().available().count(),
        system: system(context),
    }
}

fn in_words(error: &CliError) -> (String, String) {
    let place = error.place().map(|place| format!("{place}: ")).unwrap_or_default();
    (format!("{place}{error}"), error.hint().unwrap_or_else(|| "correct it".to_owned()))
}

fn version_of(program: &OsStr) -> Option<String> {
    first_output_line(program, &["--version"])
}

/// The first line of what a program says, if it can be run and succeeds.
fn first_output_line(program: impl AsRef<OsStr>, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}

fn cache(path: &Path) -> Option<Cache> {
    let nearest = path.ancestors().find(|folder| folder.exists())?;
    let disk = statvfs(nearest).ok();
    Some(Cache {
        path: path.to_path_buf(),
        nearest: nearest.to_path_buf(),
        is_writable: nearest.is_dir() && access(nearest, Access::WRITE_OK | Access::EXEC_OK).is_ok(),
        free_bytes: disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
        untrusted: find_ownership_problem(path, nearest),
    })
}

/// Why others can change the programs in the cache. If a folder is missing, its parents are checked.
fn find_ownership_problem(path: &Path, nearest: &Path) -> Option<String> {
    let components = path.join("components");
    let programs = ["tools", "toolchain"].map(|name| path.join(name)).into_iter().filter(|folder| folder.exists());
    let checks = std::iter::once(ownership::open_folder(nearest, GroupWrite::Private).map(drop))
        .chain(components.exists().then(|| ownership::open_folder(&components, GroupWrite::Refused).map(drop)))
        .chain(programs.map(|folder| ownership::check_tree(&folder, GroupWrite::Private)));
    let mut problems = checks.filter_map(Result::err).filter(|error| !matches!(error, OwnershipError::Io { .. }));
    problems.next().map(|error| error.to_string())
}

/// When this program's file was written.
fn program_time() -> Option<Timestamp> {
    let modified = fs::metadata(std::env::current_exe().ok()?).ok()?.modified().ok()?;
    Timestamp::try_from(modified).ok()
}

/// The time of a server, by the Date of its answer (RFC 9110, section 6.6.1).
fn time_of(server: &str) -> Result<Timestamp, String> {
    let text = |error: std::io::Error| error.to_string();
    let address = if server.contains(':') { server.to_owned() } else { format!("{server}:80") };
    let mut addresses = address.to_socket_addrs().map_err(|error| format!("{address}: {error}"))?;
    let first = addresses.next().ok_or_else(|| format!("{address} has no address"))?;
    let mut stream = TcpStream::connect_timeout(&first, PATIENCE).map_err(|error| format!("{address}: {error}"))?;
    stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE))).map_err(text)?;
    // In one piece: a server that has read a part and closes would reset the connection.
    let request = format!("HEAD / HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(text)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).map_err(text)?;
    date_in(&String::from_utf8_lossy(&answer)).ok_or_else(|| format!("{address} sent no Date header"))
}

fn date_in(answer: &str) -> Option<Timestamp> {
    let mut headers = answer.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
    let (_, date) = headers.find(|(name, _)| name.eq_ignore_ascii_case("date"))?;
    Timestamp::try_from(httpdate::parse_http_date(date.trim()).ok()?).ok()
}

/// The layers that a run would get: tried in a thread, so that only the thread loses its rights.
fn layers(context: &Context) -> Result<Layers, String> {
    let requested = harden::requested_layers(context).map_err(|error| error.to_string())?;
    let report = damper_hardening::probe(requested);
    // Layers of the whole process are not tried here: every system has them.
    let dumps = requested.dumps.then(|| Layer::Dumps.to_string());
    Ok(Layers {
        holding: dumps.into_iter().chain(report.holding().map(|layer| layer.to_string())).collect(),
        missing: report.missing().map(|(layer, why)| format!("{layer} ({why})")).collect(),
        off: [
            (requested.dumps, Layer::Dumps),
            (requested.files, Layer::Files),
            (requested.system_calls, Layer::SystemCalls),
        ]
        .into_iter()
        .filter(|(is_wanted, _)| !is_wanted)
        .map(|(_, layer)| layer.to_string())
        .collect(),
    })
}

fn system(context: &Context) -> System {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = format!("{} {}", std::env::consts::OS, release.trim());
    // The pool is as large as it is in a run; nothing is kept.
    let host = PluginHost::new(HostOptions::default());
    System {
        kernel: kernel.trim().to_owned(),
        open_files: getrlimit(Resource::Nofile).current,
        address_space: getrlimit(Resource::As).current,
        tells_touched_pages: has_pagemap_scan(),
        is_pooled: host.map(|host| host.is_pooled()).map_err(|error| error.to_string()),
        hardening: layers(context),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_server_s_time_is_its_date() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap().to_string();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut request = [0; 512];
            let read = stream.read(&mut request).unwrap();
            stream.write_all(b"HTTP/1.1 405 No\r\nDATE: Thu, 01 Jan 2026 12:00:00 GMT\r\n\r\nDate: later").unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        assert_eq!(time_of(&address).unwrap().to_string(), "2026-01-01T12:00:00Z");
        assert!(answering.join().unwrap().starts_with("HEAD / HTTP/1.1\r\nHost: 127.0.0.1:"));
        assert!(time_of(&address).unwrap_err().contains(&address), "nobody listens any more");
        assert_eq!(date_in("HTTP/1.1 200 OK\r\nserver: x\r\n\r\nDate: Thu, 01 Jan 2026 12:00:00 GMT"), None);
    }

    #[test]
    fn a_cache_that_is_not_there_yet_is_looked_for_above() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let cache = cache(&path).unwrap();
        assert_eq!(cache.nearest, folder.path());
        assert!(cache.is_writable && cache.untrusted.is_none() && cache.free_bytes.is_some());
        fs::create_dir_all(path.join("tools/x")).unwrap();
        fs::write(path.join("tools/x/program"), "x").unwrap();
        assert_eq!(find_ownership_problem(&path, &path), None);
        fs::set_permissions(path.join("tools/x/program"), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(
            find_ownership_problem(&path, &path).is_some_and(|problem| problem.contains("tools/x/program (mode 0777)"))
        );
    }
}
