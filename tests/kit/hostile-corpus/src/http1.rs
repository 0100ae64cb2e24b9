//! Servers that speak HTTP/1, or what looks like it.

use std::io::{self, Write};
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::server::{Connection, Script};
use crate::{Ends, Kind, Member};

/// A script by its name; what it comes to.
type Row = (&'static str, Ends, fn(&mut Connection) -> io::Result<()>);

/// The head of a response, before its body.
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
/// 64 MiB of zeros, a thousand times what an answer may have, compressed to 64 kB.
static GZIP_BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let (zeros, mut encoder) = (vec![0; 1 << 20], GzEncoder::new(Vec::new(), Compression::best()));
    for _ in 0..64 {
        encoder.write_all(&zeros).expect("a Vec takes all");
    }
    encoder.finish().expect("a Vec takes all")
});

const ROWS: [Row; 40] = [
    ("http1 silent", Ends::Failed, |it| it.read_head().map(drop)),
    ("http1 slow head", Ends::Failed, |it| after(it, "HTTP/1.1 200 OK\r\nX: ").and_then(|()| it.drip_for_ever("x"))),
    ("http1 slow body", Ends::Failed, |it| head(it, "Content-Length: 60000").and_then(|()| it.drip_for_ever("x"))),
    ("http1 endless body", Ends::Failed, |it| head(it, "Connection: close").and_then(|()| it.send_for_ever(KILOBYTE))),
    ("http1 endless chunks", Ends::Failed, |it| send_chunked(it).and_then(|()| it.send_for_ever("5\r\nhello\r\n"))),
    ("http1 empty lines for ever", Ends::Failed, |it| after(it, "").and_then(|()| it.send_for_ever("\r\n"))),
    ("http1 endless headers", Ends::Failed, |it| after(it, OK).and_then(|()| it.send_for_ever("X-A: b\r\n"))),
    ("http1 endless header", Ends::Failed, |it| {
        after(it, OK).and_then(|()| it.send("X: ")).and_then(|()| it.send_for_ever(KILOBYTE))
    }),
    ("http1 endless reason", Ends::Failed, |it| after(it, "HTTP/1.1 200 ").and_then(|()| it.send_for_ever(KILOBYTE))),
    ("http1 10,000 headers", Ends::Failed, |it| after(it, format!("{OK}{}\r\n", "X-A: b\r\n".repeat(10_000)))),
    ("http1 header of 10 MiB", Ends::Failed, |it| after(it, format!("{OK}X: {}\r\n\r\n", "y".repeat(10 << 20)))),
    ("http1 body too short", Ends::Failed, |it| {
        head(it, "Content-Length: 1000").and_then(|()| it.send("short")).and_then(|()| it.close())
    }),
    ("http1 longest length", Ends::Failed, |it| {
        head(it, "Content-Length: 18446744073709551615").and_then(|()| it.send_for_ever(KILOBYTE))
    }),
    ("http1 length too large for a number", Ends::Failed, |it| {
        head(it, "Content-Length: 99999999999999999999999").and_then(|()| it.send("x"))
    }),
    ("http1 negative length", Ends::Failed, |it| head(it, "Content-Length: -1").and_then(|()| it.send("x"))),
    ("http1 two lengths", Ends::Failed, |it| {
        head(it, "Content-Length: 1\r\nContent-Length: 2").and_then(|()| it.send("xy"))
    }),
    ("http1 chunk size too large for a number", Ends::Failed, |it| {
        send_chunked(it).and_then(|()| it.send("FFFFFFFFFFFFFFFFFF\r\nx"))
    }),
    ("http1 largest chunk", Ends::Failed, |it| {
        send_chunked(it).and_then(|()| it.send("FFFFFFFFFFFFFFF0\r\n")).and_then(|()| it.send_for_ever(KILOBYTE))
    }),
    ("http1 endless chunk extension", Ends::Failed, |it| {
        send_chunked(it).and_then(|()| it.send("5;a=")).and_then(|()| it.send_for_ever(KILOBYTE))
    }),
    ("http1 endless trailers", Ends::Failed, |it| {
        send_chunked(it).and_then(|()| it.send("0\r\n")).and_then(|()| it.send_for_ever("X-A: b\r\n"))
    }),
    ("http1 endless trailer", Ends::Failed, |it| {
        send_chunked(it).and_then(|()| it.send("0\r\nX: ")).and_then(|()| it.send_for_ever(KILOBYTE))
    }),
    ("http1 gzip bomb", Ends::Failed, |it| send_compressed(it, "gzip", &GZIP_BOMB)),
    ("http1 gzip bomb in chunks of a byte", Ends::Failed, gzip_in_small_chunks),
    ("http1 gzip without an end", Ends::Failed, |it| {
        send_compressed(it, "gzip", GZIP_BOMB.get(..1000).unwrap_or_default())
    }),
    ("http1 gzip that is none", Ends::Failed, |it| send_compressed(it, "gzip", b"this is no gzip at all")),
    ("http1 brotli that is none", Ends::Failed, |it| send_compressed(it, "br", &[0xff; 1000])),
    ("http1 reset", Ends::Failed, |it| it.read_head().and_then(|_| it.reset())),
    ("http1 reset in a body", Ends::Failed, |it| {
        head(it, "Content-Length: 1000").and_then(|()| it.send("half")).and_then(|()| it.reset())
    }),
    ("http1 end before the head", Ends::Failed, |it| after(it, "HTTP/1.1 200 OK\r\nX").and_then(|()| it.close())),
    ("http1 answer before the request", Ends::Failed, |it| {
        it.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nearly").and_then(|()| it.close())
    }),
    ("http1 100 for ever", Ends::Failed, |it| {
        after(it, "").and_then(|()| it.send_for_ever("HTTP/1.1 100 Continue\r\n\r\n"))
    }),
    ("http1 103 for ever", Ends::Failed, |it| {
        after(it, "").and_then(|()| it.send_for_ever("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"))
    }),
    ("http1 switches protocols", Ends::Harmless, |it| {
        after(it, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
            .and_then(|()| it.send_for_ever(KILOBYTE))
    }),
    ("http1 garbage", Ends::Failed, |it| after(it, "").and_then(|()| it.send_for_ever([0xff, 0, 13, 7]))),
    ("http1 no head", Ends::Failed, |it| after(it, "just a text\n").and_then(|()| it.close())),
    ("http1 nul in a header", Ends::Failed, |it| after(it, "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n")),
    ("http1 redirect to itself", Ends::Failed, |it| redirect(it, "/again")),
    ("http1 redirect that grows", Ends::Failed, growing_redirect),
    ("http1 redirect elsewhere", Ends::Failed, |it| redirect(it, "http://169.254.169.254/latest/meta-data")),
    ("http1 location of 60 KiB", Ends::Failed, |it| redirect(it, &"x".repeat(60 << 10))),
];

const KILOBYTE: [u8; 1024] = [b'x'; 1024];

pub(crate) fn members() -> Vec<Member> {
    // Not when a client waits for it.
    LazyLock::force(&GZIP_BOMB);
    let member = |(name, ends, play): Row| Member {
        name,
        kind: Kind::Http1,
        ends,
        component: None,
        server: Some(Script::Plain(play)),
        id: "get",
        params: &[],
    };
    ROWS.into_iter().map(member).collect()
}

/// Reads a request's head, and says this.
fn after(it: &mut Connection, text: impl AsRef<[u8]>) -> io::Result<()> {
    it.read_head()?;
    it.send(text)
}

/// Reads a request's head, and says a good one with these headers, too.
fn head(it: &mut Connection, headers: &str) -> io::Result<()> {
    after(it, format!("{OK}{headers}\r\n\r\n"))
}

fn send_chunked(it: &mut Connection) -> io::Result<()> {
    head(it, "Transfer-Encoding: chunked")
}

fn send_compressed(it: &mut Connection, encoding: &str, body: &[u8]) -> io::Result<()> {
    head(it, &format!("Content-Encoding: {encoding}\r\nContent-Length: {}", body.len()))?;
    it.send(body)
}

fn gzip_in_small_chunks(it: &mut Connection) -> io::Result<()> {
    head(it, "Content-Encoding: gzip\r\nTransfer-Encoding: chunked")?;
    for byte in &*GZIP_BOMB {
        it.write_all(&[b'1', b'\r', b'\n', *byte, b'\r', b'\n'])?;
    }
    it.send("0\r\n\r\n")
}

fn redirect(it: &mut Connection, location: &str) -> io::Result<()> {
    loop {
        after(it, format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"))?;
    }
}

/// Each Location is the URL that was asked for, twice.
fn growing_redirect(it: &mut Connection) -> io::Result<()> {
    loop {
        let head = it.read_head()?;
        let path = head.split(' ').nth(1).unwrap_or("/").to_owned();
        let address = it.address();
        it.send(format!(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{address}{path}{path}aa\r\nContent-Length: 0\r\n\r\n"
        ))?;
    }
}
