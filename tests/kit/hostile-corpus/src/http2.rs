//! Servers that speak HTTP/2 (RFC 9113), frame by frame.

use std::io::{self, Read};

use crate::server::{Connection, Script};
use crate::{Ends, Kind, Member};

type Row = (&'static str, Ends, fn(&mut Connection) -> io::Result<()>);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The first request's stream.
const FIRST: u32 = 1;

/// `:status: 200` of HPACK's static table.
const STATUS_200: &[u8] = &[0x88];
/// `:status: 103`, literal, with the name of the static table.
const STATUS_103: &[u8] = &[0x08, 3, b'1', b'0', b'3'];

const ROWS: [Row; 22] = [
    ("http2 nothing at all", Ends::Failed, |it| preface(it)),
    ("http2 silent", Ends::Failed, |it| begin(it).map(drop)),
    ("http2 settings for ever", Ends::Failed, |it| {
        begin(it).and_then(|()| it.send_for_ever(frame(SETTINGS, 0, 0, &[]).repeat(100)))
    }),
    ("http2 pings for ever", Ends::Failed, |it| {
        begin(it).and_then(|()| it.send_for_ever(frame(PING, 0, 0, &[7; 8]).repeat(100)))
    }),
    ("http2 priorities for ever", Ends::Failed, |it| {
        begin(it).and_then(|()| it.send_for_ever(frame(PRIORITY, 0, FIRST, &[0, 0, 0, 3, 1]).repeat(100)))
    }),
    ("http2 unknown frames for ever", Ends::Failed, |it| {
        begin(it).and_then(|()| it.send_for_ever(frame(0xfa, 0xff, 0, &[1; 1000])))
    }),
    ("http2 continuations for ever", Ends::Failed, |it| {
        begin(it)?;
        it.send(frame(HEADERS, 0, FIRST, STATUS_200))?;
        it.send_for_ever(frame(CONTINUATION, 0, FIRST, &literal("x", "y")))
    }),
    ("http2 empty continuations for ever", Ends::Failed, |it| {
        begin(it)?;
        it.send(frame(HEADERS, 0, FIRST, STATUS_200))?;
        it.send_for_ever(frame(CONTINUATION, 0, FIRST, &[]).repeat(100))
    }),
    ("http2 header bomb", Ends::Failed, header_bomb),
    ("http2 10,000 headers", Ends::Failed, |it| {
        begin(it).and_then(|()| it.send(headers(&literal("x", "y").repeat(1_500), END_STREAM)))
    }),
    ("http2 endless body", Ends::Failed, |it| {
        answer(it, &[]).and_then(|()| it.send_for_ever(frame(DATA, 0, FIRST, &[b'x'; 16_384])))
    }),
    ("http2 empty data for ever", Ends::Failed, |it| {
        answer(it, &[]).and_then(|()| it.send_for_ever(frame(DATA, 0, FIRST, &[]).repeat(100)))
    }),
    ("http2 slow body", Ends::Failed, |it| {
        answer(it, &[]).and_then(|()| it.drip_for_ever(frame(DATA, 0, FIRST, b"x")))
    }),
    ("http2 body too short", Ends::Failed, |it| {
        answer(it, &literal("content-length", "1000")).and_then(|()| it.send(frame(DATA, END_STREAM, FIRST, b"short")))
    }),
    ("http2 endless trailers", Ends::Failed, |it| {
        answer(it, &[])?;
        it.send(frame(HEADERS, END_STREAM, FIRST, &literal("x", "y")))?;
        it.send_for_ever(frame(CONTINUATION, 0, FIRST, &literal("x", "y")))
    }),
    ("http2 103 for ever", Ends::Failed, |it| {
        begin(it).and_then(|()| it.send_for_ever(headers(STATUS_103, 0).repeat(100)))
    }),
    ("http2 reset", Ends::Failed, |it| begin(it).and_then(|()| it.send(frame(RST_STREAM, 0, FIRST, &[0, 0, 0, 2])))),
    ("http2 goes away", Ends::Failed, |it| {
        begin(it).and_then(|()| it.send(frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11])))
    }),
    ("http2 window that overflows", Ends::Failed, |it| {
        begin(it).and_then(|()| it.send(frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])))
    }),
    ("http2 push", Ends::Failed, |it| {
        begin(it).and_then(|()| it.send(frame(PUSH_PROMISE, END_HEADERS, FIRST, &[0, 0, 0, 2, 0x82])))
    }),
    ("http2 frame of 16 MiB", Ends::Failed, |it| {
        answer(it, &[])
            .and_then(|()| it.send([0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1]))
            .and_then(|()| it.send_for_ever([b'x'; 1024]))
    }),
    ("http2 garbage", Ends::Failed, |it| preface(it).and_then(|()| it.send_for_ever([0xa5; 1024]))),
];

pub(crate) fn members() -> Vec<Member> {
    let member = |(name, ends, play): Row| Member {
        name,
        kind: Kind::Http2,
        ends,
        component: None,
        server: Some(Script::Tls(play)),
        id: "get",
        params: &[],
    };
    ROWS.into_iter().map(member).collect()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame of a few bytes").to_be_bytes();
    let mut frame = length.get(1..).unwrap_or_default().to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header that is not indexed: its name and value as they are, each of less than 127 bytes.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).expect("a short text");
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

fn headers(block: &[u8], flags: u8) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, FIRST, block)
}

/// Reads the client's preface.
fn preface(it: &mut Connection) -> io::Result<()> {
    let mut preface = [0; 24];
    it.read_exact(&mut preface)
}

/// Greets the client, and waits for its first request.
fn begin(it: &mut Connection) -> io::Result<()> {
    preface(it)?;
    it.send(frame(SETTINGS, 0, 0, &[]))?;
    loop {
        let mut head = [0; 9];
        it.read_exact(&mut head)?;
        let [high, middle, low, kind, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        it.read_exact(&mut payload)?;
        if kind == HEADERS {
            return Ok(());
        }
    }
}

/// The same, and begins an answer with these headers.
fn answer(it: &mut Connection, more: &[u8]) -> io::Result<()> {
    begin(it)?;
    it.send(headers(&[STATUS_200, more].concat(), 0))
}

/// A header of 4,000 bytes that is indexed once, and then named in a byte each: 16 KiB that become 60 MB.
fn header_bomb(it: &mut Connection) -> io::Result<()> {
    begin(it)?;
    let value = [b'x'; 4_000];
    // 4,000 as HPACK writes a number with a prefix of seven bits.
    let indexed = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e], &value[..]].concat();
    let again = [0xbe].repeat(12_000);
    it.send(headers(&[STATUS_200, &indexed, &again].concat(), END_STREAM))
}
