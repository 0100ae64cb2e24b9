//! The contract of providers, and the interfaces that a component may import.

use semver::Version;

/// The newest contract, `damper:provider`, that this host runs. It runs all earlier patches of the same minor version.
pub const HOST_CONTRACT: Version = Version::new(0, 1, 0);

/// The contracts that this host runs, for people: `0.1.0 to 0.1.0`.
#[must_use]
pub fn host_contracts() -> String {
    let Version { major, minor, .. } = HOST_CONTRACT;
    format!("{major}.{minor}.0 to {HOST_CONTRACT}")
}

/// The longest version of a contract, in bytes.
const MAX_VERSION_BYTES: usize = 64;
/// The export of a provider.
pub(super) const EXPORT: &str = "fetch-record";
/// The package of the contract's interfaces.
pub(super) const CONTRACT_PACKAGE: &str = "damper:provider/";
/// The WASI 0.2 interfaces that a provider may import. The filesystem is there because standard libraries ask for it;
/// it is empty.
const WASI_INTERFACES: [&str; 17] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
];
const WASI_RANDOM_PACKAGE: &str = "wasi:random/";
/// Interfaces that Python's standard library imports whether a provider uses them or not. They have no implementation:
/// each function traps.
pub(crate) const WASI_SOCKETS_PACKAGE: &str = "wasi:sockets/";
/// The language, as in the SDK's stamp, whose providers may import the sockets without an implementation.
const LANGUAGE_WITH_SOCKETS: &str = "python";
/// The interfaces of the contract that a provider may import.
const PROVIDER_INTERFACES: [&str; 3] = ["host", "http", "types"];

/// The version of an interface, from its import.
pub(super) fn version(import: &str) -> Option<Version> {
    let version = import.rsplit_once('@')?.1;
    // It is repeated in messages, and real versions have some ten bytes.
    Version::parse(version).ok().filter(|_| version.len() <= MAX_VERSION_BYTES)
}

/// Whether the host offers this interface to a provider.
pub(super) fn is_offered(import: &str) -> bool {
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    let wasi = WASI_INTERFACES.contains(&interface) || interface.starts_with(WASI_RANDOM_PACKAGE);
    let ours = interface.strip_prefix(CONTRACT_PACKAGE).is_some_and(|name| PROVIDER_INTERFACES.contains(&name));
    ours || (wasi && version.starts_with("0.2."))
}

/// Whether this import is accepted although it has no implementation. In any other language an import of sockets is a
/// mistake of the author, who should hear of it now.
pub(super) fn is_inert(import: &str, language: Option<&str>) -> bool {
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    language == Some(LANGUAGE_WITH_SOCKETS)
        && interface.starts_with(WASI_SOCKETS_PACKAGE)
        && version.starts_with("0.2.")
}
