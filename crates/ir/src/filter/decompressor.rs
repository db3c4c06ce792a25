use serde::Serialize;

/// Takes the encoding off bodies that come encoded (Envoy's HTTP filter `decompressor`; RFC 9110 §8.4).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Decompressor {
    /// Names the counters, and trailers with the sizes of bodies.
    pub library_name: String,
    pub encoding: DecompressorEncoding,
    pub requests: DecompressedDirection,
    pub responses: DecompressedDirection,
    /// Upstreams hear in `accept-encoding` that responses may be encoded, where responses are decompressed. Default true.
    pub advertises: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DecompressorEncoding {
    Brotli,
    Gzip {
        /// A body that would get longer than this many times what came of it ends there. Default 100, which holds for the other
        /// encodings as well.
        max_inflate_ratio: u32,
    },
    Zstd,
}

impl DecompressorEncoding {
    pub const MAX_INFLATE_RATIO: u32 = 100;

    /// As in `content-encoding`.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip { .. } => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// In the names of counters.
    pub const fn stat_name(self) -> &'static str {
        match self {
            Self::Brotli => "brotli",
            Self::Gzip { .. } => "gzip",
            Self::Zstd => "zstd",
        }
    }

    pub const fn max_inflate_ratio(self) -> u32 {
        match self {
            Self::Brotli | Self::Zstd => Self::MAX_INFLATE_RATIO,
            Self::Gzip { max_inflate_ratio } => max_inflate_ratio,
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct DecompressedDirection {
    /// Default true.
    pub enabled: bool,
    /// `cache-control: no-transform` keeps no body from being decompressed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ignores_no_transform: bool,
}

impl Default for DecompressedDirection {
    fn default() -> Self {
        Self { enabled: true, ignores_no_transform: false }
    }
}
