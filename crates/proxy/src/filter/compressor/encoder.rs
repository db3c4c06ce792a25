use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compress;
use flate2::write::ZlibEncoder;
use leno_ir::CompressorEncoding;

/// Compresses one body, piece by piece.
pub(super) enum Encoder {
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Finished,
    Gzip(Box<ZlibEncoder<Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

/// Of the encoder; what is compressed goes on growing when a piece needs more.
const BUFFER_BYTES: usize = 4096;

impl Encoder {
    pub(super) fn new(encoding: CompressorEncoding) -> io::Result<Self> {
        Ok(match encoding {
            CompressorEncoding::Brotli { quality, window_bits } => Self::Brotli(Box::new(
                brotli::CompressorWriter::new(Vec::new(), BUFFER_BYTES, quality.into(), window_bits.into()),
            )),
            CompressorEncoding::Gzip { level, window_bits } => {
                let compress = Compress::new_gzip(flate2::Compression::new(level.into()), window_bits);
                Self::Gzip(Box::new(ZlibEncoder::new_with_compress(Vec::new(), compress)))
            }
            CompressorEncoding::Zstd { level, checksum } => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level.into())?;
                encoder.include_checksum(checksum)?;
                Self::Zstd(Box::new(encoder))
            }
        })
    }

    /// What is to be sent for `piece`. The client can read all of it at once: a stream of events does not stall.
    pub(super) fn flush(&mut self, piece: &[u8]) -> io::Result<Bytes> {
        let out = match self {
            Self::Brotli(encoder) => {
                encoder.write_all(piece)?;
                encoder.flush()?;
                std::mem::take(encoder.get_mut())
            }
            Self::Finished => Vec::new(),
            Self::Gzip(encoder) => {
                encoder.write_all(piece)?;
                encoder.flush()?;
                std::mem::take(encoder.get_mut())
            }
            Self::Zstd(encoder) => {
                encoder.write_all(piece)?;
                encoder.flush()?;
                std::mem::take(encoder.get_mut())
            }
        };
        Ok(out.into())
    }

    /// As [`Encoder::flush`], for the last piece.
    pub(super) fn finish(&mut self, piece: &[u8]) -> io::Result<Bytes> {
        let out = match std::mem::replace(self, Self::Finished) {
            Self::Brotli(mut encoder) => {
                encoder.write_all(piece)?;
                encoder.into_inner()
            }
            Self::Finished => Vec::new(),
            Self::Gzip(mut encoder) => {
                encoder.write_all(piece)?;
                encoder.finish()?
            }
            Self::Zstd(mut encoder) => {
                encoder.write_all(piece)?;
                encoder.finish()?
            }
        };
        Ok(out.into())
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Brotli(_) => "Brotli",
            Self::Finished => "Finished",
            Self::Gzip(_) => "Gzip",
            Self::Zstd(_) => "Zstd",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const ALL: [CompressorEncoding; 3] = [
        CompressorEncoding::Brotli { quality: 3, window_bits: 18 },
        CompressorEncoding::Gzip { level: 6, window_bits: 12 },
        CompressorEncoding::Zstd { level: 3, checksum: true },
    ];

    /// What a client has read when it got `bytes`, which may be a part only.
    fn read(encoding: CompressorEncoding, bytes: &[u8]) -> Vec<u8> {
        let mut reader: Box<dyn Read> = match encoding {
            CompressorEncoding::Brotli { .. } => Box::new(brotli::Decompressor::new(bytes, 4096)),
            CompressorEncoding::Gzip { .. } => Box::new(flate2::read::GzDecoder::new(bytes)),
            CompressorEncoding::Zstd { .. } => Box::new(zstd::stream::read::Decoder::new(bytes).expect("a decoder")),
        };
        let (mut text, mut buffer) = (Vec::new(), [0; 64]);
        // Ends, or fails where the part ends.
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            text.extend_from_slice(&buffer[..count]);
        }
        text
    }

    #[test]
    fn each_piece_can_be_read_when_it_is_sent() {
        for encoding in ALL {
            let mut encoder = Encoder::new(encoding).expect("an encoder");
            let mut sent = encoder.flush(b"event: one\n\n").expect("in memory").to_vec();
            assert_eq!(read(encoding, &sent), b"event: one\n\n", "{encoding:?}");
            sent.extend(encoder.flush(b"event: two\n\n").expect("in memory"));
            assert_eq!(read(encoding, &sent), b"event: one\n\nevent: two\n\n", "{encoding:?}");
            sent.extend(encoder.finish(b"").expect("in memory"));
            assert_eq!(read(encoding, &sent), b"event: one\n\nevent: two\n\n", "{encoding:?}");
        }
    }

    #[test]
    fn what_repeats_gets_smaller() {
        let text = b"all work and no play ".repeat(1000);
        for encoding in ALL {
            let mut encoder = Encoder::new(encoding).expect("an encoder");
            let sent = encoder.finish(&text).expect("in memory");
            assert!(sent.len() < text.len() / 10, "{encoding:?}: {}", sent.len());
            assert_eq!(read(encoding, &sent), text, "{encoding:?}");
        }
    }
}
