//! How the sink's objects are compressed. Both kinds are always read: the setting may have been different when an
//! object was written.

use std::fmt;
use std::io;
use std::str::FromStr;

use bytes::Bytes;
use object_store::path::Path;
use serde::Deserialize;
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::CParameter;

/// The library's own default: a third of the time of what compresses a tenth better.
const LEVEL: i32 = 3;
/// How much is decompressed at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// How an object is compressed; its name says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all: `CHUNK.ndjson`.
    #[default]
    None,
    /// Zstandard (RFC 8878), one frame with a checksum: `CHUNK.ndjson.zst`.
    Zstd,
}

/// A text that names no compression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a compression: write none or zstd")]
pub struct CompressionError(String);

impl Compression {
    /// All there are.
    pub(crate) const ALL: [Self; 2] = [Self::None, Self::Zstd];

    /// How the object of this name is compressed; `None`: it is no chunk.
    #[must_use]
    pub fn of(object: &Path) -> Option<Self> {
        let name = object.filename()?;
        Self::ALL.into_iter().find(|compression| name.ends_with(compression.ending()))
    }

    /// How the names of such objects end.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Self::None => ".ndjson",
            Self::Zstd => ".ndjson.zst",
        }
    }

    /// The name of such an object, from that of the chunk as [`object_path`](super::object_path) gives it.
    #[must_use]
    pub fn name(self, chunk: &Path) -> Path {
        match self {
            Self::None => chunk.clone(),
            Self::Zstd => Path::from(format!("{chunk}.zst")),
        }
    }

    /// A chunk's lines as they are stored. Compressing takes its time, away from what is in flight.
    ///
    /// # Errors
    /// If memory is short.
    pub async fn pack(self, lines: Vec<u8>) -> io::Result<Bytes> {
        match self {
            Self::None => Ok(lines.into()),
            Self::Zstd => {
                let packed = tokio::task::spawn_blocking(move || compress_lines(&lines)).await;
                packed.map_err(io::Error::other)?.map(Bytes::from)
            }
        }
    }
}

fn compress_lines(lines: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    compressor.compress(lines)
}

impl FromStr for Compression {
    type Err = CompressionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|compression| compression.to_string() == text);
        named.ok_or_else(|| CompressionError(text.to_owned()))
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Zstd => "zstd",
        })
    }
}

/// An object's lines, as its bytes come.
pub struct Unpacker(Option<Frames>);

struct Frames {
    decoder: Decoder<'static>,
    /// Whether what came so far ends where a frame does.
    is_whole: bool,
}

impl Unpacker {
    /// For an object that is compressed like this.
    ///
    /// # Errors
    /// If memory is short.
    pub fn new(compression: Compression) -> io::Result<Self> {
        Ok(Self(match compression {
            Compression::None => None,
            Compression::Zstd => Some(Frames { decoder: Decoder::new()?, is_whole: true }),
        }))
    }

    /// The next bytes of the object: what they come to goes to `take`, piece by piece.
    ///
    /// # Errors
    /// If they cannot be decompressed.
    pub fn unpack(&mut self, bytes: &[u8], mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let Some(Frames { decoder, is_whole }) = &mut self.0 else {
            take(bytes);
            return Ok(());
        };
        let mut input = InBuffer::around(bytes);
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let mut output = OutBuffer::around(piece.as_mut_slice());
            let is_fed = input.pos() == bytes.len();
            let hint = decoder.run(&mut input, &mut output)?;
            let written = output.as_slice().len();
            take(output.as_slice());
            // Nothing to read and nothing to write is no progress, and says nothing of the frame.
            if !(is_fed && written == 0) {
                *is_whole = hint == 0;
            }
            if input.pos() == bytes.len() && written < PIECE_BYTES {
                return Ok(());
            }
        }
    }

    /// The object has ended.
    ///
    /// # Errors
    /// If its end is missing.
    pub fn end(self) -> io::Result<()> {
        match self.0 {
            Some(Frames { is_whole: false, .. }) => {
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, "its end is missing"))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unpacker(...)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unpack_in_pieces(packed: &[u8], piece_bytes: usize) -> io::Result<Vec<u8>> {
        let mut unpacker = Unpacker::new(Compression::Zstd)?;
        let mut lines = Vec::new();
        for piece in packed.chunks(piece_bytes) {
            unpacker.unpack(piece, |bytes| lines.extend_from_slice(bytes))?;
        }
        unpacker.end()?;
        Ok(lines)
    }

    #[tokio::test]
    async fn repeated_lines_are_stored_in_a_fraction_of_their_room() {
        let lines = "{\"id\":\"a\",\"body\":{\"name\":\"somebody\"}}\n".repeat(10_000).into_bytes();
        let packed = Compression::Zstd.pack(lines.clone()).await.unwrap();
        assert!(packed.len() * 100 < lines.len(), "{} of {}", packed.len(), lines.len());
        assert_eq!(unpack_in_pieces(&packed, packed.len()).unwrap(), lines);
        assert_eq!(Compression::None.pack(lines.clone()).await.unwrap(), lines);
    }

    #[tokio::test]
    async fn what_is_torn_or_damaged_is_told() {
        let packed = Compression::Zstd.pack(b"{\"id\":\"a\"}\n".repeat(100)).await.unwrap();
        for length in 1..packed.len() {
            assert!(unpack_in_pieces(&packed[..length], 7).is_err(), "{length} of {}", packed.len());
        }
        let mut damaged = packed.to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(unpack_in_pieces(&damaged, 7).is_err(), "the checksum");
    }

    #[test]
    fn a_name_says_how_an_object_is_compressed() {
        let of = |name: &str| Compression::of(&Path::from(name));
        let chunk = Path::from("demo/2026-11-22/owner/000000.ndjson");
        for compression in Compression::ALL {
            assert_eq!(Compression::of(&compression.name(&chunk)), Some(compression));
            assert_eq!(compression.to_string().parse(), Ok(compression));
        }
        assert_eq!((of("a/000000.json"), of("a/000000.zst"), of("")), (None, None, None));
        assert_eq!(
            "gzip".parse::<Compression>().unwrap_err().to_string(),
            "\"gzip\" is not a compression: write none or zstd"
        );
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_back_in_whatever_pieces(
            lines in proptest::collection::vec(any::<u8>(), 0..300_000), piece_bytes in 1..70_000_usize
        ) {
            let packed = compress_lines(&lines).unwrap();
            prop_assert_eq!(unpack_in_pieces(&packed, piece_bytes).unwrap(), lines);
        }
    }
}
