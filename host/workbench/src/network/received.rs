//! Requests as they arrive: read from the wire, whole.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use url::Url;

/// The longest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 256 << 10;
/// The longest body of a request, in bytes.
const MAX_BODY_BYTES: usize = 64 << 20;
/// The most headers of a request.
const MAX_HEADERS: usize = 160;

/// A whole request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReceivedRequest {
    pub(crate) method: String,
    pub(crate) url: Url,
    /// Names in lower case, in order.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The certificate that its connection shows, DER.
    pub(crate) certificate: Option<Vec<u8>>,
}

impl ReceivedRequest {
    /// The first header of a name, which is given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The head of a request, without its body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
}

/// How a request's target becomes a URL.
pub(super) enum Target {
    /// It is one.
    Absolute,
    /// It is a path of `https://` and this host and port, on a connection that shows this certificate (DER).
    Https { place: String, certificate: Option<Vec<u8>> },
}

/// The origin of a tunnel to `host:port`.
pub(super) fn https_origin(place: &str) -> String {
    let text = format!("https://{place}");
    Url::parse(&text).map_or(text, |url| url.origin().ascii_serialization())
}

/// A connection and what was read of it too early.
pub(super) struct Connection<S> {
    pub(super) stream: S,
    buffer: BytesMut,
}

impl<S: AsyncRead + Unpin> Connection<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// The next request's head; none if the client has closed the connection.
    pub(super) async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(head) = self.parse()? {
                return Ok(Some(head));
            }
            if self.buffer.len() > MAX_HEAD_BYTES {
                return Err(io::Error::other("a request's head is too long"));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn parse(&mut self) -> io::Result<Option<Head>> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let length = match request.parse(&self.buffer).map_err(io::Error::other)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial => return Ok(None),
        };
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers =
            request.headers.iter().map(|header| (header.name.to_ascii_lowercase(), text(header.value))).collect();
        let head = Head {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            headers,
        };
        self.buffer.advance(length);
        Ok(Some(head))
    }

    /// The whole request.
    pub(super) async fn request(&mut self, head: Head, target: &Target) -> io::Result<ReceivedRequest> {
        let Head { method, target: text, headers } = head;
        let url = match target {
            Target::Absolute => Url::parse(&text),
            Target::Https { place, .. } => Url::parse(&format!("https://{place}{text}")),
        };
        let url = url.map_err(io::Error::other)?;
        let length = headers.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.parse::<usize>());
        let length = length.transpose().map_err(io::Error::other)?.unwrap_or_default();
        if length > MAX_BODY_BYTES || headers.iter().any(|(name, _)| name == "transfer-encoding") {
            return Err(io::Error::other("a request's body is too long, or of no known length"));
        }
        while self.buffer.len() < length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let certificate = match target {
            Target::Absolute => None,
            Target::Https { certificate, .. } => certificate.clone(),
        };
        Ok(ReceivedRequest { method, url, headers, body: self.buffer.split_to(length).to_vec(), certificate })
    }
}
