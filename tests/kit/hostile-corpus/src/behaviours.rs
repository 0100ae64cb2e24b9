//! Hostile behaviours of a guest while it runs, from `tests/fixtures/providers/hostile`.

use crate::server::{Connection, Script};
use crate::{Ends, Kind, Member, Params};

/// A behaviour: its name, its id, its parameters, and what it comes to.
const ROWS: [(&str, &str, Params, Ends); 17] = [
    ("loops for ever", "loop", &[], Ends::Failed),
    ("takes memory for ever", "memory", &[], Ends::Failed),
    ("calls itself for ever", "stack", &[], Ends::Failed),
    ("traps", "trap", &[("message", "\u{1b}[2J")], Ends::Failed),
    ("exits", "exit", &[], Ends::Failed),
    ("sleeps for ever", "sleep", &[], Ends::Failed),
    ("a record of a megabyte", "huge", &[], Ends::Failed),
    ("a record of 12 MB", "huge", &[("bytes", "12000000")], Ends::Failed),
    ("100,000 attributes", "attributes", &[("count", "100000")], Ends::Failed),
    (
        "a failure that waits for ever",
        "say",
        &[("kind", "throttled"), ("retry-after-ms", "18446744073709551615")],
        Ends::Failed,
    ),
    (
        "a message without an end",
        "say",
        &[("kind", "other"), ("message", "0123456789abcdef"), ("repeat", "500000")],
        Ends::Failed,
    ),
    ("a host that is not granted", "forbidden-host", &[], Ends::Failed),
    ("prints 100,000 lines", "print", &[("lines", "100000")], Ends::Harmless),
    ("logs 10,000 lines of 100 kB", "log", &[("lines", "10000")], Ends::Harmless),
    (
        "keeps a value of 8 MB",
        "cache",
        &[("put", "0123456789abcdef"), ("times", "500000"), ("key", "k")],
        Ends::Harmless,
    ),
    ("a key of 1 MB", "cache", &[("put", "x"), ("key", "0123456789abcdef"), ("repeat", "65536")], Ends::Harmless),
    ("headers that are the host's", "headers", &[], Ends::Harmless),
];

pub(crate) fn members() -> Vec<Member> {
    let member = |(name, id, params, ends)| Member {
        name,
        kind: Kind::Behaviour,
        ends,
        component: None,
        server: None,
        id,
        params,
    };
    let mut members: Vec<Member> = ROWS.into_iter().map(member).collect();
    members.push(Member {
        server: Some(Script::Plain(serve_64_kib)),
        ..member(("64 whole answers side by side", "get-all", &[("count", "64")], Ends::Failed))
    });
    members
}

/// As much as an answer may have.
fn serve_64_kib(it: &mut Connection) -> std::io::Result<()> {
    loop {
        it.read_head()?;
        it.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n{}", "x".repeat(60_000)))?;
    }
}
