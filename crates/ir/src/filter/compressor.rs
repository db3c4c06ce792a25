use serde::Serialize;

use crate::StringMatch;

/// Compresses bodies for who asks for it (Envoy's HTTP filter `compressor`; RFC 9110 §8.4, §12.5.3).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compressor {
    pub library: CompressorLibrary,
    /// Requests, for upstreams; `None`: never.
    pub requests: Option<CompressedDirection>,
    /// Responses.
    pub responses: CompressedDirection,
    pub response_options: ResponseCompression,
    /// Whether counters of responses have `response.` in their names, which Envoy gives them only where
    /// `response_direction_config` is written.
    pub has_response_stat_prefix: bool,
    /// Preferred where a client likes several encodings equally.
    pub choose_first: bool,
}

/// How bodies are compressed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CompressorLibrary {
    /// Names the counters.
    pub name: String,
    pub encoding: CompressorEncoding,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CompressorEncoding {
    Brotli {
        /// 0 to 11. Envoy's default is 3.
        quality: u8,
        /// 10 to 24. Envoy's default is 18.
        window_bits: u8,
    },
    Gzip {
        /// 1 to 9. Default 6.
        level: u8,
        /// 9 to 15. Envoy's default is 12.
        window_bits: u8,
    },
    Zstd {
        /// 1 to 22. Default 3.
        level: u8,
        checksum: bool,
    },
}

impl CompressorEncoding {
    /// As in `content-encoding`.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Brotli { .. } => "br",
            Self::Gzip { .. } => "gzip",
            Self::Zstd { .. } => "zstd",
        }
    }

    /// As in the names of counters.
    pub const fn stat_name(self) -> &'static str {
        match self {
            Self::Brotli { .. } => "brotli",
            Self::Gzip { .. } => "gzip",
            Self::Zstd { .. } => "zstd",
        }
    }
}

/// Which bodies are worth it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CompressedDirection {
    /// A route may turn it on.
    pub enabled: bool,
    /// By `content-length`. Default 30.
    pub min_content_length: u32,
    pub content_types: ContentTypes,
}

impl CompressedDirection {
    pub const MIN_CONTENT_LENGTH: u32 = 30;
}

impl Default for CompressedDirection {
    fn default() -> Self {
        Self {
            enabled: true,
            min_content_length: Self::MIN_CONTENT_LENGTH,
            content_types: ContentTypes::List(Vec::new()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentTypes {
    /// Any of these, whatever parameters follow; empty: [`ContentTypes::DEFAULT`].
    List(Vec<String>),
    /// Any of these matches the type without its parameters.
    Match(Vec<StringMatch>),
}

impl ContentTypes {
    /// Envoy's.
    pub const DEFAULT: [&'static str; 20] = [
        "text/html",
        "text/plain",
        "text/css",
        "application/javascript",
        "application/x-javascript",
        "text/javascript",
        "text/x-javascript",
        "text/ecmascript",
        "text/js",
        "text/jscript",
        "text/x-js",
        "application/ecmascript",
        "application/x-json",
        "application/xml",
        "application/json",
        "image/svg+xml",
        "text/xml",
        "application/xhtml+xml",
        "application/grpc-web",
        "application/grpc-web+proto",
    ];
}

#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct ResponseCompression {
    /// A response with an `etag` stays as it is.
    pub disable_on_etag: bool,
    /// A strong `etag` becomes a weak one instead of going away; then `disable_on_etag` does nothing.
    pub weaken_etag: bool,
    /// Upstreams are not asked to compress.
    pub remove_accept_encoding: bool,
    /// Statuses that are left alone.
    pub uncompressible_statuses: Vec<u16>,
}

/// What a route says about the compressor.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteCompressor {
    /// Responses are left alone.
    Disabled,
    /// Responses are compressed, though the filter may say that they are not.
    Enabled {
        /// `None`: as the filter says.
        remove_accept_encoding: Option<bool>,
    },
    /// As the filter says.
    Inherited,
}
