//! Answers on the wire, and what may go wrong there.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::case::{Answer, Fault};

/// Between two bytes of a slow drip.
const DRIP: Duration = Duration::from_millis(20);
/// By how much a wrong length is too large.
const MISSING_BYTES: usize = 10;
/// Headers that the server sets itself.
const OWN_HEADERS: [&str; 3] = ["connection", "content-length", "transfer-encoding"];

/// A connection, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    /// The connection below.
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// The state of the connection after a response.
pub(super) enum After {
    Open,
    Closed,
}

/// Sends an answer, or does what its fault says.
pub(super) async fn answer(
    stream: &mut impl Stream,
    answer: &Answer,
    closes: bool,
    is_head: bool,
) -> io::Result<After> {
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    let length = answer.body.len();
    match answer.fault {
        None => {
            let has_body = !is_head && !matches!(answer.status, 204 | 304);
            let mut bytes = head(answer, &format!("content-length: {length}\r\n"), closes);
            if has_body {
                bytes.extend_from_slice(&answer.body);
            }
            stream.write_all(&bytes).await?;
            stream.flush().await?;
            if closes { end(stream).await } else { Ok(After::Open) }
        }
        Some(Fault::Reset | Fault::Refused) => {
            stream.tcp().set_zero_linger()?;
            Ok(After::Closed)
        }
        Some(Fault::Timeout) => {
            wait(stream).await;
            Ok(After::Closed)
        }
        Some(Fault::Truncated) => {
            let mut bytes = head(answer, &format!("content-length: {}\r\n", length.max(2)), true);
            bytes.extend_from_slice(answer.body.get(..length / 2).unwrap_or_default());
            stream.write_all(&bytes).await?;
            end(stream).await
        }
        Some(Fault::WrongLength) => {
            let mut bytes = head(answer, &format!("content-length: {}\r\n", length + MISSING_BYTES), true);
            bytes.extend_from_slice(&answer.body);
            stream.write_all(&bytes).await?;
            end(stream).await
        }
        Some(Fault::SlowDrip) => drip(stream, answer).await,
    }
}

fn head(answer: &Answer, length: &str, closes: bool) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status)).into_bytes();
    for (name, value) in &answer.headers {
        if !OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
    }
    if answer.status != 204 {
        head.extend_from_slice(length.as_bytes());
    }
    head.extend_from_slice(if closes { b"connection: close\r\n\r\n" } else { b"\r\n" });
    head
}

async fn end(stream: &mut impl Stream) -> io::Result<After> {
    stream.shutdown().await?;
    Ok(After::Closed)
}

/// The body, over and over, byte by byte, until the client has enough.
async fn drip(stream: &mut impl Stream, answer: &Answer) -> io::Result<After> {
    stream.write_all(&head(answer, "transfer-encoding: chunked\r\n", true)).await?;
    stream.flush().await?;
    let body = if answer.body.is_empty() { &b" "[..] } else { &answer.body };
    for byte in body.iter().cycle() {
        stream.write_all(&[b'1', b'\r', b'\n', *byte, b'\r', b'\n']).await?;
        stream.flush().await?;
        tokio::time::sleep(DRIP).await;
    }
    Ok(After::Closed)
}

/// Waits until the client closes the connection.
async fn wait(stream: &mut impl Stream) {
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored).await.is_ok_and(|length| length > 0) {}
}

/// The reason phrase of a status; clients ignore it.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
