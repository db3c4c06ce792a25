use std::io::{self, Write};

use bytes::Bytes;
use leno_ir::DecompressorEncoding;

/// Largest window of zstd that is taken, as a power of two: what RFC 9659 allows senders.
const ZSTD_WINDOW_LOG: u32 = 23;
/// Of the decoder; what is decoded goes on growing when a piece needs more.
const BUFFER_BYTES: usize = 4096;
/// However little has come, so much may come of it. Chosen: small bodies of zeros are no bombs.
const LEAST_BYTES: u64 = 64 * 1024;

/// Decodes one body, piece by piece.
pub(super) struct Decoder {
    /// `None`: it failed; nothing follows.
    stream: Option<Stream>,
    max_ratio: u64,
    compressed: u64,
    uncompressed: u64,
}

enum Stream {
    Brotli(Box<brotli::DecompressorWriter<Sink>>),
    Gzip(Box<flate2::write::GzDecoder<Sink>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Sink>>),
}

/// Takes no more than may come of what is there.
#[derive(Debug, Default)]
struct Sink {
    bytes: Vec<u8>,
    most: usize,
}

impl Write for Sink {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + piece.len() > self.most {
            return Err(io::Error::other("a body becomes too long"));
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decoder {
    /// `None`: there is no memory for it.
    pub(super) fn new(encoding: DecompressorEncoding) -> Option<Self> {
        let sink = Sink::default();
        let stream = match encoding {
            DecompressorEncoding::Brotli => {
                Stream::Brotli(Box::new(brotli::DecompressorWriter::new(sink, BUFFER_BYTES)))
            }
            DecompressorEncoding::Gzip { .. } => Stream::Gzip(Box::new(flate2::write::GzDecoder::new(sink))),
            DecompressorEncoding::Zstd => {
                let mut decoder = zstd::stream::write::Decoder::new(sink).ok()?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).ok()?;
                Stream::Zstd(Box::new(decoder))
            }
        };
        let max_ratio = encoding.max_inflate_ratio().into();
        Some(Self { stream: Some(stream), max_ratio, compressed: 0, uncompressed: 0 })
    }

    /// What can be read of the body with `piece`.
    pub(super) fn push(&mut self, piece: &[u8]) -> Bytes {
        self.compressed += piece.len() as u64;
        let Some(stream) = &mut self.stream else { return Bytes::new() };
        let most = self.compressed.saturating_mul(self.max_ratio).max(LEAST_BYTES);
        stream.sink().most = usize::try_from(most.saturating_sub(self.uncompressed)).unwrap_or(usize::MAX);
        let result = stream.write(piece);
        let bytes = std::mem::take(&mut stream.sink().bytes);
        self.uncompressed += bytes.len() as u64;
        if let Err(error) = result {
            tracing::debug!(%error, "a body could not be decompressed");
            self.stream = None;
        }
        bytes.into()
    }

    /// Bytes that came, and what became of them.
    pub(super) const fn totals(&self) -> (u64, u64) {
        (self.compressed, self.uncompressed)
    }
}

impl Stream {
    fn sink(&mut self) -> &mut Sink {
        match self {
            Self::Brotli(decoder) => decoder.get_mut(),
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => decoder.get_mut(),
        }
    }

    /// What is missing at the end is not missed, as in Envoy.
    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        match self {
            Self::Brotli(decoder) => {
                decoder.write_all(piece)?;
                decoder.flush()
            }
            Self::Gzip(decoder) => {
                decoder.write_all(piece)?;
                decoder.flush()
            }
            Self::Zstd(decoder) => {
                decoder.write_all(piece)?;
                decoder.flush()
            }
        }
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("compressed", &self.compressed)
            .field("uncompressed", &self.uncompressed)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [DecompressorEncoding; 3] = [
        DecompressorEncoding::Brotli,
        DecompressorEncoding::Gzip { max_inflate_ratio: 100 },
        DecompressorEncoding::Zstd,
    ];

    fn encoded(encoding: DecompressorEncoding, body: &[u8]) -> Vec<u8> {
        match encoding {
            DecompressorEncoding::Brotli => {
                let mut writer = brotli::CompressorWriter::new(Vec::new(), BUFFER_BYTES, 1, 22);
                writer.write_all(body).expect("to memory");
                writer.into_inner()
            }
            DecompressorEncoding::Gzip { .. } => {
                let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
                writer.write_all(body).expect("to memory");
                writer.finish().expect("to memory")
            }
            DecompressorEncoding::Zstd => zstd::encode_all(body, 19).expect("to memory"),
        }
    }

    #[test]
    fn a_body_is_read_as_its_pieces_come() {
        let body: Vec<u8> = (0..10_000_u32).flat_map(|number| number.to_le_bytes()).collect();
        for encoding in ALL {
            let bytes = encoded(encoding, &body);
            for size in [1 << 20, 1000, 7] {
                let mut decoder = Decoder::new(encoding).expect("a decoder");
                let decoded: Vec<u8> = bytes.chunks(size).flat_map(|piece| decoder.push(piece)).collect();
                assert!(decoded == body, "{encoding:?} by {size}");
                assert_eq!(decoder.totals(), (bytes.len() as u64, body.len() as u64));
            }
        }
    }

    #[test]
    fn a_bomb_ends_where_it_becomes_too_long() {
        let body = vec![0; 2 << 20];
        for encoding in ALL {
            let bytes = encoded(encoding, &body);
            let most = (bytes.len() as u64 * 100).max(LEAST_BYTES);
            assert!(most < body.len() as u64, "{encoding:?} is a bomb");
            for size in [1 << 20, 100] {
                let mut decoder = Decoder::new(encoding).expect("a decoder");
                let longest = bytes.chunks(size).map(|piece| decoder.push(piece).len() as u64).max();
                assert!(longest.is_some_and(|longest| longest <= most), "{encoding:?} by {size}");
                assert!(decoder.totals().1 <= most && decoder.stream.is_none(), "{encoding:?} by {size}");
            }
        }
    }

    #[test]
    fn what_is_no_body_of_its_encoding_becomes_nothing() {
        for encoding in ALL {
            let mut decoder = Decoder::new(encoding).expect("a decoder");
            assert!(decoder.push(&[0xff; 100]).is_empty() && decoder.push(b"more").is_empty(), "{encoding:?}");
        }
    }
}
